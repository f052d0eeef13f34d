import type { SigningPurpose } from './ca-signer.ts';

/** A chunk of an accepted batch that is not done. */
export interface OpenChunk {
  readonly chunkId: bigint;
  /** What its batch is for; renewals have a queue of their own. */
  readonly purpose: SigningPurpose;
  readonly turn: number;
  /** That of its job. */
  readonly priority: number;
  /** Grows at each claim. */
  readonly fence: number;
}

/** Chunks of batches of one purpose and priority. */
export interface BacklogOf {
  readonly purpose: SigningPurpose;
  readonly priority: number;
  readonly chunks: number;
}

/** What the queue should know of, as the ledger tells; single requests are none of it. The queue is never the only copy (I20). */
export interface WaitingChunks {
  /** Chunks whose holder was silent for longer, by the database's clock; the longest silent first. */
  orphaned(silentMs: number, limit: number): Promise<readonly OpenChunk[]>;
  /** How many chunks of batches accepted so long ago are not done. */
  open(acceptedBeforeMs: number): Promise<readonly BacklogOf[]>;
  /** Those of them that nobody holds, by turn; `after`: the last of the page before. */
  pending(acceptedBeforeMs: number, after: OpenChunk | undefined, limit: number): Promise<readonly OpenChunk[]>;
}
