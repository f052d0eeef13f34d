import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Breath } from '../src/index.ts';

test('lets the event loop serve others between two slices, one slice a turn', async () => {
  const breath = new Breath();
  const order: string[] = [];
  const bulk = async (name: string): Promise<void> => {
    for (let i = 0; i < 3; i++) {
      await breath.taken();
      order.push(name);
    }
  };
  const other = (async () => {
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      order.push('-');
    }
  })();
  await Promise.all([bulk('a'), bulk('b'), other]);
  expect(order.filter((one) => one !== '-').join('')).toBe('ababab');
  expect(order.join('')).not.toMatch(/[ab]{3}.*-/);
});

test('begins no slice while somebody waits', async () => {
  const breath = new Breath();
  const order: string[] = [];
  const urgent = breath.heldFor(async () => {
    await sleep(5);
    order.push('urgent');
  });
  await breath.taken();
  order.push('slice');
  await urgent;
  expect(order).toEqual(['urgent', 'slice']);
  // Not even where what is in a hurry waits for the slice itself.
  await breath.heldFor(() => breath.taken());
});

test('gives slices as much of the time as it holds them back, so that nothing stops the bulk', async () => {
  const breath = new Breath();
  const end = new AbortController();
  const always = (async () => { while (!end.signal.aborted) await breath.heldFor(() => sleep(3)); })();
  let slices = 0;
  const until = performance.now() + 300;
  while (performance.now() < until) {
    await breath.taken();
    slices++;
  }
  end.abort();
  await always;
  // Without the bound each would wait for 3 ms at least: 100 at most.
  expect(slices).toBeGreaterThan(200);
});

test('is held by what fails no longer than it lasts, and hands its failure on', async () => {
  const breath = new Breath();
  await expect(breath.heldFor(async () => { throw new Error('failed'); })).rejects.toThrow('failed');
  const order: string[] = [];
  // Were it still held, the slice would come after the pause.
  await Promise.all([breath.taken().then(() => order.push('slice')), sleep(20).then(() => order.push('later'))]);
  expect(order).toEqual(['slice', 'later']);
});
