import { prime, residue } from './curve.ts';
import { LIMB_BITS, LIMBS } from './field-code.ts';
import { ELEMENT_OCTETS, type Kernel } from './kernel.ts';
import type { WasmMemory } from './web-assembly.ts';

const MONTGOMERY_BITS = BigInt(LIMBS * LIMB_BITS);

/** Whole numbers to limbs, lowest first, and back. A limb lies between -2^51 and 2^51. */
export function toLimbs(value: bigint): number[] {
  const limbs: number[] = [];
  let rest = value;
  for (let i = 1; i < LIMBS; i++) {
    const limb = BigInt.asIntN(LIMB_BITS, rest);
    limbs.push(Number(limb));
    rest = (rest - limb) >> BigInt(LIMB_BITS);
  }
  return [...limbs, Number(rest)];
}

export const toMontgomery = (value: bigint): number[] => toLimbs(residue(value << MONTGOMERY_BITS, prime));

const ONE = toMontgomery(1n);

/** Field elements in the kernel's memory: each in two lanes, at an address that is a multiple of 16. */
export class Field {
  readonly kernel: Kernel;
  readonly #reals: Float64Array;
  readonly #scratch: number;

  /** `scratch`: where SCRATCH_OCTETS are free. */
  constructor(kernel: Kernel, memory: WasmMemory, scratch: number) {
    this.kernel = kernel;
    this.#reals = new Float64Array(memory.buffer);
    this.#scratch = scratch;
  }

  write(address: number, lane: 0 | 1, limbs: readonly number[]): void {
    for (const [i, limb] of limbs.entries()) this.#reals[address / 8 + lane + 2 * i] = limb;
  }

  /** As it stands: near 0, not reduced; in Montgomery's form where it was not taken out of it. */
  read(address: number, lane: 0 | 1): bigint {
    let value = 0n;
    for (let i = LIMBS - 1; i >= 0; i--) value = (value << BigInt(LIMB_BITS)) + BigInt(this.#reals[address / 8 + lane + 2 * i] ?? 0);
    return value;
  }

  writeBoth(address: number, limbs: readonly number[]): void {
    this.write(address, 0, limbs);
    this.write(address, 1, limbs);
  }

  writeOne(address: number): void {
    this.writeBoth(address, ONE);
  }

  /**
   * out = 1 / a, at two places that differ, by Fermat: a^(p - 2), where p - 2 is 32 ones, 31 zeros, 1, 96 zeros, 94 ones, 0
   * and 1 in binary. Of 0 it is 0.
   */
  invert(out: number, a: number): void {
    const { kernel } = this;
    const reals = this.#reals;
    const [ones, kept] = [this.#scratch, this.#scratch + ELEMENT_OCTETS];
    const copy = (to: number, from: number): void => { reals.copyWithin(to / 8, from / 8, (from + ELEMENT_OCTETS) / 8); };
    // `ones` has `run` ones; each step doubles them.
    copy(ones, a);
    for (let run = 1; run < 32; run *= 2) {
      copy(kept, ones);
      kernel.squareTimes(ones, run);
      kernel.multiply(ones, ones, kept);
    }
    // `ones`: 32 ones.
    copy(out, ones);
    kernel.squareTimes(out, 32);
    kernel.multiply(out, out, a);
    kernel.squareTimes(out, 96 + 32);
    kernel.multiply(out, out, ones);
    kernel.squareTimes(out, 32);
    kernel.multiply(out, out, ones);
    // 30 ones are left, then 0 and 1: as 16 + 8 + 4 + 2.
    for (let run = 16; run >= 2; run /= 2) {
      copy(ones, a);
      for (let made = 1; made < run; made *= 2) {
        copy(kept, ones);
        kernel.squareTimes(ones, made);
        kernel.multiply(ones, ones, kept);
      }
      kernel.squareTimes(out, run);
      kernel.multiply(out, out, ones);
    }
    kernel.squareTimes(out, 2);
    kernel.multiply(out, out, a);
  }
}

/** What `invert` needs. */
export const SCRATCH_OCTETS = 2 * ELEMENT_OCTETS;
