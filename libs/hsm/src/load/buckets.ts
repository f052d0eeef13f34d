/** A bucket that nobody draws from holds what flows into it in so many seconds. */
const DEPTH_SECONDS = 1;

/**
 * A token bucket a purpose, of which the fullest is served first. Its refill is its share of what the HSM can sign; a
 * level is told in seconds of that refill, so that a capacity which is measured anew changes no level.
 *
 * Nothing is left undone while somebody waits: where every bucket that is waited at is empty, those who wait are lent
 * what the others leave, each the same seconds, until the fullest stands at zero. So nobody owes more than one slice, and
 * of those who never stop asking each gets what is in proportion to its share.
 */
export class Buckets<P extends string> {
  readonly #shares: ReadonlyMap<P, number>;
  readonly #levels: Map<P, number>;
  #at: number;

  /**
   * @param shares in percent, above 0
   * @param now in milliseconds of a clock that never goes back, here and below
   */
  constructor(shares: Readonly<Record<P, number>>, now: number) {
    this.#shares = new Map(Object.entries<number>(shares).map(([purpose, percent]) => [purpose as P, percent / 100]));
    this.#levels = new Map([...this.#shares.keys()].map((purpose) => [purpose, DEPTH_SECONDS]));
    this.#at = now;
  }

  get purposes(): readonly P[] {
    return [...this.#shares.keys()];
  }

  /** Who is served next of those who wait: of equals the first. undefined: nobody waits. */
  next(waiting: readonly P[], now: number): P | undefined {
    this.#refill(now);
    let fullest: P | undefined;
    for (const purpose of waiting) if (fullest === undefined || this.#level(purpose) > this.#level(fullest)) fullest = purpose;
    if (fullest === undefined) return undefined;
    const debt = -this.#level(fullest);
    if (debt > 0) for (const purpose of waiting) this.#levels.set(purpose, this.#level(purpose) + debt);
    return fullest;
  }

  /** Draws so many signatures. @param capacity signatures a second that the HSM makes in all */
  draw(purpose: P, signatures: number, capacity: number): void {
    const refill = (this.#shares.get(purpose) ?? 0) * capacity;
    this.#levels.set(purpose, this.#level(purpose) - signatures / refill);
  }

  #refill(now: number): void {
    const seconds = Math.max(0, now - this.#at) / 1000;
    this.#at = Math.max(this.#at, now);
    for (const [purpose, level] of this.#levels) this.#levels.set(purpose, Math.min(DEPTH_SECONDS, level + seconds));
  }

  #level(purpose: P): number {
    return this.#levels.get(purpose) ?? 0;
  }
}
