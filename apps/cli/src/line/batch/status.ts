import { count } from '../../console.ts';
import { duration } from '../pace.ts';
import type { BatchResult } from '../rest.ts';
import type { BatchBody } from './follow.ts';

/** A batch as a person reads it. */
export function describeBatch(batch: BatchBody): string {
  const { state, items, issued, failed, pending, failures, ratePerSecond, secondsLeft } = batch;
  const lines = [
    `Batch ${batch.id}, profile ${batch.profile}${batch.resendOf === null ? '' : `, again of ${batch.resendOf}`}`,
    `  ${batch.cancelledAt === null ? state : `cancelled at ${batch.cancelledAt}, ${state}`}: ${count(items)} items, ${count(issued)} issued, ${count(failed)} failed, ${count(pending)} pending`,
    `  sent at ${batch.createdAt}${batch.completedAt === null ? '' : `, done at ${batch.completedAt}`}`,
  ];
  if (ratePerSecond !== null) lines.push(`  ${count(ratePerSecond)}/s${secondsLeft === null ? '' : `, ${duration(secondsLeft)} left`}`);
  for (const [code, number] of Object.entries(failures).sort(([, a], [, b]) => b - a)) lines.push(`  ${code.padEnd(32)} ${count(number).padStart(9)}`);
  return lines.join('\n');
}

/** A result as a person reads it, a line. */
export function describeResult(result: BatchResult): string {
  const place = String(result.ordinal).padStart(9);
  if (result.outcome === 'failed') return `${place}  failed  ${result.code}  ${result.detail ?? ''}`.trimEnd();
  return `${place}  issued  ${result.serial}  ${result.ecuSerial ?? ''}`.trimEnd();
}
