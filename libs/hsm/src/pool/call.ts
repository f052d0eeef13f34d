import { PkiError } from '@fleetroot/core';
import type { SignatureAlgorithm } from '@fleetroot/x509';
import type { PooledKey } from './key.ts';

/** What a call asks for. */
export interface Work {
  readonly key: PooledKey;
  readonly algorithm: SignatureAlgorithm;
  readonly messages: readonly Uint8Array[];
}

/** Messages `start` to `end` (not included) of a call. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** What became of a frame. */
export interface Outcome {
  /** Of its first messages, in X.509 form. */
  readonly signatures: readonly Uint8Array[];
  /** For how many of its messages a signature may exist. */
  readonly attempted: number;
  /** Why it was not all; undefined: every message is signed. */
  readonly error?: PkiError;
}

/**
 * One call of `sign` on its way through the pool. Each message is handed out once; those that were handed out and provably
 * not attempted come back and are handed out again.
 */
export class Call {
  readonly work: Work | undefined;
  readonly result: Promise<Uint8Array[]>;
  readonly #signatures: Uint8Array[] = [];
  readonly #resolve: (signatures: Uint8Array[]) => void;
  readonly #reject: (error: PkiError) => void;
  #left: Span[];
  #inHand = 0;
  #attempted = 0;
  #failure: PkiError | undefined;
  #settled = false;

  /** Without work: a call that waits for a session and signs nothing. */
  constructor(work: Work | undefined) {
    this.work = work;
    this.#left = work === undefined ? [] : [{ start: 0, end: work.messages.length }];
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array[]>();
    this.result = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Has messages to hand out. */
  get waiting(): boolean {
    return this.#left.length > 0;
  }

  get inHand(): boolean {
    return this.#inHand > 0;
  }

  get settled(): boolean {
    return this.#settled;
  }

  /** The next messages, `most` at most. */
  take(most: number): Span {
    const [first, ...others] = this.#left;
    if (first === undefined) throw new RangeError('the call has nothing left to sign');
    const end = Math.min(first.end, first.start + most);
    this.#left = end < first.end ? [{ start: end, end: first.end }, ...others] : others;
    this.#inHand++;
    return { start: first.start, end };
  }

  /** What became of a span that was taken. Messages that were not attempted are handed out again. */
  give({ start, end }: Span, { signatures, attempted }: Outcome): void {
    this.#inHand--;
    signatures.forEach((signature, i) => {
      this.#signatures[start + i] = signature;
    });
    if (attempted > 0) this.#attempted = Math.max(this.#attempted, start + attempted);
    if (start + attempted < end && this.#failure === undefined) this.#left.unshift({ start: start + attempted, end });
    this.finish();
  }

  /** Hands out no more; rejects as soon as nothing is in hand. */
  fail(error: PkiError): void {
    this.#failure ??= error;
    this.#left = [];
    this.finish();
  }

  /** Settles where nothing is left and nothing in hand. */
  finish(): void {
    if (this.#settled || this.#inHand > 0 || this.waiting) return;
    this.#settled = true;
    const failure = this.#failure;
    if (failure === undefined) return this.#resolve(this.#signatures);
    this.#reject(new PkiError(failure.code, failure.message, { cause: failure, data: { ...failure.data, attempted: this.#attempted } }));
  }
}
