import { equalBytes } from '@fleetroot/core';

/** Why a modulus is weak, in words that end a sentence. */
export type Weakness = 'has a small prime factor' | 'has the ROCA fingerprint' | 'is the product of two close primes';

/** Primes to 751: what a modulus of two large primes is never divisible by. */
const smallPrimes = primesTo(751);
/** The published fingerprint looks at these: they divide M of every key size that the vulnerable library made. */
const LARGEST_ROCA_PRIME = 167;
const rocaResidues = new Map(smallPrimes.filter((p) => p > 2 && p <= LARGEST_ROCA_PRIME).map((p) => [p, powersOf65537(p)]));
const smallPrimesProduct = smallPrimes.reduce((product, p) => product * BigInt(p), 1n);
/** Steps of Fermat's method. The first one finds primes that differ by less than the fourth root of the modulus. */
const FERMAT_ROUNDS = 100;

function primesTo(limit: number): number[] {
  const primes: number[] = [];
  for (let n = 2; n <= limit; n++) if (primes.every((p) => n % p !== 0)) primes.push(n);
  return primes;
}

/** The subgroup of the units modulo `p` that 65537 generates, as flags by residue. */
function powersOf65537(p: number): Uint8Array {
  const powers = new Uint8Array(p);
  for (let power = 1; powers[power] === 0; power = (power * 65537) % p) powers[power] = 1;
  return powers;
}

/** Products of as many of the small primes as a number holds exactly: one long division serves them all. */
const groups = groupsOf(smallPrimes);

function groupsOf(primes: readonly number[]): { readonly product: bigint; readonly primes: readonly number[] }[] {
  const found: { product: bigint; primes: number[] }[] = [];
  for (const p of primes) {
    const last = found.at(-1);
    if (last !== undefined && last.product * BigInt(p) <= BigInt(Number.MAX_SAFE_INTEGER)) {
      last.product *= BigInt(p);
      last.primes.push(p);
    } else {
      found.push({ product: BigInt(p), primes: [p] });
    }
  }
  return found;
}

let lastSound: Uint8Array | undefined;

/**
 * What makes an odd RSA modulus (big-endian) easy to factor, or undefined. Three things are looked for: a prime factor
 * below 752; the fingerprint of ROCA (CVE-2017-15361), whose primes are k*M + (65537^a mod M), M the product of the first
 * primes, so that the modulus is a power of 65537 modulo each of them; two primes so close that Fermat's method finds
 * them at once. Some 50 to 100 microseconds; nothing for the modulus that was asked about last, since an issuance looks
 * at a key twice, in the request and in the TBSCertificate. Of sound keys one in 240 million has the fingerprint.
 */
export function weaknessOfModulus(modulus: Uint8Array): Weakness | undefined {
  if (lastSound !== undefined && equalBytes(lastSound, modulus)) return undefined;
  const n = BigInt(`0x${Buffer.from(modulus.buffer, modulus.byteOffset, modulus.byteLength).toString('hex')}`);
  const weakness = weaknessByResidues(n) ?? (hasClosePrimes(n) ? 'is the product of two close primes' : undefined);
  if (weakness === undefined) lastSound = new Uint8Array(modulus);
  return weakness;
}

function weaknessByResidues(n: bigint): Weakness | undefined {
  const rest = n % smallPrimesProduct;
  let roca = true;
  for (const { product, primes } of groups) {
    const residue = Number(rest % product);
    for (const p of primes) {
      if (residue % p === 0) return 'has a small prime factor';
      roca &&= rocaResidues.get(p)?.[residue % p] !== 0;
    }
  }
  return roca ? 'has the ROCA fingerprint' : undefined;
}

/** Fermat: n = a^2 - b^2 = (a - b)(a + b), where a, the mean of the two primes, lies just above the root of n. */
function hasClosePrimes(n: bigint): boolean {
  const root = integerRoot(n);
  if (root * root === n) return true;
  let a = root + 1n;
  let rest = a * a - n;
  for (let round = 0; round < FERMAT_ROUNDS; round++) {
    if (isSquare(rest)) return true;
    rest += 2n * a + 1n;
    a += 1n;
  }
  return false;
}

/** Squares modulo 2^8: 44 of 256. Most numbers that are no square end here. */
const squaresMod256 = flagsOfSquares(256);
/** 3^2 * 5 * 7 * 11 * 13 * 17 * 19, which one division serves. */
const SQUARE_FILTER = 14_549_535n;
const squareFilters = [9, 5, 7, 11, 13, 17, 19].map((modulus) => ({ modulus, squares: flagsOfSquares(modulus) }));

function flagsOfSquares(modulus: number): Uint8Array {
  const squares = new Uint8Array(modulus);
  for (let i = 0; i < modulus; i++) squares[(i * i) % modulus] = 1;
  return squares;
}

function isSquare(value: bigint): boolean {
  if (squaresMod256[Number(BigInt.asUintN(8, value))] === 0) return false;
  const residue = Number(value % SQUARE_FILTER);
  if (squareFilters.some(({ modulus, squares }) => squares[residue % modulus] === 0)) return false;
  const root = integerRoot(value);
  return root * root === value;
}

/** Floor of the square root. Newton's method from above; halving the precision first makes the last step the only long one. */
function integerRoot(value: bigint): bigint {
  if (value < 1n << 48n) return BigInt(Math.floor(Math.sqrt(Number(value))));
  const shift = 2n * BigInt(value.toString(16).length);
  // The root of the upper half of the digits, put back in place and rounded up, lies just above the root.
  let estimate = (integerRoot(value >> shift) + 1n) << (shift / 2n);
  for (;;) {
    const next = (estimate + value / estimate) >> 1n;
    if (next >= estimate) return estimate;
    estimate = next;
  }
}
