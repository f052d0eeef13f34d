import { constants, createVerify, type KeyObject, verify } from 'node:crypto';
import { PkiError } from '@fleetroot/core';
import { DerBackWriter } from '../der/back-writer.ts';
import { tag } from '../der/writer.ts';
import { digestOf, type SignatureAlgorithm } from './algorithm.ts';
import { algorithmFitsKey, importPublicKey } from './public-key.ts';

/**
 * Whether `signature`, in its X.509 form (ECDSA as DER), is this key's over `message`. False, too, for a signature that
 * is not well-formed, an algorithm that is not the key's, and a key that is not accepted: it never throws.
 */
export function verifySignature(
  spkiDer: Uint8Array, algorithm: SignatureAlgorithm, message: Uint8Array, signature: Uint8Array,
): boolean {
  if (!algorithmFitsKey(algorithm, spkiDer)) return false;
  const key = tryImport(spkiDer);
  return key !== undefined && verifyWithKey(key, algorithm, message, signature);
}

/** As `importPublicKey`; undefined: the key is not valid. */
export function tryImport(spkiDer: Uint8Array): KeyObject | undefined {
  try {
    return importPublicKey(spkiDer);
  } catch {
    return undefined;
  }
}

/** As `verifySignature`, for a key that was imported before and is known to fit the algorithm. */
export function verifyWithKey(
  key: KeyObject, algorithm: SignatureAlgorithm, message: Uint8Array, signature: Uint8Array,
): boolean {
  try {
    return verify(digestOf(algorithm) ?? null, message, withPadding(key, algorithm), signature);
  } catch {
    // OpenSSL throws where the parameters of an id-RSASSA-PSS key forbid the algorithm.
    return false;
  }
}

/**
 * As `verifyWithKey`, for a key that is used this once: without a KeyObject of it, which costs more than it is worth then.
 * False, too, for a key that cannot be imported.
 */
export function verifyWithSpki(spkiDer: Uint8Array, algorithm: SignatureAlgorithm, message: Uint8Array, signature: Uint8Array): boolean {
  const digest = digestOf(algorithm);
  if (digest === undefined || !algorithm.startsWith('ecdsa-')) return verifySignature(spkiDer, algorithm, message, signature);
  try {
    return createVerify(digest).update(message).verify({ key: spkiDer as Buffer, format: 'der', type: 'spki' }, signature);
  } catch {
    return false;
  }
}

function withPadding(key: KeyObject, algorithm: SignatureAlgorithm): Parameters<typeof verify>[2] {
  if (!algorithm.startsWith('rsa')) return key;
  return algorithm.startsWith('rsa-pss')
    ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : { key, padding: constants.RSA_PKCS1_PADDING };
}

// Encoding is synchronous: one writer serves all.
const writer = new DerBackWriter();

/** ECDSA signature as X.509 carries it, a SEQUENCE of the INTEGERs r and s, from r and s side by side (PKCS #11). */
export function ecdsaSignatureToDer(rawRS: Uint8Array): Uint8Array {
  if (rawRS.length === 0 || rawRS.length % 2 !== 0) {
    throw new PkiError('hsm.signature-invalid', 'an ECDSA signature has two halves of equal length');
  }
  const half = rawRS.length / 2;
  writer.clear();
  writer.integer(rawRS.subarray(half));
  writer.integer(rawRS.subarray(0, half));
  writer.header(tag.sequence, writer.length);
  return writer.take();
}
