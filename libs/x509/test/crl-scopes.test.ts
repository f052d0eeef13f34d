import { describe, expect, it, test } from 'vitest';
import { errorCode } from '../../../test/support/error-code.ts';
import {
  assembleCrl, buildCrlTbs, CrlEntries, type CrlEntry, CrlEntryList, type CrlFields, crlNature, der, encodeName, parseAnyCrl, parseCrl, writeCrlTbs,
} from '../src/index.ts';

const thisUpdate = new Date('2026-11-22T12:00:00Z');
const uri = 'http://status.example/crl/ca/64/17.crl';
const base: CrlFields = {
  signatureAlgorithm: 'ecdsa-sha256', issuerDer: encodeName([{ type: 'commonName', value: 'CA' }]), thisUpdate, nextUpdate: new Date('2026-11-29T12:00:00Z'),
  number: 9n, authorityKeyIdentifier: new Uint8Array(20).fill(7), entries: [],
};
const assembled = (tbs: Uint8Array) => assembleCrl(tbs, 'ecdsa-sha256', new Uint8Array(8));
const crl = (fields: Partial<CrlFields> = {}) => assembled(buildCrlTbs({ ...base, ...fields }));
const entry = (serial: number, more: Partial<CrlEntry> = {}): CrlEntry => ({ serial: Uint8Array.of(0x40, serial), revokedAt: thisUpdate, reason: 4, ...more });

describe('what a CRL is about', () => {
  test.each<[string, Partial<CrlFields>, object]>([
    ['complete', {}, { distributionPoint: [], baseNumber: undefined, freshestCrl: [] }],
    ['complete', { freshestCrl: [uri] }, { freshestCrl: [uri] }],
    ['partition', { distributionPoint: [uri], freshestCrl: [uri] }, { distributionPoint: [uri], freshestCrl: [uri] }],
    ['partition', { distributionPoint: [uri, 'http://other.example/'] }, { distributionPoint: [uri, 'http://other.example/'] }],
    ['delta', { baseNumber: 7n }, { baseNumber: 7n, distributionPoint: [] }],
    ['delta', { distributionPoint: [uri], baseNumber: 9n }, { baseNumber: 9n, distributionPoint: [uri] }],
  ])('%s %#', (nature, fields, facts) => {
    const parsed = parseAnyCrl(crl(fields));
    expect(parsed).toMatchObject({ number: 9n, ...facts });
    expect(crlNature(parsed)).toBe(nature);
    expect(errorCode(() => parseCrl(crl(fields)))).toBe(nature === 'complete' ? undefined : 'crl.invalid');
  });

  test.each<[string, Partial<CrlFields>]>([
    ['a base above the number', { baseNumber: 10n }], ['a negative base', { baseNumber: -1n }], ['freshestCRL on a delta', { baseNumber: 7n, freshestCrl: [uri] }],
    ['removeFromCRL on a complete CRL', { entries: [entry(1, { reason: 8 })] }],
    ['entries of a delta on a complete CRL', { entries: new CrlEntries({ delta: true }) }],
  ])('%s is not built', (_, fields) => expect(errorCode(() => crl(fields))).toBe('crl.invalid'));

  it('a delta lists what is off its base as removeFromCRL', () => {
    const parsed = parseAnyCrl(crl({ baseNumber: 7n, entries: [entry(1, { reason: 8 }), entry(2)] }));
    expect([...parsed.entries].map(([serial, { reason }]) => [serial, reason])).toEqual([['4001', 8], ['4002', 4]]);
  });

  /** The issuing distribution point, its content in hex, in place of the one that was built. */
  const withPoint = (content: string): Uint8Array => {
    const built = Buffer.from(buildCrlTbs({ ...base, distributionPoint: ['http://a/'] }));
    const point = Buffer.from(der.sequence(der.tlv(0xa0, der.tlv(0xa0, der.tlv(0x86, Buffer.from('http://a/'))))));
    const at = built.indexOf(point);
    const given = Buffer.from(content, 'hex');
    expect([at > 0, given.length]).toEqual([true, point.length]);
    return assembled(Buffer.concat([built.subarray(0, at), given, built.subarray(at + point.length)]));
  };
  test.each([
    ['only user certificates', '300fa00aa008860668747470613a810100'.replace('810100', '8101ff')],
    ['a name that is no URI', '300fa00da00b8209687474703a2f2f612f'],
    ['a directory name', '300fa00da00ba409687474703a2f2f612f'],
    ['nothing but a trailing field', '300f830d68747470616161616161616161'],
  ])('an issuing distribution point of %s is not understood', (_, content) => expect(errorCode(() => parseAnyCrl(withPoint(content)))).toBe('crl.invalid'));

  it('streamed, a delta of a distribution point has the same octets', async () => {
    const fields = { ...base, baseNumber: 7n, distributionPoint: [uri], entries: [entry(1, { reason: 8 }), entry(2)] };
    const kept: Uint8Array[] = [];
    const streamed = await writeCrlTbs(fields, fields.entries, { append: (octets) => void kept.push(octets.slice()), read: () => kept });
    const chunks: Uint8Array[] = [];
    for await (const chunk of streamed.chunks()) chunks.push(chunk);
    expect(Buffer.concat(chunks)).toEqual(Buffer.from(buildCrlTbs(fields)));
  });
});

describe('entries side by side', () => {
  const list = (...serials: (number | CrlEntry)[]) => parseAnyCrl(crl({ entries: serials.map((one) => (typeof one === 'number' ? entry(one) : one)) })).entries;
  const gone = (from: readonly number[], next: readonly number[]) => [...list(...from).goneFrom(list(...next))].map(({ serial: [, n] }) => n);
  test.each<[readonly number[], readonly number[], readonly number[]]>([
    [[], [], []], [[1], [], [1]], [[], [1], []], [[1, 2, 3], [1, 2, 3], []], [[1, 2, 3], [2], [1, 3]], [[1, 3], [2, 3, 4], [1]], [[1, 2, 3], [0, 9], [1, 2, 3]],
    // Out of order, as others sign them.
    [[3, 1, 2], [2, 3], [1]], [[1, 2, 3], [3, 1], [2]],
  ])('%j to %j: %j are gone', (from, next, expected) => expect(gone(from, next)).toEqual(expected));

  it('are read as strictly where they are recognised by those before as where they are not', () => {
    const octets = new CrlEntries();
    for (const serial of [1, 2, 3]) octets.add(entry(serial));
    const all = Buffer.from(octets.encode()).subarray(2);
    const one = all.length / 3;
    const readAfter = (before: Uint8Array, broken: Uint8Array) => {
      let read: unknown;
      const code = errorCode(() => { read = [...new CrlEntryList(der.sequence(before, broken))].at(-1); });
      return { code, read };
    };
    const outcomes = new Set<string | undefined>();
    for (let bit = 0; bit < one * 8; bit++) {
      const broken = Buffer.from(all.subarray(2 * one));
      broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const alone = readAfter(new Uint8Array(0), broken);
      expect(readAfter(all.subarray(0, 2 * one), broken)).toEqual(alone);
      outcomes.add(alone.code);
    }
    expect(outcomes).toEqual(new Set([undefined, 'crl.invalid']));
  });
});
