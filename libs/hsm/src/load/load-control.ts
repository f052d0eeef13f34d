import { isPkiError, PkiError } from '@fleetroot/core';
import type { SignatureAlgorithm } from '@fleetroot/x509';
import { FRAME } from '../pool/session.ts';
import type { Signer } from '../signer.ts';
import { Buckets } from './buckets.ts';
import { Pace } from './pace.ts';

export interface LoadSettings<P extends string> {
  /** What each purpose is sure of, in percent (`readShares`); what one leaves the others take. */
  readonly shares: Readonly<Record<P, number>>;
  /** Slices that the signer has in hand at most: two for each of its sessions keep them all at work. */
  readonly inFlight: number;
  /** Milliseconds of a clock that never goes back; absent: the process's own. */
  readonly now?: () => number;
}

/** A signer that serves each purpose its share, whatever the others ask for. */
export interface LoadControl<P extends string> {
  /**
   * As `Signer.sign`: signatures in order, or an error for the call as a whole, once nothing of it is in the HSM any more.
   * @throws PkiError what the signer throws; `data.attempted` counts over the whole call
   */
  sign(purpose: P, keyId: Uint8Array, algorithm: SignatureAlgorithm, messages: readonly Uint8Array[]): Promise<Uint8Array[]>;
  /**
   * `signaturesPerSecond` as measured while the HSM was at work, `busyShare` (0 to 1), `signed.PURPOSE` since the start,
   * `queued.PURPOSE` now (messages), and `forecastSeconds`: how long what is queued will take.
   */
  figures(): Readonly<Record<string, number>>;
}

/** As many as the signer sends to the HSM process at once: so long waits, at most, whose turn it is. */
const SLICE = FRAME;
/** Taken for the capacity before the first measurement. */
const ASSUMED_PER_SECOND = 500;

interface Call<P extends string> {
  readonly purpose: P;
  readonly keyId: Uint8Array;
  readonly algorithm: SignatureAlgorithm;
  readonly messages: readonly Uint8Array[];
  readonly signatures: Uint8Array[];
  /** The first message that was not given to the signer. */
  next: number;
  /** Slices at the signer. */
  out: number;
  /** Signatures may exist for the messages before this one. */
  attempted: number;
  failure: { readonly error: unknown } | undefined;
  readonly done: PromiseWithResolvers<Uint8Array[]>;
}

export function controlLoad<P extends string>(signer: Pick<Signer, 'sign'>, settings: LoadSettings<P>): LoadControl<P> {
  return new SlicedSigner(signer, settings);
}

class SlicedSigner<P extends string> implements LoadControl<P> {
  readonly #signer: Pick<Signer, 'sign'>;
  readonly #inFlight: number;
  readonly #now: () => number;
  readonly #buckets: Buckets<P>;
  readonly #pace: Pace;
  readonly #waiting = new Map<P, Call<P>[]>();
  readonly #queued = new Map<P, number>();
  readonly #signed = new Map<P, number>();
  #out = 0;

  constructor(signer: Pick<Signer, 'sign'>, { shares, inFlight, now = () => performance.now() }: LoadSettings<P>) {
    this.#signer = signer;
    this.#inFlight = inFlight;
    this.#now = now;
    this.#buckets = new Buckets(shares, now());
    this.#pace = new Pace(now());
    for (const purpose of this.#buckets.purposes) {
      this.#waiting.set(purpose, []);
      this.#queued.set(purpose, 0);
      this.#signed.set(purpose, 0);
    }
  }

