import { createPublicKey, randomBytes } from 'node:crypto';
import { PkiError, toHex } from '@fleetroot/core';
import { ecdsaSignatureToDer, type SignatureAlgorithm, signatureAlgorithmFor, verifySignature } from '@fleetroot/x509';
import { type KeyShape, signingInput, signingMechanism } from '../mechanism.ts';
import { shapeOf } from '../public-key.ts';

/** A key to sign with, as its certificate describes it. */
export interface PooledKey {
  /** CKA_ID in hex. */
  readonly id: string;
  readonly spkiDer: Uint8Array;
  readonly shape: KeyShape;
  /** What it will sign by, each tried at every login. */
  readonly algorithms: readonly SignatureAlgorithm[];
}

/** In front of every self-test message. A TBSCertificate, a CRL or an OCSP answer begins with 0x30, never so. */
const SELF_TEST = Buffer.from('fleetroot hsm self-test\0', 'utf8');

/** @throws PkiError `hsm.mechanism-missing` for a kind of key that nothing here signs with, or not by these algorithms */
export function pooledKey(wanted: { keyId: Uint8Array; spkiDer: Uint8Array; algorithms?: readonly SignatureAlgorithm[] }): PooledKey {
  const { keyId, spkiDer } = wanted;
  const shape = shapeOf(createPublicKey({ key: Buffer.from(spkiDer), format: 'der', type: 'spki' }));
  const algorithms = wanted.algorithms ?? [signatureAlgorithmFor(spkiDer)];
  for (const algorithm of algorithms) signingMechanism(algorithm, shape.family);
  return { id: toHex(keyId), spkiDer, shape, algorithms };
}

/** What a self-test is about: never the same twice. */
export const challenge = (): Uint8Array => new Uint8Array(Buffer.concat([SELF_TEST, randomBytes(32)]));

/** The self-tests of a key as the HSM process is asked for them. */
export const selfTests = (key: PooledKey, message: Uint8Array): { algorithm: SignatureAlgorithm; input: string }[] =>
  key.algorithms.map((algorithm) => ({ algorithm, input: toHex(signingInput(algorithm, key.shape, message)) }));

/** Why the token's answers to the self-tests show that this is not the key; undefined where they verify. */
export function judge(key: PooledKey, message: Uint8Array, signatures: readonly string[]): PkiError | undefined {
  const right = key.algorithms.every((algorithm, i) =>
    verifySignature(key.spkiDer, algorithm, message, x509Form(algorithm, Buffer.from(signatures[i] ?? '', 'hex'))));
  if (right) return undefined;
  return new PkiError('hsm.key-mismatch', `a signature by the key with CKA_ID ${key.id} does not verify under its certificate's public key`);
}

/** The signature as X.509 carries it, from what the token made. @throws PkiError `hsm.signature-invalid` */
export const x509Form = (algorithm: SignatureAlgorithm, signature: Buffer): Uint8Array =>
  algorithm.startsWith('ecdsa-') ? ecdsaSignatureToDer(signature) : new Uint8Array(signature);
