import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeDataDir } from '../../apps/cli/src/data-dir/layout.ts';
import { type Database, embeddedDatabase } from '../../apps/cli/src/up/database.ts';
import { openFolder } from '../support/folder.ts';
import { until } from '../support/product.ts';

let dataDir: string;
let database: Database;
const said: string[] = [];
const lost: unknown[] = [];
beforeAll(async () => {
  dataDir = openFolder('fleetroot-database-');
  database = await embeddedDatabase(makeDataDir(dataDir), { onNotice: (line) => said.push(line), onLost: (error) => lost.push(error) });
});
afterAll(async () => {
  await database?.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

const url = (): string => readFileSync(database.urlFile, 'utf8').trim();
/** A connection as a role makes it; undefined where PostgreSQL is not there. */
async function ask(text: string): Promise<{ rows: Record<string, string>[] } | undefined> {
  const client = new Client({ connectionString: url(), connectionTimeoutMillis: 1000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await client.query<Record<string, string>>(text);
  } catch {
    return undefined;
  } finally {
    await client.end().catch(() => undefined);
  }
}
/** Run by root, it has its data elsewhere, and says so. */
const folder = (): string => said.map((line) => /keeps its data in (\S+),/.exec(line)?.[1]).find((found) => found !== undefined) ?? join(dataDir, 'postgres');
const postmaster = (at: string): number => Number(readFileSync(join(at, 'postmaster.pid'), 'utf8').split('\n')[0]);

it('is started again where it was started, also when it is killed while it starts', async () => {
  const [at, first] = [folder(), url()];
  let pid = postmaster(at);
  process.kill(pid, 'SIGKILL');
  // Twice more as soon as there is a new one: before it answers, or the moment it does.
  for (let i = 0; i < 2; i++) {
    await until(async () => {
      const next = await Promise.resolve().then(() => postmaster(at)).catch(() => pid);
      if (next === pid) return false;
      pid = next;
      process.kill(pid, 'SIGKILL');
      return true;
    }, 20_000, () => said.join('\n'));
  }
  await until(async () => (await ask('SELECT 1')) !== undefined, 30_000, () => said.join('\n'));
  expect(lost).toEqual([]);
  expect(url()).toBe(first);
  await until(async () => said.at(-1) === 'PostgreSQL is ready again', 5000, () => said.join('\n'));
});
