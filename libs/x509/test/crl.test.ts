import { describe, expect, it, test } from 'vitest';
import { errorCode } from '../../../test/support/error-code.ts';
import {
  assembleCrl, buildCrlTbs, CrlEntries, type CrlEntry, type CrlFields, der, encodeName, parseCrl,
} from '../src/index.ts';

const thisUpdate = new Date('2026-11-22T12:00:00Z');
const nextUpdate = new Date('2026-11-29T12:00:00Z');
const base: CrlFields = {
  signatureAlgorithm: 'ecdsa-sha256', issuerDer: encodeName([{ type: 'commonName', value: 'CA' }]), thisUpdate, nextUpdate,
  number: 1_795_000_000_000n, authorityKeyIdentifier: new Uint8Array(20).fill(7), entries: [],
};
const crl = (fields: Partial<CrlFields> = {}) => assembleCrl(buildCrlTbs({ ...base, ...fields }), 'ecdsa-sha256', new Uint8Array(8));
const entry = (serial: number | Uint8Array, more: Partial<CrlEntry> = {}): CrlEntry => ({
  serial: typeof serial === 'number' ? Uint8Array.of(serial) : serial, revokedAt: thisUpdate, reason: 0, ...more,
});

describe('a CRL (RFC 5280 section 5)', () => {
  it('comes back as it was built', () => {
    const entries = [
      entry(0x05), entry(0x7f, { reason: 1, invalidityDate: new Date('2026-11-01T00:00:00Z') }),
      entry(Uint8Array.of(0x40, 0x01), { reason: 4, revokedAt: new Date('2051-02-03T04:05:06Z') }),
    ];
    const parsed = parseCrl(crl({ entries }));
    expect(parsed).toMatchObject({ thisUpdate, nextUpdate, number: base.number, signatureAlgorithm: 'ecdsa-sha256' });
    expect(Buffer.from(parsed.issuerDer)).toEqual(Buffer.from(base.issuerDer));
    expect(Buffer.from(parsed.authorityKeyIdentifier)).toEqual(Buffer.from(base.authorityKeyIdentifier));
    expect(parsed.entries.size).toBe(3);
    expect([...parsed.entries].map(([serial]) => serial)).toEqual(['05', '7f', '4001']);
    expect(parsed.entries.get('7f')).toMatchObject({ reason: 1, revokedAt: thisUpdate, invalidityDate: new Date('2026-11-01T00:00:00Z') });
    expect(parsed.entries.get('4001')).toMatchObject({ reason: 4, revokedAt: new Date('2051-02-03T04:05:06Z') });
    expect(parsed.entries.has('06')).toBe(false);
  });

  it('has no revokedCertificates when nothing is revoked (section 5.1.2.6)', () => {
    const tbs = buildCrlTbs(base);
    expect(parseCrl(crl()).entries.size).toBe(0);
    const one = buildCrlTbs({ ...base, entries: [entry(5)] });
    // SEQUENCE { SEQUENCE { INTEGER 5, UTCTime } }: 2 + 2 + 3 + 15 octets, and the length of the whole stays short or grows by one.
    expect(one.length - tbs.length).toBeGreaterThanOrEqual(22);
    expect(one.length - tbs.length).toBeLessThanOrEqual(23);
  });

  it('leaves reasonCode out for unspecified (section 5.3.1)', () => {
    const reasonCode = Buffer.from(der.oid('2.5.29.21'));
    expect(Buffer.from(crl({ entries: [entry(1)] })).includes(reasonCode)).toBe(false);
    expect(Buffer.from(crl({ entries: [entry(1, { reason: 1 })] })).includes(reasonCode)).toBe(true);
  });

  it('writes a serial whose first bit is set as a positive INTEGER', () => {
    const parsed = parseCrl(crl({ entries: [entry(0x80)] }));
    expect([...parsed.entries].map(([serial]) => serial)).toEqual(['0080']);
  });

  it('takes entries collected one by one, in any order', () => {
    const entries = new CrlEntries();
    for (const serial of [9, 3, 7]) entries.add(entry(serial));
    expect(entries.count).toBe(3);
    expect(parseCrl(crl({ entries })).entries.get('03')).toMatchObject({ reason: 0 });
  });

  it('does not slow down with its length', () => {
    const many = function* (n: number) {
      for (let i = 0; i < n; i++) {
        const serial = Buffer.alloc(16, 0x40);
        serial.writeUInt32BE(i, 4);
        yield entry(serial, { reason: i % 2 });
      }
    };
    const parsed = parseCrl(crl({ entries: many(20_000) }));
    expect(parsed.entries.size).toBe(20_000);
    const last = Buffer.alloc(16, 0x40);
    last.writeUInt32BE(19_999, 4);
    expect(parsed.entries.get(last.toString('hex'))).toMatchObject({ reason: 1 });
  });
});

