import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { issuedFor, intentFor, event, openTestLedger, requests, sha256, type TestLedger } from '../support/ledger.ts';
import type { ClaimedChunk } from '@fleetroot/authority';
import { Client } from 'pg';

/** How single requests wait in the ledger and are taken from it. What an issuer does with them: issuer-app.test.ts. */
const SILENT_MS = 60_000;

let ledger: TestLedger;
beforeAll(async () => {
  ledger = await openTestLedger();
});
afterAll(() => ledger.close());
beforeEach(() => sql(`DELETE FROM batch WHERE state <> 'done'; DELETE FROM outbox`));

async function submit(changes: object = {}): Promise<{ batchId: string; chunkId: bigint }> {
  const submitted = await ledger.store.batches.submitOne(
    { ...ledger.batch, priority: 1, idempotencyKey: randomUUID(), ...changes }, requests(0, 1)[0]!, sha256('one'),
    (id) => event('batch.accepted', `batch:${id}`));
  if (submitted.kind !== 'new') throw new Error('not new');
  return submitted;
}

async function complete(chunk: ClaimedChunk): Promise<void> {
  const intent = intentFor(chunk);
  const { intentId } = await ledger.store.issuance.recordIntent(chunk, intent);
  await ledger.store.issuance.complete(chunk, intentId, issuedFor(ledger.key, chunk, intent, []), [], event('chunk.issued', `batch:${chunk.batchId}`));
}

it('issuers are told of one, and no job is made of it; a renewal is a job, and none of theirs', async () => {
  let told = 0;
  const stop = ledger.store.issuance.onSingle(() => told++);
  // The listener connects at its first subscription.
  await expect.poll(async () => {
    await submit();
    return told;
  }, { timeout: 5000 }).toBeGreaterThan(0);
  stop();
  expect(await ledger.store.outbox.pending(10)).toEqual([]);
  expect(await ledger.store.waiting.open(0)).toEqual([]);
  expect(await ledger.store.waiting.pending(0, undefined, 10)).toEqual([]);
  await sql(`DELETE FROM batch WHERE state <> 'done'`);
  await submit({ purpose: 'renewal' });
  expect(await ledger.store.outbox.pending(10)).toMatchObject([{ job: 'renew-chunk' }]);
  expect(await ledger.store.issuance.claimFreshSingle()).toBeUndefined();
  expect(await ledger.store.issuance.claimSingle(SILENT_MS, [])).toBeUndefined();
});

it('of many that take at once each gets another one, the oldest first', async () => {
  const submitted = [];
  for (let i = 0; i < 8; i++) submitted.push((await submit()).chunkId);
  const first = await ledger.store.issuance.claimFreshSingle();
  expect(first).toMatchObject({ chunkId: submitted[0], fence: 1, first: 0, items: 1 });
  expect(first?.requests).toHaveLength(1);
  const taken = await Promise.all(Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? ledger.store.issuance.claimFreshSingle() : ledger.store.issuance.claimSingle(SILENT_MS, []))));
  const chunks = taken.flatMap((chunk) => (chunk === undefined ? [] : [chunk]));
  expect(chunks.map(({ chunkId }) => Number(chunkId)).toSorted((a, b) => a - b)).toEqual(submitted.slice(1).map(Number));
  await Promise.all([first!, ...chunks].map(complete));
  for (const chunkId of submitted) expect(await ledger.store.batches.resultOfOne(chunkId)).toMatchObject({ outcome: 'issued', ordinal: 0 });
});

