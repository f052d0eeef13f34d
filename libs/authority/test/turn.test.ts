import * as fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { firstTurn } from '../src/batches/turn.ts';

test.each([
  ['nobody waits', undefined, undefined, 0],
  ['others wait', 40, undefined, 40],
  ['its own wait alone', 3, 9, 10],
  ['its own wait far ahead of the others', 5, 200, 201],
  ['its own are behind the least', 7, 7, 8],
])('where %s', (_, least, greatestOwn, turn) => expect(firstTurn({ least, greatestOwn })).toBe(turn));

interface Chunk { readonly line: number; readonly turn: number; readonly order: number; readonly at: number }

/** A queue that is served one chunk at a step, by turn, of equals the older; batches come before some of the steps. */
function serve(batches: readonly { readonly line: number; readonly chunks: number; readonly at: number }[]): (Chunk & { readonly servedAt: number })[] {
  const open: Chunk[] = [];
  const served: (Chunk & { servedAt: number })[] = [];
  const coming = batches.toSorted((a, b) => a.at - b.at);
  let order = 0;
  for (let step = 0; coming.length > 0 || open.length > 0; step++) {
    while (coming[0] !== undefined && coming[0].at <= step) {
      const { line, chunks } = coming.shift()!;
      const own = open.filter((chunk) => chunk.line === line).map(({ turn }) => turn);
      const turns = open.map(({ turn }) => turn);
      const first = firstTurn({ least: turns.length === 0 ? undefined : Math.min(...turns), greatestOwn: own.length === 0 ? undefined : Math.max(...own) });
      for (let i = 0; i < chunks; i++) open.push({ line, turn: first + i, order: order++, at: step });
    }
    open.sort((a, b) => a.turn - b.turn || a.order - b.order);
    const next = open.shift();
    if (next !== undefined) served.push({ ...next, servedAt: step });
  }
  return served;
}

const batches = fc.array(fc.record({ line: fc.nat(3), chunks: fc.integer({ min: 1, max: 40 }), at: fc.nat(120) }), { minLength: 1, maxLength: 12 });

describe('lines that send whatever they like', () => {
  it('take turns: while two of them have chunks waiting, neither is served much more than the other', () => {
    fc.assert(fc.property(batches, (given) => {
      const served = serve(given);
      for (const a of [0, 1, 2]) {
        for (const b of [1, 2, 3].filter((line) => line > a)) {
          // The runs of steps in which both wait, and what each got in them.
          let [gotA, gotB] = [0, 0];
          for (let step = 0; step <= 600; step++) {
            const waits = (line: number): boolean => served.some((chunk) => chunk.line === line && chunk.at <= step && chunk.servedAt >= step);
            if (!waits(a) || !waits(b)) {
              [gotA, gotB] = [0, 0];
              continue;
            }
            const now = served.find(({ servedAt }) => servedAt === step)?.line;
            if (now === a) gotA++;
            if (now === b) gotB++;
            expect(Math.abs(gotA - gotB)).toBeLessThanOrEqual(2);
          }
        }
      }
    }), { numRuns: 40 });
  });

  it('wait for no more than a share of each other line, however much that has sent before', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 30 }), fc.nat(300), (much, few, at) => {
      const served = serve([{ line: 0, chunks: much, at: 0 }, { line: 1, chunks: few, at }]);
      const came = served.find(({ line }) => line === 1)!.at;
      const last = Math.max(...served.filter(({ line }) => line === 1).map(({ servedAt }) => servedAt));
      expect(last - came).toBeLessThanOrEqual(2 * few + 1);
      // And the long one is not pushed back for longer than that either.
      expect(Math.max(...served.filter(({ line }) => line === 0).map(({ servedAt }) => servedAt))).toBeLessThanOrEqual(much + few);
    }), { numRuns: 50 });
  });

  it('are served in their own order, all of it', () => {
    fc.assert(fc.property(batches, (given) => {
      const served = serve(given);
      expect(served).toHaveLength(given.reduce((sum, { chunks }) => sum + chunks, 0));
      for (const line of [0, 1, 2, 3]) {
        const own = served.filter((chunk) => chunk.line === line).map(({ order }) => order);
        expect(own).toEqual(own.toSorted((a, b) => a - b));
      }
    }), { numRuns: 50 });
  });
});
