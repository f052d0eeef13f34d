import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { basePoint, inverse, inverses, isOnCurve, order, prime, residue } from '../src/key/fixed-key/curve.ts';
import { Field, SCRATCH_OCTETS, toLimbs, toMontgomery } from '../src/key/fixed-key/field.ts';
import { ELEMENT_OCTETS, type Kernel, kernelOctets } from '../src/key/fixed-key/kernel.ts';
import { WebAssembly } from '../src/key/fixed-key/web-assembly.ts';

const R = 2n ** 260n;
const memory = new WebAssembly.Memory({ initial: 1 });
const kernel = new WebAssembly.Instance(new WebAssembly.Module(finished(kernelOctets())), { env: { memory } }).exports as Kernel;
const field = new Field(kernel, memory, 0);
const reals = new Float64Array(memory.buffer);
const [A, B, C] = [0, 1, 2].map((i) => SCRATCH_OCTETS + i * ELEMENT_OCTETS) as [number, number, number];

function finished<T>(generator: Generator<unknown, T>): T {
  for (;;) {
    const { done, value } = generator.next();
    if (done === true) return value as T;
  }
}

const random = (): bigint => BigInt(`0x${randomBytes(32).toString('hex')}`) % prime;
const modP = (value: bigint): bigint => residue(value, prime);
const limbsAt = (address: number, lane: 0 | 1): number[] => [0, 1, 2, 3, 4].map((i) => reals[address / 8 + 2 * i + lane]!);
const valueOf = (limbs: readonly number[]): bigint => limbs.reduceRight((value, limb) => value * 2n ** 52n + BigInt(limb), 0n);

/** Carries, borrows and every edge of the reduction. */
const EDGES = [
  0n, 1n, 2n, 3n, prime - 1n, prime - 2n, (prime - 1n) / 2n, (prime + 1n) / 2n, order, order - 1n, 2n ** 255n,
  ...[44, 51, 52, 96, 103, 104, 156, 192, 208, 224].flatMap((bits) => [2n ** BigInt(bits) - 1n, 2n ** BigInt(bits), prime - 2n ** BigInt(bits)]),
];

describe('field of P-256', () => {
  test('numbers go to limbs between -2^51 and 2^51, and back', () => {
    for (const value of [...EDGES, ...Array.from({ length: 200 }, random)]) {
      const limbs = toLimbs(value);
      expect(valueOf(limbs)).toBe(value);
      expect(limbs.every((limb) => Number.isInteger(limb) && Math.abs(limb) <= 2 ** 51)).toBe(true);
      field.write(A, 1, limbs);
      expect(field.read(A, 1)).toBe(value);
    }
  });

  test('products of all edges, each lane for itself', () => {
    for (const a of EDGES) {
      for (const b of EDGES) {
        field.write(A, 0, toMontgomery(a));
        field.write(A, 1, toMontgomery(b));
        field.write(B, 0, toMontgomery(b));
        field.write(B, 1, toMontgomery(prime - 1n - a));
        kernel.multiply(C, A, B);
        expect(modP(field.read(C, 0)), `${a} * ${b}`).toBe(modP(a * b * R));
        expect(modP(field.read(C, 1))).toBe(modP(b * (prime - 1n - a) * R));
      }
    }
  });

  test('products and squares of random numbers', () => {
    for (let i = 0; i < 3000; i++) {
      const [a, b] = [random(), random()];
      field.write(A, 0, toMontgomery(a));
      field.write(A, 1, toMontgomery(b));
      field.write(B, 0, toMontgomery(b));
      field.write(B, 1, toMontgomery(b));
      kernel.multiply(C, A, B);
      kernel.squareTimes(A, 1);
      expect([modP(field.read(C, 0)), modP(field.read(C, 1)), modP(field.read(A, 0)), modP(field.read(A, 1))])
        .toEqual([a * b, b * b, a * a, b * b].map((value) => modP(value * R)));
    }
  });

  test('limbs as large as they may be: an element by the difference of two', () => {
    const pick = (most: number): number => [most, -most, most - 1, 1 - most, 0, 1, Math.round((Math.random() * 2 - 1) * most)][Math.floor(Math.random() * 7)]!;
    for (let i = 0; i < 3000; i++) {
      const element = [pick(2 ** 51), pick(2 ** 51), pick(2 ** 51), pick(2 ** 51), pick(2 ** 49)];
      const difference = [pick(2 ** 52), pick(2 ** 52), pick(2 ** 52), pick(2 ** 52), pick(2 ** 50)];
      field.writeBoth(A, element);
      field.writeBoth(B, difference);
      kernel.multiply(C, A, B);
      expect(modP(field.read(C, 0) * R)).toBe(modP(valueOf(element) * valueOf(difference)));
      expect(limbsAt(C, 0).every((limb) => Number.isInteger(limb) && Math.abs(limb) <= 2 ** 51)).toBe(true);
      kernel.squareTimes(A, 1);
      expect(modP(field.read(A, 1) * R)).toBe(modP(valueOf(element) ** 2n));
    }
  });

  test('many squares in a row', () => {
    const value = random();
    field.writeBoth(A, toMontgomery(value));
    kernel.squareTimes(A, 100);
    let expected = value;
    for (let i = 0; i < 100; i++) expected = modP(expected * expected);
    expect(modP(field.read(A, 0))).toBe(modP(expected * R));
  });

  test('1 / a; of 0 it is 0', () => {
    for (const value of [...EDGES.filter((edge) => edge !== 0n), ...Array.from({ length: 20 }, random)]) {
      field.write(A, 0, toMontgomery(value));
      field.write(A, 1, toMontgomery(0n));
      field.invert(C, A);
      expect(modP(field.read(C, 0) * inverse(R, prime) * value)).toBe(1n);
      expect(modP(field.read(C, 1))).toBe(0n);
    }
  });
});

describe('whole numbers', () => {
  test.each([['prime', prime], ['order', order]])('inverses modulo the %s', (_, modulus) => {
    const values = [1n, 2n, modulus - 1n, modulus - 2n, ...Array.from({ length: 30 }, () => (random() % (modulus - 1n)) + 1n)];
    expect(inverses(values, modulus).map((found, i) => (found * values[i]!) % modulus)).toEqual(values.map(() => 1n));
    expect(inverse(values[5]!, modulus)).toBe(inverses(values, modulus)[5]);
  });

  test.each([
    ['the base point', basePoint, true],
    ['its opposite', { x: basePoint.x, y: prime - basePoint.y }, true],
    ['another y', { x: basePoint.x, y: basePoint.y + 1n }, false],
    ['an x that is not reduced', { x: basePoint.x + prime, y: basePoint.y }, false],
    ['a y that is not reduced', { x: basePoint.x, y: basePoint.y - prime }, false],
    ['0, 0', { x: 0n, y: 0n }, false],
  ])('on the curve: %s', (_, point, expected) => {
    expect(isOnCurve(point)).toBe(expected);
  });
});
