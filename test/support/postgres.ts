import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Secret } from '@fleetroot/core';
import { migrate, provision, startEmbeddedPostgres } from '@fleetroot/store';

export const migrationsFolder = fileURLToPath(new URL('../../prisma/migrations', import.meta.url));

export interface TestPostgres {
  /** The data folder; it goes with `stop`. */
  readonly dataDir: string;
  readonly adminUrl: Secret;
  /** Owner of the migrated database `fleetroot`. */
  readonly databaseUrl: Secret;
  readonly statusDatabaseUrl: Secret;
  /** Stops PostgreSQL, keeps the folder, and starts it again on the same port after `awayMs`. */
  restart(awayMs?: number): Promise<void>;
  stop(): Promise<void>;
}

/** A PostgreSQL of its own in a temporary folder, on a free port, provisioned and migrated. */
export async function startTestPostgres(): Promise<TestPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), 'fleetroot-pg-'));
  // PostgreSQL's own user must reach it where the tests run as root.
  await chmod(dataDir, 0o755);
  const start = () => startEmbeddedPostgres({ dataDir, onNotice: () => undefined });
  let running = await start();
  const password = () => new Secret(randomBytes(16).toString('hex'));
  const urls = await (async () => {
    const made = await provision({ adminUrl: running.adminUrl, password: password(), statusPassword: password() });
    await migrate({ databaseUrl: made.databaseUrl, folder: migrationsFolder });
    return made;
  })().catch(async (error: unknown) => {
    await running.stop();
    throw error;
  });
  return {
    dataDir, adminUrl: running.adminUrl, ...urls,
    async restart(awayMs = 0) {
      await running.stop();
      await new Promise((resolve) => setTimeout(resolve, awayMs));
      running = await start();
    },
    async stop() {
      await running.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
