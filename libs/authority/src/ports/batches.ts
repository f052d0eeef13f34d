import type { ErrorCode, EcuSerial, Lot, PartNumber, Vin } from '@fleetroot/core';
import type { AuditEvent } from '@fleetroot/audit';
import type { SigningPurpose } from './ca-signer.ts';
import type { MadeKeys } from './made-keys.ts';

/** One request, as registration let it through. */
export interface RequestItem {
  /** Place in the batch, from 0. */
  readonly ordinal: number;
  /** Absent for what is not an ECU (a server, an OCSP signer). */
  readonly ecuSerial?: EcuSerial;
  readonly partNumber?: PartNumber;
  /** The supplier's; of an ECU with a part number alone. */
  readonly lot?: Lot;
  readonly vin?: Vin;
  /** PKCS#10, DER. Sealed at rest and dropped once the chunk is done. */
  readonly csr: Uint8Array;
}

export interface FailedItem {
  readonly ordinal: number;
  readonly code: ErrorCode;
  /** For the operator; never a VIN or a part of the request. */
  readonly detail: string;
}

export interface NewBatch {
  readonly principalId: number;
  /** undefined: a batch of the system itself. */
  readonly idempotencyKey: string | undefined;
  readonly caId: number;
  readonly profileVersionId: number;
  /** BullMQ's: 1 is served first. */
  readonly priority: number;
  /** What its signatures count as in the HSM's load control. */
  readonly purpose: SigningPurpose;
  /** The batch whose failed items it sends again: an accepted one of the same principal. */
  readonly resendOf?: string | undefined;
}

export type BatchState = 'receiving' | 'accepted' | 'done';

/** issued + failed + pending = items at every commit (I22). */
export interface BatchProgress {
  readonly id: string;
  readonly principalId: number;
  readonly profile: string;
  readonly state: BatchState;
  readonly items: number;
  readonly issued: number;
  readonly failed: number;
  readonly pending: number;
  readonly createdAt: Date;
  readonly completedAt: Date | undefined;
  readonly bodySha256: Uint8Array | undefined;
  readonly resendOf: string | undefined;
  /** Chunks that nobody had begun by then failed with `batch.cancelled`. */
  readonly cancelledAt: Date | undefined;
}

/** How a batch stands, with what it takes longer to count. */
export interface BatchSummary extends BatchProgress {
  /** Failed items by their reason. */
  readonly failures: Readonly<Partial<Record<ErrorCode, number>>>;
  /** Items that found their outcome a second, of late; undefined: it is not running, or began just now. */
  readonly ratePerSecond: number | undefined;
  /** At that rate; undefined: nobody can tell. */
  readonly secondsLeft: number | undefined;
}

export interface BatchFilter {
  /** Those of one principal. */
  readonly principalId?: number | undefined;
  readonly state?: BatchState | undefined;
}

/** A place in the list of batches, which is ordered by both. */
export interface BatchPlace {
  readonly createdAt: Date;
  readonly id: string;
}

export interface Cancelled {
  readonly batch: BatchProgress;
  /** False: it was done or cancelled before. */
  readonly changed: boolean;
}

/** How long a sender may be silent before what it sent and never finished is discarded, in milliseconds. */
export interface Silence {
  /** In the middle of a stream: the process that received it was killed. */
  readonly streamedMs: number;
  /** Of an upload, whose sender may be away between two parts. */
  readonly inPartsMs: number;
}

export type ItemResult =
  | { readonly ordinal: number; readonly outcome: 'issued'; readonly ecuSerial: string | undefined; readonly certificate: Uint8Array }
  | { readonly ordinal: number; readonly outcome: 'failed'; readonly code: ErrorCode; readonly detail: string };

export type Begun =
  | { readonly kind: 'new'; readonly batchId: string }
  /** The key was used: compare the body's hash with `batch.bodySha256`. */
  | { readonly kind: 'known'; readonly batch: BatchProgress };

