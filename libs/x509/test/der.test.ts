import { toHex } from '@fleetroot/core';
import { der, DerReader } from '@fleetroot/x509';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DerBackWriter } from '../src/der/back-writer.ts';

const read = (hex: string): DerReader => new DerReader(new Uint8Array(Buffer.from(hex, 'hex')), 'request.malformed');
const refused = (take: () => unknown): string => {
  try {
    take();
  } catch (error) {
    return (error as Error).message;
  }
  return 'accepted';
};

describe('what is written is read back', () => {
  test('INTEGER', () => {
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 1n << 170n }), (value) => {
      const content = new DerReader(der.integer(value), 'request.malformed').integer('n');
      expect(BigInt(`0x${toHex(content)}`)).toBe(value);
    }));
  });

  test('OBJECT IDENTIFIER', () => {
    const arc = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n });
    const head = fc.oneof(fc.tuple(fc.constantFrom(0n, 1n), fc.bigInt({ min: 0n, max: 39n })), fc.tuple(fc.constant(2n), arc));
    fc.assert(fc.property(head, fc.array(arc, { maxLength: 8 }), ([root, second], rest) => {
      // The first subidentifier holds 80 more than the arc.
      fc.pre(second < (1n << 128n) - 81n);
      const dotted = [root, second, ...rest].join('.');
      expect(new DerReader(der.oid(dotted), 'request.malformed').oid('oid')).toBe(dotted);
    }));
  });

  test('values of every length', () => {
    for (const length of [0, 1, 127, 128, 255, 256, 65_535, 65_536, 70_000]) {
      const reader = new DerReader(der.octetString(new Uint8Array(length)), 'request.malformed');
      expect(reader.value(der.tag.octetString, 'octets').length).toBe(length);
      expect(reader.atEnd).toBe(true);
    }
  });

  test('named bits', () => {
    expect(toHex(der.namedBits([0]))).toBe('03020780');
    expect(toHex(der.namedBits([5, 6]))).toBe('03020106');
    expect(toHex(der.namedBits([8]))).toBe('0303070080');
    expect(toHex(der.namedBits([]))).toBe('030100');
  });

  test('a writer from the end makes the same bytes', () => {
    const writer = new DerBackWriter();
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 6000 }), { maxLength: 5 }), (parts) => {
      writer.clear();
      for (const part of parts.toReversed()) {
        writer.bytes(part);
        writer.header(der.tag.octetString, part.length);
      }
      writer.header(der.tag.sequence, writer.length);
      expect(writer.take()).toEqual(der.sequence(...parts.map(der.octetString)));
    }));
  });
});

describe('times', () => {
  test.each([
    ['1950-01-01T00:00:00Z', '170d3530303130313030303030305a'],
    ['2049-12-31T23:59:59.999Z', '170d3439313233313233353935395a'],
    ['2050-01-01T00:00:00Z', '180f32303530303130313030303030305a'],
    ['9999-12-31T23:59:59Z', '180f39393939313233313233353935395a'],
  ])('%s', (iso, hex) => expect(toHex(der.time(new Date(iso)))).toBe(hex));
});

describe('what DER forbids is refused', () => {
  test.each([
    ['indefinite length', '3080020101', (r: DerReader) => r.enter(0x30, 'x')],
    ['length in more octets than needed', '308101', (r: DerReader) => r.enter(0x30, 'x')],
    ['length with a leading zero', '30820080', (r: DerReader) => r.enter(0x30, 'x')],
    ['a length of 4 GB', '3084ffffffff', (r: DerReader) => r.enter(0x30, 'x')],
    ['a length in five octets', '30850000000001', (r: DerReader) => r.enter(0x30, 'x')],
    ['a length that is cut off', '3082', (r: DerReader) => r.enter(0x30, 'x')],
    ['no length', '30', (r: DerReader) => r.enter(0x30, 'x')],
    ['no value', '', (r: DerReader) => r.enter(0x30, 'x')],
    ['a value longer than the input', '300201', (r: DerReader) => r.enter(0x30, 'x')],
    ['another tag', '0201', (r: DerReader) => r.enter(0x30, 'x')],
    ['a tag of two octets', '1f8101', (r: DerReader) => r.element('x')],
    ['an INTEGER without content', '0200', (r: DerReader) => r.integer('x')],
    ['a padded INTEGER', '02020001', (r: DerReader) => r.integer('x')],
    ['a negative INTEGER', '0201ff', (r: DerReader) => r.integer('x')],
    ['a small INTEGER that is large', '020701000000000000', (r: DerReader) => r.smallInteger('x')],
    ['a BOOLEAN of 1', '010101', (r: DerReader) => r.boolean('x')],
    ['a BIT STRING with unused bits', '030207ff', (r: DerReader) => r.bitString('x')],
    ['a BIT STRING without content', '0300', (r: DerReader) => r.bitString('x')],
    ['an OID without content', '0600', (r: DerReader) => r.oid('x')],
    ['an OID with a padded arc', '06032a8001', (r: DerReader) => r.oid('x')],
    ['an OID that is cut off', '06022a86', (r: DerReader) => r.oid('x')],
    ['an OID with an arc of 20 octets', `0615${'2a'}${'ff'.repeat(19)}01`, (r: DerReader) => r.oid('x')],
  ])('%s', (_, hex, take) => expect(refused(() => take(read(hex)))).toMatch(/^x at byte \d+ /));

  test('nesting deeper than any certificate', () => {
    let reader: DerReader = new DerReader(nested(40), 'request.malformed');
    expect(refused(() => {
      for (let depth = 0; depth < 40; depth++) reader = reader.enter(0x30, 'x');
    })).toContain('nested too deeply');
  });

  test('any bytes: an error of ours, or all read', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const reader = new DerReader(bytes, 'request.malformed');
      try {
        while (!reader.atEnd) reader.element('x');
      } catch (error) {
        expect((error as { code: string }).code).toBe('request.malformed');
      }
    }));
  });
});

function nested(depth: number): Uint8Array {
  let value: Uint8Array = der.nullValue();
  for (let i = 0; i < depth; i++) value = der.sequence(value);
  return value;
}

describe('what is not an object identifier is not written', () => {
  test.each(['', '1', '3.1', '1.40', '2.', '1.2.x', '1..2', '-1.2'])('%j', (dotted) => {
    expect(() => der.oid(dotted)).toThrow(RangeError);
  });
});
