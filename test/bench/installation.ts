// The product under measurement: started as a user starts it, and what of it the operating system and PostgreSQL know.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { type Product, startProduct } from '../support/product.ts';
import { startRedis } from '../support/redis.ts';
import type { Installation } from './components.ts';
import { type Floor, measureFloor } from './floor.ts';
import { firstRequests, type RequestFile } from './request-file.ts';
import type { Scratch } from './scratch.ts';

export interface Started {
  readonly product: Product;
  /** From the command to the moment when api and status say that they are ready. */
  readonly startSeconds: number;
  stop(): Promise<void>;
}

export interface StartOptions {
  readonly issuers: number;
  /** Absent: a new one. It stays until the run's end. */
  readonly dataDir?: string;
  /** The queue lies in a Redis of the run's own. */
  readonly redis?: boolean;
  /** VARIABLE=VALUE, of docs/operations.md. */
  readonly settings?: readonly string[];
}

export async function start(scratch: Scratch, options: StartOptions): Promise<Started> {
  const dataDir = options.dataDir ?? scratch.folder();
  const redis = options.redis === true ? ['--redis-url-file', await redisUrlFile(scratch)] : [];
  const more = [...redis, ...(options.settings ?? []).flatMap((setting) => ['--set', setting])];
  const began = performance.now();
  const starting = startProduct({ dataDir, keep: true, issuers: options.issuers, arguments: more });
  const stop = scratch.defer(async () => {
    const product = await starting.catch(() => undefined);
    await product?.stop();
  });
  const product = await starting;
  return { product, startSeconds: (performance.now() - began) / 1000, stop };
}

async function redisUrlFile(scratch: Scratch): Promise<string> {
  const redis = await startRedis();
  scratch.defer(() => redis.stop());
  const file = join(scratch.folder(), 'redis.url');
  writeFileSync(file, redis.url.reveal(), { mode: 0o600 });
  return file;
}

/** The URL of the ledger's owner. */
export const databaseUrl = ({ dataDir }: Product): string => readFileSync(join(dataDir, 'secrets', 'database-url'), 'utf8').trim();

async function query<Row extends object>(product: Product, text: string, values: readonly unknown[] = []): Promise<Row[]> {
  const client = new Client({ connectionString: databaseUrl(product) });
  await client.connect();
  try {
    return (await client.query<Row>(text, [...values])).rows;
  } finally {
    await client.end();
  }
}

/** BullMQ has connections of its own: their latest statement names its schema. */
export async function installationOf(product: Product): Promise<Installation> {
  const rows = await query<{ pid: number }>(product, `SELECT pid FROM pg_stat_activity WHERE query LIKE '%bullmq%' AND pid <> pg_backend_pid()`);
  return { bench: process.pid, up: product.pid, queueBackends: new Set(rows.map(({ pid }) => pid)) };
}

/** The floor in `processes` bare processes, with the product idle beside them. */
export async function floorOf(product: Product, requests: RequestFile, processes: number): Promise<Floor> {
  const floor = await measureFloor(processes, {
    requests: await firstRequests(requests, 2_000), module: '/usr/lib/softhsm/libsofthsm2.so', tokenLabel: 'fleetroot-ca', rounds: 5,
    pinFile: join(product.dataDir, 'secrets/ca-token.pin'),
  }, join(product.dataDir, 'softhsm/ca/softhsm2.conf'));
  console.log(`floor: ${floor.perSecond.toFixed(0)}/s, ${floor.cpuMicros.toFixed(0)} us of processor time each`);
  return floor;
}

/** What a batch leaves to be done (published CRLs, the worker's rounds) is small, but none of it should meet the next figure. */
export const settle = (): Promise<void> => sleep(1_000);
