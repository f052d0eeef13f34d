import { hash } from 'node:crypto';
import { equalBytes } from '@fleetroot/core';
import type { ParsedCertificate } from '../certificate/certificate.ts';
import { DerReader } from '../der/reader.ts';
import { integer, nullValue, octetString, oid, sequence, tag } from '../der/writer.ts';
import { CERT_ID_HASHES, type CertIdHash } from './oids.ts';
import type { CertId } from './request.ts';

/** Hashes of a CA's name and of its public key bits, by each algorithm that a CertID may use (RFC 6960 section 4.1.1). */
export type IssuerHashes = Readonly<Record<CertIdHash, { readonly name: Uint8Array; readonly key: Uint8Array }>>;

export function issuerHashes({ subjectDer, spkiDer }: ParsedCertificate): IssuerHashes {
  const spki = new DerReader(spkiDer, 'certificate.malformed').enter(tag.sequence, 'subjectPublicKeyInfo');
  spki.element('algorithm');
  const key = spki.bitString('subjectPublicKey');
  const both = (algorithm: CertIdHash) => ({
    name: hash(algorithm, subjectDer, 'buffer'), key: hash(algorithm, key, 'buffer'),
  });
  return { sha1: both('sha1'), sha256: both('sha256') };
}

/** Whether a CertID names the CA of these hashes. */
export function namesIssuer(certId: CertId, hashes: IssuerHashes): boolean {
  if (certId.hash === undefined) return false;
  const { name, key } = hashes[certId.hash];
  return equalBytes(name, certId.issuerNameHash) && equalBytes(key, certId.issuerKeyHash);
}

/** The CertIDs that clients ask by, DER: one for each hash, with NULL for its parameters. `serial`: content octets of the INTEGER. */
export const certIdsOf = (hashes: IssuerHashes, serial: Uint8Array): readonly Uint8Array[] =>
  [...CERT_ID_HASHES].map(([id, name]) => sequence(
    sequence(oid(id), nullValue()), octetString(hashes[name].name), octetString(hashes[name].key), integer(serial),
  ));
