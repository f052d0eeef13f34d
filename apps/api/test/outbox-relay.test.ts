import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { NewJob, OutboxRow } from '@fleetroot/queue';
import { createLogger } from '@fleetroot/telemetry';
import { OutboxRelay } from '../src/outbox-relay.ts';

const logger = createLogger({ role: 'test', level: 'silent' });

function outboxOf(rows: OutboxRow[]) {
  return {
    pending: async (limit: number) => { await sleep(5); return rows.slice(0, limit); },
    remove: async (ids: readonly bigint[]) => { rows.splice(0, rows.length, ...rows.filter(({ id }) => !ids.includes(id))); },
  };
}
const row = (id: number): OutboxRow => ({ id: BigInt(id), job: 'issue-chunk', payload: { chunkId: String(id) }, priority: 1 });

it('publishes what comes while it runs, in one more run', async () => {
  const rows = [row(1)];
  const published: NewJob[] = [];
  let runs = 0;
  const relay = new OutboxRelay(outboxOf(rows), { addMany: async (jobs) => { runs++; published.push(...jobs); } }, logger);
  relay.kick();
  await sleep(7);
  rows.push(row(2), row(3));
  for (let i = 0; i < 100; i++) relay.kick();
  await relay.close();
  expect(published.map(({ payload }) => payload)).toEqual([{ chunkId: '1' }, { chunkId: '2' }, { chunkId: '3' }]);
  expect(rows).toEqual([]);
  expect(runs).toBeLessThanOrEqual(3);
});

it('leaves the rows where they are while the queue is away, and throws at nobody', async () => {
  const rows = [row(1)];
  let away = true;
  const relay = new OutboxRelay(outboxOf(rows), { addMany: async () => { if (away) throw new Error('away'); } }, logger);
  relay.kick();
  await relay.close();
  expect(rows).toHaveLength(1);
  away = false;
  relay.kick();
  await relay.close();
  expect(rows).toEqual([]);
});
