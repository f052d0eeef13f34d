import { PkiError, type Secret, toHex } from '@fleetroot/core';
import { ecdsaSignatureToDer, type SignatureAlgorithm } from '@fleetroot/x509';
import { SessionFlag, type Session, type Slot, UserType } from 'graphene-pk11';
import pkcs11, { type Handle, type PKCS11 } from 'pkcs11js';
import { fromCryptoki } from './cryptoki-error.ts';
import type { KeyAlgorithm } from './key-algorithm.ts';
import { generate } from './key-pair.ts';
import { useLibrary } from './library.ts';
import { signingInput, signingMechanism } from './mechanism.ts';
import { readPublicKey, shapeOf } from './public-key.ts';
import { findSlot, findTokenObjects, flag, login, lookAgain } from './token-access.ts';

/** What a token says of itself before anyone logs in. */
export interface TokenFacts {
  readonly label: string;
  readonly serial: string;
  readonly userPinSet: boolean;
}

export interface TokenKey {
  readonly keyId: Uint8Array;
  readonly label: string;
  /** undefined where the token holds no public key object with this CKA_ID, or one of a type we do not know. */
  readonly spkiDer: Uint8Array | undefined;
  /** Generated in this token, always sensitive, never extractable. */
  readonly closed: boolean;
}

/** A token that is logged in, for administration; synchronous. */
export interface Token {
  readonly facts: TokenFacts;
  /**
   * Generates a key pair that signs only and never leaves; `keyId` (CKA_ID, say 20 random octets) is the caller's, so
   * that it can be on record before the key exists. Durable in the token on return.
   * @returns SubjectPublicKeyInfo, DER
   * @throws PkiError `hsm.key-mismatch` if a key with this CKA_ID exists; `hsm.mechanism-missing`; `hsm.unavailable`
   */
  generateKeyPair(request: { algorithm: KeyAlgorithm; label: string; keyId: Uint8Array }): Uint8Array;
  /** Every private key of the token. */
  listKeys(): TokenKey[];
  /** One signature, in X.509 form. @throws PkiError `hsm.key-not-found`, `hsm.mechanism-missing`, `hsm.unavailable` */
  sign(keyId: Uint8Array, algorithm: SignatureAlgorithm, message: Uint8Array): Uint8Array;
  close(): void;
}

const LABEL_LENGTH = 32;

/** The token with this label, or undefined. @throws PkiError `hsm.unavailable`; `hsm.token-not-found` if several have it */
export function findToken(options: { module: string; label: string }): TokenFacts | undefined {
  return withLibrary(options.module, 'looking for the token', (use) => {
    const found = slotsWith(use.module.getSlots(true), options.label);
    if (found.length > 1) throw new PkiError('hsm.token-not-found', `${found.length} tokens have the label "${options.label}"`);
    return found[0] === undefined ? undefined : factsOf(found[0]);
  });
}

/**
 * Initialises a free slot as a token with this label and these PINs. A token of this label that was left without a user
 * PIN (a crash in between) gets one, where the SO PIN is right; a finished one is left alone.
 * @throws PkiError `hsm.unavailable` where no slot is free; `hsm.pin-incorrect` where the SO PIN of a begun token is wrong
 */
export function initToken(options: { module: string; label: string; soPin: Secret; pin: Secret }): TokenFacts {
  return withLibrary(options.module, 'initialising the token', (use) => {
    const slots = () => use.module.getSlots(true);
    let [slot] = slotsWith(slots(), options.label);
    if (slot === undefined) {
      const all = slots();
      const free = Array.from({ length: all.length }, (_, i) => all.items(i)).find((each) => !isInitialised(each));
      if (free === undefined) throw new PkiError('hsm.unavailable', 'the HSM has no slot without a token: make one free');
      // Not by graphene's Slot.initToken, which fails after the deed: this pkcs11js returns no label from C_InitToken.
      // The label is 32 characters, padded with blanks (PKCS #11 C_InitToken); pkcs11js would pad it with zeros.
      use.lib.C_InitToken(free.handle, options.soPin.reveal(), options.label.padEnd(LABEL_LENGTH));
      // SoftHSM numbers its slots anew after this.
      [slot] = slotsWith(slots(), options.label);
    }
    if (slot === undefined) throw new PkiError('hsm.unavailable', 'the HSM does not show the token it has just initialised');
    if (!factsOf(slot).userPinSet) {
      const session = slot.open(SessionFlag.SERIAL_SESSION | SessionFlag.RW_SESSION);
      session.login(options.soPin.reveal(), UserType.SO);
      session.initPin(options.pin.reveal());
      session.logout();
      session.close();
    }
    return factsOf(slot);
  });
}

/**
 * Opens and logs in, once.
 * @throws PkiError `hsm.token-not-found`, `hsm.pin-incorrect` (never try the same PIN again), `hsm.unavailable`
 */
export const openToken = (options: { module: string; tokenLabel: string; pin: Secret }): Token => lookAgain(() => openNow(options));

function openNow(options: { module: string; tokenLabel: string; pin: Secret }): Token {
  const use = useLibrary(options.module);
  try {
    findSlot(use.lib, options.tokenLabel);
    const [slot] = slotsWith(use.module.getSlots(true), options.tokenLabel);
    if (slot === undefined) throw new PkiError('hsm.token-not-found', `the HSM shows no token "${options.tokenLabel}"`);
    const session = slot.open(SessionFlag.SERIAL_SESSION | SessionFlag.RW_SESSION);
    login(use.lib, slot.handle, session.handle, options.pin.reveal());
    return new OpenToken(use.lib, session, factsOf(slot), () => {
      use.release();
    });
  } catch (error) {
    use.release();
    throw fromCryptoki(error, `opening the token "${options.tokenLabel}"`);
  }
}

