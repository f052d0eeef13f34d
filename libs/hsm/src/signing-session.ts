import { createPublicKey } from 'node:crypto';
import { isPkiError, PkiError, toHex } from '@fleetroot/core';
import type { SignatureAlgorithm } from '@fleetroot/x509';
import pkcs11, { type Handle, type Mechanism, PKCS11 } from 'pkcs11js';
import { fromCryptoki, isFaultOfKey } from './cryptoki-error.ts';
import { type KeyFamily, signingMechanism } from './mechanism.ts';
import { MechanismCheck } from './mechanism-check.ts';
import { readPublicKey, shapeOf } from './public-key.ts';
import { findSlot, findTokenObjects, flag, login, lookAgain } from './token-access.ts';

export interface SigningSessionOptions {
  /** Path of the PKCS#11 library. */
  readonly module: string;
  readonly tokenLabel: string;
  readonly pin: string;
  /** `try`: sign with session copies of the keys where the token allows them, which is faster in SoftHSM. */
  readonly sessionCopies: 'try' | 'never';
  readonly keys: readonly KeyToFind[];
}

interface KeyToFind {
  readonly keyId: Uint8Array;
  readonly spkiDer: Uint8Array;
  /** What it will sign by. */
  readonly algorithms: readonly SignatureAlgorithm[];
}

/** Keys that cannot be used, by CKA_ID in hex. */
export type KeyFaults = ReadonlyMap<string, PkiError>;

interface SigningKey {
  /** The key's object in the token. */
  readonly inToken: Handle;
  /** What signs: the same, or its session copy. */
  readonly handle: Handle;
  readonly family: KeyFamily;
}

/** CKS_RW_USER_FUNCTIONS, a read/write session that is logged in; pkcs11js has no name for it. */
const CKS_RW_USER_FUNCTIONS = 3;

/** Longer than any signature: RSA-4096 makes 512 octets, RSA-16384 2,048. */
const LONGEST_SIGNATURE = 2048;

/**
 * One logged-in session that signs, synchronously. It belongs in a process that does nothing else: a frozen HSM freezes
 * its thread for as long. A session that was found lost stays so until `connect` is called again.
 */
export class SigningSession {
  readonly #options: SigningSessionOptions;
  readonly #lib = new PKCS11();
  readonly #keys = new Map<string, SigningKey>();
  readonly #output = Buffer.alloc(LONGEST_SIGNATURE);
  #session: Handle | undefined;
  #loaded = false;
  #initialised = false;
  #mechanisms: MechanismCheck | undefined;
  #refusal: PkiError | undefined;

  constructor(options: SigningSessionOptions) {
    this.#options = options;
  }

  /** True where every key that was found signs through a session copy. */
  get copied(): boolean {
    return this.#keys.size > 0 && [...this.#keys.values()].every(({ handle, inToken }) => !handle.equals(inToken));
  }

