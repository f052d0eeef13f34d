import type { CaName } from '@fleetroot/core';
import type { AuditEvent } from '@fleetroot/audit';
import type { SignatureAlgorithm } from '@fleetroot/x509';

/** What each state allows is told by `mayAs`. */
export type CaState = 'prepared' | 'active' | 'retiring' | 'retired' | 'compromised';

/** That a CA's own certificate is revoked; then everything below it counts as revoked. */
export interface CaRevocation {
  readonly revokedAt: Date;
  /** CRLReason, RFC 5280 section 5.3.1. */
  readonly reason: number;
}

export interface CertificationAuthority {
  readonly id: number;
  readonly name: CaName;
  /** undefined: a root. */
  readonly parentId: number | undefined;
  readonly state: CaState;
  /** DER; of several for the same key (renewed) the newest. */
  readonly certificate: Uint8Array;
  /**
   * CKA_ID of its key in the CA token; undefined: the key is elsewhere (an offline root, the CA of another organisation).
   * Such a CA signs nothing here: its CRLs, and what it certifies, are imported.
   */
  readonly keyId: Uint8Array | undefined;
  /** What it signs with; undefined: the default of its key (`signatureAlgorithmFor`). */
  readonly signatureAlgorithm: SignatureAlgorithm | undefined;
  /** What it is for: brand, region, plant, supplier or whatever the maker sorts by. */
  readonly labels: Readonly<Record<string, string>>;
  /** The next generation, with a key of its own, which issues in its place from `switchAt` on. */
  readonly successorId: number | undefined;
  readonly switchAt: Date | undefined;
  readonly revocation: CaRevocation | undefined;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export type NewAuthority = Omit<CertificationAuthority, 'id' | 'successorId' | 'switchAt' | 'revocation'>;

/**
 * A certificate that a ceremony made, here or elsewhere. `ca`: of a CA on record, by its issuer or by itself; `cross`:
 * of a CA's key by another generation or hierarchy; `ocsp-signer`: of our OCSP key by a CA whose key is not online.
 */
export type CeremonyCertificateKind = 'ca' | 'cross' | 'ocsp-signer';

export interface CeremonyCertificate {
  readonly kind: CeremonyCertificateKind;
  /** The CA whose key it certifies; undefined for an OCSP signer, and for a CA of others that is not on record. */
  readonly subjectId: number | undefined;
  /** The CA that signed it; undefined: one that is not on record. */
  readonly issuerId: number | undefined;
  readonly serial: Uint8Array;
  /** DER. */
  readonly certificate: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** That a CA which comes on record is to take over from another. */
export interface Following {
  readonly predecessorId: number;
  readonly switchAt: Date;
  /** Of the change of the predecessor. */
  readonly event: AuditEvent;
}

export interface AuthorityLedger {
  /** In the order they came on record: parents before their children. */
  all(): Promise<readonly CertificationAuthority[]>;
  /** @throws PkiError `ca.not-found` */
  byName(name: CaName): Promise<CertificationAuthority>;
  /**
   * Records a CA and its certificate, in the same transaction as the next generation of another where `follows` says so.
   * The same certificate again changes nothing and returns the CA on record.
   * @throws PkiError `ca.conflict` where the name, or the key, is another CA's on record; with `follows` also as `succeed`
   */
  add(ca: NewAuthority, event: AuditEvent, follows?: Following): Promise<CertificationAuthority>;
  /** Every certificate that a ceremony made, for the CA or by it, oldest first. */
  certificates(caId: number): Promise<readonly CeremonyCertificate[]>;
  /**
   * Records one more certificate. One of kind `ca` renews the CA: where it ends later than the one on record it takes its
   * place. The same certificate again changes nothing and returns false.
   * @throws PkiError `ca.conflict` where its issuer has signed another one with the same serial
   */
  addCertificate(certificate: CeremonyCertificate, event: AuditEvent): Promise<boolean>;
  /** @throws PkiError `ca.state-refused` where the CA is not in the state `from` (any more) */
  change(caId: number, from: CaState, to: CaState, event: AuditEvent): Promise<CertificationAuthority>;
  /** Sets, changes or (undefined) takes back who follows the CA and when. Both must be on record. */
  succeed(caId: number, succession: { readonly successorId: number; readonly switchAt: Date } | undefined, event: AuditEvent): Promise<CertificationAuthority>;
  /**
   * Where the CA is active and `now` has reached `switchAt`: the successor (prepared) becomes active and the CA retiring,
   * in one transaction. False: there was nothing to do.
   */
  switchOver(caId: number, now: Date, event: AuditEvent): Promise<boolean>;
  /** The latest notAfter of what the CA has signed, CAs below and certificates of leaves; undefined: nothing. */
  lastDependant(caId: number): Promise<Date | undefined>;
  /**
   * Revokes a CA for good: its state becomes `compromised` (keyCompromise, cACompromise) or `retired`, its revocation is
   * on record, every unexpired certificate of its key by a CA on record is revoked at its issuer, and each of those issuers
   * whose key is online has a `publish-crl` job in the outbox; all in one transaction. The same again changes nothing; a
   * stronger reason replaces a weaker one and keeps the date (I12).
   * @returns changed, and the issuers whose keys are not online: their next CRL comes from a ceremony
   * @throws PkiError `revocation.conflict` where the reason on record is stronger
   */
  revoke(revocation: NewCaRevocation, event: AuditEvent): Promise<{ readonly changed: boolean; readonly offlineIssuers: readonly CaName[] }>;
}

export interface NewCaRevocation {
  readonly caId: number;
  readonly reason: number;
  readonly revokedAt: Date;
  readonly invalidityDate?: Date;
  readonly principalId: number;
}

export interface ProfileVersionRecord {
  readonly id: number;
  readonly name: string;
  /** Canonical JSON of the validated profile. */
  readonly document: string;
}

export interface ProfileLedger {
  /** The version with this document, recorded now where it is new. */
  ensure(name: string, document: string): Promise<ProfileVersionRecord>;
  byId(id: number): Promise<ProfileVersionRecord>;
}
