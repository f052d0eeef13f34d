import type { SigningPurpose } from '../ports/ca-signer.ts';

/** Priority of batches (BullMQ's: 1 first). What has a lower number is a single request that somebody waits for. */
export const BATCH_PRIORITY = 10;

/** The job that issues a chunk, each in a queue of its own, so that none of them waits behind the others. */
export function chunkJob(purpose: SigningPurpose, priority: number): 'issue-one' | 'issue-chunk' | 'renew-chunk' {
  if (purpose === 'renewal') return 'renew-chunk';
  return priority < BATCH_PRIORITY ? 'issue-one' : 'issue-chunk';
}
