import { execFileSync, fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { PkiError, Secret } from '@fleetroot/core';
import { type EmbeddedPostgres, migrate, openStore, provision, startEmbeddedPostgres } from '@fleetroot/store';
import { acceptedBatch, event, issueChunk, openTestLedger, requests, sha256, type TestLedger } from '../support/ledger.ts';
import { migrationsFolder } from '../support/postgres.ts';
import { noFilter, openSchemaEngine } from '../../libs/store/src/migrations/schema-engine.ts';

const code = (error: unknown): string => (error instanceof PkiError ? error.code : String(error));
const isRoot = process.getuid?.() === 0;
/** A container's root may lack the right. */
const canMount = isRoot && spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', tmpdir()]).status === 0;
const quiet = () => undefined;

const folders: string[] = [];
async function dataFolder(mode = 0o755): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fleetroot-pg-'));
  await chmod(folder, mode);
  folders.push(folder);
  return folder;
}
const running: EmbeddedPostgres[] = [];
async function start(dataDir: string, options: { onNotice?: (line: string) => void; onExit?: (line: string) => void } = {}): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({ dataDir, onNotice: quiet, ...options });
  running.push(postgres);
  return postgres;
}
afterAll(async () => {
  await Promise.all(running.map((postgres) => postgres.stop()));
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
});

async function query<Row extends object>(url: Secret, text: string): Promise<Row[]> {
  const client = new Client({ connectionString: url.reveal() });
  client.on('error', quiet);
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}

