import { createHash } from 'node:crypto';
import { isPkiError } from '@fleetroot/core';
import * as fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import {
  assembleCrl, buildCrlTbs, type CrlEntry, type CrlFacts, type CrlSpool, encodeName, parseCrl, writeCrl, writeCrlTbs,
} from '../src/index.ts';

const thisUpdate = new Date('2026-11-22T12:00:00Z');
const facts: CrlFacts = {
  signatureAlgorithm: 'ecdsa-sha256', issuerDer: encodeName([{ type: 'commonName', value: 'CA' }]), thisUpdate,
  nextUpdate: new Date('2026-11-29T12:00:00Z'), number: 1_795_000_000_000n, authorityKeyIdentifier: new Uint8Array(20).fill(7),
};

class MemorySpool implements CrlSpool {
  readonly parts: Uint8Array[] = [];
  append(octets: Uint8Array): void {
    this.parts.push(octets.slice());
  }
  read(): Iterable<Uint8Array> {
    return this.parts;
  }
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

/** A promise's PkiError code; undefined where it keeps. */
const codeOf = async (promise: Promise<unknown>): Promise<string | undefined> => {
  try {
    await promise;
  } catch (error) {
    if (isPkiError(error)) return error.code;
    throw error;
  }
  return undefined;
};

const content = (serial: Uint8Array): Buffer => Buffer.concat([Buffer.alloc((serial[0] ?? 0) >= 0x80 ? 1 : 0), serial]);
const date = fc.date({ min: new Date('1990-01-01T00:00:00Z'), max: new Date('2080-01-01T00:00:00Z'), noInvalidDate: true });
const entries: fc.Arbitrary<CrlEntry[]> = fc.array(fc.record({
  serial: fc.uint8Array({ minLength: 1, maxLength: 19 }).filter((serial) => serial[0] !== 0),
  revokedAt: date, reason: fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 9, 10), invalidityDate: fc.option(date, { nil: undefined }),
}), { maxLength: 40 }).map((all) => {
  const unique = new Map(all.map((entry) => [Buffer.from(entry.serial).toString('hex'), entry]));
  return [...unique.values()].sort((a, b) => Buffer.compare(content(a.serial), content(b.serial)));
});
const count = (n: number): CrlEntry[] => Array.from({ length: n }, (_, place) => {
  const serial = Buffer.alloc(16, 0x40);
  serial.writeUInt32BE(place, 4);
  return { serial, revokedAt: thisUpdate, reason: place % 3 };
});
async function* slowly(all: readonly CrlEntry[]): AsyncGenerator<CrlEntry> {
  for (const entry of all) yield await Promise.resolve(entry);
}

describe('a CRL written as a stream', () => {
  it('has the octets of the one that is built in memory, and their digest', async () => {
    await fc.assert(fc.asyncProperty(entries, fc.boolean(), async (all, later) => {
      const expected = buildCrlTbs({ ...facts, entries: all });
      const tbs = await writeCrlTbs(facts, later ? slowly(all) : all, new MemorySpool());
      expect((await collect(tbs.chunks())).equals(expected)).toBe(true);
      expect(tbs).toMatchObject({ entries: all.length, octets: expected.length });
      expect(Buffer.from(tbs.digest ?? []).equals(createHash('sha256').update(expected).digest())).toBe(true);
    }), { numRuns: 200 });
  });

  // 2,621 entries of 25 octets fill a chunk; the lengths of the whole pass every form.
  test.each([0, 1, 2, 5, 1000, 3000, 20_000])('so too with %i entries, signed', async (n) => {
    const all = count(n);
    const spool = new MemorySpool();
    const tbs = await writeCrlTbs(facts, all, spool);
    const signature = new Uint8Array(71).fill(5);
    const crl = await collect(writeCrl(tbs, signature));
    expect(crl.equals(assembleCrl(buildCrlTbs({ ...facts, entries: all }), 'ecdsa-sha256', signature))).toBe(true);
    expect(parseCrl(crl).entries.size).toBe(n);
    for (const part of spool.parts) expect(part.length).toBeLessThanOrEqual(1 << 16);
  });

  it('has no digest for Ed25519, which signs the octets', async () => {
    const tbs = await writeCrlTbs({ ...facts, signatureAlgorithm: 'ed25519' }, count(3), new MemorySpool());
    expect(tbs.digest).toBeUndefined();
    expect((await writeCrlTbs({ ...facts, signatureAlgorithm: 'ecdsa-sha384' }, count(3), new MemorySpool())).digest).toHaveLength(48);
  });
});

describe('is not written', () => {
  const [a, b, c] = count(3) as [CrlEntry, CrlEntry, CrlEntry];
  test.each<[string, CrlEntry[], Partial<CrlFacts>]>([
    ['with a serial twice', [a, b, b], {}],
    ['with serials that do not ascend', [a, c, b], {}],
    ['with the serial zero', [{ ...a, serial: Uint8Array.of(0) }], {}],
    ['with removeFromCRL', [{ ...a, reason: 8 }], {}],
    ['with nextUpdate at thisUpdate', [a], { nextUpdate: thisUpdate }],
    ['with a negative number', [a], { number: -1n }],
  ])('%s', async (_, all, more) => {
    expect(await codeOf(writeCrlTbs({ ...facts, ...more }, all, new MemorySpool()))).toBe('crl.invalid');
  });

  it('from a spool that lost something since the digest was made', async () => {
    const spool = new MemorySpool();
    const tbs = await writeCrlTbs(facts, count(5), spool);
    spool.parts.pop();
    expect(await codeOf(collect(writeCrl(tbs, Uint8Array.of(1))))).toBe('crl.invalid');
  });
});
