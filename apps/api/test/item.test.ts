import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { parseProfile, type Profile } from '@fleetroot/authority';
import { isPkiError, toHex, utf8 } from '@fleetroot/core';
import { readBlockedKeys, readRequest, spkiSha256 } from '@fleetroot/x509';
import { itemOrFailure, sentItem, sentItemOfLine } from '../src/batches/item.ts';

const root = new URL('../../../', import.meta.url);
const csr = readFileSync(new URL('test/corpus/csr/good/openssl-p256.der', root)).toString('base64');
const pem = readFileSync(new URL('test/corpus/csr/good/openssl-p256.pem', root), 'utf8');
const VIN = '1M8GDM9AXKP042788';

let ecu: Profile;
let ecuVin: Profile;
beforeAll(() => {
  const profile = (name: string) => parseProfile(readFileSync(new URL(`hsm-config/profiles/${name}.yaml`, root), 'utf8'), `${name}.yaml`, { statusUrl: 'http://status' });
  ecu = profile('ecu-client');
  ecuVin = profile('ecu-client-vin');
});

const code = (run: () => unknown): string => {
  try {
    run();
    return 'taken';
  } catch (error) {
    return isPkiError(error) ? error.code : String(error);
  }
};

describe('the form of a line', () => {
  test.each([
    ['what is needed', { csr }, true],
    ['all fields', { ecuSerial: 'E1', vin: VIN, partNumber: 'P1', csr }, true],
    ['an array', [csr], false],
    ['null', null, false],
    ['a number', 7, false],
    ['a string', csr, false],
    ['no csr', { ecuSerial: 'E1' }, false],
    ['an unknown field', { csr, serial: 'E1' }, false],
    ['a number where text belongs', { csr, ecuSerial: 1 }, false],
    ['a null', { csr, vin: null }, false],
    ['a csr of pieces', { csr: [csr] }, false],
  ])('%s', (_, value, good) => {
    expect(code(() => sentItemOfLine(Buffer.from(JSON.stringify(value)), 7))).toBe(good ? 'taken' : 'batch.line-invalid');
  });
  test.each(['', '{', 'not json', '{"csr":"x"}}', '{"csr":"x",}', '\u0000', '{"__proto__":{"csr":"x"}}'])('%j is none', (line) => {
    expect(code(() => sentItemOfLine(Buffer.from(line), 7))).toBe('batch.line-invalid');
  });
  it('names the line, and not what was in it', () => {
    for (const line of [`{"csr":"${VIN}"`, `{"csr":1,"vin":"${VIN}"}`, `{"${VIN}":1}`]) {
      expect(() => sentItemOfLine(Buffer.from(line), 7)).toThrow(expect.objectContaining({
        message: expect.stringMatching(/^line 7 /) && expect.not.stringContaining(VIN), data: { line: 7 },
      }));
    }
  });
});

describe('an item at fault', () => {
  const outcome = (item: Record<string, string>, profile: Profile): string => {
    const result = itemOrFailure(sentItem({ csr, ...item }, 'item 1', { item: 1 }), 3, profile, readBlockedKeys(undefined));
    return 'item' in result ? `item ${result.item.ordinal}` : result.failure.code;
  };
  const named = { ecuSerial: 'E1', partNumber: 'P1' };
  test.each([
    ['none', named, 'item 3'],
    ['none, with a VIN', { ...named, vin: VIN }, 'item 3'],
    ['none, in PEM', { ...named, csr: pem }, 'item 3'],
    ['a VIN with a wrong check digit', { ...named, vin: '1M8GDM9A1KP042788' }, 'vin.invalid'],
    ['an ECU serial with a space', { ...named, ecuSerial: 'E 1' }, 'ecu.serial-invalid'],
    ['the VIN as ECU serial', { ...named, ecuSerial: VIN, vin: VIN }, 'ecu.serial-invalid'],
    ['the VIN as part number', { ...named, partNumber: VIN, vin: VIN }, 'ecu.serial-invalid'],
    ['an empty part number', { ...named, partNumber: '' }, 'ecu.part-number-invalid'],
    ['a lot', { ...named, lot: 'Lot 7/2026-B' }, 'item 3'],
    ['a lot of 65 characters', { ...named, lot: 'L'.repeat(65) }, 'ecu.lot-invalid'],
    ['an empty lot', { ...named, lot: '' }, 'ecu.lot-invalid'],
    ['a lot that ends in a space', { ...named, lot: 'L ' }, 'ecu.lot-invalid'],
    ['a lot that is not ASCII', { ...named, lot: 'Lß' }, 'ecu.lot-invalid'],
    ['a lot of no part number', { ecuSerial: 'E1', lot: 'L' }, 'ecu.lot-invalid'],
    ['the VIN as lot', { ...named, lot: VIN, vin: VIN }, 'ecu.serial-invalid'],
    ['no ECU serial', { partNumber: 'P1' }, 'profile.field-missing'],
    ['no part number', { ecuSerial: 'E1' }, 'profile.field-missing'],
    ['an empty request', { ...named, csr: '' }, 'request.empty'],
    ['a request cut short', { ...named, csr: csr.slice(0, 80) }, 'request.malformed'],
    ['no base64', { ...named, csr: '????' }, 'request.malformed'],
  ])('%s', (_, item, expected) => expect(outcome(item, ecu)).toBe(expected));
  it('has a key that is blocked', () => {
    const blocked = readBlockedKeys(utf8(toHex(spkiSha256(readRequest(csr).spkiDer))));
    expect(itemOrFailure({ ...named, csr }, 3, ecu, blocked)).toMatchObject({ failure: { ordinal: 3, code: 'key.blocked' } });
  });
  it('may lack what another profile needs', () => {
    expect(outcome(named, ecuVin)).toBe('profile.field-missing');
    expect(outcome({ ...named, vin: VIN }, ecuVin)).toBe('item 3');
  });
  it('is not told with what was in it', () => {
    const result = itemOrFailure({ ecuSerial: 'E1', partNumber: 'P1', vin: '1M8GDM9A1KP042788', csr }, 0, ecu, readBlockedKeys(undefined));
    expect(JSON.stringify(result)).not.toContain('KP042788');
  });
});