describe('the embedded PostgreSQL', () => {
  it('keeps data, password and port over a restart, and listens on 127.0.0.1 only, with a password', async () => {
    const dataDir = await dataFolder();
    const first = await start(dataDir);
    await query(first.adminUrl, 'CREATE TABLE kept (id int)');
    const rows = await query<{ name: string; setting: string }>(first.adminUrl,
      `SELECT name, setting FROM pg_settings WHERE name IN ('listen_addresses', 'fsync', 'password_encryption', 'unix_socket_directories')`);
    expect(Object.fromEntries(rows.map(({ name, setting }) => [name, setting]))).toEqual({
      listen_addresses: '127.0.0.1', fsync: 'on', password_encryption: 'scram-sha-256', unix_socket_directories: '',
    });
    const bare = new URL(first.adminUrl.reveal());
    bare.password = 'wrong';
    await expect(query(new Secret(bare.href), 'SELECT 1')).rejects.toThrow('password authentication failed');
    await first.stop();
    await first.stop();
    const second = await start(dataDir);
    expect(second.adminUrl.reveal()).toBe(first.adminUrl.reveal());
    expect(await query(second.adminUrl, 'SELECT FROM kept')).toEqual([]);
    const arguments_ = await readFile(`/proc/${second.pid}/cmdline`, 'utf8');
    expect(arguments_).not.toContain(new URL(second.adminUrl.reveal()).password);
    await second.stop();
  });

  it('says so when it dies, and starts again from what was committed', async () => {
    const dataDir = await dataFolder();
    const onExit = vi.fn();
    const first = await start(dataDir, { onExit });
    await query(first.adminUrl, 'CREATE TABLE kept (id int)');
    process.kill(first.pid, 'SIGKILL');
    await vi.waitFor(() => expect(onExit).toHaveBeenCalledOnce(), 5000);
    expect(onExit.mock.calls[0]?.[0]).toContain('SIGKILL');
    const second = await start(dataDir);
    expect(await query(second.adminUrl, 'SELECT FROM kept')).toEqual([]);
    await second.stop();
  });

  it('starts again though a child of the killed one hears nothing any more', async () => {
    const dataDir = await dataFolder();
    const first = await start(dataDir);
    const client = new Client({ connectionString: first.adminUrl.reveal() });
    client.on('error', () => undefined);
    await client.connect();
    const { rows: [backend] } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    process.kill(backend!.pid, 'SIGSTOP');
    process.kill(first.pid, 'SIGKILL');
    const second = await start(dataDir);
    expect(await readFile(`/proc/${backend!.pid}/stat`, 'utf8').catch(() => ') Z')).toContain(') Z');
    expect(await query(second.adminUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await second.stop();
  }, 60_000);

  it('ends the one that a killed process left behind', async () => {
    const dataDir = await dataFolder();
    const child = fork(fileURLToPath(new URL('../support/postgres-orphan.ts', import.meta.url)), [dataDir], { execArgv: ['--conditions', 'fleetroot-source'] });
    const [pid] = (await once(child, 'message')) as [number];
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(() => process.kill(pid, 0)).not.toThrow();
    const notices: string[] = [];
    const postgres = await start(dataDir, { onNotice: (line) => notices.push(line) });
    expect(notices).toEqual(['ending a PostgreSQL that an earlier run left behind']);
    // Gone, or dead and not yet reaped by the machine's init.
    expect(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z')).toContain(') Z');
    expect(postgres.pid).not.toBe(pid);
    await postgres.stop();
  });

  it('is not misled by a process id that somebody else has by now', async () => {
    const dataDir = await dataFolder();
    const first = await start(dataDir);
    await first.stop();
    await writeFile(join(first.folder, 'postmaster.pid'), `${process.pid}\n${first.folder}\n`);
    const second = await start(dataDir);
    await second.stop();
  });

  it.runIf(isRoot)('works for root from a data folder that only root may enter, and puts an orphaned database aside', async () => {
    const dataDir = await dataFolder(0o700);
    const first = await start(dataDir);
    expect(first.folder).toMatch(/^\/var\/lib\/fleetroot\/[0-9a-f]{16}\/postgres$/);
    expect(await readdir(dataDir)).not.toContain('postgres');
    await query(first.adminUrl, 'SELECT 1');
    await first.stop();
    await rm(dataDir, { recursive: true });
    await mkdir(dataDir, { mode: 0o700 });
    const notices: string[] = [];
    const second = await start(dataDir, { onNotice: (line) => notices.push(line) });
    expect(notices[0]).toContain('put aside');
    await second.stop();
    await rm(join(second.folder, '..'), { recursive: true });
  });

  it.runIf(canMount)('says in one plain line that the disk is full', async () => {
    const dataDir = await dataFolder();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=12m,mode=0755', 'tmpfs', dataDir]);
    try {
      await expect(startEmbeddedPostgres({ dataDir, onNotice: quiet })).rejects.toMatchObject({ code: 'setup.failed', message: expect.stringMatching(/^[^\n]*the disk is full[^\n]*$/) });
    } finally {
      execFileSync('umount', [dataDir]);
    }
  });

  it.runIf(canMount)('says so when the disk is full at a later start', async () => {
    const dataDir = await dataFolder();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=120m,mode=0755', 'tmpfs', dataDir]);
    try {
      const first = await start(dataDir);
      await first.stop();
      await writeFile(join(dataDir, 'filler'), Buffer.alloc(130_000_000)).catch(quiet);
      await expect(startEmbeddedPostgres({ dataDir, onNotice: quiet })).rejects.toMatchObject({ code: 'setup.failed', message: expect.stringMatching(/^[^\n]*the disk is full[^\n]*$/) });
    } finally {
      execFileSync('umount', [dataDir]);
    }
  });

  it('does not guess a password that is missing', async () => {
    const dataDir = await dataFolder();
    const first = await start(dataDir);
    await first.stop();
    await rm(join(dataDir, 'secrets', 'postgres-admin.password'));
    await expect(startEmbeddedPostgres({ dataDir, onNotice: quiet }).catch(code)).resolves.toBe('setup.failed');
  });
});

describe('migrations', () => {
  let postgres: EmbeddedPostgres;
  beforeAll(async () => {
    postgres = await start(await dataFolder());
  });
  const passwords = () => ({ password: new Secret(`it's "odd" %20 $1 / ${Math.random()}`), statusPassword: new Secret('status @:/?#') });

  it('run once however many processes migrate, and provisioning again only changes the passwords', async () => {
    await provision({ adminUrl: postgres.adminUrl, ...passwords() });
    const urls = await provision({ adminUrl: postgres.adminUrl, ...passwords() });
    const outcomes = await Promise.all(Array.from({ length: 4 }, () => migrate({ databaseUrl: urls.databaseUrl, folder: migrationsFolder })));
    const names = (await readdir(migrationsFolder)).filter((name) => /^\d/.test(name)).sort();
    expect(outcomes.flatMap(({ applied }) => applied)).toEqual(names);
    await query(urls.statusDatabaseUrl, 'SELECT FROM certificate');
    // BullMQ makes its own schema.
    await query(urls.databaseUrl, 'CREATE SCHEMA bullmq CREATE TABLE job (id int)');
    const [owner] = await query<{ super: boolean; roles: boolean }>(urls.databaseUrl, 'SELECT rolsuper AS super, rolcreaterole AS roles FROM pg_roles WHERE rolname = current_user');
    expect(owner).toEqual({ super: false, roles: false });
  });

  it('leave what schema.prisma says', async () => {
    const urls = await provision({ adminUrl: postgres.adminUrl, ...passwords() });
    await migrate({ databaseUrl: urls.databaseUrl, folder: migrationsFolder });
    const schema = await readFile(join(migrationsFolder, '..', 'schema.prisma'), 'utf8');
    const { engine, close } = await openSchemaEngine(postgres.adminUrl.reveal(), [['schema.prisma', schema]]);
    const { stdout } = await engine.diff({
      from: { tag: 'empty' }, to: { tag: 'schemaDatamodel', files: [{ path: 'schema.prisma', content: schema }] },
      script: true, exitCode: null, filters: noFilter,
    });
    await close();
    await query(postgres.adminUrl, 'CREATE DATABASE expected');
    const expected = new URL(postgres.adminUrl.reveal());
    expected.pathname = '/expected';
    await query(new Secret(expected.href), stdout ?? '');
    const migrated = new URL(postgres.adminUrl.reveal());
    migrated.pathname = '/fleetroot';
    const [want, have] = [await shape(new Secret(expected.href)), await shape(new Secret(migrated.href))];
    expect(want.length).toBeGreaterThan(150);
    expect(have).toEqual(want);
  });

  it('are refused where the database is newer, or ran another text; one that failed is tried again', async () => {
    const urls = await provision({ adminUrl: postgres.adminUrl, ...passwords() });
    const folder = await mkdtemp(join(tmpdir(), 'fleetroot-migrations-'));
    folders.push(folder);
    await cp(migrationsFolder, folder, { recursive: true });
    const next = join(folder, '20991231000000_next');
    await mkdir(next);
    await writeFile(join(next, 'migration.sql'), 'CREATE TABLE half (id int);\nSELECT 1 / 0;\n');
    const attempt = (from: string) => migrate({ databaseUrl: urls.databaseUrl, folder: from }).then(({ applied }) => applied, code);
    expect(await attempt(folder)).toBe('store.migration');
    expect(await query(urls.databaseUrl, `SELECT FROM pg_tables WHERE tablename = 'half'`)).toEqual([]);
    await writeFile(join(next, 'migration.sql'), 'CREATE TABLE half (id int);\nCOMMENT ON TABLE half IS \'a; b\';\n');
    expect(await attempt(folder)).toEqual(['20991231000000_next']);
    expect(await attempt(migrationsFolder)).toBe('store.migration');
    await writeFile(join(next, 'migration.sql'), 'CREATE TABLE other (id int);\n');
    expect(await attempt(folder)).toBe('store.migration');
  });
});

/** Tables, columns, indexes and keys as lines; partial indexes and checks are what Prisma's schema cannot say. */
/** Partitions and what is theirs are left out, and indexes that Prisma's schema cannot say. */
async function shape(url: Secret): Promise<string[]> {
  const rows = await query<{ line: string }>(url, `
    WITH partition AS (SELECT oid, relname FROM pg_class WHERE relispartition)
    SELECT format('column %s.%s %s%s %s', table_name, column_name, udt_name, coalesce('(' || datetime_precision || ')', ''), is_nullable || coalesce(' ' || column_default, '')) AS line
      FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> '_prisma_migrations'
      AND table_name NOT IN (SELECT relname FROM partition)
    UNION ALL
    SELECT 'index ' || replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
      JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam AND m.amname = 'btree'
      WHERE NOT c.relispartition AND c.relnamespace = 'public'::regnamespace AND i.indpred IS NULL AND c.relname <> '_prisma_migrations'
    UNION ALL
    SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
      WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'f') AND conrelid::regclass::text <> '_prisma_migrations'
      AND conrelid NOT IN (SELECT oid FROM partition)
    ORDER BY 1`);
  return rows.map(({ line }) => line);
}

describe('while PostgreSQL is away', () => {
  let ledger: TestLedger;
  beforeAll(async () => {
    ledger = await openTestLedger();
  });
  afterAll(() => ledger.close());

  it('every call says store.unavailable, and the same store works when it is back', async () => {
    const { store } = ledger;
    const { batchId, chunkIds } = await acceptedBatch(ledger, [5, 5]);
    await issueChunk(ledger, chunkIds[0]!);
    const ordinals: number[] = [];
    const waiting = store.batches.chunkDone(chunkIds[1]!, 20_000);
    const reading = (async () => {
      for await (const { ordinal } of store.batches.results(batchId, 0, AbortSignal.timeout(20_000))) ordinals.push(ordinal);
    })();
    const woken = vi.fn();
    const unsubscribe = store.outbox.onAdded(woken);
    const refused: string[] = [];
    const away = ledger.postgres.restart(1500);
    await vi.waitFor(async () => expect(await store.ping().then(() => 'up', code)).toBe('store.unavailable'), { timeout: 5000, interval: 20 });
    const calls: (() => Promise<unknown>)[] = [
      () => store.ping(), () => store.authorities.all(), () => store.principals.byTokenSha256(sha256('x')), () => store.batches.begin(ledger.batch),
      () => store.batches.progress(batchId), () => store.issuance.claim(chunkIds[1]!, 0), () => store.truststores.names(),
      () => store.audit.append(event('renewal.due', 'x')), () => store.leases.acquire('a', 'b', 1), () => store.heartbeats.lastHeard('x'),
      () => store.principals.put('x', ['line'], sha256('y'), undefined, event('principal.created', 'x')),
      () => openStore({ databaseUrl: ledger.postgres.databaseUrl, ledgerKey: ledger.key, pool: 1 }),
    ];
    for (const call of calls) refused.push(await call().then(() => 'answered', code));
    await away;
    expect(refused).toEqual(calls.map(() => 'store.unavailable'));
    await store.ping();
    await issueChunk(ledger, chunkIds[1]!);
    await waiting;
    await reading;
    expect(ordinals).toEqual(Array.from({ length: 10 }, (_, i) => i));
    // The listening connection comes back by itself.
    await vi.waitFor(async () => {
      await acceptedBatch(ledger, [1]);
      expect(woken).toHaveBeenCalled();
    }, { timeout: 5000, interval: 200 });
    unsubscribe();
  });

  it('a transaction that it cuts off has no effect, or all of it', async () => {
    const { store, batch } = ledger;
    const begun = await store.batches.begin(batch);
    if (begun.kind !== 'new') throw new Error('known');
    const appending = (async () => {
      for (let first = 0; first < 100_000; first += 50) await store.batches.append(begun.batchId, requests(first, 50), []);
    })().catch(code);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await ledger.postgres.restart();
    expect(await appending).toBe('store.unavailable');
    const { items, pending } = await store.batches.progress(begun.batchId);
    expect(items).toBeGreaterThan(0);
    expect(pending).toBe(items);
    await store.batches.append(begun.batchId, requests(items, 1), []);
  });

  it('too many connections are store.unavailable too', async () => {
    const [{ max }] = (await query<{ max: string }>(ledger.postgres.databaseUrl, `SELECT current_setting('max_connections') AS max`)) as [{ max: string }];
    const clients = Array.from({ length: Number(max) }, () => new Client({ connectionString: ledger.postgres.databaseUrl.reveal() }));
    for (const client of clients) client.on('error', quiet);
    const connected = await Promise.allSettled(clients.map((client) => client.connect()));
    const stores: Awaited<ReturnType<typeof openStore>>[] = [];
    try {
      expect(connected.some(({ status }) => status === 'rejected')).toBe(true);
      // A connection of the ledger's own pool may end meanwhile: whatever takes its place holds it.
      for (let answer: unknown; answer !== 'store.unavailable';) {
        answer = await openStore({ databaseUrl: ledger.postgres.databaseUrl, ledgerKey: ledger.key, pool: 1 }).then((store) => void stores.push(store), code);
        expect([undefined, 'store.unavailable']).toContain(answer);
        // Nor is every connection that was refused above refused for good: on a busy machine many were only slow to end.
        expect(stores.length).toBeLessThan(Number(max));
      }
    } finally {
      await Promise.allSettled(stores.map((store) => store.close()));
      await Promise.allSettled(clients.map((client) => client.end()));
    }
  }, 60_000);
});
