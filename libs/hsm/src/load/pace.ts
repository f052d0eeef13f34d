/** A measurement is over so much work, in milliseconds. */
const SAMPLE_MS = 250;
/** What a new measurement counts against those before it. */
const WEIGHT = 0.25;
/** The share of time at work looks back over so long, in milliseconds. */
const BUSY_MS = 10_000;

/** How fast the HSM signs while it has work, and for what part of the time it has. Times are in milliseconds. */
export class Pace {
  #out = 0;
  /** The HSM has been at work on what comes back next since then, at least. */
  #since = 0;
  /** It had more in hand when it gave back the last one: the time until the next one is its own, without the way. */
  #full = false;
  #sample = { signatures: 0, ms: 0 };
  #measured: number | undefined;
  #glimpsed: number | undefined;
  #busy = 0;
  #busyAt: number;

  constructor(now: number) {
    this.#busyAt = now;
  }

  /**
   * Signatures a second, measured while one slice followed another; before that ever happened the best that was seen of
   * a single one, way included. undefined: nothing was signed yet.
   */
  get perSecond(): number | undefined {
    return this.#measured ?? this.#glimpsed;
  }

  /** Part of the last ten seconds or so with work, 0 to 1. */
  busyShare(now: number): number {
    this.#lookBack(now);
    return this.#busy;
  }

  /** A slice goes out to the HSM. */
  begin(now: number): void {
    this.#lookBack(now);
    if (this.#out++ > 0) return;
    this.#since = now;
    this.#full = false;
  }

  /** A slice came back with so many signatures; undefined: it failed, and its time tells nothing. */
  end(now: number, signatures: number | undefined): void {
    this.#lookBack(now);
    const ms = now - this.#since;
    if (signatures !== undefined && ms > 0) this.#measure(signatures, ms);
    this.#out--;
    this.#since = now;
    this.#full = this.#out > 0;
  }

  #measure(signatures: number, ms: number): void {
    if (!this.#full) {
      this.#glimpsed = Math.max(this.#glimpsed ?? 0, (signatures * 1000) / ms);
      return;
    }
    const sample = { signatures: this.#sample.signatures + signatures, ms: this.#sample.ms + ms };
    const whole = sample.ms >= SAMPLE_MS;
    this.#sample = whole ? { signatures: 0, ms: 0 } : sample;
    if (!whole) return;
    const rate = (sample.signatures * 1000) / sample.ms;
    this.#measured = this.#measured === undefined ? rate : this.#measured + WEIGHT * (rate - this.#measured);
  }

  #lookBack(now: number): void {
    const kept = Math.exp(-Math.max(0, now - this.#busyAt) / BUSY_MS);
    this.#busy = this.#busy * kept + (this.#out > 0 ? 1 - kept : 0);
    this.#busyAt = now;
  }
}
