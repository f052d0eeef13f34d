import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MigrationList } from '@prisma/schema-engine-wasm';
import { Client } from 'pg';
import { PkiError, type Secret } from '@fleetroot/core';
import { listCaCertificates } from './ceremony-certificates.ts';
import { noFilter, openSchemaEngine } from './schema-engine.ts';

/** Held while migrating: "fleetroot" in ASCII, cut to a bigint. */
const LOCK = 0x666c_6565_7472;

export interface MigrateOptions {
  /** URL of the schema's owner. */
  readonly databaseUrl: Secret;
  /** The folder `prisma/migrations`. */
  readonly folder: string;
}

/**
 * Brings the database to the newest migration, and gives the status role its rights where that role exists. Several
 * processes may call it at once: one migrates, the others wait and then find nothing to do.
 * @throws PkiError `store.migration`: a migration failed, was edited after it ran, or the database is newer than we
 */
export async function migrate({ databaseUrl, folder }: MigrateOptions): Promise<{ readonly applied: readonly string[] }> {
  const lock = new Client({ connectionString: databaseUrl.reveal(), connectionTimeoutMillis: 10_000 });
  lock.on('error', () => undefined);
  try {
    await lock.connect();
    await lock.query('SELECT pg_advisory_lock($1)', [LOCK]);
    const list = await readMigrations(folder);
    await checkHistory(lock, list);
    const { engine, close } = await openSchemaEngine(databaseUrl.reveal());
    try {
      const { appliedMigrationNames } = await engine.applyMigrations({ migrationsList: list, filters: noFilter });
      await listCaCertificates(lock);
      await lock.query('SELECT grant_status_role()');
      return { applied: appliedMigrationNames };
    } finally {
      await close();
    }
  } catch (cause) {
    if (cause instanceof PkiError) throw cause;
    throw new PkiError('store.migration', `the database could not be migrated: ${explain(cause)}`, { cause });
  } finally {
    await lock.end().catch(() => undefined);
  }
}

/** The migrations of a folder, in order, as Prisma's engine takes them. */
async function readMigrations(folder: string): Promise<MigrationList> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name).sort();
  const directories = names.map(async (path) => ({
    path,
    migrationFile: {
      path: 'migration.sql',
      content: { tag: 'ok' as const, value: await readFile(join(folder, path, 'migration.sql'), 'utf8') },
    },
  }));
  return {
    baseDir: folder,
    lockfile: { path: 'migration_lock.toml', content: await readFile(join(folder, 'migration_lock.toml'), 'utf8') },
    shadowDbInitScript: '',
    migrationDirectories: await Promise.all(directories),
  };
}

interface HistoryRow {
  readonly migration_name: string;
  readonly checksum: string;
}

/** An older Fleetroot must not work on a newer ledger, and what ran once never changes. */
async function checkHistory(client: Client, list: MigrationList): Promise<void> {
  const { rows: [table] } = await client.query<{ known: boolean }>(`SELECT to_regclass('_prisma_migrations') IS NOT NULL AS known`);
  if (table?.known !== true) return;
  const ours = new Map(list.migrationDirectories.map(({ path, migrationFile: { content } }) => [path, content.tag === 'ok' ? content.value : '']));
  const { rows } = await client.query<HistoryRow>(
    'SELECT migration_name, checksum FROM _prisma_migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL ORDER BY started_at');
  for (const { migration_name: name, checksum } of rows) {
    const script = ours.get(name);
    if (script === undefined) {
      throw new PkiError('store.migration', `the database holds the migration ${name}, which this version of Fleetroot does not know: use the newer version`);
    }
    if (createHash('sha256').update(script).digest('hex') !== checksum) {
      throw new PkiError('store.migration', `the migration ${name} was changed after this database ran it: restore its file`);
    }
  }
  // One that failed (a full disk, a lost connection) has left nothing, as each runs in one transaction: it is tried again.
  await client.query('UPDATE _prisma_migrations SET rolled_back_at = now() WHERE finished_at IS NULL AND rolled_back_at IS NULL');
}

function explain(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split('\n').map((line) => line.trim()).filter((line) => line !== '').slice(0, 3).join(' ') || 'unknown error';
}
