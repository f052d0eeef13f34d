import type { PkiError } from '@fleetroot/core';
import type { Call } from './call.ts';

interface Wait {
  /** Milliseconds that the HSM had been away, and attempts that had failed, when the call began. */
  readonly awayBefore: number;
  readonly failuresBefore: number;
  /** How often the call was interrupted by a session that was lost. */
  interruptions: number;
}

const LOOK_EVERY_MS = 250;

/**
 * How long calls wait for an HSM that is away: for so many milliseconds altogether, and for one attempt to reach it at
 * least. Time in which the HSM works does not count.
 */
export class Patience {
  readonly #ms: number;
  readonly #expire: (call: Call, error: PkiError) => void;
  readonly #waits = new Map<Call, Wait>();
  #awayBefore = 0;
  #awaySince: number | undefined;
  #failures = 0;
  #error: PkiError | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(ms: number, expire: (call: Call, error: PkiError) => void) {
    this.#ms = ms;
    this.#expire = expire;
  }

  add(call: Call): void {
    this.#waits.set(call, { awayBefore: this.#awayMs(), failuresBefore: this.#failures, interruptions: 0 });
  }

  remove(call: Call): void {
    this.#waits.delete(call);
  }

  /** From now on the HSM is away. */
  away(error: PkiError): void {
    this.#error = error;
    this.#awaySince = performance.now();
    this.#timer = setInterval(() => this.#judgeAll(), LOOK_EVERY_MS);
  }

  back(): void {
    this.#awayBefore = this.#awayMs();
    this.#awaySince = undefined;
    this.end();
  }

  end(): void {
    clearInterval(this.#timer);
  }

  /** An attempt to reach the HSM failed. */
  failed(error: PkiError): void {
    this.#error = error;
    this.#failures++;
    this.#judgeAll();
  }

  /** A session was lost under the call, which is not in hand any more. */
  interrupted(call: Call, error: PkiError): void {
    const wait = this.#waits.get(call);
    if (wait === undefined) return;
    wait.interruptions++;
    this.#error = error;
    this.#judge(call, wait);
  }

  #judgeAll(): void {
    for (const [call, wait] of this.#waits) this.#judge(call, wait);
  }

  #judge(call: Call, wait: Wait): void {
    const tried = this.#failures > wait.failuresBefore || wait.interruptions > 1;
    if (call.inHand || !tried || this.#error === undefined || this.#awayMs() - wait.awayBefore < this.#ms) return;
    this.#expire(call, this.#error);
  }

  #awayMs(): number {
    return this.#awayBefore + (this.#awaySince === undefined ? 0 : performance.now() - this.#awaySince);
  }
}
