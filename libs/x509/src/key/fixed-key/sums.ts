import { createECDH } from 'node:crypto';
import { at } from './at.ts';
import { basePoint, type Point } from './curve.ts';
import { kernelOctets, TABLE_POINT_OCTETS } from './kernel.ts';
import { Lockstep } from './lockstep.ts';
import { BUILDING_POINTS, Table, TABLE_POINTS, WINDOWS } from './table.ts';
import { WebAssembly, type WasmModule } from './web-assembly.ts';

/** Sums that are made together: each level of additions needs an inversion, which costs nearly as much as a sum. */
export const LARGEST_GROUP = 64;
/** Multiples of each point that OpenSSL has to find too. */
const CHECKED = 8;
const SCALAR_OCTETS = 32;

/** Factors of G and Q, each of 0 .. order - 1. */
export type Factors = readonly [bigint, bigint];

export interface Sums {
  /**
   * x of u1 * G + u2 * Q for each pair, at most LARGEST_GROUP. Undefined: an addition was exceptional (by chance never),
   * and nothing is known of any of them.
   */
  xOf(pairs: readonly Factors[]): bigint[] | undefined;
}

let compiled: WasmModule | undefined;

/**
 * Makes the tables of G and of Q, a point of the curve, and checks them; between two steps, which are a millisecond or two
 * of work, it yields. It refuses G and -G, more often than not: one in 20 of their sums is exceptional.
 * @throws Error where Node or the processor cannot do it (relaxed SIMD, fused multiplication), or a check fails
 */
export function* makeSums(q: Point): Generator<undefined, Sums> {
  const sums = yield* sumsByTables(q);
  yield* compareWithOpenSsl(sums, q);
  return sums;
}

/** Without the check by OpenSSL. */
export function* sumsByTables(q: Point): Generator<undefined, Sums> {
  compiled ??= new WebAssembly.Module(yield* kernelOctets());
  const lockstep = new Lockstep(compiled, { points: Math.max(2 * WINDOWS * LARGEST_GROUP, BUILDING_POINTS), tablePoints: 2 * TABLE_POINTS });
  const ofG = new Table(lockstep, lockstep.tables);
  const ofQ = new Table(lockstep, lockstep.tables + TABLE_POINTS * TABLE_POINT_OCTETS);
  yield* ofG.fill(basePoint);
  yield* ofQ.fill(q);
  return { xOf: (pairs) => xOf(lockstep, ofG, ofQ, pairs) };
}

function xOf(lockstep: Lockstep, ofG: Table, ofQ: Table, pairs: readonly Factors[]): bigint[] | undefined {
  if (pairs.length === 0) return [];
  const even = pairs.length + (pairs.length & 1);
  for (let i = 0; i < even; i++) {
    // A lane that would be empty does what its neighbour does.
    const [u1, u2] = at(pairs, Math.min(i, pairs.length - 1));
    ofG.choose(u1, 0, i, even);
    ofQ.choose(u2, WINDOWS, i, even);
  }
  if (!lockstep.sum(2 * WINDOWS, even)) return undefined;
  return pairs.map((_, i) => lockstep.coordinate(i, 'x'));
}

/** Multiples of G and Q by random factors, each alone, beside those that OpenSSL finds. @throws Error where they differ */
export function* compareWithOpenSsl(sums: Sums, q: Point): Generator<undefined, void> {
  const octetsOfQ = Buffer.from(`04${hex(q.x)}${hex(q.y)}`, 'hex');
  for (let i = 0; i < CHECKED; i++) {
    const pair = createECDH('prime256v1');
    const xOfG = pair.generateKeys().subarray(1, 1 + SCALAR_OCTETS);
    const factor = number(pair.getPrivateKey());
    const found = sums.xOf([[factor, 0n], [0n, factor]]);
    if (found?.[0] !== number(xOfG) || found[1] !== number(pair.computeSecret(octetsOfQ))) {
      throw new Error('a multiple of a point is not what OpenSSL finds');
    }
    yield;
  }
}

const hex = (value: bigint): string => value.toString(16).padStart(2 * SCALAR_OCTETS, '0');
const number = (octets: Buffer): bigint => BigInt(`0x${octets.toString('hex')}`);
