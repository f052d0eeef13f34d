import { type CaName, caName } from '@fleetroot/core';
import { type CertificationRequest, readRequest, type SignatureAlgorithm } from '@fleetroot/x509';
import type { CeremonyCertificateKind } from '../ports/authorities.ts';
import { octets } from './digest.ts';
import { CeremonyFolder } from './folder.ts';
import type { HeldRecord } from './record.ts';

/** A CA on record in a folder of ceremonies. */
export interface HeldAuthority {
  readonly name: CaName;
  /** undefined: a root. */
  readonly parent: CaName | undefined;
  /** DER: the first one. Renewed ones are among the certificates. */
  readonly certificate: Uint8Array;
  /** CKA_ID of its key; undefined: the key is not in a token of this installation. */
  readonly keyId: Uint8Array | undefined;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** The CA whose next generation it is. */
  readonly succeeds: CaName | undefined;
  /** What it signs with; undefined: the default of its key. */
  readonly signatureAlgorithm: SignatureAlgorithm | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

/** A certificate that is not the first of a CA: `ca` renewed, `cross`, `ocsp-signer`. */
export interface HeldCertificate {
  readonly file: string;
  readonly kind: CeremonyCertificateKind;
  /** The CA whose key it certifies; undefined: that of an OCSP signer, or of a CA that is not on record. */
  readonly subject: CaName | undefined;
  readonly issuer: CaName | undefined;
  /** DER. */
  readonly certificate: Uint8Array;
}

/** A key that was made here for a CA whose certificate is signed elsewhere. */
export interface HeldRequest {
  readonly name: CaName;
  readonly keyId: Uint8Array;
  readonly request: CertificationRequest;
}

export interface HeldCrl {
  readonly authority: CaName;
  readonly number: bigint;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** DER. */
  readonly crl: Uint8Array;
}

/** All that ceremonies made, each list in the order of its making: parents before their children. */
export interface HeldObjects {
  readonly authorities: readonly HeldAuthority[];
  readonly certificates: readonly HeldCertificate[];
  readonly requests: readonly HeldRequest[];
  readonly crls: readonly HeldCrl[];
}

/**
 * What is on record in a folder of ceremonies; nothing where there is no such folder.
 * @throws PkiError `ceremony.invalid` where a file is missing or not the one on record
 */
export function heldObjects(dir: string): HeldObjects {
  const folder = new CeremonyFolder(dir);
  const { authorities, certificates, requests, crls } = folder.record();
  return {
    authorities: authorities.map((record) => heldAuthority(record, folder.recorded({ file: `${record.name}.cer`, sha256: record.sha256 }))),
    certificates: certificates.map((record) => ({
      file: record.file, kind: record.kind, subject: named(record.subject), issuer: named(record.issuer), certificate: folder.recorded(record),
    })),
    requests: requests.map((record) => ({ name: caName(record.name), keyId: octets(record.keyId), request: readRequest(folder.recorded(record)) })),
    crls: crls.map((record) => ({
      authority: caName(record.authority), number: BigInt(record.number), thisUpdate: new Date(record.thisUpdate),
      nextUpdate: new Date(record.nextUpdate), crl: folder.recorded(record),
    })),
  };
}

function heldAuthority(record: HeldRecord, certificate: Uint8Array): HeldAuthority {
  return {
    name: caName(record.name), parent: named(record.parent), certificate,
    keyId: record.keyId === null ? undefined : octets(record.keyId),
    notBefore: new Date(record.notBefore), notAfter: new Date(record.notAfter), succeeds: named(record.succeeds),
    signatureAlgorithm: record.signatureAlgorithm ?? undefined, labels: record.labels,
  };
}

const named = (name: string | null): CaName | undefined => (name === null ? undefined : caName(name));
