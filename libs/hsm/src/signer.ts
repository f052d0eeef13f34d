import { createPublicKey, randomBytes } from 'node:crypto';
import { isPkiError, PkiError, type Secret, toHex } from '@fleetroot/core';
import { ecdsaSignatureToDer, type SignatureAlgorithm, signatureAlgorithmFor, verifySignature } from '@fleetroot/x509';
import { type KeyShape, signingInput } from './mechanism.ts';
import { HsmProcess } from './process/child.ts';
import { frameKind, packStrings, unpackStrings } from './process/frames.ts';
import { shapeOf } from './public-key.ts';

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
  readonly keys: readonly { readonly keyId: Uint8Array; readonly spkiDer: Uint8Array }[];
  /** SOFTHSM2_CONF for the HSM process; without it, it has what this process has. */
  readonly softhsmConf?: string;
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
  close(): Promise<void>;
}

/** In front of every self-test message. A TBSCertificate, a CRL or an OCSP answer begins with 0x30, never so. */
const SELF_TEST = Buffer.from('fleetroot hsm self-test\0', 'utf8');

/** Pauses between attempts to reach an HSM that is away, in milliseconds. */
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5000;

/**
 * Opens the keys in a process of their own, logged in once, every key found by its CKA_ID and compared with `spkiDer`,
 * and tried by a signature that is verified here.
 * @throws PkiError `hsm.unavailable`, `hsm.deadline`, `hsm.pin-incorrect`, `hsm.token-not-found`, `hsm.key-not-found`,
 *   `hsm.key-mismatch`, `hsm.mechanism-missing`, `hsm.signature-invalid`
 */
export async function openSigner(options: SignerOptions): Promise<Signer> {
  const signer = new ProcessSigner(options);
  await signer.connect();
  return signer;
}

interface OpenKey {
  readonly spkiDer: Uint8Array;
  readonly shape: KeyShape;
  readonly selfTest: SignatureAlgorithm;
}

class ProcessSigner implements Signer {
  readonly #options: SignerOptions;
  readonly #keys: ReadonlyMap<string, OpenKey>;
  #connection: Promise<HsmProcess> | undefined;
  #process: HsmProcess | undefined;
  /** An error after which nothing is tried any more: chiefly a refused PIN, which must not be given twice. */
  #refusal: PkiError | undefined;
  #failures = 0;
  /** The token was open before: one that is not found now has gone, and may come back. */
  #opened = false;
  #pauseUntil = 0;
  #copied = false;
  #closed = false;

  constructor(options: SignerOptions) {
    this.#options = options;
    this.#keys = new Map(options.keys.map(({ keyId, spkiDer }) => [toHex(keyId), {
      spkiDer,
      shape: shapeOf(createPublicKey({ key: Buffer.from(spkiDer), format: 'der', type: 'spki' })),
      selfTest: signatureAlgorithmFor(spkiDer),
    }]));
  }

  get sessionCopies(): boolean {
    return this.#copied;
  }

  async sign(keyId: Uint8Array, algorithm: SignatureAlgorithm, messages: readonly Uint8Array[]): Promise<Uint8Array[]> {
    if (messages.length === 0) return [];
    const hsm = await this.connect();
    const id = toHex(keyId);
    const key = this.#keys.get(id);
    if (key === undefined) throw new PkiError('hsm.key-not-found', `the key ${id} was not opened with this signer`);
    const header = Buffer.from(JSON.stringify({ keyId: id, algorithm }));
    // Hashed here: what travels is a twentieth, and the HSM process does nothing but sign.
    const inputs = messages.map((message) => signingInput(algorithm, key.shape, message));
    try {
      const frame = await hsm.exchange(frameKind.sign, packStrings([header, ...inputs]), this.#options.deadlineMs);
      const signatures = unpackStrings(frame.body);
      if (signatures.length !== messages.length) {
        throw new PkiError('hsm.signature-invalid', 'the HSM process gave another number of signatures than it was asked for');
      }
      return signatures.map((signature) => x509Form(algorithm, signature));
    } catch (error) {
      this.#remember(error);
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const hsm = this.#process;
    this.#process = undefined;
    await hsm?.close(this.#options.deadlineMs);
  }

  /** The process in which the keys are open, started now where there is none; callers share one attempt. */
  async connect(): Promise<HsmProcess> {
    if (this.#closed) throw new PkiError('hsm.unavailable', 'the signer was closed', { data: { attempted: 0 } });
    if (this.#refusal !== undefined) throw this.#refusal;
    if (this.#process !== undefined && !this.#process.lost) return this.#process;
    if (performance.now() < this.#pauseUntil) {
      throw new PkiError('hsm.unavailable', 'the HSM was away a moment ago and is not asked again yet', { data: { attempted: 0 } });
    }
    this.#connection ??= this.#start().finally(() => {
      this.#connection = undefined;
    });
    return this.#connection;
  }

  async #start(): Promise<HsmProcess> {
    let hsm: HsmProcess | undefined;
    try {
      hsm = await HsmProcess.start({ softhsmConf: this.#options.softhsmConf });
      await this.#openKeys(hsm);
      if (this.#closed) throw new PkiError('hsm.unavailable', 'the signer was closed');
      this.#failures = 0;
      this.#opened = true;
      this.#process = hsm;
      return hsm;
    } catch (error) {
      hsm?.kill();
      this.#pauseUntil = performance.now() + Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures++);
      if (!isPkiError(error)) throw error;
      const code = this.#opened && error.code === 'hsm.token-not-found' ? 'hsm.unavailable' : error.code;
      const failure = new PkiError(code, error.message, { cause: error, data: { ...error.data, attempted: 0 } });
      this.#remember(failure);
      throw failure;
    }
  }

  async #openKeys(hsm: HsmProcess): Promise<void> {
    const { module, tokenLabel, pin, sessionCopies, deadlineMs } = this.#options;
    const challenge = Buffer.concat([SELF_TEST, randomBytes(32)]);
    const keys = [...this.#keys];
    const answer = await hsm.ask('openSigner', {
      module, tokenLabel, sessionCopies, pin: pin.reveal(), progressMs: deadlineMs / 4,
      keys: keys.map(([keyId, { spkiDer, shape, selfTest }]) => ({
        keyId, spkiDer: toHex(spkiDer), algorithm: selfTest, input: toHex(signingInput(selfTest, shape, challenge)),
      })),
    }, deadlineMs);
    keys.forEach(([keyId, { spkiDer, selfTest }], i) => {
      const signature = x509Form(selfTest, Buffer.from(answer.signatures[i] ?? '', 'hex'));
      if (verifySignature(spkiDer, selfTest, challenge, signature)) return;
      throw new PkiError('hsm.key-mismatch', `a signature by the key with CKA_ID ${keyId} does not verify under its certificate's public key`);
    });
    this.#copied = answer.copied;
  }

  #remember(error: unknown): void {
    if (isPkiError(error) && error.retry === 'stop' && error.code !== 'hsm.mechanism-missing') this.#refusal ??= error;
  }
}

/** The signature as X.509 carries it, from what the token made. */
const x509Form = (algorithm: SignatureAlgorithm, signature: Buffer): Uint8Array =>
  algorithm.startsWith('ecdsa-') ? ecdsaSignatureToDer(signature) : new Uint8Array(signature);
