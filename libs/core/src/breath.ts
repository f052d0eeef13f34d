import { setImmediate as breathe } from 'node:timers/promises';

/** The longest that a slice waits, in milliseconds: what is in a hurry may itself be waiting, for its HSM say. */
const LONGEST_PAUSE_MS = 60;

/**
 * Lets the event loop serve others between two slices of bulk work; of all that is at work one slice runs a turn. While
 * something is done for which somebody waits (`heldFor`), no slice begins: each step of it comes the sooner, and is behind
 * one slice at most. So that this never stops the bulk, slices have at least as much of the time as such pauses take.
 */
export class Breath {
  #last: Promise<unknown> = Promise.resolve();
  #hurried = 0;
  #calm: (() => void) | undefined;
  /** Milliseconds that slices may still wait: what they had for themselves, less their pauses, and no more than one pause. */
  #credit = LONGEST_PAUSE_MS;
  /** Of `performance.now`: when the credit was as it says. */
  #creditAt = performance.now();

  /** Resolves when the next slice may run. */
  taken(): Promise<unknown> {
    this.#last = this.#after(this.#last);
    return this.#last;
  }

  async #after(last: Promise<unknown>): Promise<void> {
    await last;
    await breathe();
    if (this.#hurried > 0) await this.#pause();
  }

  /** Does `work`, for which somebody waits. */
  async heldFor<T>(work: () => Promise<T>): Promise<T> {
    this.#hurried++;
    try {
      return await work();
    } finally {
      this.#hurried--;
      if (this.#hurried === 0) this.#calm?.();
    }
  }

  async #pause(): Promise<void> {
    const began = performance.now();
    this.#credit = Math.min(LONGEST_PAUSE_MS, this.#credit + began - this.#creditAt);
    this.#creditAt = began;
    if (this.#credit < 1) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#calm = resolve;
      timer = setTimeout(resolve, this.#credit);
    });
    clearTimeout(timer);
    this.#creditAt = performance.now();
    this.#credit -= this.#creditAt - began;
  }
}