it('one whose issuer fell silent goes to another, its serial burned; one that was given back comes after those nobody tried', async () => {
  const [dead, back, fresh] = [await submit(), await submit(), await submit()];
  const held = await ledger.store.issuance.claimFreshSingle();
  const released = await ledger.store.issuance.claimFreshSingle();
  expect([held?.chunkId, released?.chunkId]).toEqual([dead.chunkId, back.chunkId]);
  await ledger.store.issuance.recordIntent(held!, intentFor(held!));
  await ledger.store.issuance.release(released!, undefined);
  // It is alive as far as anybody knows.
  expect(await ledger.store.issuance.claimSingle(SILENT_MS, [])).toMatchObject({ chunkId: fresh.chunkId });
  expect(await ledger.store.issuance.claimFreshSingle()).toBeUndefined();
  expect(await ledger.store.issuance.claimSingle(SILENT_MS, [back.chunkId])).toBeUndefined();
  await sql(`UPDATE chunk SET claimed_at = claimed_at - interval '2 minutes' WHERE id = ${dead.chunkId}`);
  const again = [await ledger.store.issuance.claimSingle(SILENT_MS, []), await ledger.store.issuance.claimSingle(SILENT_MS, [])];
  expect(again.map((chunk) => chunk?.chunkId)).toEqual([dead.chunkId, back.chunkId]);
  expect(again.map((chunk) => chunk?.fence)).toEqual([2, 2]);
  expect(await sql('SELECT state FROM intent WHERE chunk_id = $1', [String(dead.chunkId)])).toEqual([{ state: 'abandoned' }]);
  expect(await sql('SELECT b.serial FROM burned_serial b JOIN intent i ON i.id = b.intent_id WHERE i.chunk_id = $1', [String(dead.chunkId)])).toHaveLength(1);
  await expect(complete(held!)).rejects.toMatchObject({ code: 'store.stale-fence' });
  await complete(again[0]!);
});

it('a claim that a crash of PostgreSQL took back leads to one intent and one certificate, whoever comes first', async () => {
  const { chunkId } = await submit();
  const lost = await ledger.store.issuance.claimFreshSingle();
  // It did not wait for the disk: PostgreSQL comes back without it.
  await sql(`UPDATE chunk SET state = 'pending', fence = 0, claimed_at = NULL WHERE id = ${chunkId}`);
  await expect(ledger.store.issuance.recordIntent(lost!, intentFor(lost!))).rejects.toMatchObject({ code: 'store.stale-fence' });
  const again = await ledger.store.issuance.claimFreshSingle();
  expect([lost!.fence, again!.fence]).toEqual([1, 1]);
  const intent = intentFor(lost!);
  const { intentId } = await ledger.store.issuance.recordIntent(lost!, intent);
  await expect(ledger.store.issuance.recordIntent(again!, { ...intentFor(again!), keys: intent.keys })).rejects.toMatchObject({ code: 'internal' });
  // What an issuer does after that: the other's intent is burned, and its certificate stored by nobody.
  await ledger.store.issuance.release(again!, undefined);
  await expect(ledger.store.issuance.complete(lost!, intentId, issuedFor(ledger.key, lost!, intent, []), [], event('chunk.issued', 'batch:x')))
    .rejects.toMatchObject({ code: 'store.stale-fence' });
  expect(await sql('SELECT b.serial FROM burned_serial b WHERE b.intent_id = $1', [String(intentId)])).toHaveLength(1);
  await complete((await ledger.store.issuance.claimSingle(SILENT_MS, []))!);
  expect(await sql('SELECT serial FROM certificate WHERE chunk_id = $1', [String(chunkId)])).toHaveLength(1);
});

it('one that was cancelled is not taken, and its outcome says so', async () => {
  const { batchId, chunkId } = await submit();
  await ledger.store.batches.cancel(batchId, () => event('batch.cancelled', `batch:${batchId}`));
  expect(await ledger.store.issuance.claimFreshSingle()).toBeUndefined();
  expect(await ledger.store.issuance.claimSingle(SILENT_MS, [])).toBeUndefined();
  expect(await ledger.store.batches.resultOfOne(chunkId)).toMatchObject({ outcome: 'failed', code: 'batch.cancelled' });
});

async function sql<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]> {
  const client = new Client({ connectionString: ledger.postgres.databaseUrl.reveal() });
  await client.connect();
  try {
    return (await client.query<Row>(text, values === undefined ? undefined : [...values])).rows;
  } finally {
    await client.end();
  }
}
