import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Turns } from '../src/key-batches/turns.ts';

const code = (of: Promise<unknown>): Promise<string> => of.then(() => 'done', (error: { code: string }) => error.code);

describe('turns', () => {
  it('come one after another, also after one that failed', async () => {
    const turns = new Turns(9, 9);
    let working = 0;
    const order: number[] = [];
    const work = (n: number) => async () => {
      expect(++working).toBe(1);
      await sleep(1);
      working--;
      order.push(n);
      if (n === 1) throw new Error('failed');
      return n;
    };
    const answers = await Promise.allSettled([0, 1, 2].map((n) => turns.take(n, work(n))));
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(order).toEqual([0, 1, 2]);
  });

  it('are as many as said, for each and for all, and free again afterwards', async () => {
    const turns = new Turns(2, 3);
    const asked = [1, 1, 1, 2, 3].map((who) => code(turns.take(who, () => sleep(1))));
    expect(await Promise.all(asked)).toEqual(['done', 'done', 'http.too-many-requests', 'done', 'http.too-many-requests']);
    expect(await Promise.all([1, 1].map((who) => code(turns.take(who, async () => undefined))))).toEqual(['done', 'done']);
  });
});
