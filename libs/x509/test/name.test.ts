import { toHex } from '@fleetroot/core';
import {
  attributeTypes, der, describeName, encodeGeneralNames, encodeName, type GeneralName, type NamePart, parseGeneralNames, parseName,
} from '@fleetroot/x509';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const tagOf = (part: NamePart): number => parseName(encodeName([part]), 'certificate.malformed')[0]!.der[0]!;

describe('each attribute in its string type (RFC 5280 section 4.1.2.4)', () => {
  test.each([
    [{ type: 'countryName', value: 'DE' }, der.tag.printableString],
    [{ type: 'serialNumber', value: 'TCU-26-01' }, der.tag.printableString],
    [{ type: 'dnQualifier', value: 'a' }, der.tag.printableString],
    [{ type: 'commonName', value: 'TCU-26-01' }, der.tag.printableString],
    [{ type: 'commonName', value: 'TCU_26' }, der.tag.utf8String],
    [{ type: 'organizationName', value: 'Müller' }, der.tag.utf8String],
    [{ type: 'domainComponent', value: 'vehicle' }, der.tag.ia5String],
    [{ type: 'emailAddress', value: 'a@b.example' }, der.tag.ia5String],
  ] as const)('%j', (part, expected) => expect(tagOf(part)).toBe(expected));

  test.each([
    ['a country of one letter', { type: 'countryName', value: 'D' }],
    ['a country of three letters', { type: 'countryName', value: 'DEU' }],
    ['a serial number that PrintableString cannot hold', { type: 'serialNumber', value: 'TCU_26' }],
    ['an empty value', { type: 'commonName', value: '' }],
    ['a common name of 65 characters', { type: 'commonName', value: 'x'.repeat(65) }],
    ['an organization of 65 characters', { type: 'organizationName', value: 'ü'.repeat(65) }],
    ['a control character', { type: 'commonName', value: 'ECU\u0000.example' }],
    ['half a character', { type: 'commonName', value: '\ud800' }],
    ['mail outside ASCII', { type: 'emailAddress', value: 'ü@b.example' }],
  ] as const)('refused: %s', (_, part) => {
    expect(() => encodeName([part])).toThrow(expect.objectContaining({ code: 'request.name-refused' }));
  });

  test('64 characters beyond the basic plane count as 64', () => {
    expect(() => encodeName([{ type: 'commonName', value: '🚗'.repeat(64) }])).not.toThrow();
  });

  test('what is written is read back', () => {
    const part = fc.record({
      type: fc.constantFrom('commonName', 'organizationName', 'title'),
      value: fc.string({ minLength: 1, maxLength: 64, unit: 'grapheme' }).filter((value) => [...value].length <= 64 && !/\p{Cc}/u.test(value)),
    });
    fc.assert(fc.property(fc.array(part as fc.Arbitrary<NamePart>, { maxLength: 6 }), (parts) => {
      const read = parseName(encodeName(parts), 'certificate.malformed');
      expect(read.map(({ type, value }) => ({ type, value }))).toEqual(parts);
    }));
  });
});

describe('names for people (RFC 4514)', () => {
  test.each([
    [[], ''],
    [[{ type: 'countryName', value: 'DE' }, { type: 'organizationName', value: 'Tier1, Inc.' }, { type: 'commonName', value: '#1 "x"' }],
      'CN=\\#1 \\"x\\",O=Tier1\\, Inc.,C=DE'],
    [[{ type: 'commonName', value: ' a+b ' }, { type: 'serialNumber', value: '7' }], 'serialNumber=7,CN=\\ a\\+b\\ '],
  ] as [NamePart[], string][])('%j', (parts, expected) => expect(describeName(encodeName(parts))).toBe(expected));

  test('two attributes in one, and a type that is not known', () => {
    const pair = (dotted: string, value: string) => der.sequence(der.oid(dotted), der.text(der.tag.utf8String, value));
    const name = der.sequence(der.setOf(pair(attributeTypes.commonName.oid, 'a'), pair('1.2.3', 'b\nc')));
    expect(describeName(name)).toBe('CN=a+1.2.3=#0c03620a63');
    expect(describeName(der.sequence(der.setOf(pair(attributeTypes.commonName.oid, 'a\n\u0085'))))).toBe('CN=a\\0a\\c2\\85');
  });

  test('a long value is cut at its own header', () => {
    const value = 'x'.repeat(300);
    expect(describeName(encodeName([{ type: 'surname', value }]))).toBe(`SN=${value}`);
  });
});

describe('general names', () => {
  const names: GeneralName[] = [
    { kind: 'dns', value: 'gateway.example' }, { kind: 'uri', value: 'urn:vin:WVWZZZ1JZXW000026' }, { kind: 'email', value: 'a@b.example' },
    { kind: 'ip', value: Uint8Array.of(10, 0, 0, 7) }, { kind: 'other', value: Uint8Array.of(0x88, 1, 0x2a) },
  ];

  test('what is written is read back', () => {
    expect(parseGeneralNames(encodeGeneralNames(names), 'request.malformed')).toEqual(names);
    expect(toHex(encodeGeneralNames(names.slice(3, 4)))).toBe('300687040a000007');
  });

  test.each([
    ['an address of five octets', { kind: 'ip', value: new Uint8Array(5) }],
    ['a DNS name outside ASCII', { kind: 'dns', value: 'tür.example' }],
    ['a DNS name with a NUL', { kind: 'dns', value: 'a\0.example' }],
    ['an empty URI', { kind: 'uri', value: '' }],
  ] as [string, GeneralName][])('refused: %s', (_, name) => {
    expect(() => encodeGeneralNames([name])).toThrow(expect.objectContaining({ code: 'request.name-refused' }));
  });

  test.each([
    ['a tag that GeneralName does not know', '30030c0161'],
    ['an address of three octets', '30058703000000'],
    ['a NUL in a DNS name', '30058203610062'],
  ])('not read: %s', (_, hex) => {
    expect(() => parseGeneralNames(new Uint8Array(Buffer.from(hex, 'hex')), 'request.malformed'))
      .toThrow(expect.objectContaining({ code: 'request.malformed' }));
  });
});
