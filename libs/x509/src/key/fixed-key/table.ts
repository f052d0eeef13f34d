import { at } from './at.ts';
import { doublings, order, type Point } from './curve.ts';
import { toMontgomery } from './field.ts';
import { TABLE_POINT_OCTETS } from './kernel.ts';
import type { Lockstep } from './lockstep.ts';

/** Bits of a window. */
export const WINDOW = 10;
export const WINDOWS = Math.ceil(256 / WINDOW);
/** Points of a window. */
const HALF = 2 ** (WINDOW - 1);
/** 2^i * P that are kept: to make the table of, and to check it by. */
const POWERS = WINDOW * (WINDOWS + 1);
export const TABLE_POINTS = WINDOWS * HALF + POWERS;
const WORDS = Math.ceil((WINDOW * WINDOWS) / 64) + 1;

/** What the table of a point asks of a Lockstep at once. */
export const BUILDING_POINTS = 4 * HALF;

/**
 * Multiples of a fixed point P: (2j + 1) * 2^(w * i) * P for all odd numbers below 2^w and each window i of w bits. An odd
 * scalar is a sum of odd digits, one a window and none of them 0; an even one is the opposite of an odd one. So a multiple
 * is a sum of one point a window, without doublings.
 */
export class Table {
  readonly #lockstep: Lockstep;
  readonly #start: number;
  readonly #powers: number;
  readonly #words = new BigUint64Array(WORDS);
  readonly #halves = new Uint32Array(this.#words.buffer);

  /** `start`: where TABLE_POINTS have room. */
  constructor(lockstep: Lockstep, start: number) {
    this.#lockstep = lockstep;
    this.#start = start;
    this.#powers = this.#entry(WINDOWS, 0);
  }

  /**
   * Fills the table for a point of the curve, then checks every entry: those of a window add up to 2^(w * i + 2w - 2) * P,
   * which was computed in another way. Between two steps, a millisecond of work each, it yields.
   * @throws Error where the table is not what it should be
   */
  *fill(point: Point): Generator<undefined, void> {
    const powers = doublings(point, POWERS);
    yield;
    for (const [i, { x, y }] of powers.entries()) this.#lockstep.writeTablePoint(this.#power(i), [...toMontgomery(x), ...toMontgomery(y)]);
    for (let window = 0; window < WINDOWS; window++) this.#lockstep.moveTablePoint(this.#power(WINDOW * window), this.#entry(window, 0));
    // From the multiples below 2^k those up to 2^(k + 1). No two of these points are equal or opposite.
    for (let k = 1; k < WINDOW; k++) yield* this.#raise(k);
    yield* this.#check(powers);
  }

  *#raise(k: number): Generator<undefined, void> {
    const made = 2 ** (k - 1);
    const atOnce = Math.min(WINDOWS, BUILDING_POINTS / 2 / made);
    for (let first = 0; first < WINDOWS; first += atOnce) {
      const sums = Math.min(atOnce, WINDOWS - first) * made;
      const even = sums + (sums & 1);
      for (let i = 0; i < even; i++) {
        const own = Math.min(i, sums - 1);
        const window = first + Math.floor(own / made);
        this.#lockstep.choose(0, i, even, this.#entry(window, own % made));
        this.#lockstep.choose(1, i, even, this.#power(WINDOW * window + k));
      }
      this.#lockstep.sum(2, even);
      for (let i = 0; i < sums; i++) this.#lockstep.moveSum(i, this.#entry(first + Math.floor(i / made), made + (i % made)));
      yield;
    }
  }

  *#check(powers: readonly Point[]): Generator<undefined, void> {
    const atOnce = BUILDING_POINTS / HALF;
    for (let first = 0; first < WINDOWS; first += atOnce) {
      for (let i = 0; i < atOnce; i++) {
        for (let j = 0; j < HALF; j++) this.#lockstep.choose(j, i, atOnce, this.#entry(Math.min(first + i, WINDOWS - 1), j));
      }
      const summed = this.#lockstep.sum(HALF, atOnce);
      for (let i = 0; i < Math.min(atOnce, WINDOWS - first); i++) {
        const { x, y } = at(powers, WINDOW * (first + i) + 2 * WINDOW - 2);
        if (!summed || this.#lockstep.coordinate(i, 'x') !== x || this.#lockstep.coordinate(i, 'y') !== y) {
          throw new Error(`the points of window ${first + i} do not add up`);
        }
      }
      yield;
    }
  }

  /** Chooses the points of a multiple, a row each from `row` on; the scalar is one of 0 .. order - 1. */
  choose(scalar: bigint, row: number, i: number, sums: number): void {
    const flip = scalar & 1n ? 0 : 1;
    const odd = flip === 1 ? order - scalar : scalar;
    // Each bit of this stands for + or - of a power of two, instead of that or nothing.
    let signs = (odd + (1n << BigInt(WINDOW * WINDOWS)) - 1n) >> 1n;
    for (let word = 0; word < WORDS; word++, signs >>= 64n) this.#words[word] = BigInt.asUintN(64, signs);
    for (let window = 0; window < WINDOWS; window++) {
      const digit = this.#bits(window * WINDOW);
      const positive = digit >= HALF;
      const index = positive ? digit - HALF : HALF - 1 - digit;
      this.#lockstep.choose(row + window, i, sums, this.#entry(window, index), positive ? flip : 1 - flip);
    }
  }

  #bits(offset: number): number {
    const word = offset >> 5;
    const shift = offset & 31;
    const low = (this.#halves[word] ?? 0) >>> shift;
    return (shift > 32 - WINDOW ? low | ((this.#halves[word + 1] ?? 0) << (32 - shift)) : low) & (2 * HALF - 1);
  }

  #entry(window: number, index: number): number {
    return this.#start + (window * HALF + index) * TABLE_POINT_OCTETS;
  }

  #power(exponent: number): number {
    return this.#powers + exponent * TABLE_POINT_OCTETS;
  }
}
