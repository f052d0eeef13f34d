import type { AuditEvent } from '@fleetroot/audit';
import type { BatchProgress, BatchState, FailedItem, NewBatch, RequestItem } from './batches.ts';

/** So long an upload stays that nobody goes on with, in milliseconds. */
export const UPLOAD_LIFE_MS = 24 * 3_600_000;

/** A batch that is sent in parts. Its id is the batch's. */
export interface Upload {
  readonly id: string;
  readonly principalId: number;
  readonly profile: string;
  /** The CA that it was opened for. */
  readonly caId: number;
  readonly resendOf: string | undefined;
  readonly state: BatchState;
  /** Items that are durable; the next part begins with this one. */
  readonly received: number;
  /** Over the lines of those items; see `UploadPlace`. */
  readonly digest: Uint8Array;
  /** When something of it came last. */
  readonly receivedAt: Date;
}

/**
 * How far an upload is. digest(0) is 32 zero octets, digest(n + 1) = SHA-256(digest(n) || SHA-256(line n)): two that agree
 * on it have the same lines in the same order.
 */
export interface UploadPlace {
  readonly received: number;
  readonly digest: Uint8Array;
}

export interface OpenedUpload {
  readonly upload: Upload;
  /** False: its Idempotency-Key had opened it before. */
  readonly created: boolean;
}

/** One chunk of a part: items and failures cover the places from `received` on, each once. */
export interface AppendedPart {
  readonly items: readonly RequestItem[];
  readonly failures: readonly FailedItem[];
  /** With these items. */
  readonly digest: Uint8Array;
}

/** Batches that come in parts. Every method is one transaction and durable on return. */
export interface UploadLedger {
  /**
   * Opens an upload, or finds the one that this Idempotency-Key opened before, whatever its profile.
   * @throws PkiError `idempotency.conflict` where the key is that of a batch which was no upload; `batch.not-found` where it
   *   is new and `resendOf` is no accepted batch of the principal
   */
  open(batch: NewBatch): Promise<OpenedUpload>;
  /** @throws PkiError `batch.not-found`, also where the batch is no upload */
  read(id: string): Promise<Upload>;
  /**
   * Adds one chunk behind `at`. Of two senders at the same place one is let through: nothing is stored twice (I22).
   * @throws PkiError `upload.offset` with `data.received` where the upload is not (or no longer) at `at`;
   *   `upload.accepted`; `batch.not-found`
   */
  append(id: string, at: UploadPlace, part: AppendedPart): Promise<void>;
  /**
   * Makes it a batch that is issued, as BatchLedger.accept does, where it is at `at`.
   * @returns `created` false: it was accepted before, with the same items
   * @throws PkiError `upload.incomplete` with `data.received` where it is not at `at`; `idempotency.conflict` where it was
   *   accepted with other items; `batch.empty`; `batch.not-found`
   */
  accept(id: string, at: UploadPlace, event: AuditEvent): Promise<{ readonly batch: BatchProgress; readonly created: boolean }>;
  /** Forgets it. @throws PkiError `upload.accepted`, `batch.not-found` */
  discard(id: string): Promise<void>;
}