describe('what is not built', () => {
  test.each<[string, Partial<CrlFields>]>([
    ['a serial twice in a row', { entries: [entry(1), entry(1)] }],
    ['a serial twice, apart', { entries: [entry(9), entry(1), entry(9)] }],
    ['a serial twice, once with a leading zero', { entries: [entry(9), entry(1), entry(Uint8Array.of(0, 9))] }],
    ['the serial zero', { entries: [entry(0)] }],
    ['a serial of 21 octets', { entries: [entry(new Uint8Array(21).fill(1))] }],
    ['a serial of 20 octets that needs a 21st', { entries: [entry(new Uint8Array(20).fill(0x80))] }],
    ['removeFromCRL', { entries: [entry(1, { reason: 8 })] }],
    ['reason 7', { entries: [entry(1, { reason: 7 })] }],
    ['a number of more than 20 octets', { number: 1n << 159n }],
    ['a negative number', { number: -1n }],
    ['nextUpdate at thisUpdate', { nextUpdate: thisUpdate }],
  ])('%s', (_, fields) => expect(errorCode(() => crl(fields))).toBe('crl.invalid'));

  it('though a number of 20 octets is', () => {
    const number = (1n << 159n) - 1n;
    expect(parseCrl(crl({ number })).number).toBe(number);
  });
});

describe('what is not read', () => {
  const { sequence, integer, explicit, octetString, oid, time, enumerated, boolean, bitString } = der;
  const algorithm = sequence(oid('1.2.840.10045.4.3.2'));
  const ext = (id: string, value: Uint8Array, critical = false) => sequence(oid(id), ...(critical ? [boolean(true)] : []), octetString(value));
  const aki = ext('2.5.29.35', sequence(der.tlv(0x80, Uint8Array.of(1))));
  const number = ext('2.5.29.20', integer(5));
  const entryOf = (...parts: Uint8Array[]) => sequence(sequence(integer(5), time(thisUpdate), ...parts));
  interface Parts { version?: Uint8Array[]; outer?: Uint8Array; next?: Uint8Array[]; revoked?: Uint8Array[]; extensions?: Uint8Array[]; after?: Uint8Array[]; issuer?: Uint8Array }
  const list = ({ version = [integer(1)], outer = algorithm, next = [time(nextUpdate)], revoked = [], extensions = [aki, number], after = [], issuer = base.issuerDer }: Parts = {}) =>
    sequence(
      sequence(...version, algorithm, issuer, time(thisUpdate), ...next, ...revoked, ...(extensions.length === 0 ? [] : [explicit(0, sequence(...extensions))]), ...after),
      outer, bitString(Uint8Array.of(1)),
    );

  it('(the parts do make a CRL)', () => expect(parseCrl(list()).number).toBe(5n));
  test.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array(0)],
    ['something after it', Buffer.concat([list(), Uint8Array.of(0)])],
    ['version 1', list({ version: [] })],
    ['version 3', list({ version: [integer(2)] })],
    ['two signature algorithms', list({ outer: sequence(oid('1.2.840.10045.4.3.3')) })],
    ['no issuer name', list({ issuer: sequence() })],
    ['an issuer name that is none', list({ issuer: sequence(sequence()) })],
    ['no nextUpdate', list({ next: [] })],
    ['an empty revokedCertificates', list({ revoked: [sequence()] })],
    ['no number', list({ extensions: [aki] })],
    ['no key identifier', list({ extensions: [number] })],
    ['no extensions', list({ extensions: [] })],
    ['a number twice', list({ extensions: [aki, number, number] })],
    ['a critical number', list({ extensions: [aki, ext('2.5.29.20', integer(5), true)] })],
    ['an issuing distribution point', list({ extensions: [aki, number, ext('2.5.29.28', sequence(), true)] })],
    ['something after the extensions', list({ after: [integer(1)] })],
    ['an entry with an unknown critical extension', list({ revoked: [entryOf(sequence(ext('1.2.3', integer(1), true)))] })],
    ['a reason of two octets', list({ revoked: [entryOf(sequence(ext('2.5.29.21', Uint8Array.of(0x0a, 2, 0, 1))))] })],
    ['reason 7', list({ revoked: [entryOf(sequence(ext('2.5.29.21', enumerated(7))))] })],
    ['a negative serial', list({ revoked: [sequence(sequence(Uint8Array.of(2, 1, 0x85), time(thisUpdate)))] })],
    ['an entry that goes on', list({ revoked: [entryOf(sequence(ext('2.5.29.21', enumerated(1))), integer(1))] })],
    ['a UTCTime as invalidityDate', list({ revoked: [entryOf(sequence(ext('2.5.29.24', time(thisUpdate))))] })],
  ])('%s', (_, bytes) => expect(errorCode(() => parseCrl(bytes))).toBe('crl.invalid'));

  it('a serial that is listed twice, when it is looked for', () => {
    const twice = list({ revoked: [sequence(sequence(integer(5), time(thisUpdate)), sequence(integer(5), time(thisUpdate)))] });
    expect(errorCode(() => parseCrl(twice).entries.get('05'))).toBe('crl.invalid');
  });

  it('any prefix of a CRL, and never with an error of another kind', () => {
    const whole = crl({ entries: [entry(5, { reason: 1 }), entry(6)] });
    for (let end = 0; end < whole.length; end++) expect(errorCode(() => parseCrl(whole.subarray(0, end)))).toBe('crl.invalid');
  });
});
