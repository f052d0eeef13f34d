import { createECDH, createPublicKey, ECDH, generateKeyPairSync, hash, type KeyObject, randomBytes, sign } from 'node:crypto';
import { der, fixedKeyVerifier, type SignatureAlgorithm, verifyWithKey } from '@fleetroot/x509';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { basePoint, doublings, inverse, order, type Point, prime, residue } from '../src/key/fixed-key/curve.ts';
import { kernelOctets, TABLE_POINT_OCTETS } from '../src/key/fixed-key/kernel.ts';
import { Lockstep } from '../src/key/fixed-key/lockstep.ts';
import { compareWithOpenSsl, type Factors, LARGEST_GROUP, makeSums, type Sums, sumsByTables } from '../src/key/fixed-key/sums.ts';
import { BUILDING_POINTS, Table, TABLE_POINTS, WINDOW, WINDOWS } from '../src/key/fixed-key/table.ts';
import { type SignedMessage, TableVerifier } from '../src/key/fixed-key/verifier.ts';
import { WebAssembly } from '../src/key/fixed-key/web-assembly.ts';

function finished<T>(generator: Generator<unknown, T>): T {
  for (;;) {
    const { done, value } = generator.next();
    if (done === true) return value as T;
  }
}

const hex = (value: bigint): string => value.toString(16).padStart(64, '0');
const number = (octets: Uint8Array): bigint => BigInt(`0x${Buffer.from(octets).toString('hex')}`);
const randomScalar = (): bigint => (number(randomBytes(32)) % (order - 1n)) + 1n;

/** By OpenSSL. */
function timesG(scalar: bigint): Point {
  const ecdh = createECDH('prime256v1');
  ecdh.setPrivateKey(Buffer.from(hex(scalar), 'hex'));
  const octets = ecdh.getPublicKey();
  return { x: number(octets.subarray(1, 33)), y: number(octets.subarray(33)) };
}

const keyOf = ({ x, y }: Point): KeyObject => createPublicKey({
  format: 'jwk', key: { kty: 'EC', crv: 'P-256', x: Buffer.from(hex(x), 'hex').toString('base64url'), y: Buffer.from(hex(y), 'hex').toString('base64url') },
});

const d = randomScalar();
const q = timesG(d);
let sums: Sums;
beforeAll(() => { sums = finished(makeSums(q)); });

