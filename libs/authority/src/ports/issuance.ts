import type { ErrorCode } from '@fleetroot/core';
import type { AuditEvent } from '@fleetroot/audit';
import type { FailedItem, RequestItem } from './batches.ts';
import type { SigningPurpose } from './ca-signer.ts';

/** A chunk in the hands of one issuer; `fence` proves it. */
export interface ClaimedChunk {
  readonly chunkId: bigint;
  readonly batchId: string;
  readonly fence: number;
  /** The CA that the batch was accepted for; the generation after it issues where it has been followed (`issuingGeneration`). */
  readonly caId: number;
  readonly purpose: SigningPurpose;
  readonly profileVersionId: number;
  /** Place of the chunk's first item in the batch, and the number of places it covers. */
  readonly first: number;
  readonly items: number;
  /** The items that registration let through. */
  readonly requests: readonly RequestItem[];
}

export interface NewIntent {
  /** The CA that signs. */
  readonly caId: number;
  readonly seed: Uint8Array;
  /** The time every TBS of the chunk is built for. */
  readonly signedAt: Date;
  /** The latest notAfter among its items. */
  readonly notAfter: Date;
  /** The key of each item that is about to be certified, and whose it is: `ecu:SERIAL` or `server:NAME`. */
  readonly keys: readonly { readonly ordinal: number; readonly spkiSha256: Uint8Array; readonly owner: string }[];
}

type RefusalCode = Extract<ErrorCode, 'key.other-ecu' | 'key.blocked' | 'ecu.part-number-conflict' | 'ecu.lot-conflict' | 'ecu.vehicle-conflict'>;

export interface RecordedIntent {
  readonly intentId: bigint;
  /** Items that must not be signed: their key is another's or blocked, or their ECU is on record otherwise. */
  readonly refused: readonly { readonly ordinal: number; readonly code: RefusalCode }[];
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
  /** Takes the oldest single request that nobody has tried yet. undefined: there is none. As `claim` for the rest. */
  claimFreshSingle(): Promise<ClaimedChunk | undefined>;
  /**
   * Takes the next single request that waits, or whose holder has been silent for `staleAfterMs`: the one that was tried
   * least, of these the oldest. undefined: there is none. As `claim` for the rest.
   * @param except chunks that are not taken
   */
  claimSingle(staleAfterMs: number, except: readonly bigint[]): Promise<ClaimedChunk | undefined>;
  /** Calls `wake` when a single request was accepted, until the returned function is called. A hint: look from time to time as well. */
  onSingle(wake: () => void): () => void;
  /**
   * Says that the chunk's holder is alive: its silence counts from now on. Of a chunk that is no longer the caller's
   * nothing changes, and the next step tells.
   */
  renew(chunk: ClaimedChunk): Promise<void>;
  /**
   * Records what fixes every serial and TBS of the attempt. Of the items that `keys` names it reserves the keys and
   * registers the vehicles and ECUs: no earlier, so that a batch that was never accepted, or an item that was refused,
   * leaves none behind. An ECU without a vehicle gets the item's; one that is on record with another part number or in
   * another vehicle refuses the item. Of two batches that differ, the one whose intent is recorded first is right.
   * @throws PkiError `store.stale-fence`; `ca.not-active` (I10); `clock.skew` where `signedAt` differs from the
   *   database's clock by more than the bound or lies behind the CA's last signed time (I24). The clock is judged before
   *   the CA's validity: `ca.not-active` fails every item for good, which a wrong clock must not do
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
  /**
   * Gives the chunk back after a failure that may pass (HSM away): burns the open intent, if any; the chunk is pending.
   * @param untouched places of items that the HSM was never given: their serials are not burned
   */
  release(chunk: ClaimedChunk, event: AuditEvent | undefined, untouched?: readonly number[]): Promise<void>;
}
