import { PkiError } from '@fleetroot/core';
import { extension } from '../certificate/extension.ts';
import { encodeExtensions } from '../certificate/extension-list.ts';
import { bitString, explicit, integer, sequence, time } from '../der/writer.ts';
import { algorithmIdentifier, type SignatureAlgorithm } from '../key/algorithm.ts';
import { CrlEntries, type CrlEntry } from './entries.ts';

export interface CrlFields {
  readonly signatureAlgorithm: SignatureAlgorithm;
  /** The subject of the CA's certificate, DER, octet for octet. */
  readonly issuerDer: Uint8Array;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** At most 20 octets (RFC 5280 section 5.2.3). */
  readonly number: bigint;
  /** The subject key identifier of the CA's certificate. */
  readonly authorityKeyIdentifier: Uint8Array;
  /** Ready collected, or in one go. Order is free; ascending serials are the quick way. */
  readonly entries: CrlEntries | Iterable<CrlEntry>;
}

const ID_CE_CRL_NUMBER = '2.5.29.20';
/** CRLNumber has at most 20 octets, its sign bit among them (RFC 5280 section 5.2.3). */
const NUMBER_LIMIT = 1n << 159n;

/**
 * TBSCertList of a complete v2 CRL, DER, with the two extensions that RFC 5280 section 5.2 asks of every CRL: CRL
 * number and authority key identifier. Time and memory are linear in the entries.
 * @throws PkiError `crl.invalid` where a field breaks RFC 5280 section 5.1, or a serial comes twice
 */
export function buildCrlTbs(fields: CrlFields): Uint8Array {
  if (fields.number < 0n || fields.number >= NUMBER_LIMIT) {
    throw new PkiError('crl.invalid', 'a CRL number is not negative and has at most 20 octets');
  }
  if (fields.nextUpdate.getTime() <= fields.thisUpdate.getTime()) {
    throw new PkiError('crl.invalid', 'nextUpdate of a CRL must be later than thisUpdate');
  }
  return sequence(
    integer(1),
    algorithmIdentifier(fields.signatureAlgorithm),
    fields.issuerDer,
    time(fields.thisUpdate),
    time(fields.nextUpdate),
    collected(fields.entries).encode(),
    explicit(0, encodeExtensions([
      extension.authorityKeyIdentifier(fields.authorityKeyIdentifier),
      { oid: ID_CE_CRL_NUMBER, critical: false, value: integer(fields.number) },
    ])),
  );
}

/** CertificateList, DER. `signature` in the form that X.509 asks for: ECDSA as the DER of r and s. */
export const assembleCrl = (tbs: Uint8Array, algorithm: SignatureAlgorithm, signature: Uint8Array): Uint8Array =>
  sequence(tbs, algorithmIdentifier(algorithm), bitString(signature));

function collected(entries: CrlEntries | Iterable<CrlEntry>): CrlEntries {
  if (entries instanceof CrlEntries) return entries;
  const collector = new CrlEntries();
  for (const entry of entries) collector.add(entry);
  return collector;
}
