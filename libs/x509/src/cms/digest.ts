import { nullValue, oid, sequence } from '../der/writer.ts';
import { type DigestName, digestOf, octetKey, type SignatureAlgorithm } from '../key/algorithm.ts';

const digestOids: Readonly<Record<DigestName, string>> = {
  sha256: '2.16.840.1.101.3.4.2.1', sha384: '2.16.840.1.101.3.4.2.2', sha512: '2.16.840.1.101.3.4.2.3',
};

/** The digest of the content that goes with a signature algorithm; Ed25519 takes SHA-512 (RFC 8419). */
export const contentDigest = (algorithm: SignatureAlgorithm): DigestName => digestOf(algorithm) ?? 'sha512';

/** AlgorithmIdentifier of a digest, parameters absent. */
export const digestIdentifier = (digest: DigestName): Uint8Array => sequence(oid(digestOids[digest]));

const known = new Map<string, DigestName>();
for (const digest of ['sha256', 'sha384', 'sha512'] as const) {
  known.set(octetKey(digestIdentifier(digest)), digest);
  known.set(octetKey(sequence(oid(digestOids[digest]), nullValue())), digest);
}

/** The digest of an AlgorithmIdentifier, parameters absent or NULL; undefined for others. */
export const findDigest = (der: Uint8Array): DigestName | undefined => known.get(octetKey(der));

const RSA_ENCRYPTION = octetKey(sequence(oid('1.2.840.113549.1.1.1'), nullValue()));

/** rsaEncryption as signatureAlgorithm leaves the hash to digestAlgorithm, as OpenSSL writes it. */
export const isRsaEncryption = (der: Uint8Array): boolean => octetKey(der) === RSA_ENCRYPTION;
