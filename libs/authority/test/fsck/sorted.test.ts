import { expect, it } from 'vitest';
import { Sorted } from '../../src/fsck/sorted.ts';

async function* pages(...all: readonly number[][]): AsyncGenerator<readonly number[]> {
  yield* all;
}

it('takes what belongs together, across pages and past empty ones', async () => {
  const rows = new Sorted(pages([1, 1], [], [1, 2], [3]));
  expect(await rows.takeWhile((row) => row === 1)).toEqual([1, 1, 1]);
  expect(await rows.takeWhile((row) => row === 1)).toEqual([]);
  expect(await rows.peek()).toBe(2);
  expect(await rows.takeWhile(() => true)).toEqual([2, 3]);
  expect(await rows.peek()).toBeUndefined();
});

it('closes what it reads from, and reads no more', async () => {
  let closed = false;
  const rows = new Sorted((async function* () {
    try {
      yield [1];
      yield [2];
    } finally {
      closed = true;
    }
  })());
  expect(await rows.peek()).toBe(1);
  await rows.close();
  expect(closed).toBe(true);
  expect(await rows.peek()).toBeUndefined();
});
