import { isPkiError, PkiError } from '@fleetroot/core';
import type { SignatureAlgorithm } from '@fleetroot/x509';
import { Call, type Work } from './call.ts';
import type { PooledKey } from './key.ts';
import { Patience } from './patience.ts';
import { FRAME, isLoss, PooledSession, type SessionOptions } from './session.ts';

export interface PoolOptions extends SessionOptions {
  readonly sessions: number;
  readonly patienceMs: number;
  readonly probeMs: number;
  readonly onUnusableKey: (keyId: string, error: PkiError) => void;
  readonly onState: (state: 'ready' | 'away', error?: PkiError) => void;
}

/** Pauses between attempts to log in, in milliseconds; the first failure is followed by another try at once. */
const PAUSES_MS = [0, 250, 500] as const;
const LONGEST_PAUSE_MS = 1000;
/** The same while other sessions work: a token may be out of sessions for long. */
const LONGEST_PAUSE_AT_WORK_MS = 15_000;

/**
 * Sessions that sign, up to a bound, and the calls that wait for them. Frames are handed out in the order of the calls.
 * A lost session is logged in anew: never two at once, and no second one before the first has succeeded, so that a wrong
 * PIN costs one C_Login however many sessions there are. After a refusal nothing touches the HSM again.
 */
export class SessionPool {
  readonly #options: PoolOptions;
  readonly #sessions: readonly PooledSession[];
  readonly #patience: Patience;
  readonly #calls = new Set<Call>();
  readonly #told = new Map<string, string>();
  #healing: Promise<void> | undefined;
  #probing: NodeJS.Timeout | undefined;
  #lastTried: PooledSession | undefined;
  /** Attempts to log in that failed since one succeeded. */
  #failures = 0;
  #pauseUntil = 0;
  #away = true;
  /** The token was open before: one that is not found now has gone, and may come back. */
  #opened = false;
  #lastError = new PkiError('hsm.unavailable', 'the HSM was not reached yet');
  /** An error after which nothing is tried any more: chiefly a refused PIN, which must not be given twice. */
  #refusal: PkiError | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#sessions = Array.from({ length: options.sessions }, () => new PooledSession(options));
    this.#patience = new Patience(options.patienceMs, (call, error) => this.#fail(call, error));
  }

  /** True where every key signs through a session copy. */
  get copied(): boolean {
    return this.#sessions[0]?.copied ?? false;
  }

  /**
   * Opens one session, then the others. Where one of the others cannot be opened now, the pool works with what there is.
   * @throws PkiError as `PooledSession.connect`
   */
  async open(): Promise<void> {
    const [first, ...others] = this.#sessions;
    if (first === undefined) throw new RangeError('a pool has one session at least');
    await this.#connect(first);
    await Promise.allSettled(others.map((session) => session.start()));
    for (const session of others) {
      await this.#connect(session).catch((error: unknown) => {
        if (this.#refusal !== undefined || !isPkiError(error)) throw error;
        this.#tell('ready', error);
      });
    }
    if (this.#options.probeMs > 0) this.#probing = setInterval(() => this.#probe(), this.#options.probeMs);
  }

  /** @throws PkiError as `Signer.sign` */
  sign(key: PooledKey, algorithm: SignatureAlgorithm, messages: readonly Uint8Array[]): Promise<Uint8Array[]> {
    return this.#await(new Call({ key, algorithm, messages }));
  }

  /** Waits for a session as `sign` does. */
  async ready(): Promise<void> {
    if (!this.#away && this.#refusal === undefined) return;
    await this.#await(new Call(undefined));
  }

  /** Why no open session can use the key; where none is open, what was known last. */
  fault(keyId: string): PkiError | undefined {
    const open = this.#sessions.filter((session) => session.open);
    const asked = open.length > 0 ? open : this.#sessions.slice(0, 1);
    const faults = asked.map((session) => session.fault(keyId));
    return faults.includes(undefined) ? undefined : faults[0];
  }

  /** What is in hand is finished, within the deadline; what waits is rejected. */
  async close(): Promise<void> {
    const closed = new PkiError('hsm.unavailable', 'the signer was closed');
    this.#refusal ??= closed;
    this.#end(closed);
    await Promise.all(this.#sessions.map((session) => session.close(this.#options.deadlineMs)));
    await this.#healing;
  }

  #await(call: Call): Promise<Uint8Array[]> {
    this.#calls.add(call);
    this.#patience.add(call);
    this.#dispatch();
    return call.result;
  }

  #dispatch(): void {
    for (const call of this.#calls) {
      if (this.#refusal !== undefined) this.#refuse(call, this.#refusal);
      else if (this.#away) this.#turnAway(call);
      else if (!this.#serve(call)) break;
    }
    // A session short, and somebody waits: it is reopened.
    if (this.#calls.size > 0) this.#heal();
  }

  /** Without patience nobody waits for the next attempt, only for one that is under way. */
  #turnAway(call: Call): void {
    const waits = call.inHand || this.#options.patienceMs > 0 || performance.now() >= this.#pauseUntil;
    if (!waits) this.#fail(call, this.#lastError);
  }

  /** Hands out what the sessions take of the call. @returns whether they may take more */
  #serve(call: Call): boolean {
    const { work } = call;
    if (work === undefined) {
      call.finish();
      this.#forget(call);
      return true;
    }
    while (call.waiting) {
      let best: PooledSession | undefined;
      let free = false;
      for (const session of this.#sessions) {
        if (!session.takes) continue;
        free = true;
        if (session.fault(work.key.id) === undefined && (best === undefined || session.inHand < best.inHand)) best = session;
      }
      if (!free) return false;
      if (best === undefined) return this.#withoutSession(call, work.key.id);
      void this.#hand(best, call, work);
    }
    return true;
  }

  /** No session that is free has the key: the call waits for one that has it, if there is one. */
  #withoutSession(call: Call, keyId: string): true {
    const fault = this.fault(keyId);
    if (fault !== undefined) this.#fail(call, fault);
    return true;
  }

  async #hand(session: PooledSession, call: Call, { key, algorithm, messages }: Work): Promise<void> {
    const span = call.take(FRAME);
    const outcome = await session.sign(key, algorithm, messages.slice(span.start, span.end));
    const { error, attempted, signatures } = outcome;
    // Messages that were not attempted go to another session, or to this one when it is back; nothing is signed twice.
    if (error !== undefined && (!isLoss(error) || attempted > signatures.length)) call.fail(error);
    call.give(span, outcome);
    if (error !== undefined) {
      this.#learn(error);
      this.#assess(error);
      if (!call.inHand) this.#patience.interrupted(call, error);
    }
    if (call.settled) this.#forget(call);
    this.#dispatch();
  }

  /** Logs the lost sessions in again, one after another, as long as somebody waits or the pool looks after itself. */
  #heal(): void {
    if (this.#refusal !== undefined || this.#missing() === undefined) return;
    this.#healing ??= this.#healAll().finally(() => {
      this.#healing = undefined;
      // Whoever came after its last look, and before now, would wait for ever.
      this.#dispatch();
    });
  }

  async #healAll(): Promise<void> {
    for (;;) {
      const session = this.#missing();
      if (session === undefined || this.#refusal !== undefined) return;
      if (this.#calls.size === 0 && this.#options.probeMs === 0) return;
      await this.#pause();
      if (this.#refusal !== undefined) return;
      await this.#connect(session).catch(() => {});
      this.#dispatch();
    }
  }

  /** The next session to be opened: not the one that was tried last, where there is another. */
  #missing(): PooledSession | undefined {
    const lost = this.#sessions.filter(({ open }) => !open);
    return lost[(lost.findIndex((session) => session === this.#lastTried) + 1) % lost.length];
  }

  async #connect(session: PooledSession): Promise<void> {
    this.#lastTried = session;
    try {
      await session.connect();
    } catch (error) {
      const failure = this.#gone(error);
      this.#pauseUntil = performance.now() + this.#nextPause();
      this.#failures++;
      this.#learn(failure, true);
      this.#patience.failed(failure);
      throw failure;
    }
    this.#failures = 0;
    this.#tellFaults();
    this.#assess();
    this.#opened = true;
  }

  /** A token that has gone is an HSM that is away (I23), not a wrong label. */
  #gone(error: unknown): PkiError {
    if (!isPkiError(error)) return new PkiError('hsm.unavailable', 'the session with the HSM could not be opened', { cause: error });
    if (!this.#opened || error.code !== 'hsm.token-not-found') return error;
    return new PkiError('hsm.unavailable', error.message, { cause: error });
  }

  #nextPause(): number {
    const atWork = this.#sessions.some(({ open }) => open);
    const pause = PAUSES_MS[this.#failures] ?? LONGEST_PAUSE_MS;
    return atWork && this.#failures >= PAUSES_MS.length ? LONGEST_PAUSE_AT_WORK_MS : pause;
  }

  /** Ends at the time of the next attempt, which may be brought forward, or when nothing is tried any more. */
  async #pause(): Promise<void> {
    for (;;) {
      const left = this.#pauseUntil - performance.now();
      if (left <= 0 || this.#refusal !== undefined) return;
      await new Promise((resolve) => setTimeout(resolve, Math.min(left, PAUSES_MS[1])));
    }
  }

  /** Busy sessions too: a session copy would sign on for ever after its key has gone from the token. */
  #probe(): void {
    if (this.#refusal !== undefined) return;
    for (const session of this.#sessions) {
      if (!session.open) continue;
      session.probe().then(() => this.#tellFaults(), (error: unknown) => {
        this.#learn(this.#gone(error));
        this.#assess(this.#gone(error));
      }).finally(() => this.#dispatch());
    }
    this.#heal();
  }

  /** Remembers what it is that no further attempt would change. */
  #learn(error: PkiError, connecting = false): void {
    this.#lastError = error;
    if (error.retry !== 'stop' || this.#refusal !== undefined) return;
    // A key or mechanism that one call asked for in vain ends that call; at a login it ends the signer.
    if (!connecting && error.code !== 'hsm.signature-invalid' && error.code !== 'hsm.pin-incorrect') return;
    this.#refusal = error;
    this.#end(error);
    for (const session of this.#sessions) void session.close(this.#options.deadlineMs);
    this.#assess(error);
  }

  #end(error: PkiError): void {
    clearInterval(this.#probing);
    this.#patience.end();
    for (const call of this.#calls) this.#refuse(call, error);
  }

  /** What is wholly in hand may still succeed. */
  #refuse(call: Call, error: PkiError): void {
    if (call.waiting || !call.inHand) this.#fail(call, error);
  }

  #fail(call: Call, error: PkiError): void {
    call.fail(error);
    if (call.settled) this.#forget(call);
  }

  #forget(call: Call): void {
    this.#calls.delete(call);
    this.#patience.remove(call);
  }

  /** Notes whether any session is left, and tells where that has changed. */
  #assess(error?: PkiError): void {
    const away = !this.#sessions.some(({ open }) => open);
    if (away === this.#away) return;
    this.#away = away;
    if (away) {
      // After the end nobody waits, and nothing would stop the watch.
      if (this.#refusal === undefined) this.#patience.away(error ?? this.#lastError);
      this.#pauseUntil = Math.min(this.#pauseUntil, performance.now() + LONGEST_PAUSE_MS);
    } else {
      this.#patience.back();
    }
    if (this.#opened) this.#tell(away ? 'away' : 'ready', away ? error : undefined);
  }

  #tellFaults(): void {
    for (const { id } of this.#options.keys) {
      const fault = this.fault(id);
      if (this.#told.get(id) === fault?.message) continue;
      if (fault === undefined) {
        this.#told.delete(id);
      } else {
        this.#told.set(id, fault.message);
        queueMicrotask(() => this.#options.onUnusableKey(id, fault));
      }
    }
  }

  /** In a turn of its own: what a listener throws is not an error of the pool. */
  #tell(state: 'ready' | 'away', error?: PkiError): void {
    queueMicrotask(() => this.#options.onState(state, error));
  }
}
