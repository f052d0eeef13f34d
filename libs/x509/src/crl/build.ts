import { concatBytes, PkiError } from '@fleetroot/core';
import { extension } from '../certificate/extension.ts';
import { encodeExtensions } from '../certificate/extension-list.ts';
import { bitString, explicit, integer, sequence, time } from '../der/writer.ts';
import { algorithmIdentifier, type SignatureAlgorithm } from '../key/algorithm.ts';
import { CrlEntries } from './entries.ts';
import { crlExtensions, type CrlNatureFacts } from './extensions.ts';
import type { CrlEntry } from './entry-encoder.ts';

/** What a CRL says apart from its entries. */
export interface CrlFacts extends CrlNatureFacts {
  readonly signatureAlgorithm: SignatureAlgorithm;
  /** The subject of the CA's certificate, DER, octet for octet. */
  readonly issuerDer: Uint8Array;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** The subject key identifier of the CA's certificate. */
  readonly authorityKeyIdentifier: Uint8Array;
}

export interface CrlFields extends CrlFacts {
  /** Ready collected, or in one go. Order is free; ascending serials are the quick way. */
  readonly entries: CrlEntries | Iterable<CrlEntry>;
}

/** CRLNumber has at most 20 octets, its sign bit among them (RFC 5280 section 5.2.3). */
const NUMBER_LIMIT = 1n << 159n;

/**
 * TBSCertList of a v2 CRL, complete or a delta, DER, with the two extensions that RFC 5280 section 5.2 asks of every CRL,
 * CRL number and authority key identifier, and those that say what it is about. Time and memory are linear in the entries.
 * @throws PkiError `crl.invalid` where a field breaks RFC 5280 section 5.1, or a serial comes twice
 */
export function buildCrlTbs(fields: CrlFields): Uint8Array {
  const { before, after } = crlFrame(fields);
  return sequence(before, collected(fields).encode(), after);
}

/**
 * The content of a TBSCertList before and after revokedCertificates.
 * @throws PkiError `crl.invalid` where a field breaks RFC 5280 section 5.1
 */
export function crlFrame(facts: CrlFacts): { readonly before: Uint8Array; readonly after: Uint8Array } {
  if (facts.number < 0n || facts.number >= NUMBER_LIMIT) {
    throw new PkiError('crl.invalid', 'a CRL number is not negative and has at most 20 octets');
  }
  if (facts.baseNumber !== undefined && (facts.baseNumber < 0n || facts.baseNumber > facts.number)) {
    throw new PkiError('crl.invalid', 'a delta CRL starts from a complete CRL with its own number or one below');
  }
  if (facts.nextUpdate.getTime() <= facts.thisUpdate.getTime()) {
    throw new PkiError('crl.invalid', 'nextUpdate of a CRL must be later than thisUpdate');
  }
  return {
    before: concatBytes(
      integer(1), algorithmIdentifier(facts.signatureAlgorithm), facts.issuerDer, time(facts.thisUpdate), time(facts.nextUpdate),
    ),
    after: explicit(0, encodeExtensions([extension.authorityKeyIdentifier(facts.authorityKeyIdentifier), ...crlExtensions(facts)])),
  };
}

/** CertificateList, DER. `signature` in the form that X.509 asks for: ECDSA as the DER of r and s. */
export const assembleCrl = (tbs: Uint8Array, algorithm: SignatureAlgorithm, signature: Uint8Array): Uint8Array =>
  sequence(tbs, algorithmIdentifier(algorithm), bitString(signature));

function collected({ entries, baseNumber }: CrlFields): CrlEntries {
  const delta = baseNumber !== undefined;
  if (entries instanceof CrlEntries) {
    if (entries.delta && !delta) throw new PkiError('crl.invalid', 'entries of a delta CRL do not belong on a complete one');
    return entries;
  }
  const collector = new CrlEntries({ delta });
  for (const entry of entries) collector.add(entry);
  return collector;
}
