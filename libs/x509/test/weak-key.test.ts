import { checkPrimeSync, generateKeyPairSync, generatePrimeSync, randomBytes } from 'node:crypto';
import { utf8 } from '@fleetroot/core';
import { der, keyIdentifier, publicKeyFacts, readBlockedKeys, refuseBlockedKey, spkiSha256 } from '@fleetroot/x509';
import { describe, expect, test } from 'vitest';

const rsaSpki = (modulus: bigint): Uint8Array => {
  const hex = modulus.toString(16);
  const octets = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  return der.sequence(
    der.sequence(der.oid('1.2.840.113549.1.1.1'), der.nullValue()), der.bitString(der.sequence(der.integer(octets), der.integer(65537))),
  );
};
const randomBelow = (limit: bigint): bigint => BigInt(`0x${randomBytes(160).toString('hex')}`) % limit;

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (let square = base % modulus, rest = exponent; rest > 0n; rest >>= 1n, square = (square * square) % modulus) {
    if ((rest & 1n) === 1n) result = (result * square) % modulus;
  }
  return result;
}

/** A prime as the vulnerable library made them for this size: k*M + (65537^a mod M), M of the first 126 primes. */
function rocaPrime(bits: number): bigint {
  let m = 1n;
  for (let n = 2n, found = 0; found < 126; n++) {
    if (!checkPrimeSync(n)) continue;
    m *= n;
    found++;
  }
  const top = 3n << BigInt(bits - 2);
  for (;;) {
    const k = (top + randomBelow(1n << BigInt(bits - 2))) / m;
    const candidate = k * m + power(65537n, randomBelow(m), m);
    if (checkPrimeSync(candidate)) return candidate;
  }
}

function nextPrime(from: bigint): bigint {
  let candidate = from | 1n;
  while (!checkPrimeSync(candidate)) candidate += 2n;
  return candidate;
}

const prime = generatePrimeSync(1024, { bigint: true });
const facts = (modulus: bigint) => publicKeyFacts(rsaSpki(modulus), 'request.malformed');

describe('an RSA modulus is refused', () => {
  const top = 1n << 2047n;
  test.each<[string, () => bigint, string]>([
    ['of the ROCA form', () => rocaPrime(1024) * rocaPrime(1024), 'has the ROCA fingerprint'],
    ['of a prime and the next one', () => prime * nextPrime(prime + 2n), 'is the product of two close primes'],
    ['of primes that differ in 512 bits', () => prime * nextPrime(prime + (1n << 512n)), 'is the product of two close primes'],
    ['that is a square', () => prime * prime, 'is the product of two close primes'],
    ['with the factor 3', () => 3n * ((top + top / 2n) / 3n | 1n), 'has a small prime factor'],
    ['with the factor 751', () => 751n * ((top + top / 2n) / 751n | 1n), 'has a small prime factor'],
  ])('%s', (_, modulus, why) => {
    const n = modulus();
    for (const twice of [n, n]) {
      expect(() => facts(twice)).toThrow(expect.objectContaining({ code: 'request.key-refused', message: expect.stringContaining(why) }));
    }
  });

  test('and a sound one beside it is not, nor forgotten who was asked about last', () => {
    const sound = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'der', type: 'spki' });
    const weak = prime * nextPrime(prime + 2n);
    for (let i = 0; i < 2; i++) {
      expect(publicKeyFacts(sound, 'request.malformed').bits).toBe(2048);
      expect(() => facts(weak)).toThrow(expect.objectContaining({ code: 'request.key-refused' }));
    }
  });

  test('not for one prime of the ROCA form: the other one hides it', () => {
    expect(facts(rocaPrime(1024) * generatePrimeSync(1024, { bigint: true })).keyType).toBe('rsa');
  });

  test('not for primes that differ in 600 bits: Fermat would take ages', () => {
    expect(facts(prime * nextPrime(prime - (1n << 600n))).keyType).toBe('rsa');
  });
});

test('what is kept of the last key does not follow a Buffer that is written to', () => {
  const sound = Buffer.from(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'der', type: 'spki' }));
  const identifier = keyIdentifier(sound);
  publicKeyFacts(sound, 'request.malformed');
  const before = Buffer.from(identifier).toString('hex');
  identifier.fill(0);
  expect(Buffer.from(keyIdentifier(sound)).toString('hex')).toBe(before);
  // Overwritten with another key of the same form, in place.
  const weak = Buffer.from(rsaSpki(prime * nextPrime(prime + 2n)));
  expect(weak.length).toBe(sound.length);
  weak.copy(sound);
  expect(() => publicKeyFacts(sound, 'request.malformed')).toThrow(expect.objectContaining({ code: 'request.key-refused' }));
  expect(Buffer.from(keyIdentifier(sound)).toString('hex')).not.toBe(before);
});

describe('the blocklist', () => {
  const digest = (octet: number): Uint8Array => new Uint8Array(32).fill(octet);
  const line = (octet: number): string => Buffer.from(digest(octet)).toString('hex');
  const blocked = readBlockedKeys(utf8(`# leaked\n\n${line(0xf0)}\r\n${line(0x0f).toUpperCase()}\n  ${line(0x0f)}  \n${line(0x80)}`));

  test('counts each key once', () => expect(blocked.count).toBe(3));

  test.each([0x0f, 0x80, 0xf0])('refuses %i', (octet) => {
    expect(() => refuseBlockedKey(digest(octet), blocked)).toThrow(expect.objectContaining({ code: 'key.blocked' }));
  });

  test.each([0x00, 0x10, 0x81, 0xff])('lets %i through', (octet) => expect(() => refuseBlockedKey(digest(octet), blocked)).not.toThrow());

  test('that is absent or empty blocks nothing', () => {
    for (const empty of [readBlockedKeys(undefined), readBlockedKeys(utf8('# none\n'))]) {
      expect(() => refuseBlockedKey(digest(1), empty)).not.toThrow();
    }
  });

  test('is of SHA-256 over the SubjectPublicKeyInfo, as openssl pkey -pubin -outform DER | sha256sum says', () => {
    const spki = generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' });
    const list = readBlockedKeys(utf8(Buffer.from(spkiSha256(spki)).toString('hex')));
    expect(() => refuseBlockedKey(spkiSha256(spki), list)).toThrow(expect.objectContaining({ code: 'key.blocked' }));
  });

  test.each([
    ['too short', `${line(1)}\n${line(2).slice(1)}`, 2], ['no hex', `#\n\nx${line(2).slice(1)}`, 3], ['two on a line', line(1) + line(2), 1],
  ])('that is broken is refused with its line: %s', (_, text, number) => {
    expect(() => readBlockedKeys(utf8(text))).toThrow(expect.objectContaining({ code: 'config.invalid', message: expect.stringContaining(`line ${number} `) }));
  });

  test('of 5,000 keys finds each, and no other', () => {
    const digests = Array.from({ length: 5000 }, () => randomBytes(32));
    const list = readBlockedKeys(utf8(digests.map((one) => one.toString('hex')).join('\n')));
    for (const one of digests) expect(list.has(one)).toBe(true);
    for (let i = 0; i < 5000; i++) expect(list.has(randomBytes(32))).toBe(false);
  });
});
