import type { CaName } from '@fleetroot/core';
import type { AuditEvent } from '@fleetroot/audit';

/** Only `active` issues. `retiring` still signs CRLs and OCSP signers; `retired` and `compromised` sign nothing. */
export type CaState = 'prepared' | 'active' | 'retiring' | 'retired' | 'compromised';

export interface CertificationAuthority {
  readonly id: number;
  readonly name: CaName;
  /** undefined: a root. */
  readonly parentId: number | undefined;
  readonly state: CaState;
  /** DER. */
  readonly certificate: Uint8Array;
  /** CKA_ID of its key in the CA token. */
  readonly keyId: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface AuthorityLedger {
  all(): Promise<readonly CertificationAuthority[]>;
  /** @throws PkiError `ca.not-found` */
  byName(name: CaName): Promise<CertificationAuthority>;
  /** Records a CA from a ceremony. The same certificate again changes nothing and returns the CA on record. */
  add(ca: Omit<CertificationAuthority, 'id'>, event: AuditEvent): Promise<CertificationAuthority>;
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
