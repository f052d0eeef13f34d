import { isPkiError, PkiError, type Secret, toHex } from '@fleetroot/core';
import type { SignatureAlgorithm } from '@fleetroot/x509';
import { signingMechanism } from './mechanism.ts';
import { type PooledKey, pooledKey } from './pool/key.ts';
import { SessionPool } from './pool/pool.ts';

export interface SignerOptions {
  /** Path of the PKCS#11 library. */
  readonly module: string;
  readonly tokenLabel: string;
  readonly pin: Secret;
  /** How long one call to the HSM may take, in milliseconds. */
  readonly deadlineMs: number;
  /** `try`: sign with session copies of the keys where the token allows them, else with the token's keys. */
  readonly sessionCopies: 'try' | 'never';
  /** CKA_ID of each key that will sign, and the SubjectPublicKeyInfo it must have. */
  readonly keys: readonly WantedKey[];
  /** SOFTHSM2_CONF for the HSM processes; without it, they have what this process has. */
  readonly softhsmConf?: string;
  /** Sessions that sign at once, each in a process of its own; 1 unless given. */
  readonly sessions?: number;
  /** How long a call waits for an HSM that is away, in milliseconds; 0 unless given: for one attempt to reach it. */
  readonly patienceMs?: number;
  /**
   * How often each session is tried, in milliseconds, without a signature; a lost one is reopened without being asked
   * then. 0, the default: never.
   */
  readonly probeMs?: number;
  /**
   * Told of a key that cannot be used, and told again where the reason changes. With it such a key is left out and tried
   * anew at each re-login; without it `openSigner` throws, and a key that fails at a re-login ends the signer.
   */
  readonly onUnusableKey?: (keyId: Uint8Array, error: PkiError) => void;
  /**
   * Told of changes after the opening: `away` when no session is left, `ready` when there is one again. `ready` with an
   * error: fewer sessions than asked for are open, and this is why.
   */
  readonly onState?: (state: 'ready' | 'away', error?: PkiError) => void;
}

export interface WantedKey {
  /** CKA_ID. */
  readonly keyId: Uint8Array;
  /** The SubjectPublicKeyInfo it must have, DER. */
  readonly spkiDer: Uint8Array;
  /** What it will sign by: the token must be able to, and each is tried. `signatureAlgorithmFor` the key unless given. */
  readonly algorithms?: readonly SignatureAlgorithm[];
}

export interface Signer {
  /** Whether every key signs through a session copy. */
  readonly sessionCopies: boolean;
  /**
   * Signs each message with the key, in order; signatures are in X.509 form (ECDSA as DER) and are not verified here.
   * Calls may overlap; they are served in order. A message is given to C_Sign at most once: where that call fails, or
   * the HSM does not answer, whether a signature exists is not known, and the call rejects as a whole.
   * @throws PkiError `hsm.deadline` and `hsm.unavailable` (later; the next call starts anew): `data.attempted`, where it
   *   is present, says for how many of the messages a signature may exist, else it may for each;
   *   `hsm.pin-incorrect`, `hsm.key-mismatch`, `hsm.key-not-found`, `hsm.mechanism-missing` (stop)
   */
  sign(keyId: Uint8Array, algorithm: SignatureAlgorithm, messages: readonly Uint8Array[]): Promise<Uint8Array[]>;
  /** Why this key cannot be used, as far as is known; undefined: it can. */
  usable(keyId: Uint8Array): PkiError | undefined;
  /** Resolves at once while a session works, else waits for one as `sign` does. @throws PkiError as `sign`, nothing attempted */
  ready(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the keys in processes of their own, each logged in once, every key found by its CKA_ID, compared with `spkiDer`
 * and tried by a signature that is verified here.
 * @throws PkiError `hsm.unavailable`, `hsm.deadline`, `hsm.pin-incorrect`, `hsm.token-not-found`; without
 *   `onUnusableKey` also `hsm.key-not-found`, `hsm.key-mismatch`, `hsm.mechanism-missing`
 */
export async function openSigner(options: SignerOptions): Promise<Signer> {
  const signer = new PooledSigner(options);
  try {
    await signer.open();
    return signer;
  } catch (error) {
    await signer.close();
    throw error;
  }
}

class PooledSigner implements Signer {
  readonly #keys = new Map<string, PooledKey>();
  /** Keys that no token could sign with for us. */
  readonly #never = new Map<string, PkiError>();
  readonly #pool: SessionPool;

  constructor(options: SignerOptions) {
    const { onUnusableKey, sessions = 1, patienceMs = 0, probeMs = 0 } = options;
    for (const wanted of options.keys) {
      try {
        this.#keys.set(toHex(wanted.keyId), pooledKey(wanted));
      } catch (error) {
        if (onUnusableKey === undefined || !isPkiError(error)) throw error;
        this.#never.set(toHex(wanted.keyId), error);
        queueMicrotask(() => onUnusableKey(wanted.keyId, error));
      }
    }
    this.#pool = new SessionPool({
      ...options, keys: [...this.#keys.values()], sessions, patienceMs, probeMs, strict: onUnusableKey === undefined,
      onUnusableKey: (id, error) => onUnusableKey?.(new Uint8Array(Buffer.from(id, 'hex')), error),
      onState: (state, error) => options.onState?.(state, error),
    });
  }

  get sessionCopies(): boolean {
    return this.#pool.copied;
  }

  open(): Promise<void> {
    return this.#pool.open();
  }

  async sign(keyId: Uint8Array, algorithm: SignatureAlgorithm, messages: readonly Uint8Array[]): Promise<Uint8Array[]> {
    if (messages.length === 0) return [];
    const key = this.#key(keyId);
    if (isPkiError(key)) throw untouched(key);
    try {
      signingMechanism(algorithm, key.shape.family);
    } catch (error) {
      throw isPkiError(error) ? untouched(error) : error;
    }
    return this.#pool.sign(key, algorithm, messages);
  }

  usable(keyId: Uint8Array): PkiError | undefined {
    const key = this.#key(keyId);
    return isPkiError(key) ? key : this.#pool.fault(key.id);
  }

  async ready(): Promise<void> {
    await this.#pool.ready();
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  #key(keyId: Uint8Array): PooledKey | PkiError {
    const id = toHex(keyId);
    return this.#keys.get(id) ?? this.#never.get(id)
      ?? new PkiError('hsm.key-not-found', `the key ${id} was not opened with this signer`);
  }
}

const untouched = (error: PkiError): PkiError =>
  new PkiError(error.code, error.message, { cause: error, data: { ...error.data, attempted: 0 } });
