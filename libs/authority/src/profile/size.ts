import { concatBytes, PkiError } from '@fleetroot/core';
import { algorithmIdentifier, der, publicKeyFacts, type SignatureAlgorithm } from '@fleetroot/x509';

/** Octets of the longest ECDSA-Sig-Value by curve: two INTEGERs as long as the order, with a sign octet where its top bit may be set. */
const ecdsaMost: Readonly<Record<string, number>> = { 'p-256': 72, 'p-384': 104, 'p-521': 139 };

/** Octets of the longest signature that a key makes, in X.509 form. */
function longestSignature(spkiDer: Uint8Array): number {
  const { keyType, bits } = publicKeyFacts(spkiDer, 'certificate.malformed');
  if (keyType === 'rsa') return (bits + 7) >> 3;
  return keyType === 'ed25519' ? 64 : ecdsaMost[keyType] ?? 0;
}

/** Octets of the whole certificate around a TBSCertificate of that many, with the longest signature of its issuer. */
export function certificateOctets(issuerSpkiDer: Uint8Array, algorithm: SignatureAlgorithm): (tbsOctets: number) => number {
  const around = algorithmIdentifier(algorithm).length + der.bitString(new Uint8Array(longestSignature(issuerSpkiDer))).length;
  return (tbsOctets) => {
    const content = tbsOctets + around;
    return der.header(der.tag.sequence, content).length + content;
  };
}

/** @throws PkiError `certificate.lint` */
export function refuseOverBudget(profile: { name: string; sizeBudget?: number }, octets: number): void {
  if (profile.sizeBudget === undefined || octets <= profile.sizeBudget) return;
  throw new PkiError('certificate.lint', `the certificate would have up to ${octets} octets; the profile ${profile.name} allows ${profile.sizeBudget}: shorten names or URLs`, {
    data: { octets, budget: profile.sizeBudget },
  });
}

const RSA = '1.2.840.113549.1.1.1';
const EC = '1.2.840.10045.2.1';
const curves: Readonly<Record<string, readonly [string, number]>> = {
  'p-256': ['1.2.840.10045.3.1.7', 65], 'p-384': ['1.3.132.0.34', 97], 'p-521': ['1.3.132.0.35', 133],
};

/** A SubjectPublicKeyInfo as long as one of that type can be. Its key is no key. */
export function longestSpki(keyType: string, rsaMaxBits: number): Uint8Array {
  const curve = curves[keyType];
  if (curve !== undefined) return der.sequence(der.sequence(der.oid(EC), der.oid(curve[0])), der.bitString(new Uint8Array(curve[1])));
  if (keyType === 'ed25519') return der.sequence(der.sequence(der.oid('1.3.101.112')), der.bitString(new Uint8Array(32)));
  const modulus = new Uint8Array(rsaMaxBits / 8).fill(0xff);
  const key = der.sequence(der.integer(modulus), der.integer(new Uint8Array(8).fill(0xff)));
  // A PSS key with parameters has the longest AlgorithmIdentifier of all.
  const algorithms = [der.sequence(der.oid(RSA), der.nullValue()), algorithmIdentifier('rsa-pss-sha512')];
  const longest = algorithms.reduce((a, b) => (a.length > b.length ? a : b));
  return der.sequence(longest, der.bitString(concatBytes(key)));
}
