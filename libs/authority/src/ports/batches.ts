import type { ErrorCode, EcuSerial, PartNumber, Vin } from '@fleetroot/core';
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
   * @throws PkiError `idempotency.in-progress` while another connection is sending it
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
  /** Closes the batch and puts one `issue-chunk` job a chunk (of renewals, `renew-chunk`) into the outbox. A batch with no good item is done at once. `more`: events beside the batch's own. */
  accept(batchId: string, bodySha256: Uint8Array, event: AuditEvent, more?: readonly AuditEvent[]): Promise<BatchProgress>;
  /** Forgets a batch that was not accepted. */
  discard(batchId: string): Promise<void>;
  /** Batches still being received whose sender was last heard `olderThanMs` ago or earlier; the longest silent first. */
  silent(olderThanMs: number, limit: number): Promise<readonly string[]>;
  /**
   * begin, append and accept of a single item in one transaction. A conflict that is on record already is told at once;
   * one that comes up later makes the item fail.
   * @throws PkiError `ecu.part-number-conflict`, `ecu.vehicle-conflict`: then nothing is stored
   */
  submitOne(batch: NewBatch, item: RequestItem, bodySha256: Uint8Array, event: (batchId: string) => AuditEvent): Promise<
    { readonly kind: 'new'; readonly batchId: string; readonly chunkId: bigint } | Extract<Begun, { kind: 'known' }>
  >;
  /** @throws PkiError `batch.not-found` */
  progress(batchId: string): Promise<BatchProgress>;
  /**
   * Results in request order, starting at `from`, while the batch still runs: waits at the first pending item until it
   * is decided or `signal` aborts. Reads in pages; memory does not grow with the batch.
   */
  results(batchId: string, from: number, signal: AbortSignal): AsyncIterable<ItemResult>;
  /** Resolves when the chunk is done, or rejects with `issuance.timeout`. */
  chunkDone(chunkId: bigint, timeoutMs: number): Promise<void>;
}
