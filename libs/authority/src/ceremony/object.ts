import { equalBytes, PkiError } from '@fleetroot/core';
import {
  algorithmIdentifier, assembleCertificate, decodePem, der as encode, DerReader, encodePem, lintCertificate, type LintKind,
  type ParsedCertificate, parseCertificate, type SignatureAlgorithm, verifySignature,
} from '@fleetroot/x509';
import { sha256Of } from './digest.ts';
import type { CertificateRecord, CrlRecord, HeldRecord, RequestRecord } from './record.ts';

/** What an object adds to ceremony.json. */
type RecordEntry =
  | { readonly authority: HeldRecord } | { readonly certificate: CertificateRecord } | { readonly request: RequestRecord }
  | { readonly crl: CrlRecord };

export type CeremonyObjectKind = 'ca' | 'cross' | 'ocsp-signer' | 'crl' | 'request';

/** One object of a ceremony, ready to be signed. */
export interface CeremonyObject {
  readonly kind: CeremonyObjectKind;
  /** In the folder of ceremonies. */
  readonly file: string;
  /** The CA that it is about; of an OCSP signer the CA it answers for; of a CA elsewhere the name of its file. */
  readonly name: string;
  /** The CA that signs it; undefined: its own key does. */
  readonly issuer: string | undefined;
  /** TBSCertificate, TBSCertList or CertificationRequestInfo, DER. */
  readonly tbs: Uint8Array;
  /** Of `tbs`, hex. */
  readonly tbsSha256: string;
  readonly algorithm: SignatureAlgorithm;
  /** Whose signature it gets. `keyId`: CKA_ID, hex; undefined: it was signed elsewhere. */
  readonly signer: { readonly keyId: string | undefined; readonly spkiDer: Uint8Array };
  /** CKA_ID, hex, of the key that it certifies, asks a certificate for, or (a CRL) is signed by; undefined: a key elsewhere. */
  readonly keyId: string | undefined;
  /** Of a certificate, hex. */
  readonly serial: string | undefined;
  /** What else of it goes on record, for people to read. */
  readonly remarks: readonly (readonly [field: string, value: string])[];
  /** Whole, where it was signed elsewhere. */
  readonly given: Uint8Array | undefined;
  /** Its place among the intents. */
  readonly intent: string;
  /** @param sha256 of the file */
  entry(sha256: string): RecordEntry;
}

/** A certificate as it will be, but for its signature: what stands below it is built from it. */
export const unsignedCertificate = (tbs: Uint8Array, algorithm: SignatureAlgorithm): ParsedCertificate =>
  parseCertificate(assembleCertificate(tbs, algorithm, new Uint8Array(0)));

/** Certificates, CRLs and requests are alike in this: SEQUENCE of what is signed, the algorithm and the signature. */
export const assemble = assembleCertificate;

/** The octets of the file. */
export const fileOf = ({ kind }: CeremonyObject, der: Uint8Array): Uint8Array =>
  (kind === 'request' ? Buffer.from(encodePem('CERTIFICATE REQUEST', der)) : der);

/** Whether a file holds this object under a signature that verifies. */
export function isSigned(object: CeremonyObject, file: Uint8Array): boolean {
  try {
    const der = object.kind === 'request' ? decodePem(Buffer.from(file).toString('latin1'), 'ceremony.invalid')[0]?.der : file;
    return der !== undefined && holds(object, der);
  } catch (error) {
    if (error instanceof PkiError) return false;
    throw error;
  }
}

function holds({ tbs, algorithm, signer }: CeremonyObject, der: Uint8Array): boolean {
  const outer = new DerReader(der, 'ceremony.invalid');
  const reader = outer.enter(encode.tag.sequence, 'object');
  outer.end('object');
  const signed = reader.element('what is signed', encode.tag.sequence);
  const identifier = reader.element('signatureAlgorithm', encode.tag.sequence);
  const signature = reader.bitString('signature');
  reader.end('signature');
  return equalBytes(signed, tbs) && equalBytes(identifier, algorithmIdentifier(algorithm)) && verifySignature(signer.spkiDer, algorithm, tbs, signature);
}

/**
 * @param allowed rules that this certificate may break
 * @throws PkiError `certificate.lint` with every rule that it breaks
 */
export function requireClean(what: string, tbs: Uint8Array, issuer: ParsedCertificate | undefined, kind: LintKind, allowed: readonly string[] = []): void {
  const errors = lintCertificate(tbs, { issuer, kind }).filter(({ severity, rule }) => severity === 'error' && !allowed.includes(rule));
  if (errors.length === 0) return;
  throw new PkiError('certificate.lint', `${what} is not signed: ${errors.map(({ rule, citation, detail }) => `${rule} (${citation}): ${detail}`).join('; ')}`);
}

/** Whole object with its common parts. */
export const ceremonyObject = (fields: Omit<CeremonyObject, 'tbsSha256'>): CeremonyObject => ({ ...fields, tbsSha256: sha256Of(fields.tbs) });