describe('sums of multiples of two points', () => {
  const EDGES = [0n, 1n, 2n, 3n, order - 1n, order - 2n, (order - 1n) / 2n, (order + 1n) / 2n, 2n ** 255n, 2n ** BigInt(WINDOW), 2n ** BigInt(WINDOW) - 1n, 2n ** 128n, 2n ** 250n - 1n];

  test('u1 * G + u2 * Q for edges and random factors, beside OpenSSL', () => {
    const pairs: Factors[] = [...EDGES.flatMap((u1) => EDGES.map((u2): Factors => [u1, u2])), ...Array.from({ length: 100 }, (): Factors => [randomScalar(), randomScalar()])];
    const finite = pairs.filter(([u1, u2]) => (u1 + u2 * d) % order !== 0n);
    expect(finite.length).toBe(pairs.length - 1);
    for (let from = 0; from < finite.length; from += LARGEST_GROUP) {
      const group = finite.slice(from, from + LARGEST_GROUP);
      expect(sums.xOf(group)).toEqual(group.map(([u1, u2]) => timesG((u1 + u2 * d) % order).x));
    }
  });

  test.each([0, 1, 2, 3, 7, 63, 64])('a group of %i', (size) => {
    const group = Array.from({ length: size }, (): Factors => [randomScalar(), randomScalar()]);
    expect(sums.xOf(group)).toEqual(group.map(([u1, u2]) => timesG((u1 + u2 * d) % order).x));
  });

  const u = randomScalar();
  test.each<[string, Factors]>([
    ['twice infinity', [0n, 0n]], ['opposite multiples', [(u * d) % order, order - u]], ['the same, turned round', [order - ((u * d) % order), u]],
  ])('a sum that is infinity makes nothing known of the group: %s', (_, pair) => {
    const good: Factors = [randomScalar(), randomScalar()];
    for (const group of [[pair], [good, pair], [pair, good], [good, good, good, pair, good]]) expect(sums.xOf(group)).toBeUndefined();
    expect(sums.xOf([good])).toEqual([timesG((good[0] + good[1] * d) % order).x]);
  });

  test('equal multiples of G and Q are added all the same', () => {
    expect(sums.xOf([[(u * d) % order, u]])).toEqual([timesG((2n * u * d) % order).x]);
  });

  test.each<[string, Point, bigint]>([
    ['Q = G', basePoint, 1n], ['Q = -G', { x: basePoint.x, y: prime - basePoint.y }, order - 1n], ['Q = 2G', timesG(2n), 2n],
  ])('%s: whatever is exceptional is found', (_, point, factor) => {
    const close = finished(sumsByTables(point));
    if (factor !== 2n) expect([close.xOf([[u, u]]), close.xOf([[u, order - u]])]).toEqual([undefined, undefined]);
    let known = 0;
    for (let i = 0; i < 200; i++) {
      const [u1, u2] = [randomScalar(), randomScalar()];
      const found = close.xOf([[u1, u2]]);
      if (found === undefined) continue;
      known++;
      expect(found).toEqual([timesG((u1 + u2 * factor) % order).x]);
    }
    // With Q = G or -G the digits are equal or opposite once in 512, in each of 26 windows.
    expect(known).toBeGreaterThan(100);
  });

  test('2^i * P as OpenSSL has it', () => {
    const found = doublings(basePoint, 257);
    for (const i of [0, 1, 2, 100, 255]) expect(found[i]).toEqual(timesG(2n ** BigInt(i)));
    expect(found[256]).toEqual(timesG(2n ** 256n % order));
  });
});

describe('what is broken is found when the tables are made', () => {
  const module = new WebAssembly.Module(finished(kernelOctets()) as Uint8Array);
  const make = (): { table: Table; lockstep: Lockstep } => {
    const lockstep = new Lockstep(module, { points: BUILDING_POINTS, tablePoints: TABLE_POINTS });
    return { lockstep, table: new Table(lockstep, lockstep.tables) };
  };
  const steps = [...make().table.fill(q)].length;

  test.each([0, 1, 511, 512, 26 * 512 - 1])('the point %i of a table', (entry) => {
    const { table, lockstep } = make();
    const filling = table.fill(q);
    for (let i = 0; i < steps - 7; i++) filling.next();
    // Another point of the same table.
    lockstep.moveTablePoint(lockstep.tables + ((entry + 5) % (512 * WINDOWS)) * TABLE_POINT_OCTETS, lockstep.tables + entry * TABLE_POINT_OCTETS);
    expect(() => { finished(filling); }).toThrow('do not add up');
  });

  test('tables of another point', () => {
    expect(() => { finished(compareWithOpenSsl(sums, timesG(5n))); }).toThrow('not what OpenSSL finds');
    expect(() => { finished(compareWithOpenSsl({ xOf: () => undefined }, q)); }).toThrow('not what OpenSSL finds');
    expect(finished(compareWithOpenSsl(sums, q))).toBeUndefined();
  });
});

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const signed = (message: Uint8Array = randomBytes(40)): SignedMessage => ({ message, signature: sign('sha256', message, privateKey) });
const derOf = (r: bigint, s: bigint): Uint8Array => der.sequence(der.integer(octetsOf(r)), der.integer(octetsOf(s)));
const octetsOf = (value: bigint): Uint8Array => Buffer.from(value.toString(16).padStart(66, '0'), 'hex');
const rOf = (signature: Uint8Array): bigint => number(signature.subarray(4, 4 + signature[3]!));
const flipped = (octets: Uint8Array, bit: number): Uint8Array => octets.map((octet, i) => (i === bit >> 3 ? octet ^ (1 << (bit & 7)) : octet));

