import { describe, expect, it } from 'vitest';
import { bestBits, buildTables } from '../src/build.ts';
import { FilterError, Marks, SerialHash } from '../src/reader.ts';
import { Spool } from '../src/spool.ts';

/** Numbers that look random, the same each time. */
function randomFrom(seed: number): (octets: number) => Uint8Array {
  let state = seed >>> 0;
  return (octets) => Uint8Array.from({ length: octets }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

const key = Uint8Array.from({ length: 16 }, (_, i) => i);
const serialOf = (place: number): Uint8Array => {
  const serial = Buffer.alloc(18, 7);
  serial.writeUInt32BE(place, 9);
  return serial;
};
const noPause = async (): Promise<void> => undefined;

async function tablesOf(known: number, isMarked: (place: number) => boolean, twice = 0, blockKeys?: number) {
  const spool = new Spool();
  try {
    const hash = new SerialHash(key);
    for (let place = 0; place < known; place++) spool.add(hash.of(serialOf(place)), isMarked(place));
    for (let place = 0; place < twice; place++) spool.add(hash.of(serialOf(place)), place % 2 === 0);
    return await buildTables(spool, randomFrom(known + 1), noPause, blockKeys);
  } finally {
    spool.close();
  }
}

describe('the hash of a serial', () => {
  // As `openssl mac -macopt size:16 -macopt hexkey:000102030405060708090a0b0c0d0e0f -in FILE SIPHASH` has it, FILE being the 20 octets.
  it.each([
    ['01', '1361875511db9b800d64e1194518c46c'],
    ['0a000102030405060708090a0b0c0d0e0f10', 'f84b2087d6339cef4d9448ee04fa63b8'],
    ['7fffffffffffffffffffffffffffffffffffffff', '504c7be2a5650a319e2f3e324a0edca9'],
    ['0000000000000000000000000000000000000000', '39099a75289af42956fd786de1a555e4'],
  ])('of %s is what OpenSSL says', (serial, expected) => {
    const hash = new SerialHash(key).of(Buffer.from(serial, 'hex'));
    const octets = Buffer.alloc(16);
    [hash.x0, hash.x1, hash.x2, hash.x3].forEach((word, place) => octets.writeUInt32LE(word, 4 * place));
    expect(octets.toString('hex')).toBe(expected);
  });

  it('counts a serial as a number: zeros before it change nothing', () => {
    const { x0, x1, x2, x3 } = new SerialHash(key).of(Uint8Array.of(5, 6));
    expect(new SerialHash(key).of(Uint8Array.of(0, 0, 0, 5, 6))).toMatchObject({ x0, x1, x2, x3 });
    expect(() => new SerialHash(key).of(new Uint8Array(21))).toThrow(RangeError);
  });
});

describe('tables', () => {
  it.each([
    [0, 0], [1, 0], [1, 1], [2, 1], [3, 3], [7, 2], [64, 1], [64, 64], [500, 20], [500, 480], [5000, 3], [5000, 500], [5000, 2500],
  ])('of %d serials, %d of them marked, are right for each', async (known, count) => {
    const isMarked = (place: number): boolean => (place * 7919) % known < count;
    const tables = await tablesOf(known, isMarked);
    const marks = new Marks(tables, tables.body);
    const hash = new SerialHash(key);
    for (let place = 0; place < known; place++) expect(marks.has(hash.of(serialOf(place))), `serial ${place}`).toBe(isMarked(place));
  });

  it('are right in many blocks', async () => {
    const tables = await tablesOf(20_000, (place) => place % 2 === 0, 0, 500);
    expect(tables.blockBits).toBe(6);
    const marks = new Marks(tables, tables.body);
    const hash = new SerialHash(key);
    let wrong = 0;
    for (let place = 0; place < 20_000; place++) if (marks.has(hash.of(serialOf(place))) !== (place % 2 === 0)) wrong++;
    expect(wrong).toBe(0);
  });

  it('of serials that are named twice are made all the same, and the marked win', async () => {
    const tables = await tablesOf(200, (place) => place % 3 === 0, 30);
    const marks = new Marks(tables, tables.body);
    const hash = new SerialHash(key);
    for (let place = 0; place < 200; place++) expect(marks.has(hash.of(serialOf(place)))).toBe(place % 3 === 0 || (place < 30 && place % 2 === 0));
  });

  it('are small: six and a half bits for each of one revoked in ten, and less than a Bloom filter cascade', async () => {
    const tables = await tablesOf(50_000, (place) => place % 10 === 0);
    expect((tables.body.length * 8) / 5000).toBeLessThan(6.8);
  });

  it.each([[1, 9, 3], [1, 1, 0], [0, 100, 0], [1, 2 ** 20, 19], [1, 2 ** 40, 24]])('have the fingerprint that makes %d marked among %d others smallest: %d bits', (marked, others, bits) => {
    expect(bestBits(marked * 1000, others * 1000)).toBe(bits);
  });

  it.each<[string, (body: Buffer) => Buffer]>([
    ['is cut off', (body) => body.subarray(0, 27)],
    ['has a table behind its end', (body) => { body.writeUInt32BE(body.length, 0); return body; }],
    ['has a table over its blocks', (body) => { body.writeUInt32BE(3, 4); return body; }],
    ['has more cells than octets', (body) => { body.writeUInt32BE(1 << 20, 20); return body; }],
    ['has more segments than any', (body) => { body.writeUInt32BE(0xffffffff, 16); return body; }],
    ['has larger segments than any', (body) => { body[24] = 19; return body; }],
    ['has no first table', (body) => { body.writeUInt32BE(0, 16); return body; }],
    ['has what is not zero', (body) => { body[27] = 1; return body; }],
  ])('are refused where the body %s', async (_what, damage) => {
    const tables = await tablesOf(500, (place) => place % 10 === 0);
    expect(() => new Marks(tables, damage(Buffer.from(tables.body)))).toThrow(FilterError);
  });
});
