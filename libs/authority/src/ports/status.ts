import type { CaName, Serial } from '@fleetroot/core';
import type { AuditEvent } from '@fleetroot/audit';
import type { CertificationAuthority } from './authorities.ts';
import type {
  CrlHead, CrlKind, CrlScope, CrlScopeFacts, CrlSwap, ListedEntry, PlannedCrl, PublishedCrl, ScopeChanges, WantedEntries,
} from './crl.ts';

/** CRLReason by name; the numbers are those of RFC 5280 section 5.3.1. */
export const revocationReasons = {
  unspecified: 0, keyCompromise: 1, cACompromise: 2, affiliationChanged: 3, superseded: 4, cessationOfOperation: 5,
  certificateHold: 6, removeFromCRL: 8, privilegeWithdrawn: 9, aACompromise: 10,
} as const;

export type RevocationReason = keyof typeof revocationReasons;

export interface CertificateRecord {
  /** Grows with each certificate; a cursor. */
  readonly id: bigint;
  readonly ca: CaName;
  readonly serial: Serial;
  readonly profile: string;
  readonly ecuSerial: string | undefined;
  readonly partNumber: string | undefined;
  readonly vin: string | undefined;
  readonly subjectName: string | undefined;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly issuedAt: Date;
  readonly renewalDueAt: Date | undefined;
  readonly revocation: { readonly reason: RevocationReason; readonly revokedAt: Date } | undefined;
  /** DER. */
  readonly certificate: Uint8Array;
}

export interface CertificateQuery {
  readonly serial?: Serial;
  readonly vin?: string;
  readonly ecuSerial?: string;
  readonly partNumber?: string;
  readonly status?: 'valid' | 'revoked' | 'expired';
  readonly expiresBefore?: Date;
  readonly expiresAfter?: Date;
  /** Only what came in with a batch of this principal (I32). */
  readonly requestedBy?: number;
}

export interface CertificateLedger {
  /** @throws PkiError `certificate.not-found`; `certificate.ambiguous` where several CAs used the serial and `ca` is not given */
  find(serial: Serial, ca?: CaName): Promise<CertificateRecord>;
  /** Newest first, ids below `before`, at most `limit`. */
  search(query: CertificateQuery, now: Date, before: bigint | undefined, limit: number): Promise<readonly CertificateRecord[]>;
  /**
   * Marks as due for renewal the certificates of ECUs that expire before `until` and are neither revoked, expired,
   * renewed (the ECU has a newer valid one of the profile) nor marked yet; at most `limit`. Returns how many.
   */
  markRenewalDue(now: Date, until: Date, limit: number, event: (count: number) => AuditEvent): Promise<number>;
}

export interface NewRevocation {
  readonly serial: Serial;
  readonly ca: CaName;
  readonly reason: RevocationReason;
  readonly revokedAt: Date;
  readonly invalidityDate?: Date;
  readonly principalId: number;
}

export interface RevocationLedger {
  /**
   * Revokes, appends the event and puts a `publish-crl` job into the outbox. The same again changes nothing. A stronger
   * reason (keyCompromise) replaces a weaker one and keeps the date (I12).
   * @throws PkiError `certificate.not-found`; `revocation.conflict` where the reason on record is stronger
   */
  revoke(revocation: NewRevocation, event: AuditEvent): Promise<{ readonly changed: boolean; readonly revokedAt: Date; readonly reason: RevocationReason }>;
}

export interface RevokedEntry {
  readonly serial: Uint8Array;
  readonly revokedAt: Date;
  /** 0 is left out of the entry (RFC 5280 section 5.3.1). */
  readonly reason: number;
  readonly invalidityDate: Date | undefined;
}

/** Of a certificate on record, by a CRL that was signed elsewhere. */
export interface ListedRevocation extends RevokedEntry {
  /** Of the certificate. */
  readonly notAfter: Date;
  readonly principalId: number;
}

/** A complete CRL of the whole CA, signed elsewhere. */
export type ForeignCrl = Pick<PublishedCrl, 'caId' | 'number' | 'thisUpdate' | 'nextUpdate' | 'der'>;

