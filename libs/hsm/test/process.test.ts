import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { PkiError } from '@fleetroot/core';
import { fromCryptoki, fromLogin } from '../src/cryptoki-error.ts';
import { signingInput } from '../src/mechanism.ts';
import { lookAgain } from '../src/token-access.ts';
import { encodeFrame, type Frame, frameKind, FrameReader, PackedFrame, packStrings, unpackStrings } from '../src/process/frames.ts';

describe('frames', () => {
  const bodies = [Buffer.alloc(0), randomBytes(1), randomBytes(70_000), randomBytes(17)];
  const stream = Buffer.concat(bodies.map((body) => encodeFrame(frameKind.sign, body)));

  it.each([1, 3, 5, 6, 4096, stream.length])('come out whole from pieces of %i octets', (size) => {
    const reader = new FrameReader();
    const frames: Frame[] = [];
    for (let at = 0; at < stream.length; at += size) frames.push(...reader.push(stream.subarray(at, at + size)));
    expect(frames).toEqual(bodies.map((body) => ({ kind: frameKind.sign, body })));
  });

  it('refuse a length that nobody sends', () => {
    expect(() => new FrameReader().push(Buffer.from('ffffffff02', 'hex'))).toThrow(RangeError);
  });
});

describe('packed strings', () => {
  it.each([[[]], [[0]], [[0, 5, 0, 700]]])('of lengths %j come back', (lengths) => {
    const strings = lengths.map((length) => randomBytes(length));
    expect(unpackStrings(packStrings(strings))).toEqual(strings);
  });

  it('that are cut off are refused', () => {
    const packed = packStrings([randomBytes(10)]);
    expect(() => unpackStrings(packed.subarray(0, -1))).toThrow(RangeError);
    expect(() => unpackStrings(Buffer.from('ffffff00', 'hex'))).toThrow(RangeError);
  });

  it('filled in place are the same frame, also beyond the room it began with, and after another', () => {
    const frame = new PackedFrame();
    for (const lengths of [[70_000, 3, 0, 90_000], [64, 64], []]) {
      const strings = lengths.map((length) => randomBytes(length));
      frame.begin(strings.length);
      for (const [i, string] of strings.entries()) {
        frame.add(string);
        expect(frame.strings()).toEqual(strings.slice(0, i + 1));
      }
      expect(frame.encode(frameKind.signatures)).toEqual(encodeFrame(frameKind.signatures, packStrings(strings)));
    }
  });
});

describe('return values of the library', () => {
  it.each([
    ['CKR_PIN_INCORRECT', 'hsm.pin-incorrect', 'stop'], ['CKR_PIN_LOCKED', 'hsm.pin-incorrect', 'stop'],
    ['CKR_MECHANISM_INVALID', 'hsm.mechanism-missing', 'stop'], ['CKR_DEVICE_ERROR', 'hsm.unavailable', 'later'],
    ['CKR_SESSION_HANDLE_INVALID', 'hsm.unavailable', 'later'], ['CKR_OBJECT_HANDLE_INVALID', 'hsm.unavailable', 'later'],
    ['CKR_SOMETHING_OF_A_VENDOR', 'hsm.unavailable', 'later'],
  ])('%s is %s', (value, code, retry) => {
    expect(fromCryptoki(new Error(`${value}:160\n at Session`), 'trying')).toMatchObject({ code, retry });
  });
});

describe('return values of C_Login', () => {
  it.each([
    ['CKR_PIN_INCORRECT', 'hsm.pin-incorrect'], ['CKR_ARGUMENTS_BAD', 'hsm.pin-incorrect'], ['CKR_OBJECT_HANDLE_INVALID', 'hsm.pin-incorrect'],
    ['CKR_USER_TYPE_INVALID', 'hsm.pin-incorrect'], ['CKR_DEVICE_ERROR', 'hsm.unavailable'], ['CKR_TOKEN_NOT_PRESENT', 'hsm.unavailable'],
    ['CKR_SESSION_HANDLE_INVALID', 'hsm.unavailable'], ['CKR_GENERAL_ERROR', 'hsm.unavailable'], ['a value of a vendor', 'hsm.unavailable'],
  ])('%s is %s', (value, code) => {
    expect(fromLogin(new Error(`${value}:7\n at C_Login`))).toMatchObject({ code });
  });
});

describe('a look for a token', () => {
  it.each<[string, readonly (string | undefined)[], string, number]>([
    ['is one where it is shown', [undefined], 'found', 1],
    ['is made again where it is not shown for a moment', ['hsm.token-not-found', 'hsm.token-not-found', undefined], 'found', 3],
    ['is given up at the fourth time', Array(4).fill('hsm.token-not-found'), 'hsm.token-not-found', 4],
    ['is not made again after a refused PIN', ['hsm.pin-incorrect'], 'hsm.pin-incorrect', 1],
    ['is not made again without an HSM', ['hsm.unavailable'], 'hsm.unavailable', 1],
  ])('%s', (_, outcomes, expected, looks) => {
    let look = 0;
    const result = (): string => {
      try {
        return lookAgain(() => {
          const code = outcomes[look++];
          if (code !== undefined) throw new PkiError(code as 'hsm.unavailable');
          return 'found';
        });
      } catch (error) {
        return (error as PkiError).code;
      }
    };
    expect([result(), look]).toEqual([expected, looks]);
  });
});

describe('what goes into C_Sign', () => {
  const message = Buffer.from('message');

  it.each([['ecdsa-sha256', 32, 32], ['ecdsa-sha512', 66, 64], ['ecdsa-sha512', 32, 32]] as const)(
    '%s on a curve with an order of %i octets: %i octets', (algorithm, orderOctets, length) => {
      expect(signingInput(algorithm, { family: 'ec', orderOctets }, message)).toHaveLength(length);
    },
  );

  it('is a DigestInfo for PKCS #1 v1.5', () => {
    const input = signingInput('rsa-sha256', { family: 'rsa', orderOctets: 0 }, message).toString('hex');
    expect(input).toBe('3031300d060960864801650304020105000420ab530a13e45914982b79f9b7e3fba994cfd1f3fb22f71cea1afbf02b460c6d1d');
  });

  it('is the message for Ed25519', () => {
    expect(signingInput('ed25519', { family: 'ed25519', orderOctets: 32 }, message)).toEqual(message);
  });

  it('does not exist for an algorithm of another key', () => {
    expect(() => signingInput('rsa-sha256', { family: 'ec', orderOctets: 32 }, message)).toThrow(/cannot sign by/);
  });
});
