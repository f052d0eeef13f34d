import { PkiError } from '@fleetroot/core';

/** Work that costs the processor much, one at a time: whoever asks has a place in a short queue, or is told to come again. */
export class Turns {
  readonly #each: number;
  readonly #all: number;
  readonly #held = new Map<number, number>();
  #asked = 0;
  #last: Promise<unknown> = Promise.resolve();

  /**
   * @param each places that one principal may hold, in work or waiting
   * @param all places in all
   */
  constructor(each: number, all: number) {
    this.#each = each;
    this.#all = all;
  }

  /** @throws PkiError `http.too-many-requests`, and what `work` throws */
  async take<T>(principalId: number, work: () => Promise<T>): Promise<T> {
    const held = this.#held.get(principalId) ?? 0;
    if (held >= this.#each || this.#asked >= this.#all) {
      throw new PkiError('http.too-many-requests', 'others are being served: ask again in a few seconds');
    }
    this.#held.set(principalId, held + 1);
    this.#asked++;
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      this.#asked--;
      const left = (this.#held.get(principalId) ?? 1) - 1;
      if (left === 0) this.#held.delete(principalId);
      else this.#held.set(principalId, left);
    }
  }
}
