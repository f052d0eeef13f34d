import type { CrlKind, CrlScope } from './crl.ts';
import type { CertificationAuthority, CeremonyCertificateKind, ProfileVersionRecord } from './authorities.ts';

/** Rows as they come, some hundreds at a time; sorted as the method says. Whoever stops early closes what is behind it. */
export type Pages<Row> = AsyncIterable<readonly Row[]>;

// Times are milliseconds since 1970: a Date for each of ten million rows would cost more than the rest of the row.

export interface InspectedChunk {
  readonly id: bigint;
  readonly batchId: string;
  readonly first: number;
  readonly items: number;
  readonly state: string;
  readonly fence: number;
  readonly issued: number;
  readonly failed: number;
  readonly refusal: string | null;
  /** Whether its requests are still kept. */
  readonly requests: boolean;
}

export interface InspectedIntent {
  readonly id: bigint;
  readonly chunkId: bigint;
  readonly fence: number;
  readonly caId: number;
  readonly profileVersionId: number;
  readonly seed: Uint8Array;
  readonly signedAt: number;
  readonly notAfter: number;
  readonly first: number;
  readonly items: number;
  readonly state: string;
  readonly serialForm: number;
  /** Places, as text with commas. */
  readonly untouched: string;
}

export interface InspectedCertificate {
  /** null: it came from no chunk, which is a breach. */
  readonly chunkId: bigint | null;
  readonly ordinal: number;
  readonly intentId: bigint | null;
  readonly caId: number;
  readonly serial: Uint8Array;
  readonly profileVersionId: number;
  readonly ecuSerial: string | null;
  readonly spkiSha256: Uint8Array;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly issuedAt: number;
  readonly der: Uint8Array;
}

export interface InspectedFailure {
  readonly chunkId: bigint;
  readonly ordinal: number;
  readonly code: string;
}

export interface InspectedBurnedSerial {
  /** Of its intent; null: there is no such intent. */
  readonly chunkId: bigint | null;
  readonly intentId: bigint;
  readonly caId: number;
  readonly serial: Uint8Array;
}

/** What the audit log tells of a chunk. */
export interface InspectedChunkEvent {
  readonly seq: bigint;
  readonly chunkId: bigint;
  readonly action: string;
  readonly intentId: bigint | null;
  readonly issued: number | null;
  readonly certificatesSha256: string | null;
}

/** A serial that belongs on CRLs, in the order of CRLs. */
export interface InspectedListing {
  readonly serial: Uint8Array;
  readonly reason: number;
  readonly notAfter: number;
  /** Revoked or burned: when that came on record, or was said to have happened. */
  readonly at: number;
  /** When the row was written last. */
  readonly changedAt: number;
  readonly shards: number;
  readonly shard: number;
}

export interface InspectedEvent {
  readonly seq: bigint;
  readonly payload: string;
  readonly prevHash: Uint8Array;
  readonly hash: Uint8Array;
}

export interface InspectedCrl {
  readonly scope: CrlScope;
  readonly kind: CrlKind;
  readonly number: bigint;
  readonly baseNumber: bigint | null;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  readonly entries: number | null;
  readonly sha256: Uint8Array | null;
  readonly der: Uint8Array;
}

export interface InspectedFilter {
  readonly version: bigint;
  readonly baseVersion: bigint;
  /** Of the header, which is what the CA signs. */
  readonly sha256: Uint8Array;
  /** null: it was never published, or is not kept any more. */
  readonly content: Uint8Array | null;
}

export interface InspectedCeremonyCertificate {
  readonly kind: CeremonyCertificateKind;
  readonly subjectId: number | null;
  readonly issuerId: number | null;
  readonly serial: Uint8Array;
  readonly der: Uint8Array;
  readonly sha256: Uint8Array;
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface InspectedAuthority extends CertificationAuthority {
  readonly spkiSha256: Uint8Array;
  readonly crlNumber: bigint;
  readonly lastSignedAt: number | null;
  /** When the audit log says that it was revoked; null: never. */
  readonly toldRevokedAt: number | null;
}

/** What the database can judge alone, a set against a set. Each is a check of the catalogue. */
export const setChecks = [
  'batch-done', 'batch-sum', 'chunks-whole', 'batch-events',
  'serial-unique', 'unique-indexes', 'seed-unique', 'burned-unissued', 'ceremony-serial',
  'key-owner', 'key-blocked', 'blocked-key-issued', 'made-key',
  'revocation-event', 'revocation-job', 'revoked-certificate', 'ca-newest', 'ca-revoked', 'ca-succession',
  'crl-number', 'crl-event', 'audit-guard',
] as const;
export type SetCheck = (typeof setChecks)[number];

export interface SetBreach {
  readonly subject: string;
  readonly detail: string;
}

/** One moment of the ledger: whatever is read by it, was so at `at`. */
export interface LedgerView {
  /** By the database's clock. */
  readonly at: Date;
  readonly totals: { readonly certificates: number; readonly chunks: number; readonly events: number; readonly listed: number };
  /** Whether rows were moved into archives, and are gone from here. */
  readonly archived: boolean;
  authorities(): Promise<readonly InspectedAuthority[]>;
  profiles(): Promise<readonly ProfileVersionRecord[]>;
  auditHead(): Promise<{ readonly seq: bigint; readonly hash: Uint8Array }>;
  /** The heads of the audit log that inspections before this one have seen, oldest first, some hundreds at most. */
  auditHeadsSeen(): Promise<readonly { readonly seq: bigint; readonly hash: string }[]>;
  /** How many signatures may exist that nothing on record holds: burned serials, and CRLs whose octets are not kept. */
  lostSignatures(): Promise<number>;
  /** By CA, thisUpdate of its newest published CRL: what had ended by then was on a CRL after its end, and may be gone (I12). */
  shownUntil(): Promise<ReadonlyMap<number, number>>;
  /** By id. */
  chunks(): Pages<InspectedChunk>;
  /** By chunk and fence. */
  intents(): Pages<InspectedIntent>;
  /** By chunk and ordinal; those without a chunk last. */
  certificates(): Pages<InspectedCertificate>;
  /** By chunk and ordinal. */
  failures(): Pages<InspectedFailure>;
  /** By the chunk of their intent; those without an intent last. */
  burned(): Pages<InspectedBurnedSerial>;
  /** `chunk.issued` and `intent.abandoned`, by chunk. */
  chunkEvents(): Pages<InspectedChunkEvent>;
  /** By number, from 1. */
  events(): Pages<InspectedEvent>;
  /** Of the CA, whatever has expired among them, by serial. */
  listed(caId: number): Pages<InspectedListing>;
  /** Published CRLs whose octets are kept, by scope and kind (delta, full), of each the newest first. */
  crls(caId: number): Pages<InspectedCrl>;
  /** Revocation filters whose version was given out, the newest first. */
  filters(caId: number): Pages<InspectedFilter>;
  ceremonyCertificates(): Promise<readonly InspectedCeremonyCertificate[]>;
  breaches(check: SetCheck): Pages<SetBreach>;
}

export interface InspectionLedger {
  /**
   * Shows one moment of the ledger for as long as `work` takes, by transactions that can only read: nothing waits for
   * them, nothing of them stays, whatever becomes of the process. Streams may be read side by side, each by a connection
   * of its own.
   * @param signal takes its connections away from `work`, whatever it is at
   * @throws PkiError `store.unavailable`; what `work` throws
   */
  inspect<T>(work: (view: LedgerView) => Promise<T>, signal?: AbortSignal): Promise<T>;
}
