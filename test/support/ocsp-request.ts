import { hash } from 'node:crypto';
import { der, issuerHashes, parseCertificate } from '@fleetroot/x509';

const HASH_OIDS = { sha1: '1.3.14.3.2.26', sha256: '2.16.840.1.101.3.4.2.1', sha512: '2.16.840.1.101.3.4.2.3' } as const;

export interface OcspQuestion {
  /** Certificate of the issuer, DER. */
  readonly issuer: Uint8Array;
  readonly serial: Uint8Array;
  readonly hash?: keyof typeof HASH_OIDS;
}

/** An OCSPRequest, DER, written here and not by the product. */
export function ocspRequest(questions: readonly OcspQuestion[], nonce?: Uint8Array): Uint8Array {
  const { sequence, explicit, oid, octetString } = der;
  return sequence(sequence(
    sequence(...questions.map((question) => sequence(certId(question)))),
    ...(nonce === undefined ? [] : [
      explicit(2, sequence(sequence(oid('1.3.6.1.5.5.7.48.1.2'), octetString(octetString(nonce))))),
    ]),
  ));
}

export function certId({ issuer, serial, hash: algorithm = 'sha1' }: OcspQuestion): Uint8Array {
  const { sequence, oid, nullValue, octetString, integer } = der;
  const certificate = parseCertificate(issuer);
  const { name, key } = algorithm === 'sha512'
    ? { name: hash('sha512', certificate.subjectDer, 'buffer'), key: new Uint8Array(64) }
    : issuerHashes(certificate)[algorithm];
  return sequence(sequence(oid(HASH_OIDS[algorithm]), nullValue()), octetString(name), octetString(key), integer(serial));
}