/** How requests enter the ledger. Every method is one transaction and durable on return. */
export interface BatchLedger {
  /**
   * Opens a batch, or finds the one this Idempotency-Key opened before. One that was left half received (its sender
   * is gone) is emptied and opened anew.
   * @throws PkiError `idempotency.in-progress` while another connection is sending it; `idempotency.conflict` where the key
   *   is that of an upload; `batch.not-found` where it is new and `resendOf` is no accepted batch of the principal
   */
  begin(batch: NewBatch): Promise<Begun>;
  /** Whether this Idempotency-Key of the principal has a batch that was accepted: what became of it can be told again (I5). */
  wasAccepted(principalId: number, idempotencyKey: string): Promise<boolean>;
  /**
   * Adds one chunk. Ordinals continue where the last chunk ended. No job exists yet, and no ECU is on record: those that
   * the items name are registered with the intent (IssuanceLedger.recordIntent), which also finds what conflicts.
   * @param made private keys of some of the items, on record with them or not at all
   */
  append(batchId: string, items: readonly RequestItem[], failures: readonly FailedItem[], made?: MadeKeys): Promise<void>;
  /**
   * Closes the batch, gives its chunks their turns (`firstTurn`), and puts one `issue-chunk` job a chunk (of renewals,
   * `renew-chunk`) into the outbox. A batch with no good item is done at once.
   * @param more events beside the batch's own
   */
  accept(batchId: string, bodySha256: Uint8Array, event: AuditEvent, more?: readonly AuditEvent[]): Promise<BatchProgress>;
  /** Forgets a batch that was not accepted. */
  discard(batchId: string): Promise<void>;
  /**
   * Ends a batch, with the event. Of an accepted one the chunks that nobody has begun are done and failed (`batch.cancelled`
   * is their refusal), those in work go on to their end, and so does the batch with the last of them. One that is still
   * being received is discarded, and is not there any more: its sender meets `batch.not-found`.
   * @param event `refused`: the items that get no certificate
   * @throws PkiError `batch.not-found`
   */
  cancel(batchId: string, event: (refused: number) => AuditEvent): Promise<Cancelled>;
  /** Batches still being received whose sender was silent for longer; the longest silent first. */
  silent(silence: Silence, limit: number): Promise<readonly string[]>;
  /**
   * begin, append and accept of a single item in one transaction. No job is made of it where `isTakenAtOnce`: the issuers
   * are told, and one of them takes it (`IssuanceLedger.claimSingle`). A conflict that is on record already is told at once;
   * one that comes up later makes the item fail.
   * @throws PkiError `ecu.part-number-conflict`, `ecu.lot-conflict`, `ecu.vehicle-conflict`: then nothing is stored
   */
  submitOne(batch: NewBatch, item: RequestItem, bodySha256: Uint8Array, event: (batchId: string) => AuditEvent): Promise<
    { readonly kind: 'new'; readonly batchId: string; readonly chunkId: bigint } | Extract<Begun, { kind: 'known' }>
  >;
  /** @throws PkiError `batch.not-found` */
  progress(batchId: string): Promise<BatchProgress>;
  /** @throws PkiError `batch.not-found` */
  summary(batchId: string): Promise<BatchSummary>;
  /** Batches, the newest first, those of single certificates left out; `after`: the last of the page before. */
  list(filter: BatchFilter, after: BatchPlace | undefined, limit: number): Promise<readonly BatchProgress[]>;
  /**
   * Results in request order, starting at `from`, while the batch still runs: waits at the first pending item until it
   * is decided or `signal` aborts. Reads in pages; memory does not grow with the batch.
   * @param outcome those alone
   */
  results(batchId: string, from: number, signal: AbortSignal, outcome?: ItemResult['outcome']): AsyncIterable<ItemResult>;
  /** The outcome of a single request whose chunk is done (`chunkDone`). */
  resultOfOne(chunkId: bigint): Promise<ItemResult>;
  /** Resolves when the chunk is done, or rejects with `issuance.timeout`. */
  chunkDone(chunkId: bigint, timeoutMs: number): Promise<void>;
}
