import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type ApiPlant, startApiPlant } from '../support/api-plant.ts';
import { p256Csr } from '../support/csr.ts';

/** What a process does at SIGTERM (`runProcess` gives it ten seconds), at full work. */
const CLOSED_WITHIN_MS = 10_000;

let plant: ApiPlant;
beforeAll(async () => {
  plant = await startApiPlant({ chunkItems: 25 });
});
afterAll(() => plant?.close());

let count = 0;
const line = async (): Promise<string> => `${JSON.stringify({ ecuSerial: `END-${++count}`, partNumber: 'PN-1', csr: await p256Csr() })}\n`;
const lines = async (n: number): Promise<string> => (await Promise.all(Array.from({ length: n }, line))).join('');

async function ask<Row extends object>(sql: string): Promise<Row[]> {
  const client = new Client({ connectionString: plant.databaseUrl });
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}

async function timed(work: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

it('an issuer stores what it has in work, leaves nothing half done, and another goes on', async () => {
  const response = await plant.fetch('POST', '/v1/batches?profile=ecu-client', 'line',
    { headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': randomUUID() }, body: await lines(600) });
  const { id } = (await response.json()) as { id: string };
  const issuer = await plant.startIssuer();
  const state = async () => (await plant.json('GET', `/v1/batches/${id}`, 'line')).body as { issued: number; state: string };
  await expect.poll(async () => (await state()).issued, { timeout: 20_000, interval: 5 }).toBeGreaterThan(0);
  expect(await timed(() => issuer.close())).toBeLessThan(CLOSED_WITHIN_MS);
  expect(await ask(`SELECT FROM chunk WHERE state = 'signing' UNION ALL SELECT FROM intent WHERE state = 'open' UNION ALL SELECT FROM burned_serial`)).toEqual([]);
  expect((await state()).state).toBe('accepted');
  await plant.startIssuer();
  await expect.poll(async () => (await state()).issued, { timeout: 30_000 }).toBe(600);
}, 90_000);

it('an api ends streams, answers what it can, and leaves no batch that is half received', async () => {
  const base = `http://127.0.0.1:${plant.port}`;
  const headers = { authorization: `Bearer ${plant.token('line')}`, 'content-type': 'application/x-ndjson' };
  const some = new TextEncoder().encode(await lines(60));
  const endless = (): ReadableStream<Uint8Array> => new ReadableStream({
    async pull(controller) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      controller.enqueue(some);
    },
  });
  const stream = (method: string, path: string, more: object = {}) => fetch(`${base}${path}`, { method, headers: { ...headers, ...more }, body: endless(), duplex: 'half' } as RequestInit)
    .then((response) => response.status, () => 'cut' as const);
  const { body: upload } = await plant.json('POST', '/v1/uploads', 'line', { profile: 'ecu-client' }, { 'idempotency-key': randomUUID() });
  const waiting = [stream('POST', '/v1/batches?profile=ecu-client', { 'idempotency-key': 'endless' }), stream('PATCH', `/v1/uploads/${upload.id}?from=0`)];
  const received = async () => ask<{ id: string; items: number }>(`SELECT id, items FROM batch WHERE state = 'receiving' AND items > 0`);
  await expect.poll(async () => (await received()).length, { timeout: 10_000 }).toBe(2);
  expect(await timed(() => plant.api.close())).toBeLessThan(CLOSED_WITHIN_MS);
  for (const outcome of await Promise.all(waiting)) expect(outcome === 'cut' || outcome >= 400).toBe(true);
  // The stream is gone, the upload can be gone on with.
  expect(await received()).toMatchObject([{ id: upload.id }]);
}, 60_000);