  async sign(purpose: P, keyId: Uint8Array, algorithm: SignatureAlgorithm, messages: readonly Uint8Array[]): Promise<Uint8Array[]> {
    if (messages.length === 0) return [];
    const queue = this.#waiting.get(purpose);
    if (queue === undefined) throw new PkiError('internal', `no share of the HSM is for ${purpose}`, { data: { attempted: 0 } });
    const call: Call<P> = {
      purpose, keyId, algorithm, messages, signatures: [], next: 0, out: 0, attempted: 0, failure: undefined,
      done: Promise.withResolvers<Uint8Array[]>(),
    };
    enqueue(queue, call);
    add(this.#queued, purpose, messages.length);
    this.#dispatch();
    return call.done.promise;
  }

  figures(): Readonly<Record<string, number>> {
    const rate = this.#pace.perSecond;
    const figures: Record<string, number> = { signaturesPerSecond: rate ?? 0, busyShare: this.#pace.busyShare(this.#now()) };
    let queued = 0;
    for (const purpose of this.#buckets.purposes) {
      figures[`signed.${purpose}`] = this.#signed.get(purpose) ?? 0;
      figures[`queued.${purpose}`] = this.#queued.get(purpose) ?? 0;
      queued += this.#queued.get(purpose) ?? 0;
    }
    figures['forecastSeconds'] = queued / (rate ?? ASSUMED_PER_SECOND);
    return figures;
  }

  #dispatch(): void {
    while (this.#out < this.#inFlight) {
      const waiting = this.#buckets.purposes.filter((purpose) => (this.#waiting.get(purpose) ?? []).length > 0);
      const purpose = this.#buckets.next(waiting, this.#now());
      const queue = purpose === undefined ? undefined : this.#waiting.get(purpose);
      const [call] = queue ?? [];
      if (queue === undefined || call === undefined) return;
      const from = call.next;
      call.next = Math.min(from + SLICE, call.messages.length);
      if (call.next === call.messages.length) queue.shift();
      this.#buckets.draw(call.purpose, call.next - from, this.#pace.perSecond ?? ASSUMED_PER_SECOND);
      void this.#serve(call, from, call.next);
    }
  }

  /** One slice of a call, to its end. Never rejects. */
  async #serve(call: Call<P>, from: number, to: number): Promise<void> {
    this.#out++;
    call.out++;
    try {
      const signatures = await this.#measured(call, call.messages.slice(from, to));
      call.attempted = Math.max(call.attempted, to);
      for (const [i, signature] of signatures.entries()) call.signatures[from + i] = signature;
    } catch (error) {
      const attempted = attemptedOf(error, to - from);
      if (attempted > 0) call.attempted = Math.max(call.attempted, from + attempted);
      this.#fail(call, error);
    }
    this.#out--;
    call.out--;
    add(this.#queued, call.purpose, from - to);
    if (call.out === 0) settle(call);
    this.#dispatch();
  }

  async #measured({ purpose, keyId, algorithm }: Call<P>, slice: readonly Uint8Array[]): Promise<Uint8Array[]> {
    let made: number | undefined;
    this.#pace.begin(this.#now());
    try {
      const signatures = await this.#signer.sign(keyId, algorithm, slice);
      if (signatures.length !== slice.length) {
        throw new PkiError('hsm.signature-invalid', `the HSM made ${signatures.length} signatures where ${slice.length} were asked for`);
      }
      made = slice.length;
      add(this.#signed, purpose, made);
      return signatures;
    } finally {
      this.#pace.end(this.#now(), made);
    }
  }

  /** Nothing more of the call goes out; it is answered when what is out has come back. */
  #fail(call: Call<P>, error: unknown): void {
    if (call.failure !== undefined) return;
    call.failure = { error };
    if (call.next === call.messages.length) return;
    const queue = this.#waiting.get(call.purpose) ?? [];
    queue.splice(queue.indexOf(call), 1);
    add(this.#queued, call.purpose, call.next - call.messages.length);
  }
}

/** Of one purpose a call that fits into a slice, somebody's single certificate, goes before those that take many. */
function enqueue<P extends string>(queue: Call<P>[], call: Call<P>): void {
  const long = call.messages.length > SLICE ? -1 : queue.findIndex(({ messages }) => messages.length > SLICE);
  if (long === -1) queue.push(call);
  else queue.splice(long, 0, call);
}

function settle<P extends string>({ failure, next, messages, signatures, attempted, done }: Call<P>): void {
  if (failure === undefined) {
    if (next === messages.length) done.resolve(signatures);
    return;
  }
  const { error } = failure;
  if (!isPkiError(error)) return done.reject(error);
  done.reject(new PkiError(error.code, error.message, { cause: error, data: { ...error.data, attempted } }));
}

/** For how many messages of a failed slice a signature may exist. */
function attemptedOf(error: unknown, messages: number): number {
  const attempted = isPkiError(error) ? error.data['attempted'] : undefined;
  return typeof attempted === 'number' ? Math.min(Math.max(attempted, 0), messages) : messages;
}

function add<P>(counts: Map<P, number>, purpose: P, by: number): void {
  counts.set(purpose, (counts.get(purpose) ?? 0) + by);
}
