import { type ErrorCode, PkiError } from '@fleetroot/core';
import { explicit, integer, nullValue, oid, sequence } from '../der/writer.ts';

/** What Fleetroot signs with and lets others sign with. SHA-1 and MD5 have no name here and never will. */
export type SignatureAlgorithm =
  | 'ecdsa-sha256' | 'ecdsa-sha384' | 'ecdsa-sha512' | 'ed25519' | 'rsa-sha256' | 'rsa-sha384' | 'rsa-sha512'
  | 'rsa-pss-sha256' | 'rsa-pss-sha384' | 'rsa-pss-sha512';

export type DigestName = 'sha256' | 'sha384' | 'sha512';

const digests: Readonly<Record<DigestName, { readonly oid: string; readonly octets: number }>> = {
  sha256: { oid: '2.16.840.1.101.3.4.2.1', octets: 32 },
  sha384: { oid: '2.16.840.1.101.3.4.2.2', octets: 48 },
  sha512: { oid: '2.16.840.1.101.3.4.2.3', octets: 64 },
};
const RSASSA_PSS = '1.2.840.113549.1.1.10';
const MGF1 = '1.2.840.113549.1.1.8';

/** The digest an algorithm signs; Ed25519 signs the message itself. */
export function digestOf(algorithm: SignatureAlgorithm): DigestName | undefined {
  return algorithm === 'ed25519' ? undefined : (algorithm.slice(algorithm.lastIndexOf('-') + 1) as DigestName);
}

/**
 * Parameters of RSASSA-PSS (RFC 4055 section 3.1): MGF1 with the same hash, salt as long as the hash, trailer field
 * left at its default. The parameters of the two hashes may be NULL or absent (RFC 4055 section 2.1); we write NULL.
 */
function pssIdentifier(digest: DigestName, hashNull = true, mgfNull = true): Uint8Array {
  const { oid: dotted, octets } = digests[digest];
  const hash = (withNull: boolean) => sequence(oid(dotted), ...(withNull ? [nullValue()] : []));
  return sequence(
    oid(RSASSA_PSS),
    sequence(explicit(0, hash(hashNull)), explicit(1, sequence(oid(MGF1), hash(mgfNull))), explicit(2, integer(octets))),
  );
}

/** ECDSA: parameters absent (RFC 5758 section 3.2). RSA PKCS #1 v1.5: NULL (RFC 4055 section 5). */
const identifiers: Readonly<Record<SignatureAlgorithm, Uint8Array>> = {
  'ecdsa-sha256': sequence(oid('1.2.840.10045.4.3.2')),
  'ecdsa-sha384': sequence(oid('1.2.840.10045.4.3.3')),
  'ecdsa-sha512': sequence(oid('1.2.840.10045.4.3.4')),
  ed25519: sequence(oid('1.3.101.112')),
  'rsa-sha256': sequence(oid('1.2.840.113549.1.1.11'), nullValue()),
  'rsa-sha384': sequence(oid('1.2.840.113549.1.1.12'), nullValue()),
  'rsa-sha512': sequence(oid('1.2.840.113549.1.1.13'), nullValue()),
  'rsa-pss-sha256': pssIdentifier('sha256'),
  'rsa-pss-sha384': pssIdentifier('sha384'),
  'rsa-pss-sha512': pssIdentifier('sha512'),
};

/** Octets as a key of a Map: one character an octet. */
export const octetKey = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');

/** Every encoding that is accepted, and nothing else: no parser of parameters that could be led astray. */
const accepted = new Map<string, SignatureAlgorithm>();
for (const [name, der] of Object.entries(identifiers)) accepted.set(octetKey(der), name as SignatureAlgorithm);
for (const digest of ['sha256', 'sha384', 'sha512'] as const) {
  for (const [hashNull, mgfNull] of [[true, false], [false, true], [false, false]] as const) {
    accepted.set(octetKey(pssIdentifier(digest, hashNull, mgfNull)), `rsa-pss-${digest}`);
  }
}
// "MUST accept the parameters being absent as well as present" (RFC 4055 section 5).
accepted.set(octetKey(sequence(oid('1.2.840.113549.1.1.11'))), 'rsa-sha256');
accepted.set(octetKey(sequence(oid('1.2.840.113549.1.1.12'))), 'rsa-sha384');
accepted.set(octetKey(sequence(oid('1.2.840.113549.1.1.13'))), 'rsa-sha512');

/** The AlgorithmIdentifier, DER. Shared: not to be written to. */
export const algorithmIdentifier = (algorithm: SignatureAlgorithm): Uint8Array => identifiers[algorithm];

/** The algorithm of an AlgorithmIdentifier, or undefined where it is not one of ours. */
export const findAlgorithm = (der: Uint8Array): SignatureAlgorithm | undefined => accepted.get(octetKey(der));

/**
 * The algorithm of an AlgorithmIdentifier (DER, whole).
 * @throws PkiError `code` where it is unknown, weak, or has other parameters than the standard gives it
 */
export function algorithmFromIdentifier(der: Uint8Array, code: ErrorCode): SignatureAlgorithm {
  const found = findAlgorithm(der);
  if (found === undefined) {
    throw new PkiError(code, 'the signature must be ECDSA or RSA with SHA-256, SHA-384 or SHA-512, or Ed25519; '
      + 'RSASSA-PSS with the same hash for MGF1 and a salt of its length');
  }
  return found;
}