export interface CrlLedger {
  /** The scopes for which the CA has CRLs: `all`, and every shard of each number of shards that any CRL of it was reserved for. */
  scopes(caId: number): Promise<readonly CrlScopeFacts[]>;
  /** As `scopes`, of the shards of so many that no certificate of the CA may have named yet. */
  shardsOf(caId: number, shards: number): Promise<readonly CrlScopeFacts[]>;
  /** The newest of each scope and kind, of the CA or of all. */
  heads(caId?: number): Promise<readonly CrlHead[]>;
  /** What changed at `since` or later, and ends at `endingFrom` or later; `all` counts every change of the CA. */
  changes(caId: number, since: Date, endingFrom: Date): Promise<readonly ScopeChanges[]>;
  /**
   * Takes the next number of the CA, max(previous + 1, unix time in ms), and stores it with all that is to be made of it,
   * before anything is signed (I13).
   * @throws PkiError `clock.skew`, `ca.not-active`
   */
  reserve(caId: number, thisUpdate: Date, planned: readonly PlannedCrl[]): Promise<bigint>;
  /** Revoked and burned serials in pages, one moment of the ledger, in order. */
  listed(caId: number, wanted: WantedEntries): AsyncIterable<readonly ListedEntry[]>;
  /**
   * Revoked and burned serials of the CA that belong on a CRL of the whole CA of now: those not expired at the thisUpdate of
   * the one published last, so that an entry stays for one CRL after expiry (I12). Ordered by serial.
   */
  entries(caId: number): AsyncIterable<RevokedEntry>;
  /**
   * The notAfter on record of each revoked or burned serial, in the order asked; undefined: no such entry is on record,
   * or it is a hold that was released. What leaves a CRL is judged by this, not by `listed` (I15).
   */
  expiries(caId: number, serials: readonly Uint8Array[]): Promise<readonly (Date | undefined)[]>;
  /**
   * Swaps published CRLs of the CA in one transaction, each only where the newest of its scope and kind is still the one
   * that it was compared with: for the others, nothing changes and the answer is false (I13, I15). The octets of the newest
   * few stay, of older ones number, times and SHA-256.
   * @param event of those that were swapped
   */
  publish(caId: number, swaps: readonly CrlSwap[], event: (swapped: readonly PublishedCrl[]) => AuditEvent): Promise<readonly boolean[]>;
  /**
   * Publishes a CRL that was signed elsewhere, of a CA whose key is not online, as that of the whole CA. `importCrl` has
   * checked it; the number must be above that of every CRL of the CA on record, else nothing changes and the answer is false.
   * @param listed what it revokes that is on record, and comes on record as revoked with it: OCSP says what the CRL says
   */
  adopt(crl: ForeignCrl, entries: number, event: AuditEvent, listed?: readonly ListedRevocation[]): Promise<boolean>;
  /** Deletes released holds of the CA that a full CRL of each of their scopes, made well after the release, is without. */
  forgetReleased(caId: number): Promise<number>;
  /** The CRL of the scope and kind with the highest number, or undefined before the first. */
  latest(caId: number, scope?: CrlScope, kind?: CrlKind): Promise<PublishedCrl | undefined>;
}

export type CertificateStatus =
  | { readonly status: 'good' | 'unknown' }
  | { readonly status: 'revoked'; readonly revokedAt: Date; readonly reason: number };

/** What the status app reads; its database role can do no more than SELECT. */
export interface StatusLedger {
  authorities(): Promise<readonly CertificationAuthority[]>;
  /** In the order asked. `good` only for a serial on record (I16); a burned serial is revoked (I8). */
  statuses(caId: number, serials: readonly Uint8Array[]): Promise<readonly CertificateStatus[]>;
  /** The newest of the scope and kind; undefined before the first. */
  latestCrl(caId: number, scope?: CrlScope, kind?: CrlKind): Promise<PublishedCrl | undefined>;
  /** The newest of each CA, scope and kind. */
  crlHeads(): Promise<readonly CrlHead[]>;
  /** The certificates of profile `ocsp-signer` that this CA issued and that are valid at `now`, newest first, DER. */
  ocspSigners(caId: number, now: Date): Promise<readonly Uint8Array[]>;
}
