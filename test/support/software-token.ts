import { generateKeyPairSync, type KeyObject, sign, constants } from 'node:crypto';
import { equalBytes } from '@fleetroot/core';
import { digestOf, type SignatureAlgorithm } from '@fleetroot/x509';
import type { CeremonyKeyAlgorithm, CeremonyToken } from '@fleetroot/authority';

/** A token in memory that counts what it signs: for tests only. */
export interface SoftwareToken extends CeremonyToken {
  /** Each message that was signed, in order. */
  readonly signed: Uint8Array[];
}

const pairs: Readonly<Record<string, () => { publicKey: KeyObject; privateKey: KeyObject }>> = {
  'p-256': () => generateKeyPairSync('ec', { namedCurve: 'P-256' }), 'p-384': () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  'p-521': () => generateKeyPairSync('ec', { namedCurve: 'P-521' }), ed25519: () => generateKeyPairSync('ed25519'),
};

export function softwareToken(serial = 'software-1'): SoftwareToken {
  const keys: { keyId: Uint8Array; label: string; spkiDer: Uint8Array; closed: boolean; privateKey: KeyObject }[] = [];
  const signed: Uint8Array[] = [];
  return {
    facts: { label: 'software', serial }, signed,
    generateKeyPair: ({ algorithm, label, keyId }) => {
      const { publicKey, privateKey } = pair(algorithm);
      const spkiDer = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
      keys.push({ keyId: new Uint8Array(keyId), label, spkiDer, closed: true, privateKey });
      return Promise.resolve(spkiDer);
    },
    listKeys: () => Promise.resolve(keys.map(({ keyId, label, spkiDer, closed }) => ({ keyId, label, spkiDer, closed }))),
    sign: (keyId, algorithm, message) => {
      const key = keys.find((each) => equalBytes(each.keyId, keyId));
      if (key === undefined) throw new Error('no such key');
      signed.push(message);
      return Promise.resolve(signature(key.privateKey, algorithm, message));
    },
  };
}

const pair = (algorithm: CeremonyKeyAlgorithm) => (pairs[algorithm] ?? (() => generateKeyPairSync('rsa', { modulusLength: Number(algorithm.slice(4)) })))();

function signature(key: KeyObject, algorithm: SignatureAlgorithm, message: Uint8Array): Uint8Array {
  const padding = algorithm.startsWith('rsa-pss') ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST } : {};
  return new Uint8Array(sign(digestOf(algorithm) ?? null, message, { key, ...padding }));
}
