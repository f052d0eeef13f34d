import { at } from './at.ts';

/** The curve P-256 (SEC 2 calls it secp256r1), y^2 = x^3 - 3x + b, in whole numbers: for what is computed once per key. */
export interface Point {
  readonly x: bigint;
  readonly y: bigint;
}

export const prime = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
/** Of the base point: how many points there are. */
export const order = 0xffffffff_00000000_ffffffff_ffffffff_bce6faad_a7179e84_f3b9cac2_fc632551n;
const b = 0x5ac635d8_aa3a93e7_b3ebbd55_769886bc_651d06b0_cc53b0f6_3bce3c3e_27d2604bn;
export const basePoint: Point = {
  x: 0x6b17d1f2_e12c4247_f8bce6e5_63a440f2_77037d81_2deb33a0_f4a13945_d898c296n,
  y: 0x4fe342e2_fe1a7f9b_8ee7eb4a_7c0f9e16_2bce3357_6b315ece_cbb64068_37bf51f5n,
};

/** The residue of 0 .. modulus - 1. */
export function residue(value: bigint, modulus: bigint): bigint {
  const rest = value % modulus;
  return rest < 0n ? rest + modulus : rest;
}

export const isOnCurve = ({ x, y }: Point): boolean =>
  x >= 0n && x < prime && y >= 0n && y < prime && residue(y * y - x * x * x + 3n * x - b, prime) === 0n;

/** 1 / value, by Euclid's algorithm; the modulus is prime and does not divide the value. */
export function inverse(value: bigint, modulus: bigint): bigint {
  let [a, c, u, v] = [residue(value, modulus), modulus, 1n, 0n];
  while (a > 1n) {
    const quotient = c / a;
    [a, c, u, v] = [c - quotient * a, a, v - quotient * u, u];
  }
  return residue(u, modulus);
}

/** 1 / value of each, for one inversion and three multiplications each. None may be a multiple of the prime modulus. */
export function inverses(values: readonly bigint[], modulus: bigint): bigint[] {
  const before: bigint[] = [];
  let product = 1n;
  for (const value of values) {
    before.push(product);
    product = (product * value) % modulus;
  }
  let rest = inverse(product, modulus);
  const found: bigint[] = [];
  for (let i = values.length - 1; i >= 0; i--) {
    found.push((rest * at(before, i)) % modulus);
    rest = (rest * at(values, i)) % modulus;
  }
  return found.reverse();
}

/** P, 2P, 4P ... 2^(count - 1) P, of a point of the curve's prime order: no doubling of it is exceptional. */
export function doublings(point: Point, count: number): Point[] {
  const found: { x: bigint; y: bigint; z: bigint }[] = [];
  let { x, y } = point;
  let z = 1n;
  for (let i = 0; i < count; i++) {
    found.push({ x, y, z });
    // Jacobian coordinates, a = -3.
    const y2 = (y * y) % prime;
    const z2 = (z * z) % prime;
    const s = (4n * x * y2) % prime;
    const m = (3n * (x - z2) * (x + z2)) % prime;
    z = (2n * y * z) % prime;
    x = residue(m * m - 2n * s, prime);
    y = residue(m * (s - x) - 8n * y2 * y2, prime);
  }
  const reciprocals = inverses(found.map((each) => each.z), prime);
  return found.map((each, i) => {
    const reciprocal = at(reciprocals, i);
    const square = (reciprocal * reciprocal) % prime;
    return { x: (each.x * square) % prime, y: (each.y * ((square * reciprocal) % prime)) % prime };
  });
}
