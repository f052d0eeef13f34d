import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PkiError, Secret } from '@fleetroot/core';
import { type EmbeddedPostgres, migrate, provision, startEmbeddedPostgres } from '@fleetroot/store';
import { checkout } from '../checkout.ts';
import type { DataDir } from '../data-dir/layout.ts';
import { readSecret, writeSecret } from '../data-dir/secret-file.ts';

export interface Database {
  /** Files that hold the URLs. */
  readonly urlFile: string;
  readonly statusUrlFile: string;
  stop(): Promise<void>;
}

/** The owner's URL of the ledger. */
export function databaseUrl(database: Pick<Database, 'urlFile'>): Secret {
  return new Secret(readSecret(database.urlFile) ?? '');
}

export function migrateDatabase(database: Database): Promise<{ readonly applied: readonly string[] }> {
  return migrate({ databaseUrl: databaseUrl(database), folder: join(checkout, 'prisma/migrations') });
}

/** A PostgreSQL that somebody else runs, with the database and its two roles made (docs/operations.md). */
export function givenDatabase(urlFile: string, statusUrlFile: string): Promise<Database> {
  return Promise.resolve({ urlFile, statusUrlFile, stop: () => Promise.resolve() });
}

/**
 * A PostgreSQL that somebody else runs, where we may make the database and its roles. They keep their passwords as long
 * as the data folder knows them: other machines may use them too.
 */
export async function provisionedDatabase(dir: DataDir, adminUrlFile: string): Promise<Database> {
  const database = await givenDatabase(dir.secret('database-url'), dir.secret('status-database-url'));
  const known = [database.urlFile, database.statusUrlFile].every((file) => readSecret(file) !== undefined);
  if (!known) {
    const adminUrl = readSecret(adminUrlFile);
    if (adminUrl === undefined) throw new PkiError('config.invalid', `the file ${adminUrlFile} does not exist`);
    await provisionInto(database, new Secret(adminUrl));
  }
  return database;
}

/** Makes database and roles with new passwords, and keeps their URLs. */
async function provisionInto({ urlFile, statusUrlFile }: Pick<Database, 'urlFile' | 'statusUrlFile'>, adminUrl: Secret): Promise<void> {
  const password = (): Secret => new Secret(randomBytes(24).toString('base64url'));
  const urls = await provision({ adminUrl, password: password(), statusPassword: password() });
  // The owner's last: with both files there, the passwords count as known.
  writeSecret(statusUrlFile, urls.statusDatabaseUrl.reveal());
  writeSecret(urlFile, urls.databaseUrl.reveal());
}

export interface EmbeddedOptions {
  readonly onNotice: (line: string) => void;
  /** It ended and could not be started again. */
  readonly onLost: (error: unknown) => void;
}

/** How often a PostgreSQL that keeps ending is started again before everything stops. */
const RESTARTS = 5;
/** One that ran for so long did not end because of how it was started. */
const HEALTHY_MS = 60_000;

/**
 * Our own PostgreSQL, kept running. Its roles get new passwords at every start, so what leaks from an old file is
 * worth nothing.
 */
export async function embeddedDatabase(dir: DataDir, { onNotice, onLost }: EmbeddedOptions): Promise<Database> {
  const urlFile = dir.secret('database-url');
  const statusUrlFile = dir.secret('status-database-url');
  const state = { stopping: false, restarts: 0, startedAt: performance.now() };
  const start = (port?: number): Promise<EmbeddedPostgres> =>
    startEmbeddedPostgres({ dataDir: dir.path, onNotice, onExit: (line) => void again(line), ...(port === undefined ? {} : { port }) });
  // One that ends while it starts is started again as well: the same fault may have hit it twice.
  const again = async (line: string): Promise<void> => {
    if (performance.now() - state.startedAt > HEALTHY_MS) state.restarts = 0;
    for (let why = line; !state.stopping; ) {
      if (++state.restarts > RESTARTS) return onLost(new Error(`PostgreSQL ended too often; at last: ${why}`));
      onNotice(`${why}; it is started again`);
      await sleep(500 * state.restarts);
      if (state.stopping) return;
      try {
        // The roles know no other port.
        running = start(port);
        await running;
        state.startedAt = performance.now();
        return onNotice('PostgreSQL is ready again');
      } catch (error) {
        why = (error as Error).message;
      }
    }
  };
  const stop = async (): Promise<void> => {
    state.stopping = true;
    const postgres = await running.catch(() => undefined);
    await postgres?.stop();
  };
  let running = start();
  const { adminUrl, folder, port } = await running;
  // PostgreSQL refuses to run as root, and its own user does not reach every folder of root's.
  if (!folder.startsWith(dir.path)) onNotice(`PostgreSQL keeps its data in ${folder}, as its user cannot reach ${dir.path}`);
  try {
    await provisionInto({ urlFile, statusUrlFile }, adminUrl);
  } catch (error) {
    await stop();
    throw error;
  }
  return { urlFile, statusUrlFile, stop };
}
