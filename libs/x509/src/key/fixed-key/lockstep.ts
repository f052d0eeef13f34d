import { prime, residue } from './curve.ts';
import { Field, SCRATCH_OCTETS, toLimbs } from './field.ts';
import { LIMBS } from './field-code.ts';
import { ELEMENT_OCTETS, type Kernel, POINT_OCTETS, TABLE_POINT_OCTETS } from './kernel.ts';
import { WebAssembly, type WasmModule } from './web-assembly.ts';

const PAGE = 65_536;

/** Most points that are at work at once, and room for tables beside them. */
export interface Room {
  readonly points: number;
  readonly tablePoints: number;
}

/**
 * Adds up points of many sums in lockstep: pairwise, in affine coordinates, with all divisions of a level by one inversion.
 * It begins with a list of addresses in tables, row by row: one point a sum.
 */
export class Lockstep {
  /** Where tables may be. */
  readonly tables: number;
  readonly #kernel: Kernel;
  readonly #field: Field;
  readonly #reals: Float64Array;
  readonly #list: Uint32Array;
  readonly #at: Readonly<Record<'product' | 'inverse' | 'nonzero' | 'unit' | 'list' | 'points' | 'prefixes', number>>;

  constructor(module: WasmModule, { points, tablePoints }: Room) {
    const vectors = (points + 1) >> 1;
    let end = 0;
    const take = (octets: number): number => (end += octets) - octets;
    const scratch = take(SCRATCH_OCTETS);
    this.#at = {
      product: take(ELEMENT_OCTETS), inverse: take(ELEMENT_OCTETS), nonzero: take(ELEMENT_OCTETS), unit: take(ELEMENT_OCTETS),
      list: take(vectors * 16), points: take(vectors * POINT_OCTETS), prefixes: take(vectors * ELEMENT_OCTETS),
    };
    this.tables = take(tablePoints * TABLE_POINT_OCTETS);
    const memory = new WebAssembly.Memory({ initial: Math.ceil(end / PAGE) });
    this.#kernel = new WebAssembly.Instance(module, { env: { memory } }).exports as Kernel;
    this.#field = new Field(this.#kernel, memory, scratch);
    this.#reals = new Float64Array(memory.buffer);
    this.#list = new Uint32Array(memory.buffer, this.#at.list, vectors * 2);
    this.#field.writeBoth(this.#at.unit, toLimbs(1n));
  }

  /** The limbs of a table's point, x and y. */
  writeTablePoint(address: number, limbs: ArrayLike<number>): void {
    this.#reals.set(limbs, address / 8);
  }

  moveTablePoint(from: number, to: number): void {
    this.#reals.copyWithin(to / 8, from / 8, (from + TABLE_POINT_OCTETS) / 8);
  }

  /** Puts a point of a table into a row, for the sum `i` of `sums`; `opposite` is 0 or 1. `sums` is even. */
  choose(row: number, i: number, sums: number, address: number, opposite = 0): void {
    this.#list[row * sums + i] = address + opposite;
  }

  /**
   * Makes the sums of the points that were chosen. False: one addition was exceptional (two points equal or opposite), and
   * no sum counts.
   */
  sum(rows: number, sums: number): boolean {
    const { list, points, nonzero } = this.#at;
    const rowOctets = (sums / 2) * POINT_OCTETS;
    this.#kernel.gather(list, points, (rows * sums) / 2);
    this.#field.writeOne(nonzero);
    for (let left = rows; left > 1;) {
      const kept = (left + 1) >> 1;
      this.#addInto(points, points + kept * rowOctets, ((left - kept) * sums) / 2);
      left = kept;
    }
    return ([0, 1] as const).every((lane) => residue(this.#field.read(nonzero, lane), prime) !== 0n);
  }

  /** The sum `i` as a table has it. */
  moveSum(i: number, address: number): void {
    const from = this.#place(i);
    for (let limb = 0; limb < 2 * LIMBS; limb++) this.#reals[address / 8 + limb] = this.#reals[from + 2 * limb] ?? 0;
  }

  /** Of the sum `i`, as a whole number. It is taken out of its form: once for each sum. */
  coordinate(i: number, of: 'x' | 'y'): bigint {
    const address = this.#at.points + (i >> 1) * POINT_OCTETS + (of === 'x' ? 0 : ELEMENT_OCTETS);
    this.#kernel.multiply(this.#at.product, address, this.#at.unit);
    return residue(this.#field.read(this.#at.product, (i & 1) as 0 | 1), prime);
  }

  #place(i: number): number {
    return (this.#at.points + (i >> 1) * POINT_OCTETS) / 8 + (i & 1);
  }

  /** a[i] += b[i]. */
  #addInto(a: number, b: number, vectors: number): void {
    const { product, inverse, nonzero, prefixes } = this.#at;
    this.#field.writeOne(product);
    this.#kernel.products(a, b, prefixes, vectors, product);
    // A difference of 0 makes the product 0, and this for good.
    this.#kernel.multiply(nonzero, nonzero, product);
    this.#field.invert(inverse, product);
    this.#kernel.addAll(a, b, prefixes, vectors, inverse);
  }
}
