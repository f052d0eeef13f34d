import { at } from './at.ts';
import { type Code, type FunctionBody, lanes } from './wasm.ts';

// Elements of the field of P-256, p = 2^256 - 2^224 + 2^192 + 2^96 - 1, in five limbs of 52 bits: doubles that hold whole
// numbers of -2^51 .. 2^51, so that the product of two has its upper and its lower half in a double each, by two fused
// multiplications. An element x stands as x * 2^260 mod p (Montgomery); it is kept near 0, not reduced. Each of the two
// lanes of a vector has an element of its own.
//
// Bounds: an operand of `multiply` may be the difference of two elements (limbs up to 2^52) if the other is none.

/** Five limbs, lowest first. */
export type Element = readonly Code[];

export const LIMBS = 5;
export const LIMB_BITS = 52;

const { add, sub, and, or, shiftLeft, shiftRight, addReal, subReal, mulAdd } = lanes;

const MASK = (1n << 52n) - 1n;
/** Adding it to a number below 2^103 rounds that to a multiple of 2^52: what is left of its bits is the quotient. */
const UPPER = 1.5 * 2 ** 104;
/** Adding it to a whole number of 52 bits with sign puts that into the lowest bits of the double. */
const LOWER = 1.5 * 2 ** 52;
const UPPER_BITS = 0x4678_0000_0000_0000n;
const LOWER_BITS = 0x4338_0000_0000_0000n;
/** Keeps a column positive, whose shift is unsigned; a multiple of 2^52. */
const POSITIVE = 1n << 62n;
const CARRIED = POSITIVE >> 52n;
/** For a limb between -2^51 and 2^51 instead of 0 and 2^52. */
const HALF = 1n << 51n;

export const difference = (f: FunctionBody, a: Element, b: Element): Element => a.map((limb, i) => f.let(subReal(limb, at(b, i))));

/** The columns of a product, each the sum of halves, as 64-bit numbers beside a known constant. */
class Columns {
  readonly sums: (Code | undefined)[] = Array.from({ length: 2 * LIMBS });
  /** What each column has too much, modulo 2^64. */
  readonly excess: bigint[] = Array.from({ length: 2 * LIMBS }, () => 0n);
  readonly #f: FunctionBody;

  constructor(f: FunctionBody) {
    this.#f = f;
  }

  plus(column: number, bits: Code, excess = 0n): void {
    const sum = this.sums[column];
    this.sums[column] = sum === undefined ? bits : this.#f.let(add(sum, bits));
    this.excess[column] = at(this.excess, column) + excess;
  }

  minus(column: number, bits: Code, excess = 0n): void {
    this.sums[column] = this.#f.let(sub(this.#sum(column), bits));
    this.excess[column] = at(this.excess, column) - excess;
  }

  product(column: number, a: Code, b: Code): void {
    const f = this.#f;
    const upper = f.let(mulAdd(a, b, lanes.real(UPPER)));
    const rest = f.let(addReal(subReal(lanes.real(UPPER), upper), lanes.real(LOWER)));
    this.plus(column, f.let(mulAdd(a, b, rest)), LOWER_BITS);
    this.plus(column + 1, upper, UPPER_BITS);
  }

  #sum(column: number): Code {
    return this.sums[column] ?? lanes.constant(0n);
  }

  /** The column with exactly `wanted` too much. */
  settle(column: number, wanted: bigint): Code {
    const missing = BigInt.asUintN(64, wanted - at(this.excess, column));
    const sum = this.#sum(column);
    return missing === 0n ? sum : this.#f.let(add(sum, lanes.constant(missing)));
  }
}

/** a * b / 2^260 - subtrahends, each of which is an element. */
export function multiply(f: FunctionBody, a: Element, b: Element, ...subtrahends: Element[]): Element {
  const columns = new Columns(f);
  for (let i = 0; i < LIMBS; i++) for (let j = 0; j < LIMBS; j++) columns.product(i + j, at(a, i), at(b, j));
  return reduce(f, columns, subtrahends);
}

/** a * a / 2^260 - subtrahends. */
export function square(f: FunctionBody, a: Element, ...subtrahends: Element[]): Element {
  const columns = new Columns(f);
  const twice = a.map((limb) => f.let(addReal(limb, limb)));
  for (let i = 0; i < LIMBS; i++) {
    columns.product(2 * i, at(a, i), at(a, i));
    for (let j = i + 1; j < LIMBS; j++) columns.product(i + j, at(twice, i), at(a, j));
  }
  return reduce(f, columns, subtrahends);
}

/** Montgomery's reduction: p ends in 96 ones, so the multiple of p that clears a limb is the limb itself. */
function reduce(f: FunctionBody, columns: Columns, subtrahends: readonly Element[]): Element {
  const mask = lanes.constant(MASK);
  const upTo = (value: Code, bits: number): Code => f.let(and(shiftLeft(value, bits), mask));
  for (let i = 0; i < LIMBS; i++) {
    const column = columns.settle(i, POSITIVE);
    const m = f.let(and(column, mask));
    columns.plus(i + 1, f.let(shiftRight(column, 52)), CARRIED);
    // + m * 2^96
    columns.plus(i + 1, upTo(column, 44));
    columns.plus(i + 2, f.let(shiftRight(m, 8)));
    // + m * 2^192
    columns.plus(i + 3, upTo(column, 36));
    columns.plus(i + 4, f.let(shiftRight(m, 16)));
    // - m * 2^224
    columns.minus(i + 4, upTo(column, 16));
    columns.minus(i + 5, f.let(shiftRight(m, 36)));
    // + m * 2^256
    columns.plus(i + 4, upTo(column, 48));
    columns.plus(i + 5, f.let(shiftRight(m, 4)));
  }
  for (const subtrahend of subtrahends) {
    for (const [i, limb] of subtrahend.entries()) columns.minus(LIMBS + i, f.let(addReal(limb, lanes.real(LOWER))), LOWER_BITS);
  }
  if (subtrahends.length > 0) nearZero(f, columns);
  return limbs(f, columns);
}

/** Takes off that multiple of p that the uppermost column shows. */
function nearZero(f: FunctionBody, columns: Columns): void {
  const top = 2 * LIMBS - 1;
  const bias = 1n << 62n;
  const shown = f.let(shiftRight(columns.settle(top, bias + (1n << 47n)), 48));
  const q = f.let(sub(shown, lanes.constant(bias >> 48n)));
  columns.plus(LIMBS, q);
  columns.minus(LIMBS + 1, f.let(shiftLeft(q, 44)));
  columns.minus(LIMBS + 3, f.let(shiftLeft(q, 36)));
  columns.minus(LIMBS + 4, f.let(shiftLeft(q, 48)));
  columns.plus(LIMBS + 4, f.let(shiftLeft(q, 16)));
}

/** Carries, and doubles again. */
function limbs(f: FunctionBody, columns: Columns): Element {
  const element: Code[] = [];
  for (let column = LIMBS; column < 2 * LIMBS - 1; column++) {
    const sum = columns.settle(column, POSITIVE + HALF);
    columns.plus(column + 1, f.let(shiftRight(sum, 52)), CARRIED);
    // The bits of 2^52 + limb + 2^51.
    const shifted = f.let(or(and(sum, lanes.constant(MASK)), lanes.constant(0x4330_0000_0000_0000n)));
    element.push(f.let(subReal(shifted, lanes.real(LOWER))));
  }
  element.push(f.let(subReal(columns.settle(2 * LIMBS - 1, LOWER_BITS), lanes.real(LOWER))));
  return element;
}
