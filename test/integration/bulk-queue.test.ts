import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { JobProducer, JobRunner, type JobHandlers, type QueueOptions, relayOutbox } from '@fleetroot/queue';
import { createLogger } from '@fleetroot/telemetry';
import { Client } from 'pg';
import { forgottenChunksTask, orphanedChunksTask } from '../../apps/worker/src/tasks/stale-chunks.ts';
import { event, issueChunk, openTestLedger, requests, sha256, type TestLedger } from '../support/ledger.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

/** The ledger, the queue and the worker's tasks as they are; of an issuer all but the signatures. */
const logger = createLogger({ role: 'test', level: 'silent' });
const never = new AbortController().signal;
const SILENT_MS = 1000;

let ledger: TestLedger;
let redis: TestRedis;
beforeAll(async () => {
  [ledger, redis] = await Promise.all([openTestLedger(), startRedis()]);
});
afterAll(async () => {
  await redis.stop();
  await ledger.close();
});

describe.each(['postgres', 'redis'] as const)('on %s', (kind) => {
  let options: QueueOptions;
  let producer: JobProducer;
  const runners: JobRunner[] = [];
  beforeAll(() => {
    options = kind === 'redis' ? { kind, url: redis.url } : { kind, databaseUrl: ledger.postgres.databaseUrl };
    producer = new JobProducer(options);
  });
  beforeEach(() => sql(`DELETE FROM batch WHERE state <> 'done'; DELETE FROM outbox`));
  afterEach(async () => {
    await Promise.all(runners.splice(0).map((runner) => runner.close()));
  });
  afterAll(() => producer.close());

  async function run(issue: (chunkId: bigint) => Promise<void>, concurrency = 1): Promise<void> {
    const handler = async ({ chunkId }: { chunkId: string }): Promise<void> => issue(BigInt(chunkId));
    const handlers: JobHandlers = { 'issue-chunk': handler, 'renew-chunk': handler, 'publish-crl': async () => undefined, 'publish-filter': async () => undefined };
    const runner = new JobRunner(options, 'issuer', handlers, { concurrency, closeWithinMs: 500 });
    runners.push(runner);
    await runner.start();
  }

  async function accept(chunks: number, principalId = ledger.batch.principalId): Promise<string> {
    const begun = await ledger.store.batches.begin({ ...ledger.batch, principalId, idempotencyKey: randomUUID() });
    if (begun.kind !== 'new') throw new Error('not new');
    for (let i = 0; i < chunks; i++) await ledger.store.batches.append(begun.batchId, requests(i, 1), []);
    await ledger.store.batches.accept(begun.batchId, sha256('b'), event('batch.accepted', `batch:${begun.batchId}`));
    return begun.batchId;
  }

  const done = (batchId: string, timeout = 30_000) => expect.poll(async () => (await ledger.store.batches.progress(batchId)).state, { timeout, interval: 20 }).toBe('done');

  it('a line that comes late takes turns with one that has much waiting', async () => {
    const late = await ledger.store.principals.put(`late-${kind}`, ['line'], randomBytes(32), undefined, event('principal.created', `principal:late-${kind}`));
    const issued: bigint[] = [];
    const long = await accept(200);
    await relayOutbox(ledger.store.outbox, producer);
    let go = (): void => undefined;
    const halfway = new Promise<void>((resolve) => (go = resolve));
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    await run(async (chunkId) => {
      if (issued.length === 20) {
        go();
        await gate;
      }
      issued.push(chunkId);
      await issueChunk(ledger, chunkId);
    });
    await halfway;
    const short = await accept(4, late.id);
    await relayOutbox(ledger.store.outbox, producer);
    open();
    await done(short);
    const progress = await ledger.store.batches.progress(long);
    expect(progress).toMatchObject({ state: 'accepted' });
    expect(progress.issued).toBeLessThan(40);
    const rows = await sql<{ id: string; batch_id: string }>('SELECT id, batch_id FROM chunk WHERE id = ANY($1)', [issued.map(String)]);
    const after = issued.slice(21).map((id) => rows.find((row) => BigInt(row.id) === id)?.batch_id);
    const places = after.flatMap((batchId, place) => (batchId === short ? [place] : []));
    expect(places).toHaveLength(4);
    // In turn with the long one, of which one was in work.
    expect(places.at(-1)).toBeLessThanOrEqual(10);
    expect(after.slice(0, places.at(-1)).filter((batchId) => batchId === long).length).toBeGreaterThanOrEqual(3);
  }, 60_000);

  it('a chunk whose issuer died goes to another, though its job is still in the dead one\'s hands', async () => {
    const batchId = await accept(3);
    await relayOutbox(ledger.store.outbox, producer);
    const taken: bigint[] = [];
    // It claims and says nothing more; its jobs stay active and locked, which is what a killed process leaves.
    await run(async (chunkId) => {
      await ledger.store.issuance.claim(chunkId, SILENT_MS);
      taken.push(chunkId);
      await new Promise(() => undefined);
    }, 3);
    await expect.poll(() => taken, { timeout: 10_000 }).toHaveLength(3);
    const orphans = orphanedChunksTask(ledger.store.waiting, producer, SILENT_MS, logger);
    await orphans.run(never);
    const issued: bigint[] = [];
    await run(async (chunkId) => {
      if ((await sql(`SELECT FROM chunk WHERE id = $1 AND state = 'signing' AND claimed_at < clock_timestamp() - interval '1 second'`, [String(chunkId)])).length === 0) return;
      await sql(`UPDATE chunk SET claimed_at = claimed_at - interval '1 minute' WHERE id = $1`, [String(chunkId)]);
      await issueChunk(ledger, chunkId);
      issued.push(chunkId);
    });
    expect(issued).toEqual([]);
    await expect.poll(async () => (await ledger.store.waiting.orphaned(SILENT_MS, 10)).length, { timeout: 5000 }).toBe(3);
    // Asked for twice, it is one job.
    await orphans.run(never);
    await orphans.run(never);
    await done(batchId, 8000);
    expect(issued.toSorted()).toEqual(taken.toSorted());
  }, 30_000);

  it('an emptied queue is filled again, in turn; a full one is left alone', async () => {
    await empty();
    await accept(30);
    await sql(`UPDATE chunk SET turn = turn + 5 WHERE state = 'pending' AND first % 3 = 0`);
    const renewal = await ledger.store.batches.submitOne({ ...ledger.batch, purpose: 'renewal', priority: 1 }, requests(0, 1)[0]!, sha256('one'), (id) => event('batch.accepted', `batch:${id}`));
    await relayOutbox(ledger.store.outbox, producer);
    const forgotten = forgottenChunksTask(ledger.store.waiting, producer, 0, 1000, logger);
    const jobs = async () => [await producer.waiting('issue-chunk'), await producer.waiting('renew-chunk')];
    expect(await jobs()).toEqual([30, 1]);
    await forgotten.run(never);
    expect(await jobs()).toEqual([30, 1]);
    await empty();
    await expect.poll(() => jobs().catch(() => undefined), { timeout: 10_000 }).toEqual([0, 0]);
    await forgotten.run(never);
    expect(await jobs()).toEqual([30, 1]);
    const order: string[] = [];
    await run(async (chunkId) => void order.push(String(chunkId)));
    await expect.poll(() => order, { timeout: 20_000 }).toHaveLength(31);
    const wanted = await sql<{ id: string }>(`SELECT id FROM chunk WHERE state = 'pending' ORDER BY turn, id`);
    const single = renewal.kind === 'new' ? String(renewal.chunkId) : '';
    expect(order.filter((id) => id !== single)).toEqual(wanted.map(({ id }) => id).filter((id) => id !== single));
  }, 60_000);

  async function empty(): Promise<void> {
    if (kind === 'redis') {
      await redis.stop();
      await redis.start();
      return;
    }
    const tables = await sql<{ name: string }>(`SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = 'bullmq' AND tablename ~ 'job'`);
    for (const { name } of tables) await sql(`DELETE FROM ${name}`);
  }
});

async function sql<Row extends object>(text: string, values?: unknown[]): Promise<Row[]> {
  const client = new Client({ connectionString: ledger.postgres.databaseUrl.reveal() });
  await client.connect();
  try {
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end();
  }
}