  /**
   * Initialises the library anew, logs in once and finds every key by CKA_ID (I23). After a refused PIN every further
   * call throws that refusal without asking the token. `onProgress` runs after each key.
   * @returns the keys that cannot be used, by CKA_ID in hex: `hsm.key-not-found`, `hsm.key-mismatch`, `hsm.mechanism-missing`
   * @throws PkiError `hsm.unavailable`, `hsm.pin-incorrect`, `hsm.token-not-found`
   */
  connect(onProgress: () => void): KeyFaults {
    if (this.#refusal !== undefined) throw this.#refusal;
    try {
      if (!this.#loaded) this.#lib.load(this.#options.module);
      this.#loaded = true;
      const slot = lookAgain(() => {
        this.disconnect();
        // p11-kit-client and some vendors' libraries refuse a caller that does not say how threads may lock.
        this.#lib.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK });
        this.#initialised = true;
        return findSlot(this.#lib, this.#options.tokenLabel);
      });
      const session = this.#lib.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION);
      login(this.#lib, slot, session, this.#options.pin);
      this.#session = session;
      this.#mechanisms = new MechanismCheck(this.#lib, slot);
      return this.#findKeys(session, this.#mechanisms, onProgress);
    } catch (error) {
      const failure = fromCryptoki(error, 'connecting to the HSM');
      if (failure.code === 'hsm.pin-incorrect') this.#refusal = failure;
      this.disconnect();
      throw failure;
    }
  }

  /** Ends the session and the library; never throws, for a dead HSM refuses this too. */
  disconnect(): void {
    this.lose();
    if (!this.#initialised) return;
    this.#initialised = false;
    try {
      this.#lib.C_Finalize();
    } catch {
      // The HSM is gone; the next C_Initialize tells.
    }
  }

  /**
   * Signs the inputs in order; each is what C_Sign takes under the mechanism of `algorithm` (`signingInput`), each
   * signature what the token makes of it (ECDSA: r and s, each of the order's length), valid until the next one.
   * `onSigned` runs after each. C_Sign is called once for an input, whatever comes of it.
   * @throws PkiError `hsm.unavailable` (the session is lost), `hsm.mechanism-missing`, `hsm.key-not-found`;
   *   `data.attempted` says for how many inputs a signature may exist: one more than `onSigned` ran for, where C_Sign
   *   itself failed and nobody knows what the HSM did, else as many
   */
  sign(keyId: string, algorithm: SignatureAlgorithm, inputs: readonly Buffer[], onSigned: (signature: Buffer) => void): void {
    try {
      this.#sign(keyId, algorithm, inputs, onSigned);
    } catch (error) {
      // The library is ended by the next `connect`: C_Finalize may hang, and this answer should not.
      if (isPkiError(error) && error.code === 'hsm.unavailable') this.lose();
      throw error;
    }
  }

  /** One signature in hex, as `sign` makes it; but where it fails the session is not counted as lost. */
  trial(keyId: string, algorithm: SignatureAlgorithm, input: Buffer): string {
    let made = '';
    this.#sign(keyId, algorithm, [input], (signature) => { made = toHex(signature); });
    return made;
  }

  #sign(keyId: string, algorithm: SignatureAlgorithm, inputs: readonly Buffer[], onSigned: (signature: Buffer) => void): void {
    let attempted = 0;
    try {
      const { session, mechanism, handle } = this.#prepare(keyId, algorithm);
      for (const input of inputs) {
        this.#lib.C_SignInit(session, mechanism, handle);
        attempted++;
        onSigned(this.#lib.C_Sign(session, input, this.#output));
      }
    } catch (error) {
      const { code, message, data } = fromCryptoki(error, 'signing in the HSM');
      throw new PkiError(code, message, { cause: error, data: { ...data, attempted } });
    }
  }

  /**
   * Looks, without a signature, whether the session is logged in and every key is where it was, and looks again for the
   * keys that could not be used. @returns as `connect` @throws PkiError `hsm.unavailable`
   */
  probe(onProgress: () => void): KeyFaults {
    try {
      const session = this.#open();
      const { state } = this.#lib.C_GetSessionInfo(session);
      if (state !== CKS_RW_USER_FUNCTIONS) throw new PkiError('hsm.unavailable', 'the session is no longer logged in');
      for (const [id, { inToken, handle }] of this.#keys) {
        for (const object of inToken.equals(handle) ? [handle] : [handle, inToken]) {
          const [attribute] = this.#lib.C_GetAttributeValue(session, object, [{ type: pkcs11.CKA_ID }]);
          if (attribute?.value.toString('hex') !== id) throw new PkiError('hsm.unavailable', `the handle of the key with CKA_ID ${id} leads elsewhere now`);
        }
        onProgress();
      }
      return this.#mechanisms === undefined ? new Map() : this.#findKeys(session, this.#mechanisms, onProgress);
    } catch (error) {
      this.lose();
      throw fromCryptoki(error, 'trying the session with the HSM');
    }
  }

  /** The session counts as lost. */
  lose(): void {
    this.#keys.clear();
    this.#session = undefined;
  }

  #open(): Handle {
    if (this.#session === undefined) throw new PkiError('hsm.unavailable', 'there is no session with the HSM');
    return this.#session;
  }

  #prepare(id: string, algorithm: SignatureAlgorithm): { session: Handle; mechanism: Mechanism; handle: Handle } {
    const session = this.#open();
    const key = this.#keys.get(id);
    if (key === undefined) throw new PkiError('hsm.key-not-found', `the key ${id} was not opened with this signer`);
    return { session, mechanism: signingMechanism(algorithm, key.family), handle: key.handle };
  }

  /** Finds the keys that are not found yet. */
  #findKeys(session: Handle, mechanisms: MechanismCheck, onProgress: () => void): KeyFaults {
    const faults = new Map<string, PkiError>();
    for (const key of this.#options.keys) {
      const id = toHex(key.keyId);
      if (this.#keys.has(id)) continue;
      try {
        this.#keys.set(id, this.#find(session, key, mechanisms));
      } catch (error) {
        if (!isPkiError(error) || !isFaultOfKey(error)) throw error;
        faults.set(id, error);
      }
      onProgress();
    }
    return faults;
  }

  #find(session: Handle, wanted: KeyToFind, mechanisms: MechanismCheck): SigningKey {
    const lib = this.#lib;
    const id = toHex(wanted.keyId);
    const byId = { type: pkcs11.CKA_ID, value: Buffer.from(wanted.keyId) };
    const found = findTokenObjects(lib, session, [{ type: pkcs11.CKA_CLASS, value: pkcs11.CKO_PRIVATE_KEY }, byId]);
    const [handle] = found;
    if (handle === undefined) {
      throw new PkiError('hsm.key-not-found', `the token has no private key with CKA_ID ${id}: is it the token of the ceremony?`);
    }
    if (found.length > 1) {
      throw new PkiError('hsm.key-mismatch', `${found.length} private keys in the token have the CKA_ID ${id}: remove what the ceremony did not make`);
    }
    const expected = createPublicKey({ key: Buffer.from(wanted.spkiDer), format: 'der', type: 'spki' });
    for (const object of findTokenObjects(lib, session, [{ type: pkcs11.CKA_CLASS, value: pkcs11.CKO_PUBLIC_KEY }, byId])) {
      if (readPublicKey(lib, session, object).equals(expected)) continue;
      throw new PkiError('hsm.key-mismatch', `the key with CKA_ID ${id} is not the key of the certificate: the token was exchanged or the key replaced`);
    }
    if (!staysInside(lib, session, handle)) {
      throw new PkiError('hsm.key-mismatch', `the token would let the key with CKA_ID ${id} out (CKA_EXTRACTABLE, CKA_SENSITIVE): a CA key made so must not be used`);
    }
    const shape = shapeOf(expected);
    for (const algorithm of wanted.algorithms) mechanisms.demand(algorithm, shape);
    const copy = this.#options.sessionCopies === 'try' ? sessionCopy(lib, session, handle) : undefined;
    return { inToken: handle, handle: copy ?? handle, family: shape.family };
  }
}

const staysInside = (lib: PKCS11, session: Handle, key: Handle): boolean =>
  flag(lib, session, key, pkcs11.CKA_EXTRACTABLE) === false && flag(lib, session, key, pkcs11.CKA_SENSITIVE) === true;

/** A copy of the key that lives as long as the session, as closed as the key itself, or undefined where none is made. */
function sessionCopy(lib: PKCS11, session: Handle, key: Handle): Handle | undefined {
  try {
    const copy = lib.C_CopyObject(session, key, [{ type: pkcs11.CKA_TOKEN, value: false }]);
    if (staysInside(lib, session, copy)) return copy;
    lib.C_DestroyObject(session, copy);
  } catch {
    // Real HSMs may refuse; the token's key signs as well.
  }
  return undefined;
}
