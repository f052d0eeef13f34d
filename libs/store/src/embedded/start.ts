import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, open, readFile, statfs, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { PkiError, Secret } from '@fleetroot/core';
import { type Account, postgresAccount } from './account.ts';
import { type Binaries, findBinaries } from './binaries.ts';
import { type Cluster, openCluster, prepareDataDir, reason, SUPERUSER } from './cluster.ts';
import { stopLeftOver } from './postmaster.ts';

export interface EmbeddedPostgresOptions {
  /** The installation's data folder, whose lock the caller holds. */
  readonly dataDir: string;
  /** This one or none; absent: that of the last start where it is free, else any. */
  readonly port?: number;
  /** Things worth a line to the operator. */
  readonly onNotice: (line: string) => void;
  /** PostgreSQL ended though nobody asked it to. */
  readonly onExit?: (line: string) => void;
}

export interface EmbeddedPostgres {
  /** URL of the superuser, database `postgres`. The port is that of the last start where it is still free. */
  readonly adminUrl: Secret;
  /** PostgreSQL's data folder. */
  readonly folder: string;
  readonly port: number;
  /** The postmaster's process id. */
  readonly pid: number;
  /** Fast shutdown; resolves when PostgreSQL is gone. Again: the same promise. */
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;
/** Octets free under which a start is not expected to work. */
const NEARLY_FULL = 1_000_000;

/**
 * Starts PostgreSQL for one machine, on a port of 127.0.0.1 only. One that an earlier process left behind is ended
 * first. PostgreSQL stays in a session of its own, so that Ctrl-C reaches it only through `stop`.
 * @throws PkiError `setup.failed` with one plain line: disk full, no user to run as, no package
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const dataDir = await prepareDataDir(options.dataDir);
  const account = await postgresAccount();
  const binaries = await findBinaries(dataDir, account !== undefined).catch(plainly('PostgreSQL could not be prepared'));
  const cluster = await openCluster(dataDir, binaries, account, options.onNotice).catch(plainly('the database could not be made'));
  await stopLeftOver(cluster.folder, options.onNotice);
  const portFile = join(dataDir, 'postgres.port');
  const known = Number(await readFile(portFile, 'utf8').catch(() => '0'));
  for (let attempt = 0; ; attempt++) {
    const port = options.port ?? await freePort(attempt === 0 ? known : 0);
    try {
      const running = await launch(dataDir, binaries, cluster, account, port, options.onExit);
      await writeFile(portFile, `${port}\n`, { mode: 0o600 }).catch(plainly('the database could not be started'));
      return running;
    } catch (error) {
      // Between our look and PostgreSQL's bind somebody else may have taken the port.
      if (options.port !== undefined || attempt >= 3 || !/Address already in use|could not create any TCP/.test(String((error as Error).cause))) throw error;
    }
  }
}

async function launch(
  dataDir: string, binaries: Binaries, cluster: Cluster, account: Account | undefined, port: number,
  onExit: EmbeddedPostgresOptions['onExit'],
): Promise<EmbeddedPostgres> {
  await mkdir(join(dataDir, 'logs'), { recursive: true, mode: 0o700 }).catch(plainly('the database could not be started'));
  const logPath = join(dataDir, 'logs', 'postgres.log');
  const log = await open(logPath, 'a', 0o600).catch(plainly('the database could not be started'));
  const from = (await log.stat()).size;
  const child = spawn(binaries.postgres, parameters(cluster.folder, port), {
    cwd: cluster.folder, detached: true, stdio: ['ignore', log.fd, log.fd], env: { LC_ALL: 'C', TZ: 'UTC' }, ...account,
  });
  const state = { up: false, ended: undefined as string | undefined, stopping: undefined as Promise<void> | undefined };
  // A process that ends without `stop` takes PostgreSQL along; one that is killed leaves it to the next start.
  const onProcessExit = () => child.kill('SIGINT');
  process.once('exit', onProcessExit);
  const exited = new Promise<void>((resolve) => {
    const end = (how: string): void => {
      state.ended = how;
      process.removeListener('exit', onProcessExit);
      if (state.up && state.stopping === undefined) onExit?.(`PostgreSQL ended unexpectedly: ${how} (see ${logPath})`);
      resolve();
    };
    child.once('error', (error) => end(error.message));
    child.once('exit', (code, signal) => end(`it ended with ${signal ?? `status ${code}`}`));
  });
  await log.close();
  const adminUrl = new Secret(`postgresql://${SUPERUSER}:${cluster.password}@127.0.0.1:${port}/postgres`);
  const stop = (): Promise<void> => (state.stopping ??= shutDown(child, exited, () => state.ended !== undefined));
  try {
    await ready(adminUrl, () => state.ended);
  } catch (error) {
    await stop();
    throw await startFailure(error, cluster.folder, logPath, from);
  }
  state.up = true;
  return { adminUrl, folder: cluster.folder, port, pid: child.pid ?? 0, stop };
}

async function startFailure(error: unknown, folder: string, logPath: string, from: number): Promise<PkiError> {
  const said = (await readFile(logPath)).subarray(from).toString('utf8');
  // On a full disk PostgreSQL cannot even write down what is wrong.
  const { bavail, bsize } = await statfs(folder);
  const why = bavail * bsize < NEARLY_FULL ? 'the disk is full' : reason({
    stderr: said.split('\n').filter((line) => /FATAL|PANIC|No space|could not/.test(line)).join('\n'), message: (error as Error).message,
  });
  return new PkiError('setup.failed', `PostgreSQL does not start: ${why} (see ${logPath})`, { cause: said });
}

/** Settings of a small installation. What is said in errors never holds values of rows: they might end in a log. */
function parameters(folder: string, port: number): string[] {
  const settings = {
    port, listen_addresses: '127.0.0.1', unix_socket_directories: '', password_encryption: 'scram-sha-256',
    // A cut connection is known here after a minute and a half; who reconnects meanwhile has it twice.
    max_connections: 300, tcp_keepalives_idle: 60, tcp_keepalives_interval: 10, tcp_keepalives_count: 3,
    shared_buffers: '192MB', max_wal_size: '2GB', wal_buffers: '16MB',
    checkpoint_timeout: '15min', fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on', jit: 'off',
    autovacuum_naptime: '20s', timezone: 'UTC', log_timezone: 'UTC', log_line_prefix: '%m [%p] ', log_checkpoints: 'off',
    log_min_error_statement: 'panic', log_error_verbosity: 'terse', log_statement: 'none',
  };
  return ['-D', folder, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
}

async function ready(adminUrl: Secret, ended: () => string | undefined): Promise<void> {
  let last: unknown;
  for (const until = Date.now() + START_TIMEOUT_MS; Date.now() < until; await sleep(50)) {
    const how = ended();
    if (how !== undefined) throw new Error(how);
    const client = new Client({ connectionString: adminUrl.reveal(), connectionTimeoutMillis: 2000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query('SELECT 1');
      return;
    } catch (error) {
      last = error;
    } finally {
      await client.end().catch(() => undefined);
    }
  }
  throw new Error(`it was not ready within ${START_TIMEOUT_MS / 1000} seconds: ${(last as Error).message}`);
}

async function shutDown(child: ChildProcess, exited: Promise<void>, ended: () => boolean): Promise<void> {
  for (const [signal, waitMs] of [['SIGINT', 20_000], ['SIGQUIT', 10_000], ['SIGKILL', 5_000]] as const) {
    if (ended()) return;
    child.kill(signal);
    const timer = new AbortController();
    await Promise.race([exited, sleep(waitMs, undefined, { signal: timer.signal }).catch(() => undefined)]);
    timer.abort();
  }
}

/** `wanted` where it is free, else any free port. */
function freePort(wanted: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => (wanted === 0 ? reject(error) : resolve(freePort(0))));
    server.listen(wanted, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

const plainly = (what: string) => (cause: unknown): never => {
  if (cause instanceof PkiError) throw cause;
  throw new PkiError('setup.failed', `${what}: ${reason(cause)}`, { cause });
};
