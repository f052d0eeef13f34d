import { describe, expect, it } from 'vitest';
import { curveFigures } from './curve-arithmetic.ts';
import { Latencies } from './latencies.ts';
import { beside, isMet, percentile } from './report.ts';
import { sameCost } from './revocation-cost.ts';

describe('percentile, by nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1);

  it.each([
    [hundred, 50, 50], [hundred, 99, 99], [hundred, 100, 100], [hundred, 0, 1], [hundred.slice(0, 10), 99, 10],
    [[7], 50, 7], [[7], 99, 7], [[1, 2], 50, 1], [[1, 2], 51, 2], [[], 50, Number.NaN],
  ])('of %# at %d', (sorted, p, expected) => expect(percentile(sorted, p)).toBe(expected));
});

describe('goals', () => {
  it.each([
    [beside('ratio', 50, '', 100, 0.5), true],
    [beside('ratio', 49, '', 100, 0.5), false],
    [beside('ratio', 49, '', 100), undefined],
    [{ name: 'limit', value: 100, unit: 'ms', goal: 100 }, true],
    [{ name: 'limit', value: 101, unit: 'ms', goal: 100 }, false],
    [{ name: 'limit', value: Number.NaN, unit: 'ms', goal: 100 }, false],
  ])('%j', (result, expected) => expect(isMet(result)).toBe(expected));
});

describe('the curve', () => {
  const thread = (ran: number, waitedForProcessor: number) => ({ ran, waitedForProcessor });

  it.each([
    ['one issuer that never waits', { certificates: 1_000, seconds: 1, mainThreads: [thread(1, 0)] },
      { asItIs: 1_000, discounted: 1_000, bound: 1_000, mainThreadMicros: 1_000 }],
    ['one that had a processor for half of the time', { certificates: 1_000, seconds: 2, mainThreads: [thread(1, 1)] },
      { asItIs: 500, discounted: 1_000, bound: 1_000, mainThreadMicros: 1_000 }],
    ['one that waited for others: that stays in', { certificates: 1_000, seconds: 4, mainThreads: [thread(1, 2)] },
      { asItIs: 250, discounted: 500, bound: 1_000, mainThreadMicros: 1_000 }],
    ['two that share a processor', { certificates: 2_000, seconds: 2, mainThreads: [thread(1, 1), thread(1, 1)] },
      { asItIs: 1_000, discounted: 2_000, bound: 2_000, mainThreadMicros: 1_000 }],
    ['two, of which one found nothing to do', { certificates: 1_000, seconds: 1, mainThreads: [thread(1, 0), thread(0, 0)] },
      { asItIs: 1_000, discounted: 1_000, bound: 2_000, mainThreadMicros: 1_000 }],
  ])('%s', (_, point, expected) => expect(curveFigures(point)).toEqual(expected));
});

describe('latencies', () => {
  it.each([
    ['none', 4, [], []],
    ['more than there is room for', 1, [3, 1, 2, 1, 30], [1, 1, 2, 3, 30]],
    ['by size, not as text', 4, [10, 9, 100], [9, 10, 100]],
  ])('%s', (_, room, added, expected) => {
    const latencies = new Latencies(room);
    for (const value of added) latencies.add(value);
    expect([...latencies.sorted()]).toEqual(expected);
  });
});

describe('a revocation costs the same', () => {
  const cost = (processor: number, ...answered: number[]) => ({ processor, answered });

  it.each([
    ['with many as with few', cost(0.01, 4, 5, 6), cost(0.01, 4, 5, 6), [1, 1], true],
    ['no: twice the processor', cost(0.01, 5), cost(0.02, 10), [0.5, 0.5], false],
    ['yes: the clock alone says more', cost(0.01, 5), cost(0.01, 50), [1, 0.1], true],
  ])('%s', (_, before, after, ratios, met) => {
    const rows = sameCost(before, after, 1_000, 1_000_000);
    expect(rows.map(({ ratio }) => ratio)).toEqual(ratios);
    expect(isMet(rows[0]!)).toBe(met);
  });
});