/** A verifier with its tables; `shown` has what they alone found of each signature that they were asked for. */
function prepared(key: KeyObject = publicKey): { verifier: TableVerifier; xs: bigint[] } {
  const xs: bigint[] = [];
  const verifier = new TableVerifier(key, 'ecdsa-sha256', function* (point) {
    const real = yield* makeSums(point);
    return {
      xOf(pairs) {
        const found = real.xOf(pairs);
        xs.push(...(found ?? []));
        return found;
      },
    };
  });
  while (verifier.prepareSome());
  return { verifier, xs };
}

describe('signatures by one key', () => {
  const { verifier, xs } = prepared();
  const fresh = (items: readonly SignedMessage[]): { verdicts: boolean[]; shown: bigint[] } => {
    xs.length = 0;
    return { verdicts: verifier.verifyMany(items), shown: [...xs] };
  };

  test('2000 of them, all shown by the tables', () => {
    const items = Array.from({ length: 2000 }, () => signed());
    const { verdicts, shown } = fresh(items);
    expect(verdicts.every((verdict) => verdict)).toBe(true);
    expect(verdicts.length).toBe(2000);
    expect(shown.map((x) => x % order)).toEqual(items.map(({ signature }) => rOf(signature)));
  });

  test.each([0, 1, 2, 3, 4, 5, 64, 65, 66, 500])('a group of %i, one of them wrong', (size) => {
    const items = Array.from({ length: size }, () => signed());
    expect(fresh(items).verdicts).toEqual(items.map(() => true));
    const wrong = size >> 1;
    expect(fresh(items.map((item, i) => (i === wrong ? { ...item, message: randomBytes(40) } : item))).verdicts).toEqual(items.map((_, i) => i !== wrong));
  });

  test('one bit flipped anywhere in a signature or a message: never verified, and not shown by the tables', () => {
    const item = signed(randomBytes(32));
    const items = [
      ...Array.from({ length: item.signature.length * 8 }, (_, bit) => ({ ...item, signature: flipped(item.signature, bit) })),
      ...Array.from({ length: item.message.length * 8 }, (_, bit) => ({ ...item, message: flipped(item.message, bit) })),
    ];
    expect(fresh(items).verdicts).toEqual(items.map(() => false));
    expect(items.length).toBeGreaterThan(800);
  });

  test('none under other keys, those with one bit flipped among them where that is a key', () => {
    const items = Array.from({ length: 16 }, () => signed());
    const other = prepared(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey);
    expect(other.verifier.verifyMany(items)).toEqual(items.map(() => false));
    expect(other.xs.length).toBe(16);
    const opposite = ((): Point => {
      const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
      return { x: number(Buffer.from(x, 'base64url')), y: prime - number(Buffer.from(y, 'base64url')) };
    })();
    expect(prepared(keyOf(opposite)).verifier.verifyMany(items)).toEqual(items.map(() => false));
  });

  const item = signed();
  const r = rOf(item.signature);
  const s = number(item.signature.subarray(6 + item.signature[3]!));
  test.each<[string, Uint8Array, boolean]>([
    ['as it is', derOf(r, s), true], ['s turned round', derOf(r, order - s), true], ['r and s exchanged', derOf(s, r), false],
    ['r = 0', derOf(0n, s), false], ['s = 0', derOf(r, 0n), false], ['both 0', derOf(0n, 0n), false],
    ['r = n', derOf(order, s), false], ['s = n', derOf(r, order), false], ['r = n - 1', derOf(order - 1n, s), false], ['s = n - 1', derOf(r, order - 1n), false],
    ['r + n', derOf(r + order, s), false], ['s + n', derOf(r, s + order), false], ['r = p', derOf(prime, s), false], ['r = 2^256 - 1', derOf(2n ** 256n - 1n, s), false],
    ['r = 1', derOf(1n, s), false], ['s = 1', derOf(r, 1n), false], ['-r', derOf(order - r, s), false],
    ['something behind it', Buffer.concat([item.signature, Buffer.of(0)]), false],
    ['something behind s', der.sequence(der.integer(octetsOf(r)), der.integer(octetsOf(s)), der.nullValue()), false],
    ['s missing', der.sequence(der.integer(octetsOf(r))), false], ['r and s side by side', Buffer.from(hex(r) + hex(s), 'hex'), false],
    ['empty', new Uint8Array(0), false], ['r with an octet of zero too many', Buffer.concat([Buffer.of(0x30, item.signature[1]! + 2, 2, item.signature[3]! + 2, 0, 0), item.signature.subarray(4)]), false],
  ])('%s', (_, signature, expected) => {
    const all = [signed(), signed(), { message: item.message, signature }, signed(), signed()];
    expect(verifyWithKey(publicKey, 'ecdsa-sha256', item.message, signature)).toBe(expected);
    expect(fresh(all).verdicts).toEqual([true, true, expected, true, true]);
  });
});

