import { isPkiError, PkiError, type Secret, toHex } from '@fleetroot/core';
import type { SignatureAlgorithm } from '@fleetroot/x509';
import { signingInput } from '../mechanism.ts';
import { HsmProcess } from '../process/child.ts';
import { frameKind, packStrings, unpackStrings } from '../process/frames.ts';
import { type Failure, failureOf, type OpenedKey } from '../process/requests.ts';
import type { Outcome } from './call.ts';
import { challenge, judge, type PooledKey, selfTests, x509Form } from './key.ts';

export interface SessionOptions {
  readonly module: string;
  readonly tokenLabel: string;
  readonly pin: Secret;
  readonly deadlineMs: number;
  readonly sessionCopies: 'try' | 'never';
  readonly softhsmConf?: string | undefined;
  readonly keys: readonly PooledKey[];
  /** A key that cannot be used fails the connection. */
  readonly strict: boolean;
}

/**
 * Messages a frame carries. A session has one frame that it works on and one that waits for it, or more where they are
 * shorter: the HSM works for a millisecond while the next one is made.
 */
export const FRAME = 32;

/** Connections that fail in one process before the next one gets a fresh process: a library may lose its way for good. */
const TRIES_IN_ONE_PROCESS = 4;

/** Logins in a row after which a key that was there and is not found any more counts as gone: a token may come back piece by piece. */
const LOGINS_TO_BELIEVE = 3;

/** One session with the HSM, in a process of its own. */
export class PooledSession {
  readonly #options: SessionOptions;
  #hsm: HsmProcess | undefined;
  #open = false;
  #copied = false;
  #probing = false;
  #closed = false;
  #triesInProcess = 0;
  /** Connections so far: what comes of a frame says nothing about a session that was opened after it. */
  #generation = 0;
  #messages = 0;
  #faults: ReadonlyMap<string, PkiError> = new Map();
  /** Keys that were usable once, and logins in a row in which one of them was not found. */
  readonly #known = new Set<string>();
  #missed = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Logged in, as far as is known. */
  get open(): boolean {
    return this.#open;
  }

  /** Messages that it was given and has not answered. */
  get inHand(): number {
    return this.#messages;
  }

  /** Takes a frame now. While it is tried it takes none, so that a session which turns out to hang has none in hand. */
  get takes(): boolean {
    return this.#open && !this.#probing && this.#messages <= FRAME;
  }

  /** Every key signs through a session copy. */
  get copied(): boolean {
    return this.#copied;
  }

  /** Why the key cannot be used in this session. */
  fault(keyId: string): PkiError | undefined {
    return this.#faults.get(keyId);
  }

  /** Starts the process without touching the HSM; `connect` does it where this was not called. @throws PkiError `hsm.unavailable` */
  async start(): Promise<void> {
    await this.#process();
  }

