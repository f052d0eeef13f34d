import { createPublicKey } from 'node:crypto';
import { PkiError, toHex } from '@fleetroot/core';
import type { SignatureAlgorithm } from '@fleetroot/x509';
import pkcs11, { type Handle, type Mechanism, PKCS11 } from 'pkcs11js';
import { fromCryptoki } from './cryptoki-error.ts';
import { type KeyFamily, signingMechanism } from './mechanism.ts';
import { readPublicKey, shapeOf } from './public-key.ts';
import { findSlot, findTokenObjects, flag, login } from './token-access.ts';

export interface SigningSessionOptions {
  /** Path of the PKCS#11 library. */
  readonly module: string;
  readonly tokenLabel: string;
  readonly pin: string;
  /** `try`: sign with session copies of the keys where the token allows them, which is faster in SoftHSM. */
  readonly sessionCopies: 'try' | 'never';
  readonly keys: readonly { readonly keyId: Uint8Array; readonly spkiDer: Uint8Array }[];
}

interface SigningKey {
  readonly handle: Handle;
  readonly family: KeyFamily;
  readonly copied: boolean;
}

/** Longer than any signature: RSA-4096 makes 512 octets, RSA-16384 2,048. */
const LONGEST_SIGNATURE = 2048;

/**
 * One logged-in session that signs, synchronously. It belongs in a process that does nothing else: a frozen HSM freezes
 * its thread for as long.
 */
export class SigningSession {
  readonly #options: SigningSessionOptions;
  readonly #lib = new PKCS11();
  readonly #keys = new Map<string, SigningKey>();
  readonly #output = Buffer.alloc(LONGEST_SIGNATURE);
  #session: Handle | undefined;
  #loaded = false;
  #initialised = false;
  #refusal: PkiError | undefined;

  constructor(options: SigningSessionOptions) {
    this.#options = options;
  }

  /** True where every key signs through a session copy. */
  get copied(): boolean {
    return this.#keys.size > 0 && [...this.#keys.values()].every((key) => key.copied);
  }

  /**
   * Initialises the library, logs in once and finds every key anew by CKA_ID (I23). After a refused PIN every further
   * call throws that refusal without asking the token.
   * @throws PkiError `hsm.unavailable`, `hsm.pin-incorrect`, `hsm.token-not-found`, `hsm.key-not-found`, `hsm.key-mismatch`
   */
  connect(): void {
    if (this.#refusal !== undefined) throw this.#refusal;
    this.disconnect();
    try {
      if (!this.#loaded) this.#lib.load(this.#options.module);
      this.#loaded = true;
      // p11-kit-client and some vendors' libraries refuse a caller that does not say how threads may lock.
      this.#lib.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK });
      this.#initialised = true;
      const slot = findSlot(this.#lib, this.#options.tokenLabel);
      const session = this.#lib.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION);
      login(this.#lib, slot, session, this.#options.pin);
      for (const key of this.#options.keys) this.#keys.set(toHex(key.keyId), this.#find(session, key));
      this.#session = session;
    } catch (error) {
      const failure = fromCryptoki(error, 'connecting to the HSM');
      if (failure.code === 'hsm.pin-incorrect') this.#refusal = failure;
      this.disconnect();
      throw failure;
    }
  }

  /** Ends the session and the library; never throws, for a dead HSM refuses this too. */
  disconnect(): void {
    this.#keys.clear();
    this.#session = undefined;
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
   * A session found lost before a C_Sign is replaced once and the work goes on where it stood. A C_Sign that fails is
   * never called again for the same input: whether the HSM has signed is not known then. `onSigned` runs after each.
   * @throws PkiError as `connect`; `data.attempted` says for how many inputs a signature may exist
   */
  sign(
    keyId: Uint8Array, algorithm: SignatureAlgorithm, inputs: readonly Buffer[], onSigned: (signature: Buffer) => void,
  ): void {
    const id = toHex(keyId);
    let attempted = 0;
    let renewed = false;
    try {
      if (this.#session === undefined) {
        renewed = true;
        this.#reconnect();
      }
      let call = this.#prepare(id, algorithm);
      for (const input of inputs) {
        try {
          this.#lib.C_SignInit(call.session, call.mechanism, call.handle);
        } catch (error) {
          if (renewed || fromCryptoki(error, '').code !== 'hsm.unavailable') throw error;
          renewed = true;
          this.#reconnect();
          call = this.#prepare(id, algorithm);
          this.#lib.C_SignInit(call.session, call.mechanism, call.handle);
        }
        attempted++;
        onSigned(this.#lib.C_Sign(call.session, input, this.#output));
      }
    } catch (error) {
      const { code, message, data } = fromCryptoki(error, 'signing in the HSM');
      if (code === 'hsm.unavailable') this.disconnect();
      throw new PkiError(code, message, { cause: error, data: { ...data, attempted } });
    }
  }

  /** A token that has gone may come back, which at the first connection would be a wrong label. */
  #reconnect(): void {
    try {
      this.connect();
    } catch (error) {
      const failure = fromCryptoki(error, 'connecting to the HSM again');
      if (failure.code !== 'hsm.token-not-found') throw failure;
      throw new PkiError('hsm.unavailable', failure.message, { cause: failure });
    }
  }

  #prepare(id: string, algorithm: SignatureAlgorithm): { session: Handle; mechanism: Mechanism; handle: Handle } {
    const key = this.#keys.get(id);
    if (key === undefined) throw new PkiError('hsm.key-not-found', `the key ${id} was not opened with this signer`);
    if (this.#session === undefined) throw new PkiError('hsm.unavailable', 'there is no session with the HSM');
    return { session: this.#session, mechanism: signingMechanism(algorithm, key.family), handle: key.handle };
  }

  #find(session: Handle, wanted: { keyId: Uint8Array; spkiDer: Uint8Array }): SigningKey {
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
    const copy = this.#options.sessionCopies === 'try' ? sessionCopy(lib, session, handle) : undefined;
    return { handle: copy ?? handle, copied: copy !== undefined, family: shapeOf(expected).family };
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
