import type { SigningPurpose } from '../ports/ca-signer.ts';

/** Priority of batches (BullMQ's: 1 first). What has a lower number is a single request that somebody waits for. */
export const BATCH_PRIORITY = 10;

/** The job that issues a chunk. Renewals have a queue of their own, so that the line waits behind no wave of them. */
export const chunkJob = (purpose: SigningPurpose): 'issue-chunk' | 'renew-chunk' => (purpose === 'renewal' ? 'renew-chunk' : 'issue-chunk');

/**
 * Whether an issuer takes a single request of this purpose straight from the ledger: somebody waits for it, and the way
 * through a queue would take longer than all the rest. A renewal comes from the field, where nobody waits.
 */
export const isTakenAtOnce = (purpose: SigningPurpose): boolean => purpose !== 'renewal';
