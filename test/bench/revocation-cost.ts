import { beside, percentile, type Result } from './report.ts';

const SAME_COST_GOAL = 0.8;

export interface RevocationCost {
  /** Milliseconds, ascending, until each of several revocations was answered, one asked after the other. */
  readonly answered: readonly number[];
  /** Seconds of the processor, of all parts of the product, for one. */
  readonly processor: number;
}

/** With many revoked beside the same with few; as rates, so that more is better. */
export function sameCost(before: RevocationCost, after: RevocationCost, few: number, many: number): Result[] {
  const name = `revocations, with ${many} revoked beside ${few}`;
  return [
    beside(`${name}: for a second of processor time`, 1 / after.processor, '1/s', 1 / before.processor, SAME_COST_GOAL),
    beside(`${name}: one after the other, by the median`, 1000 / percentile(after.answered, 50), '1/s', 1000 / percentile(before.answered, 50)),
  ];
}