  /**
   * Logs in, once, finds every key and tries each. @throws PkiError `hsm.unavailable`, `hsm.deadline`,
   * `hsm.pin-incorrect`, `hsm.token-not-found`; where `strict`, what is wrong with a key
   */
  async connect(): Promise<void> {
    const { module, tokenLabel, pin, sessionCopies, deadlineMs, keys, strict } = this.#options;
    const hsm = await this.#process();
    this.#triesInProcess++;
    this.#generation++;
    const message = challenge();
    const answer = await hsm.ask('openSigner', {
      module, tokenLabel, sessionCopies, pin: pin.reveal(), progressMs: deadlineMs / 4, keys: keys.map((key) => toOpen(key, message)),
    }, deadlineMs);
    const faults = faultsOf(keys, message, answer.keys);
    this.#believe(faults);
    this.#faults = faults;
    const [fault] = this.#faults.values();
    if (strict && fault !== undefined) throw fault;
    this.#copied = answer.copied;
    this.#triesInProcess = 0;
    this.#open = !hsm.lost && !this.#closed;
    if (!this.#open) throw new PkiError('hsm.unavailable', 'the session ended as soon as it was open');
  }

  /** Never rejects. Where the session is lost, `open` is false afterwards. */
  async sign(key: PooledKey, algorithm: SignatureAlgorithm, messages: readonly Uint8Array[]): Promise<Outcome> {
    const hsm = this.#hsm;
    if (hsm === undefined || hsm.lost) {
      this.#open = false;
      return { signatures: [], attempted: 0, error: new PkiError('hsm.unavailable', 'the session with the HSM has ended') };
    }
    const generation = this.#generation;
    this.#messages += messages.length;
    let outcome: Outcome;
    try {
      // Hashed here: what travels is a twentieth, and the HSM process does nothing but sign.
      const inputs = messages.map((message) => signingInput(algorithm, key.shape, message));
      const header = Buffer.from(JSON.stringify({ keyId: key.id, algorithm }));
      const frame = await hsm.exchange(frameKind.sign, packStrings([header, ...inputs]), this.#options.deadlineMs);
      outcome = outcomeOf(frame.kind, unpackStrings(frame.body), algorithm, messages.length);
    } catch (error) {
      outcome = failed(error, messages.length);
    }
    this.#messages -= messages.length;
    if (outcome.error !== undefined && isLoss(outcome.error) && generation === this.#generation) this.#open = false;
    return outcome;
  }

  /**
   * Tries the session without a signature, and looks again for keys that could not be used: behind what it has in hand.
   * @throws PkiError; the session is lost then
   */
  async probe(): Promise<void> {
    if (this.#hsm === undefined || !this.#open || this.#probing) return;
    this.#probing = true;
    const message = challenge();
    const missing = this.#options.keys.filter(({ id }) => this.#faults.has(id));
    try {
      const { keys } = await this.#hsm.ask('probe', { keys: missing.map((key) => toOpen(key, message)) }, this.#options.deadlineMs);
      this.#faults = faultsOf(missing, message, keys);
    } catch (error) {
      this.#open = false;
      throw error;
    } finally {
      this.#probing = false;
    }
  }

  /** Lets the process finish what it has, at most for `graceMs`. */
  async close(graceMs: number): Promise<void> {
    this.#closed = true;
    this.#open = false;
    await this.#hsm?.close(graceMs);
  }

  /** @throws PkiError `hsm.unavailable` where a key that was there is not, for now */
  #believe(faults: ReadonlyMap<string, PkiError>): void {
    for (const { id } of this.#options.keys) if (!faults.has(id)) this.#known.add(id);
    const gone = [...faults].find(([id, { code }]) => code === 'hsm.key-not-found' && this.#known.has(id))?.[1];
    this.#missed = gone === undefined ? 0 : this.#missed + 1;
    if (gone === undefined || this.#missed >= LOGINS_TO_BELIEVE) return;
    throw new PkiError('hsm.unavailable', `${gone.message} It was there before, so the token is asked again`, { cause: gone });
  }

  async #process(): Promise<HsmProcess> {
    if (this.#triesInProcess >= TRIES_IN_ONE_PROCESS) this.#hsm?.kill();
    if (this.#hsm === undefined || this.#hsm.lost) {
      this.#hsm = await HsmProcess.start({ softhsmConf: this.#options.softhsmConf });
      this.#triesInProcess = 0;
    }
    if (this.#closed) {
      this.#hsm.kill();
      throw new PkiError('hsm.unavailable', 'the signer was closed');
    }
    return this.#hsm;
  }
}

/** Another login may help; whatever else is wrong is not of the session. */
export const isLoss = ({ code }: PkiError): boolean => code === 'hsm.unavailable' || code === 'hsm.deadline';

const toOpen = (key: PooledKey, message: Uint8Array) => (
  { keyId: key.id, spkiDer: toHex(key.spkiDer), tests: selfTests(key, message) }
);

function faultsOf(keys: readonly PooledKey[], message: Uint8Array, opened: readonly OpenedKey[]): Map<string, PkiError> {
  const faults = new Map<string, PkiError>();
  keys.forEach((key, i) => {
    const answer = opened[i] ?? { signatures: [] };
    const fault = 'fault' in answer ? failureOf(answer.fault) : judge(key, message, answer.signatures);
    if (fault !== undefined) faults.set(key.id, fault);
  });
  return faults;
}

function outcomeOf(kind: number, strings: Buffer[], algorithm: SignatureAlgorithm, asked: number): Outcome {
  const interrupted = kind === frameKind.interrupted;
  const raw = interrupted ? strings.slice(1) : strings;
  const signatures = raw.map((signature) => x509Form(algorithm, signature));
  if (interrupted) {
    const error = failureOf(JSON.parse(strings[0]?.toString('utf8') ?? '') as Failure);
    return { signatures, attempted: attemptedOf(error, asked), error };
  }
  if (signatures.length !== asked) {
    throw new PkiError('hsm.signature-invalid', 'the HSM process gave another number of signatures than it was asked for');
  }
  return { signatures, attempted: asked };
}

function failed(error: unknown, asked: number): Outcome {
  const failure = isPkiError(error) ? error : new PkiError('hsm.unavailable', 'the HSM process gave an answer that cannot be read', { cause: error });
  return { signatures: [], attempted: attemptedOf(failure, asked), error: failure };
}

const attemptedOf = ({ data }: PkiError, asked: number): number =>
  typeof data['attempted'] === 'number' ? Math.min(data['attempted'], asked) : asked;
