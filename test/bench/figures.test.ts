import { describe, expect, it } from 'vitest';
import { curveFigures } from './curve-arithmetic.ts';
import { beside, isMet, percentile } from './report.ts';

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
