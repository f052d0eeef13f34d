import { createHash, createHmac, randomBytes } from 'node:crypto';
import { describe, expect, it, test } from 'vitest';
import { newOctets, sha256, toHex } from '../src/index.ts';
import { ShortHmac } from '../src/digest.ts';

describe('digests by way of a string', () => {
  test.each([0, 1, 55, 56, 64, 1000])('SHA-256 of %i octets is what createHash makes', (length) => {
    const message = randomBytes(length);
    expect(toHex(sha256(message))).toBe(createHash('sha256').update(message).digest('hex'));
  });

  test.each([[32, 36], [64, 1], [1, 64]])('HMAC by a key of %i octets over %i is what createHmac makes, message after message', (keyLength, length) => {
    const key = randomBytes(keyLength);
    const hmac = new ShortHmac(key, length);
    for (let round = 0; round < 5; round++) {
      const message = randomBytes(length);
      expect(toHex(hmac.of((into, at) => into.set(message, at)))).toBe(createHmac('sha256', key).update(message).digest('hex'));
    }
  });
});

describe('new octets', () => {
  it('are zero, as many as asked for, and share no octet', () => {
    const some = Array.from({ length: 500 }, (_, i) => newOctets((i * 37) % 3000).fill(i & 0xff));
    for (const [i, octets] of some.entries()) {
      expect(octets).toHaveLength((i * 37) % 3000);
      expect(octets.every((octet) => octet === (i & 0xff))).toBe(true);
    }
    expect(newOctets(2000).every((octet) => octet === 0)).toBe(true);
  });
});
