import type { ErrorCode } from '@fleetroot/core';
import type { AuditEvent } from '@fleetroot/audit';
import type { FailedItem, RequestItem } from './batches.ts';

/** A chunk in the hands of one issuer; `fence` proves it. */
export interface ClaimedChunk {
  readonly chunkId: bigint;
  readonly batchId: string;
  readonly fence: number;
  readonly caId: number;
  readonly profileVersionId: number;
  /** Place of the chunk's first item in the batch, and the number of places it covers. */
  readonly first: number;
  readonly items: number;
  /** The items that registration let through. */
  readonly requests: readonly RequestItem[];
}

export interface NewIntent {
  readonly seed: Uint8Array;
  /** The time every TBS of the chunk is built for. */
  readonly signedAt: Date;
  /** The latest notAfter among its items. */
  readonly notAfter: Date;
  /** The key of each item that is about to be certified, and whose it is: `ecu:SERIAL` or `server:NAME`. */
  readonly keys: readonly { readonly ordinal: number; readonly spkiSha256: Uint8Array; readonly owner: string }[];
}

export interface RecordedIntent {
  readonly intentId: bigint;
  /** Items that must not be signed: `key.other-ecu`, `key.blocked`. */
  readonly refused: readonly { readonly ordinal: number; readonly code: Extract<ErrorCode, 'key.other-ecu' | 'key.blocked'> }[];
}

export interface IssuedItem {
  readonly ordinal: number;
  readonly serial: Uint8Array;
  readonly ecuSerial: string | undefined;
  readonly subjectName: string | undefined;
  readonly spkiSha256: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly der: Uint8Array;
}

/** What the issuer needs of the ledger. Each method is one short transaction, durable on return. */
export interface IssuanceLedger {
  /**
   * Takes a chunk that is pending, or whose holder has been silent for `staleAfterMs`; then the older attempt's serials
   * are burned in the same transaction (I8). undefined: it is done, or somebody holds it.
   */
  claim(chunkId: bigint, staleAfterMs: number): Promise<ClaimedChunk | undefined>;
  /**
   * Records what fixes every serial and TBS of the attempt, and reserves the keys.
   * @throws PkiError `store.stale-fence`; `ca.not-active` (I10); `clock.skew` where `signedAt` differs from the
   *   database's clock by more than the bound or lies behind the CA's last signed time (I24)
   */
  recordIntent(chunk: ClaimedChunk, intent: NewIntent): Promise<RecordedIntent>;
  /**
   * Stores certificates and failures, closes the intent and the chunk, completes the batch after its last chunk,
   * appends the event and wakes who waits.
   * @throws PkiError `store.stale-fence`: nothing was stored, and the serials are burned by whoever took over
   */
  complete(
    chunk: ClaimedChunk, intentId: bigint | undefined, issued: readonly IssuedItem[], failed: readonly FailedItem[],
    event: AuditEvent,
  ): Promise<void>;
  /** Gives the chunk back after a failure that may pass (HSM away): burns the open intent, if any; the chunk is pending. */
  release(chunk: ClaimedChunk, event: AuditEvent | undefined): Promise<void>;
  /** Chunks that are pending with nobody working on them, or signing for longer than `staleAfterMs`; oldest first. */
  stale(staleAfterMs: number, limit: number): Promise<readonly bigint[]>;
}
