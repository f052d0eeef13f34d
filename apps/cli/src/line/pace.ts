/** The rate is that of the last while: what happened before a pause says nothing of the time left. */
const WINDOW_MS = 15_000;
const STEP_MS = 250;
/** Before this, a rate is a guess. */
const LEAST_MS = 1_000;

export interface PaceNow {
  readonly done: number;
  readonly total: number;
  /** 0 to 1. */
  readonly part: number;
  /** undefined: not known yet. */
  readonly perSecond: number | undefined;
  readonly secondsLeft: number | undefined;
}

/** How far something is, how fast it goes, and how long it will take. */
export class Pace {
  readonly #total: number;
  readonly #samples: { readonly at: number; readonly done: number }[];
  #done: number;

  /** @param done what was done before: it counts, but not for the rate. @param now in milliseconds of any clock */
  constructor(total: number, done: number, now: number) {
    this.#total = total;
    this.#done = done;
    this.#samples = [{ at: now, done }];
  }

  /** `done` may fall back: what was sent, and did not arrive. */
  at(done: number, now: number): PaceNow {
    this.#done = done;
    const last = this.#samples.at(-1);
    if (last === undefined || now - last.at >= STEP_MS) this.#samples.push({ at: now, done });
    while (this.#samples.length > 1 && now - (this.#samples[1]?.at ?? now) >= WINDOW_MS) this.#samples.shift();
    return this.now(now);
  }

  now(now: number): PaceNow {
    const first = this.#samples[0] ?? { at: now, done: this.#done };
    const elapsed = now - first.at;
    const perSecond = elapsed < LEAST_MS ? undefined : Math.max(0, ((this.#done - first.done) * 1000) / elapsed);
    const rest = this.#total - this.#done;
    return {
      done: this.#done, total: this.#total, part: this.#total === 0 ? 1 : this.#done / this.#total, perSecond,
      secondsLeft: rest === 0 ? 0 : perSecond === undefined || perSecond === 0 ? undefined : rest / perSecond,
    };
  }
}

/** `45 s`, `3 min 20 s`, `2 h 5 min`. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3_600) return whole % 60 === 0 ? `${whole / 60} min` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(whole / 60);
  return minutes % 60 === 0 ? `${minutes / 60} h` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
