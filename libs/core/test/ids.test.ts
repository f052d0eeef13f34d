import { describe, expect, it, test } from 'vitest';
import {
  ecuSerial, errorCatalogue, isVin, LedgerKey, PkiError, Secret, serialFromBytes, serialDay, serialFromHex, serialToBytes, vin, vinCheckDigit,
} from '../src/index.ts';

const code = (run: () => unknown): string | undefined => {
  try {
    run();
  } catch (error) {
    return (error as PkiError).code;
  }
  return undefined;
};

describe('serial numbers', () => {
  test.each([
    ['01', '01'],
    ['00:01', '01'],
    ['0', undefined],
    ['', undefined],
    ['80', '0080'],
    ['0080', '0080'],
    ['7f'.repeat(20), '7f'.repeat(20)],
    ['80'.repeat(20), undefined],
    ['7f'.repeat(21), undefined],
    ['A0:b1', '00a0b1'],
    ['xyz', undefined],
  ])('%s is %s', (text, expected) => {
    if (expected === undefined) expect(code(() => serialFromHex(text))).toBe('certificate.serial-invalid');
    else expect(serialFromHex(text)).toBe(expected);
  });

  it('goes to bytes and back', () => {
    expect(serialFromBytes(serialToBytes(serialFromHex('00c0ffee')))).toBe('00c0ffee');
  });
});

describe('VIN (ISO 3779, check digit of 49 CFR 565.15)', () => {
  test.each(['1M8GDM9AXKP042788', '11111111111111111', '5GZCZ43D13S812715'])('%s is valid', (text) => {
    expect(isVin(text)).toBe(true);
    expect(vin(text)).toBe(text);
  });
  test.each(['1M8GDM9A1KP042788', '1M8GDM9AXKP04278', 'IM8GDM9AXKP042788', '1m8gdm9axkp042788', ''])('%s is not', (text) => {
    expect(code(() => vin(text))).toBe('vin.invalid');
  });
  it('ignores what stands at place 9', () => expect(vinCheckDigit('1M8GDM9A_KP042788')).toBe('X'));
  it('is never repeated in the error', () => {
    expect(() => vin('1M8GDM9A1KP042788')).toThrow(expect.objectContaining({ message: expect.not.stringContaining('KP042788') }));
  });
});

test.each(['ECU-1', 'A', 'x'.repeat(64), '4711.0_a:b'])('ECU serial %s is accepted', (text) => expect(ecuSerial(text)).toBe(text));
test.each(['', ' ', '-a', 'x'.repeat(65), 'a b', 'ä', 'a\n', '../x', 'a,b'])('ECU serial %j is refused', (text) => {
  expect(code(() => ecuSerial(text))).toBe('ecu.serial-invalid');
});

describe('the error catalogue', () => {
  it('has as many codes as its page says: change both together', () => expect(Object.keys(errorCatalogue)).toHaveLength(125));
  it('gives an error its title, kind and retry', () => {
    expect(new PkiError('hsm.deadline')).toMatchObject({ code: 'hsm.deadline', kind: 'unavailable', retry: 'later', message: 'The HSM did not answer in time' });
  });
});

describe('the ledger key', () => {
  const key = new LedgerKey(new Uint8Array(32).fill(7));
  const other = new LedgerKey(new Uint8Array(32).fill(8));
  it('opens what it sealed, in the same context only, and never twice alike', () => {
    const plain = Buffer.from('WVWZZZ');
    const sealed = key.seal(plain, 'vin');
    expect(Buffer.from(key.open(sealed, 'vin'))).toEqual(plain);
    expect(key.seal(plain, 'vin')).not.toEqual(sealed);
    for (const open of [() => key.open(sealed, 'csr'), () => other.open(sealed, 'vin'), () => key.open(sealed.subarray(1), 'vin'), () => key.open(new Uint8Array(3), 'vin')]) {
      expect(code(open)).toBe('internal');
    }
  });
  test.each([[1, /^[4-7][0-9a-f]{31}$/], [2, /^0ad5[0-9a-f]{32}$/]] as const)('derives serials of form %i that are positive, minimal, and fixed by seed, time and place', (form, looks) => {
    const source = { seed: new Uint8Array(32).fill(1), signedAt: new Date('2026-11-22T23:59:59.999Z'), form };
    const serials = Array.from({ length: 1000 }, (_, place) => Buffer.from(key.deriveSerial(source, place)).toString('hex'));
    expect(new Set(serials).size).toBe(1000);
    for (const serial of serials) expect(serialFromHex(serial)).toMatch(looks);
    expect(Buffer.from(key.deriveSerial(source, 5)).toString('hex')).toBe(serials[5]);
    expect(other.deriveSerial(source, 5)).not.toEqual(key.deriveSerial(source, 5));
  });
  test.each([
    ['2020-01-01T00:00:00Z', '0100'], ['2020-01-01T23:59:59.999Z', '0100'], ['2020-01-02T00:00:00Z', '0101'], ['2064-02-26T12:00:00Z', '3fff'],
  ])('a serial of %s begins with %s', (at, begins) => {
    expect(Buffer.from(serialDay(new Date(at))).toString('hex')).toBe(begins);
  });
  test.each(['2019-12-31T23:59:59.999Z', '2064-02-27T00:00:00Z', 'no date'])('no serial is made for %s', (at) => {
    expect(code(() => serialDay(new Date(at)))).toBe('clock.skew');
  });
  it('indexes equal values alike, by kind', () => {
    expect(key.blindIndex('a', 'vin')).toEqual(key.blindIndex('a', 'vin'));
    expect(key.blindIndex('a', 'vin')).not.toEqual(key.blindIndex('a', 'other'));
  });
});

it('a secret does not print', () => {
  const secret = new Secret('1234');
  expect(`${secret} ${JSON.stringify({ secret })} ${String(secret)}`).not.toContain('1234');
  expect(secret.reveal()).toBe('1234');
});
