import { equalBytes, PkiError, type RandomBytes, toHex } from '@fleetroot/core';
import { publicKeyFacts } from '@fleetroot/x509';
import { octets } from './digest.ts';
import type { KnownAuthority } from './hierarchy.ts';
import type { CeremonyRecord } from './record.ts';
import type { CeremonyKeyAlgorithm, CeremonyToken, CeremonyTokenKey } from './token.ts';

export interface CeremonyKey {
  /** CKA_ID, hex. */
  readonly keyId: string;
  readonly spkiDer: Uint8Array;
}

/** The label of the key that signs transcripts. */
const CEREMONY_KEY = 'fleetroot-ceremony';

/** The keys in the token of a ceremony. */
export class TokenKeys {
  readonly #token: CeremonyToken;
  readonly #keys: CeremonyTokenKey[];

  private constructor(token: CeremonyToken, keys: readonly CeremonyTokenKey[]) {
    this.#token = token;
    this.#keys = [...keys];
  }

  static async of(token: CeremonyToken): Promise<TokenKeys> {
    return new TokenKeys(token, await token.listKeys());
  }

  /** The key that an unfinished run has made under this CKA_ID, or a new one. @returns SubjectPublicKeyInfo, DER */
  async make(name: string, keyIdHex: string, algorithm: CeremonyKeyAlgorithm): Promise<Uint8Array> {
    const keyId = octets(keyIdHex);
    const [found, ...others] = this.#with(keyIdHex);
    if (found === undefined) return this.#generate(name, keyId, algorithm);
    if (others.length > 0 || !found.closed || found.spkiDer === undefined) {
      throw new PkiError('hsm.key-mismatch', `the key that an earlier run began for ${name} cannot be used: remove intents.json from the folder of ceremonies and run it again`);
    }
    return found.spkiDer;
  }

  /** @throws PkiError `hsm.key-not-found`, `hsm.key-mismatch` where the token does not hold the CA's key, once */
  requireKeyOf({ name, keyId, certificate }: KnownAuthority): void {
    const [found, ...others] = keyId === undefined ? [] : this.#with(keyId);
    const { label } = this.#token.facts;
    if (found === undefined) {
      throw new PkiError('hsm.key-not-found', `the token "${label}" has no key with the CKA_ID ${keyId ?? ''}, which is that of the CA ${name}: use the token that has it`);
    }
    if (others.length > 0 || found.spkiDer === undefined || !equalBytes(found.spkiDer, certificate.spkiDer)) {
      throw new PkiError('hsm.key-mismatch', `the token "${label}" has another key, or several, with the CKA_ID ${keyId ?? ''} of the CA ${name}`);
    }
  }

  /**
   * The key that signs the transcripts of this token: the one on record, else the one with its label, else a new one.
   * @throws PkiError `hsm.key-mismatch` where several have the label and none is on record
   */
  async ceremonyKey(record: CeremonyRecord, random: RandomBytes): Promise<CeremonyKey> {
    for (const { keyId, spki } of record.ceremonyKeys) {
      const spkiDer = new Uint8Array(Buffer.from(spki, 'base64'));
      if (this.#with(keyId).some((key) => key.spkiDer !== undefined && equalBytes(key.spkiDer, spkiDer))) return { keyId, spkiDer };
    }
    const [labelled, ...others] = this.#keys.filter(({ label, closed, spkiDer }) => label === CEREMONY_KEY && closed && spkiDer !== undefined && isP256(spkiDer));
    if (others.length > 0) {
      throw new PkiError('hsm.key-mismatch', `the token "${this.#token.facts.label}" has several keys with the label ${CEREMONY_KEY}, and ceremony.json names none of them: restore the folder of ceremonies, or remove the keys that nobody needs`);
    }
    if (labelled?.spkiDer !== undefined) return { keyId: toHex(labelled.keyId), spkiDer: labelled.spkiDer };
    const keyId = random(20);
    return { keyId: toHex(keyId), spkiDer: await this.#generate(CEREMONY_KEY, keyId, 'p-256') };
  }

  #with(keyIdHex: string): CeremonyTokenKey[] {
    return this.#keys.filter(({ keyId }) => toHex(keyId) === keyIdHex);
  }

  async #generate(label: string, keyId: Uint8Array, algorithm: CeremonyKeyAlgorithm): Promise<Uint8Array> {
    const spkiDer = await this.#token.generateKeyPair({ algorithm, label, keyId });
    this.#keys.push({ keyId, label, spkiDer, closed: true });
    return spkiDer;
  }
}

const isP256 = (spkiDer: Uint8Array): boolean => publicKeyFacts(spkiDer, 'hsm.key-mismatch').keyType === 'p-256';
