import { describe, expect, it, test } from 'vitest';
import { PkiError, Secret } from '@fleetroot/core';
import { type JobHandlers, jobKey, JobProducer, JobRunner, type NewJob, type OutboxRow, queueOptions, relayOutbox, retryDelayMs } from '../src/index.ts';

const nowhere = { kind: 'redis', url: new Secret('redis://127.0.0.1:1') } as const;
const nothing = async (): Promise<void> => undefined;

describe('a runner', () => {
  test.each<[string, JobHandlers, string]>([
    ['no handler for a job', { 'issue-chunk': nothing, 'renew-chunk': nothing }, 'no handler for publish-crl'],
    ['a handler for a job that is not', { 'issue-chunk': nothing, 'renew-chunk': nothing, 'publish-crl': nothing, 'publish-filter': nothing, 'x': nothing } as JobHandlers, 'x is no job'],
    ['none at all', {}, 'no handler for issue-chunk, no handler for renew-chunk, no handler for publish-crl'],
  ])('does not start with %s', (_name, handlers, message) => {
    expect(() => new JobRunner(nowhere, 'issuer', handlers, { concurrency: 1 }))
      .toThrow(expect.objectContaining({ code: 'queue.handler', message: expect.stringContaining(message) }));
  });
});

test.each<[string, object]>([
  ['a number for a chunk', { name: 'issue-chunk', payload: { chunkId: 1 } }],
  ['a field too many', { name: 'issue-chunk', payload: { chunkId: '1', csr: 'x' } }],
  ['a CA by name', { name: 'publish-crl', payload: { caId: 'root' } }],
])('the producer refuses %s before it goes anywhere', async (_name, job) => {
  const producer = new JobProducer(nowhere);
  await expect(producer.addMany([job as NewJob])).rejects.toMatchObject({ code: 'internal' });
  await producer.close();
});

it('names what a job is about', () => {
  expect(jobKey('issue-chunk', { chunkId: '12' })).toBe('chunk-12');
  expect(jobKey('publish-crl', { caId: 3 })).toBe('crl-3');
});

describe('delays between attempts', () => {
  test.each([[1, 250, 500], [2, 500, 1000], [7, 15_000, 30_000], [20, 15_000, 30_000], [1000, 15_000, 30_000]])(
    'after failure %i: %i to %i ms', (attempt, least, most) => {
      expect(retryDelayMs(attempt, () => 0)).toBe(least);
      expect(retryDelayMs(attempt, () => 1)).toBe(most);
    });
});

describe('relaying the outbox', () => {
  const row = (id: number, job = 'issue-chunk', payload: unknown = { chunkId: String(id) }): OutboxRow => ({ id: BigInt(id), job, payload, priority: 10 });
  function outbox(rows: OutboxRow[]): { rows: OutboxRow[]; pending: (limit: number) => Promise<OutboxRow[]>; remove: (ids: readonly bigint[]) => Promise<void> } {
    return {
      rows,
      pending: async (limit) => rows.slice(0, limit),
      remove: async (ids) => { rows.splice(0, rows.length, ...rows.filter((one) => !ids.includes(one.id))); },
    };
  }

  it('publishes all, page by page, and leaves nothing', async () => {
    const source = outbox(Array.from({ length: 1203 }, (_, index) => row(index + 1)));
    const added: NewJob[] = [];
    await expect(relayOutbox(source, { addMany: async (jobs) => void added.push(...jobs) })).resolves.toEqual({ published: 1203, refused: [] });
    expect(source.rows).toEqual([]);
    expect(added.map((job) => job.payload)).toEqual(Array.from({ length: 1203 }, (_, index) => ({ chunkId: String(index + 1) })));
  });
  it('keeps what it could not publish', async () => {
    const source = outbox([row(1), row(2)]);
    await expect(relayOutbox(source, { addMany: async () => { throw new PkiError('queue.unavailable'); } })).rejects.toMatchObject({ code: 'queue.unavailable' });
    expect(source.rows).toHaveLength(2);
  });
  it('takes out what no job can be made of, and says so', async () => {
    const source = outbox([row(1, 'no-such-job'), row(2, 'issue-chunk', { chunk: 2 }), row(3)]);
    const relayed = await relayOutbox(source, { addMany: async () => undefined });
    expect(relayed).toMatchObject({ published: 1, refused: [{ id: 1n }, { id: 2n }] });
    expect(source.rows).toEqual([]);
  });
});

describe('the queue that the settings name', () => {
  const [databaseUrl, redisUrl] = [new Secret('p'), new Secret('r')];
  it('is PostgreSQL or Redis', () => {
    expect(queueOptions({ queueBackend: 'postgres', databaseUrl, redisUrl })).toEqual({ kind: 'postgres', databaseUrl });
    expect(queueOptions({ queueBackend: 'redis', databaseUrl, redisUrl })).toEqual({ kind: 'redis', url: redisUrl });
  });
  it('is no Redis without its URL', () => {
    expect(() => queueOptions({ queueBackend: 'redis', databaseUrl, redisUrl: undefined })).toThrow(expect.objectContaining({ code: 'config.invalid' }));
  });
});
