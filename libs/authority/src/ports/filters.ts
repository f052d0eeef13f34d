import type { AuditEvent } from '@fleetroot/audit';
import type { Pages } from './inspection.ts';

/** A serial that relying parties may come to see: of a certificate that has not expired, or burned. */
export interface KnownSerial {
  readonly serial: Uint8Array;
  /** Of the certificate, seconds since 1970. */
  readonly notBefore: number;
  readonly revoked: boolean;
}

/** One moment of the ledger. */
export interface KnownSerials {
  /** By the database's clock. */
  readonly at: Date;
  /**
   * Whatever comes on record later has a later notBefore (seconds since 1970): of certificates with a notBefore up to this,
   * all that there will ever be are known.
   */
  readonly coveredUntil: number;
  pages(): Pages<KnownSerial>;
}

export interface StoredFilter {
  readonly caId: number;
  /** Unix milliseconds, and above every version before. */
  readonly version: bigint;
  /** Of the full filter that a delta goes with; 0: this one is full. */
  readonly baseVersion: bigint;
  readonly madeAt: Date;
  readonly known: number;
  readonly revoked: number;
  /** Of what the CA's key signs, the header: on record before it does (I2). */
  readonly signedSha256: Uint8Array;
  readonly content: Uint8Array;
}

export interface FilterLedger {
  /** The full filter that is published, which deltas go with. */
  newestFull(caId: number): Promise<StoredFilter | undefined>;
  /** max(previous + 1, unix time in ms). Whoever asks later sees at least what this one sees, and gets no lower version. */
  nextVersion(caId: number, now: Date): Promise<bigint>;
  /**
   * Shows the serials of a CA at one moment, as long as `work` takes; nothing waits for it.
   * @throws PkiError `store.unavailable`; what `work` throws
   */
  read<T>(caId: number, work: (known: KnownSerials) => Promise<T>): Promise<T>;
  /**
   * Puts a version on record, before anything is signed. False: there is one with this version or a later one.
   * @throws PkiError `ca.not-active`, `clock.skew`
   */
  reserve(filter: StoredFilter): Promise<boolean>;
  /** Publishes what was reserved. False, and nothing changes, where a later version is published. */
  publish(filter: StoredFilter, event: AuditEvent): Promise<boolean>;
  /** Has the next one of the CA made: a `publish-filter` job is in the outbox on return. */
  ask(caId: number): Promise<void>;
  /** By CA, when what is published last was made. */
  madeAt(): Promise<ReadonlyMap<number, Date>>;
}
