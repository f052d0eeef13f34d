import { setImmediate as breathe } from 'node:timers/promises';

/** The longest that a slice waits, in milliseconds: what is in a hurry may itself be waiting, for its HSM say. */
const LONGEST_PAUSE_MS = 25;

/**
 * Lets the event loop serve others between two slices of bulk work; of all that is at work one slice runs a turn. While
 * something is done for which somebody waits (`heldFor`), no slice begins: each step of it comes the sooner, and is behind
 * one slice at most. So that this never stops the bulk, slices have at least as much of the time as such pauses take.
 */
export class Breath {
  #last: Promise<unknown> = Promise.resolve();
  #hurried = 0;
  #calm: (() => void) | undefined;
  /** Of `performance.now`: no pause begins before. */
  #noPauseBefore = 0;

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
    if (began < this.#noPauseBefore) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#calm = resolve;
      timer = setTimeout(resolve, LONGEST_PAUSE_MS);
    });
    clearTimeout(timer);
    const ended = performance.now();
    this.#noPauseBefore = ended + (ended - began);
  }
}
