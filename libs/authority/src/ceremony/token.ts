import type { KeyType, SignatureAlgorithm } from '@fleetroot/x509';

/** What the key of a CA may be. */
export const ceremonyKeyAlgorithms = ['p-256', 'p-384', 'p-521', 'ed25519', 'rsa-2048', 'rsa-3072', 'rsa-4096'] as const;

export type CeremonyKeyAlgorithm = (typeof ceremonyKeyAlgorithms)[number];

/** Type of such a key, and bits of an RSA modulus. */
export function keyShape(algorithm: CeremonyKeyAlgorithm): { readonly keyType: KeyType; readonly bits: number } {
  if (!algorithm.startsWith('rsa-')) return { keyType: algorithm as Exclude<KeyType, 'rsa'>, bits: 0 };
  return { keyType: 'rsa', bits: Number(algorithm.slice('rsa-'.length)) };
}

/** A private key that is in the token. */
export interface CeremonyTokenKey {
  readonly keyId: Uint8Array;
  readonly label: string;
  readonly spkiDer: Uint8Array | undefined;
  /** Made there, never extractable, always sensitive. */
  readonly closed: boolean;
}

/** A token in which a ceremony makes keys and signs, logged in. */
export interface CeremonyToken {
  readonly facts: { readonly label: string; readonly serial: string };
  /**
   * A new key pair that signs only and cannot leave the token, under this CKA_ID; durable on return.
   * @returns SubjectPublicKeyInfo, DER
   */
  generateKeyPair(request: { algorithm: CeremonyKeyAlgorithm; label: string; keyId: Uint8Array }): Promise<Uint8Array>;
  listKeys(): Promise<readonly CeremonyTokenKey[]>;
  /** One signature in its X.509 form. */
  sign(keyId: Uint8Array, algorithm: SignatureAlgorithm, message: Uint8Array): Promise<Uint8Array>;
}