describe('keys that were made for a signature', () => {
  const message = randomBytes(20);
  const e = number(hash('sha256', message, 'buffer'));
  const s = randomScalar();
  const quartet = (key: KeyObject, r: bigint): { verdicts: boolean[]; xs: bigint[] } => {
    const { verifier, xs } = prepared(key);
    return { verdicts: verifier.verifyMany(Array.from({ length: 4 }, () => ({ message, signature: derOf(r, s) }))), xs };
  };

  test('x of R is more than the order: it is reduced', () => {
    const R = pointWith(order);
    const r = R.x - order;
    // Q = (s * R - e * G) / r
    const Q = multiple(sum(multiple(R, s), multiple(basePoint, order - (e % order)))!, inverse(r, order));
    const { verdicts, xs } = quartet(keyOf(Q), r);
    expect(verdicts).toEqual([true, true, true, true]);
    expect(xs).toEqual([R.x, R.x, R.x, R.x]);
  });

  test.each<[string, (r: bigint) => bigint]>([
    ['u1 * G = u2 * Q', (r) => (e * inverse(r, order)) % order], ['u1 * G = -u2 * Q', (r) => order - ((e * inverse(r, order)) % order)],
  ])('%s', (what, factor) => {
    const r = timesG((2n * e * inverse(s, order)) % order).x % order;
    const key = keyOf(timesG(factor(r)));
    const expected = verifyWithKey(key, 'ecdsa-sha256', message, derOf(r, s));
    expect(expected).toBe(what === 'u1 * G = u2 * Q');
    expect(quartet(key, r).verdicts).toEqual([expected, expected, expected, expected]);
  });

  test.each([1n, 2n, order - 1n])('the private key is %s', (secret) => {
    const k = randomScalar();
    const r = timesG(k).x % order;
    const of = (each: Uint8Array): SignedMessage =>
      ({ message: each, signature: derOf(r, (inverse(k, order) * (number(hash('sha256', each, 'buffer')) + r * secret)) % order) });
    const items = Array.from({ length: 64 }, () => of(randomBytes(8)));
    expect(prepared(keyOf(timesG(secret))).verifier.verifyMany(items)).toEqual(items.map(() => true));
  });
});

/** Of points that are neither equal nor opposite, or equal ones; in whole numbers, slowly. */
function sum(a: Point | undefined, b: Point): Point {
  if (a === undefined) return b;
  const slope = a.x === b.x ? 3n * (a.x * a.x - 1n) * inverse(2n * a.y, prime) : (b.y - a.y) * inverse(b.x - a.x, prime);
  const x = residue(slope * slope - a.x - b.x, prime);
  return { x, y: residue(slope * (a.x - x) - a.y, prime) };
}

function multiple(point: Point, factor: bigint): Point {
  let found: Point | undefined;
  for (let [power, rest] = [point, factor]; rest > 0n; rest >>= 1n, power = sum(power, power)) if (rest & 1n) found = sum(found, power);
  return found!;
}

/** The point with the least x of so much or more. */
function pointWith(least: bigint): Point {
  for (let x = least; ; x++) {
    const point = pointAt(x);
    if (point !== undefined) return point;
  }
}

