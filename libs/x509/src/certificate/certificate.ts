import { equalBytes, PkiError } from '@fleetroot/core';
import { DerReader } from '../der/reader.ts';
import { tag } from '../der/writer.ts';
import { algorithmFromIdentifier, type SignatureAlgorithm } from '../key/algorithm.ts';
import type { GeneralName } from '../name/general-name.ts';
import { parseName } from '../name/name.ts';
import type { Extension } from './extension.ts';
import { type ParsedTbs, readTbs } from './tbs.ts';

/** Larger ones do not occur; a bound keeps a hostile one from costing much. */
const MAX_OCTETS = 64 * 1024;

/** A certificate, taken apart. Byte fields are views of the input, which must not be written to. */
export interface ParsedCertificate {
  readonly der: Uint8Array;
  readonly tbsDer: Uint8Array;
  readonly version: number;
  /** Content octets of the INTEGER: minimal, positive or zero. */
  readonly serial: Uint8Array;
  readonly issuerDer: Uint8Array;
  readonly subjectDer: Uint8Array;
  readonly spkiDer: Uint8Array;
  readonly notBefore: Date;
  /** The last second of validity, itself valid (RFC 5280 section 4.1.2.5). */
  readonly notAfter: Date;
  readonly extensions: readonly Extension[];
  readonly signatureAlgorithm: SignatureAlgorithm;
  /** In X.509 form: ECDSA as DER. */
  readonly signature: Uint8Array;
  /** basicConstraints with cA TRUE. */
  readonly isCa: boolean;
  readonly pathLength?: number;
  /** By the names of RFC 5280 section 4.2.1.3; absent where the extension is. */
  readonly keyUsage?: readonly string[];
  /** Names where known, else OIDs; absent where the extension is. */
  readonly extendedKeyUsage?: readonly string[];
  readonly subjectKeyIdentifier?: Uint8Array;
  readonly authorityKeyIdentifier?: Uint8Array;
  /** Empty where the extension is absent. */
  readonly subjectAltNames: readonly GeneralName[];
  readonly ocspUrls: readonly string[];
  readonly caIssuersUrls: readonly string[];
  readonly crlUrls: readonly string[];
}

/**
 * Certificate from DER, strictly: nothing may follow it, no extension may stand twice, and both signature algorithms
 * are one and the same (RFC 5280 section 4.1.1.2). The signature is not verified.
 * @throws PkiError `certificate.malformed`
 */
export function parseCertificate(der: Uint8Array): ParsedCertificate {
  const code = 'certificate.malformed';
  if (der.length > MAX_OCTETS) throw new PkiError(code, `a certificate has at most ${MAX_OCTETS} octets`);
  const outer = new DerReader(der, code);
  const reader = outer.enter(tag.sequence, 'certificate');
  outer.end('certificate');
  const start = reader.offset;
  const tbs = readTbs(reader, code, 'accept-defaults');
  const tbsDer = der.subarray(start, reader.offset);
  const algorithmDer = reader.element('signatureAlgorithm', tag.sequence);
  const signature = reader.bitString('signatureValue');
  reader.end('signatureValue');
  if (!equalBytes(algorithmDer, tbs.algorithmDer)) reader.fail('signatureAlgorithm', 'differs from the one that is signed');
  // Names are kept whole, but one that is no Name would be taken for another by whoever reads it leniently.
  for (const name of [tbs.issuerDer, tbs.subjectDer]) parseName(name, code);
  checkKeyForm(tbs.spkiDer);
  const oids = new Set(tbs.extensions.map(({ oid }) => oid));
  if (oids.size !== tbs.extensions.length) reader.fail('extensions', 'have one that stands twice');
  return { der, tbsDer, signatureAlgorithm: algorithmFromIdentifier(algorithmDer, code), signature, ...flatten(tbs) };
}

/** SubjectPublicKeyInfo of any algorithm (RFC 5280 section 4.1): well-formed, though not looked into. */
function checkKeyForm(spkiDer: Uint8Array): void {
  const spki = new DerReader(spkiDer, 'certificate.malformed').enter(tag.sequence, 'subjectPublicKeyInfo');
  const algorithm = spki.enter(tag.sequence, 'subjectPublicKeyInfo.algorithm');
  algorithm.oid('subjectPublicKeyInfo.algorithm');
  if (!algorithm.atEnd) algorithm.element('subjectPublicKeyInfo.parameters');
  algorithm.end('subjectPublicKeyInfo.parameters');
  spki.bitString('subjectPublicKey');
  spki.end('subjectPublicKey');
}

function flatten(tbs: ParsedTbs): Omit<ParsedCertificate, 'der' | 'tbsDer' | 'signatureAlgorithm' | 'signature'> {
  const { known } = tbs;
  const pathLength = known.basicConstraints?.pathLength;
  const authorityKeyIdentifier = known.authorityKeyIdentifier?.keyId;
  return {
    version: tbs.version, serial: tbs.serial, issuerDer: tbs.issuerDer, subjectDer: tbs.subjectDer, spkiDer: tbs.spkiDer,
    notBefore: tbs.notBefore.date, notAfter: tbs.notAfter.date, extensions: tbs.extensions,
    isCa: known.basicConstraints?.ca === true,
    ...(pathLength === undefined ? {} : { pathLength }),
    ...(known.keyUsage === undefined ? {} : { keyUsage: known.keyUsage }),
    ...(known.extendedKeyUsage === undefined ? {} : { extendedKeyUsage: known.extendedKeyUsage }),
    ...(known.subjectKeyIdentifier === undefined ? {} : { subjectKeyIdentifier: known.subjectKeyIdentifier }),
    ...(authorityKeyIdentifier === undefined ? {} : { authorityKeyIdentifier }),
    subjectAltNames: known.subjectAltNames ?? [],
    ocspUrls: known.informationAccess?.ocsp ?? [],
    caIssuersUrls: known.informationAccess?.caIssuers ?? [],
    crlUrls: known.crlUrls ?? [],
  };
}
