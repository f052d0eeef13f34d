import { generateKeyPairSync, sign } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildRequest } from '@fleetroot/x509';
import { Client } from 'pg';
import { type Product, until } from './product.ts';

export type Part = 'api' | 'issuer' | 'status' | 'worker' | 'postgres' | 'hsm';

/** Process ids of a part of the product, found by what they run; `hsm`: the processes that drive the issuers' HSM. */
export function pidsOf(product: Product, part: Part): number[] {
  if (part === 'postgres') return children([product.pid], /\/postgres\0-D\0/);
  if (part === 'hsm') return children(pidsOf(product, 'issuer'), /\/hsm\/dist\/process\/main\.js\0/);
  return children([product.pid], new RegExp(`/apps/${part}/dist/main\\.js\\0`));
}

/** Of the processes that these started, those whose command line is like `runs`. */
export function children(parents: readonly number[], runs: RegExp): number[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      const status = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const [state, parent] = status.slice(status.lastIndexOf(')') + 2).split(' ');
      return parents.includes(Number(parent)) && state !== 'Z' && runs.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
    } catch {
      return false; // It ended while we looked.
    }
  });
}

/** Kills one process of the part, without a warning; `up` starts it again. */
export function kill(product: Product, part: Part): void {
  const [pid] = pidsOf(product, part);
  if (pid === undefined) throw new Error(`there is no process of ${part}`);
  process.kill(pid, 'SIGKILL');
}

/** One question to the ledger, by a connection of its own: the one before may have died. */
export async function ask<R extends object>(product: Product, sql: string, values: readonly unknown[] = []): Promise<R[]> {
  const client = new Client({ connectionString: readFileSync(join(product.dataDir, 'secrets/database-url'), 'utf8').trim() });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<R>(sql, [...values])).rows;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Waits until PostgreSQL answers again. */
export const answering = (product: Product): Promise<void> =>
  until(() => ask(product, 'SELECT 1').then(() => true, () => false), 30_000, () => `PostgreSQL did not come back\n${product.output().slice(-4000)}`);

/** Waits for the moment between a committed intent and its certificates, with so many items of the batch done. */
export async function midAttempt(product: Product, batchId: string, issued: number): Promise<void> {
  const client = new Client({ connectionString: readFileSync(join(product.dataDir, 'secrets/database-url'), 'utf8').trim() });
  client.on('error', () => undefined);
  await client.connect();
  try {
    for (const deadline = Date.now() + 60_000; ;) {
      const { rows: [row] } = await client.query<{ open: boolean; issued: number; done: boolean }>(
        `SELECT EXISTS (SELECT FROM intent i JOIN chunk c ON c.id = i.chunk_id WHERE c.batch_id = $1 AND i.state = 'open') AS open,
                coalesce(sum(issued), 0)::int AS issued, bool_and(state = 'done') AS done FROM chunk WHERE batch_id = $1`, [batchId]);
      if (row?.open && row.issued >= issued) return;
      if (row?.done) throw new Error('the batch is done already');
      if (Date.now() > deadline) throw new Error('no attempt was open for a minute');
    }
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Throws every job away. */
export async function emptyQueue(product: Product): Promise<void> {
  const tables = await ask<{ name: string }>(product, `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = 'bullmq' AND tablename ~ 'job'`);
  if (tables.length === 0) throw new Error('the queue has no tables of jobs');
  for (const { name } of tables) await ask(product, `DELETE FROM ${name}`);
}

/** Stops one issuer so that an intent of the batch stays open; its process id, for SIGCONT. */
export async function freezeIssuerMidAttempt(product: Product, batchId: string): Promise<number> {
  const open = async (): Promise<Set<string>> => new Set((await ask<{ id: string }>(product,
    `SELECT i.id FROM intent i JOIN chunk c ON c.id = i.chunk_id WHERE c.batch_id = $1 AND i.state = 'open'`, [batchId])).map(({ id }) => id));
  for (let attempt = 0; attempt < 20; attempt++) {
    await midAttempt(product, batchId, 0);
    const [pid] = pidsOf(product, 'issuer');
    if (pid === undefined) throw new Error('there is no issuer');
    process.kill(pid, 'SIGSTOP');
    const before = await open();
    await sleep(300);
    const after = await open();
    // Of the other issuer's attempts none lasts so long.
    if ([...before].some((id) => after.has(id))) return pid;
    process.kill(pid, 'SIGCONT');
  }
  throw new Error('no issuer could be frozen between intent and certificates');
}

/** How a batch stands, as the api tells; undefined while nobody answers. */
export async function progress(product: Product, batchId: string): Promise<{ state: string; items: number; issued: number; failed: number } | undefined> {
  const response = await product.fetch('GET', `/v1/batches/${batchId}`, 'line').catch(() => undefined);
  return response?.ok === true ? (await response.json().catch(() => undefined)) as never : undefined;
}

/** Waits until the batch is done; the milliseconds it took. */
export async function done(product: Product, batchId: string, withinMs = 90_000): Promise<number> {
  const began = performance.now();
  let last: unknown;
  await until(async () => {
    last = await progress(product, batchId) ?? last;
    return (last as { state?: string } | undefined)?.state === 'done';
  }, withinMs, () => `the batch is not done: ${JSON.stringify(last)}\n${product.output().slice(-8000)}`);
  return performance.now() - began;
}

export interface Key {
  readonly spkiDer: Uint8Array;
  request(name: string): Promise<string>;
}

/** A P-256 key and the requests it makes, as base64 of the DER. */
export function ecuKey(): Key {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spkiDer = publicKey.export({ format: 'der', type: 'spki' });
  return {
    spkiDer,
    async request(name) {
      const der = await buildRequest(
        { subject: [{ type: 'commonName', value: name }], spkiDer, algorithm: 'ecdsa-sha256' },
        (info) => sign('sha256', info, { key: privateKey, dsaEncoding: 'der' }));
      return Buffer.from(der).toString('base64');
    },
  };
}

/** An NDJSON line of a batch. */
export const line = (ecuSerial: string, csr: string): string => `${JSON.stringify({ ecuSerial, partNumber: 'FAULT-1', csr })}\n`;

/** NDJSON of `count` ECUs, each with a key of its own. */
export async function lines(prefix: string, count: number): Promise<string> {
  let text = '';
  for (let i = 0; i < count; i++) text += line(`${prefix}-${i}`, await ecuKey().request(`${prefix}-${i}`));
  return text;
}

export const submit = (product: Product, idempotencyKey: string, body: string): Promise<Response> =>
  product.fetch('POST', '/v1/batches?profile=ecu-client', 'line', { 'content-type': 'application/x-ndjson', 'idempotency-key': idempotencyKey }, body);

/** Submits a batch that is accepted; its id. */
export async function accepted(product: Product, idempotencyKey: string, body: string): Promise<string> {
  const response = await submit(product, idempotencyKey, body);
  const batch = (await response.json()) as { id: string };
  if (response.status !== 202) throw new Error(`${response.status}: ${JSON.stringify(batch)}`);
  return batch.id;
}

export interface Result { readonly ordinal: number; readonly ecuSerial?: string; readonly outcome: 'issued' | 'failed'; readonly code?: string; readonly serial?: string }

/** The results of a batch that is done, as octets and read. */
export async function results(product: Product, batchId: string): Promise<{ text: string; items: Result[] }> {
  const response = await product.fetch('GET', `/v1/batches/${batchId}/certificates`, 'line');
  const text = await response.text();
  return { text, items: text.split('\n').filter((each) => each !== '').map((each) => JSON.parse(each) as Result) };
}
