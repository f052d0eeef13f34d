import type { SignatureAlgorithm } from '@fleetroot/x509';

/** What the key of a CA may be. */
export const ceremonyKeyAlgorithms = ['p-256', 'p-384', 'p-521', 'ed25519', 'rsa-3072', 'rsa-4096'] as const;

export type CeremonyKeyAlgorithm = (typeof ceremonyKeyAlgorithms)[number];

/** A token in which a ceremony makes keys and signs, logged in. */
export interface CeremonyToken {
  readonly facts: { readonly label: string; readonly serial: string };
  /**
   * A new key pair that signs only and cannot leave the token, under this CKA_ID; durable on return.
   * @returns SubjectPublicKeyInfo, DER
   */
  generateKeyPair(request: { algorithm: CeremonyKeyAlgorithm; label: string; keyId: Uint8Array }): Promise<Uint8Array>;
  /** The private keys in it. `closed`: made there, never extractable, always sensitive. */
  listKeys(): Promise<readonly { readonly keyId: Uint8Array; readonly spkiDer: Uint8Array | undefined; readonly closed: boolean }[]>;
  /** One signature in its X.509 form. */
  sign(keyId: Uint8Array, algorithm: SignatureAlgorithm, message: Uint8Array): Promise<Uint8Array>;
}