function pointAt(x: bigint): Point | undefined {
  try {
    const octets = ECDH.convertKey(`02${hex(x)}`, 'prime256v1', 'hex', 'hex', 'uncompressed') as string;
    return { x, y: BigInt(`0x${octets.slice(-64)}`) };
  } catch {
    return undefined;
  }
}

describe('OpenSSL has the last word', () => {
  const items = Array.from({ length: 256 }, () => signed());
  const wrong = items.map(({ signature }) => ({ message: randomBytes(9), signature }));
  /** Sums that are whatever the signatures say. */
  const liar = (all: readonly SignedMessage[]): TableVerifier => {
    let next = 0;
    const verifier = new TableVerifier(publicKey, 'ecdsa-sha256', function* () {
      yield;
      return { xOf: (pairs) => pairs.map(() => rOf(all[next++]!.signature)) };
    });
    while (verifier.prepareSome());
    return verifier;
  };

  test('a computation that calls everything right is found out by a sample, and is not asked again', () => {
    const verifier = liar(wrong);
    expect(() => verifier.verifyMany(wrong)).toThrow(expect.objectContaining({ code: 'internal' }));
    expect(verifier.verifyMany([...items.slice(0, 8), ...wrong.slice(0, 8)])).toEqual([...Array<boolean>(8).fill(true), ...Array<boolean>(8).fill(false)]);
    expect(verifier.atOnce).toBe(8);
  });

  test.each<[string, Sums]>([['wrong sums', { xOf: (pairs) => pairs.map(() => 5n) }], ['no sums', { xOf: () => undefined }]])('%s: nothing that is right is refused', (_, bad) => {
    const verifier = new TableVerifier(publicKey, 'ecdsa-sha256', function* () {
      yield;
      return bad;
    });
    while (verifier.prepareSome());
    expect(verifier.verifyMany([...items, ...wrong])).toEqual([...items.map(() => true), ...wrong.map(() => false)]);
  });

  test('tables that fail their check are never used', () => {
    const make = vi.fn(function* (): Generator<undefined, Sums> {
      yield;
      throw new Error('a check failed');
    });
    const verifier = new TableVerifier(publicKey, 'ecdsa-sha256', make);
    expect([verifier.prepareSome(), verifier.prepareSome(), verifier.prepareSome()]).toEqual([true, false, false]);
    expect(verifier.atOnce).toBe(8);
    expect(verifier.verifyMany([...items.slice(0, 5), ...wrong.slice(0, 5)])).toEqual([...Array<boolean>(5).fill(true), ...Array<boolean>(5).fill(false)]);
    expect(make).toHaveBeenCalledTimes(1);
  });

  test('before the tables are made', () => {
    const verifier = fixedKeyVerifier(publicKey, 'ecdsa-sha256');
    expect(verifier.atOnce).toBe(8);
    expect(verifier.prepareSome()).toBe(true);
    expect(verifier.verifyMany([items[0]!, wrong[0]!])).toEqual([true, false]);
  });

  test.each<[SignatureAlgorithm, KeyObject, KeyObject]>([
    ['ecdsa-sha384', ...keys(generateKeyPairSync('ec', { namedCurve: 'P-384' }))], ['ecdsa-sha384', publicKey, privateKey],
    ['ed25519', ...keys(generateKeyPairSync('ed25519'))], ['rsa-sha256', ...keys(generateKeyPairSync('rsa', { modulusLength: 2048 }))],
  ])('%s: no tables', (algorithm, key, secret) => {
    const verifier = fixedKeyVerifier(key, algorithm);
    expect(verifier.prepareSome()).toBe(false);
    const digest = algorithm === 'ed25519' ? null : algorithm.slice(-6);
    const all = Array.from({ length: 5 }, (_, i) => ({ message: Buffer.of(i), signature: sign(digest, Buffer.of(i === 3 ? 9 : i), secret) }));
    expect(verifier.verifyMany(all)).toEqual([true, true, true, false, true]);
  });
});

function keys(pair: { publicKey: KeyObject; privateKey: KeyObject }): [KeyObject, KeyObject] {
  return [pair.publicKey, pair.privateKey];
}
