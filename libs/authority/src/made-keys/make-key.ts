import { generateKeyPair, type KeyObject, sign } from 'node:crypto';
import { promisify } from 'node:util';
import { buildRequest, digestOf, signatureAlgorithmFor, spkiSha256 } from '@fleetroot/x509';

const generate = promisify(generateKeyPair);

export const madeKeyTypes = ['p-256', 'p-384', 'p-521', 'ed25519', 'rsa-3072'] as const;
export type MadeKeyType = (typeof madeKeyTypes)[number];

export interface MadeKey {
  /** PKCS#10, DER, without names: a request like any other, signed by the key. */
  readonly csr: Uint8Array;
  /** Of its SubjectPublicKeyInfo. */
  readonly spkiSha256: Uint8Array;
  readonly envelope: Uint8Array;
}

/** Encrypts a private key (PKCS#8, DER) for its receiver. The octets are overwritten after it. */
export type SealKey = (pkcs8: Uint8Array) => Uint8Array;

/**
 * Makes a key pair by the process's CSPRNG, off the event loop, and encrypts its private key at once. In clear the private
 * key is in the memory of this call alone; its octets are overwritten, and OpenSSL overwrites its own when they are freed.
 */
export async function makeKey(type: MadeKeyType, seal: SealKey): Promise<MadeKey> {
  const { publicKey, privateKey } = await pairOf(type);
  const spkiDer = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
  const algorithm = signatureAlgorithmFor(spkiDer);
  const csr = await buildRequest({ subject: [], spkiDer, algorithm }, (info) => sign(digestOf(algorithm) ?? null, info, privateKey));
  const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
  try {
    return { csr, spkiSha256: spkiSha256(spkiDer), envelope: seal(pkcs8) };
  } finally {
    pkcs8.fill(0);
  }
}

function pairOf(type: MadeKeyType): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  switch (type) {
    case 'p-256': return generate('ec', { namedCurve: 'P-256' });
    case 'p-384': return generate('ec', { namedCurve: 'P-384' });
    case 'p-521': return generate('ec', { namedCurve: 'P-521' });
    case 'ed25519': return generate('ed25519');
    case 'rsa-3072': return generate('rsa', { modulusLength: 3072 });
  }
}