class OpenToken implements Token {
  readonly facts: TokenFacts;
  readonly #lib: PKCS11;
  readonly #session: Session;
  readonly #release: () => void;

  constructor(lib: PKCS11, session: Session, facts: TokenFacts, release: () => void) {
    this.facts = facts;
    this.#lib = lib;
    this.#session = session;
    this.#release = release;
  }

  generateKeyPair(request: { algorithm: KeyAlgorithm; label: string; keyId: Uint8Array }): Uint8Array {
    return this.#do('generating a key', () => {
      if (this.#find(pkcs11.CKO_PRIVATE_KEY, request.keyId).length > 0) {
        throw new PkiError('hsm.key-mismatch', `the token has a key with the CKA_ID ${toHex(request.keyId)} already`);
      }
      const pair = generate(this.#session, request.algorithm, request.label, request.keyId);
      return this.#spki(pair.publicKey);
    });
  }

  listKeys(): TokenKey[] {
    return this.#do('listing the keys', () => {
      const lib = this.#lib;
      const session = this.#session.handle;
      return this.#find(pkcs11.CKO_PRIVATE_KEY).map((handle) => {
        const [id, label] = lib.C_GetAttributeValue(session, handle, [{ type: pkcs11.CKA_ID }, { type: pkcs11.CKA_LABEL }]);
        const keyId = new Uint8Array(id?.value ?? []);
        const [publicKey] = this.#find(pkcs11.CKO_PUBLIC_KEY, keyId);
        const closed = [pkcs11.CKA_LOCAL, pkcs11.CKA_ALWAYS_SENSITIVE, pkcs11.CKA_NEVER_EXTRACTABLE]
          .every((type) => flag(lib, session, handle, type) === true);
        return { keyId, label: label?.value.toString('utf8') ?? '', spkiDer: publicKey && this.#spkiIfKnown(publicKey), closed };
      });
    });
  }

  sign(keyId: Uint8Array, algorithm: SignatureAlgorithm, message: Uint8Array): Uint8Array {
    return this.#do('signing', () => {
      const [privateKey, ...others] = this.#find(pkcs11.CKO_PRIVATE_KEY, keyId);
      const [publicKey] = this.#find(pkcs11.CKO_PUBLIC_KEY, keyId);
      if (privateKey === undefined || publicKey === undefined) {
        throw new PkiError('hsm.key-not-found', `the token has no key pair with the CKA_ID ${toHex(keyId)}`);
      }
      if (others.length > 0) throw new PkiError('hsm.key-mismatch', `several private keys have the CKA_ID ${toHex(keyId)}`);
      const shape = shapeOf(readPublicKey(this.#lib, this.#session.handle, publicKey));
      const input = signingInput(algorithm, shape, message);
      this.#lib.C_SignInit(this.#session.handle, signingMechanism(algorithm, shape.family), privateKey);
      const signature = this.#lib.C_Sign(this.#session.handle, input, Buffer.alloc(2048));
      return shape.family === 'ec' ? ecdsaSignatureToDer(signature) : new Uint8Array(signature);
    });
  }

  /** The login belongs to the process: another open token of this library may need it, so nobody logs out. */
  close(): void {
    try {
      this.#session.close();
    } catch {
      // The HSM is gone, and the session with it.
    }
    this.#release();
  }

  #do<T>(what: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw fromCryptoki(error, `${what} in the token "${this.facts.label}"`);
    }
  }

  #find(objectClass: number, keyId?: Uint8Array): Handle[] {
    return findTokenObjects(this.#lib, this.#session.handle, [
      { type: pkcs11.CKA_CLASS, value: objectClass },
      ...(keyId === undefined ? [] : [{ type: pkcs11.CKA_ID, value: Buffer.from(keyId) }]),
    ]);
  }

  #spki(publicKey: Handle): Uint8Array {
    return new Uint8Array(readPublicKey(this.#lib, this.#session.handle, publicKey).export({ format: 'der', type: 'spki' }));
  }

  #spkiIfKnown(publicKey: Handle): Uint8Array | undefined {
    try {
      return this.#spki(publicKey);
    } catch (error) {
      if (fromCryptoki(error, '').code === 'hsm.mechanism-missing') return undefined;
      throw error;
    }
  }
}

type LibraryUse = ReturnType<typeof useLibrary>;
type Slots = ReturnType<LibraryUse['module']['getSlots']> & { readonly length: number; items(index: number): Slot };

function withLibrary<T>(path: string, doing: string, work: (use: LibraryUse) => T): T {
  const use = useLibrary(path);
  try {
    return work(use);
  } catch (error) {
    throw fromCryptoki(error, doing);
  } finally {
    use.release();
  }
}

const isInitialised = (slot: Slot): boolean => (slot.getToken().flags & pkcs11.CKF_TOKEN_INITIALIZED) !== 0;

const slotsWith = (slots: Slots, label: string): Slot[] =>
  Array.from({ length: slots.length }, (_, i) => slots.items(i))
    .filter((slot) => isInitialised(slot) && slot.getToken().label === label);

function factsOf(slot: Slot): TokenFacts {
  const { label, serialNumber, flags } = slot.getToken();
  return { label, serial: serialNumber, userPinSet: (flags & pkcs11.CKF_USER_PIN_INITIALIZED) !== 0 };
}
