import { generateKeyPairSync, sign } from 'node:crypto';
import {
  buildRequest, der, encodeName, encodePem, extension, encodeExtension, algorithmIdentifier, type Extension, parseRequest,
  readRequest, verifyPossession,
} from '@fleetroot/x509';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const spkiDer = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
const signInfo = (info: Uint8Array): Uint8Array => sign('sha256', info, privateKey);
const subject = [{ type: 'commonName', value: 'TCU-26-01' }] as const;

const built = await buildRequest({
  subject, spkiDer, algorithm: 'ecdsa-sha256', subjectAltNames: [{ kind: 'dns', value: 'tcu.example' }, { kind: 'ip', value: Uint8Array.of(10, 0, 0, 7) }],
}, signInfo);

interface Parts { version?: Uint8Array; name?: Uint8Array; attributes?: Uint8Array[]; algorithm?: Uint8Array; afterInfo?: Uint8Array }

/** A request of any form, signed as it is. */
function forge({ version = der.integer(0), name = encodeName(subject), attributes = [], algorithm, afterInfo = new Uint8Array() }: Parts): Uint8Array {
  const info = der.sequence(version, name, spkiDer, der.tlv(der.contextTag(0, true), ...attributes), afterInfo);
  return der.sequence(info, algorithm ?? algorithmIdentifier('ecdsa-sha256'), der.bitString(signInfo(info)));
}

const asking = (...extensions: Extension[]): Uint8Array =>
  der.sequence(der.oid('1.2.840.113549.1.9.14'), der.tlv(der.tag.set, der.sequence(...extensions.map(encodeExtension))));
const challenge = der.sequence(der.oid('1.2.840.113549.1.9.7'), der.tlv(der.tag.set, der.text(der.tag.utf8String, 'x')));

describe('requests that are built are read', () => {
  test('names, key and signature', () => {
    const request = parseRequest(built);
    verifyPossession(request);
    expect(request.subjectDer).toEqual(encodeName(subject));
    expect(request.spkiDer).toEqual(spkiDer);
    expect(request.subjectAltNames).toEqual([{ kind: 'dns', value: 'tcu.example' }, { kind: 'ip', value: Uint8Array.of(10, 0, 0, 7) }]);
  });

  test('without names', async () => {
    const der = await buildRequest({ subject: [], spkiDer, algorithm: 'ecdsa-sha256' }, signInfo);
    expect(readRequest(encodePem('CERTIFICATE REQUEST', der)).subjectAltNames).toEqual([]);
  });

  test.each([
    ['a challenge password is ignored', { attributes: [challenge] }],
    ['attributes in any order', { attributes: [challenge, asking(extension.subjectAltName([{ kind: 'uri', value: 'urn:x' }], false))] }],
    ['cA FALSE', { attributes: [asking(extension.basicConstraints({ ca: false }))] }],
    ['cA FALSE written out', { attributes: [asking({ oid: '2.5.29.19', critical: false, value: Uint8Array.of(0x30, 3, 1, 1, 0) })] }],
    ['an extension that is not known', { attributes: [asking({ oid: '1.2.3', critical: true, value: der.nullValue() })] }],
  ] as [string, Parts][])('accepted: %s', (_, parts) => expect(() => verifyPossession(parseRequest(forge(parts)))).not.toThrow());
});

describe('requests that are refused', () => {
  const twoNames = asking(extension.subjectAltName([{ kind: 'dns', value: 'a' }], false));
  test.each([
    ['version 2', { version: der.integer(1) }, 'request.malformed'],
    ['a subject that is no name', { name: der.sequence(der.nullValue()) }, 'request.malformed'],
    ['an empty relative distinguished name', { name: der.sequence(der.tlv(der.tag.set)) }, 'request.malformed'],
    ['something after the attributes', { afterInfo: der.nullValue() }, 'request.malformed'],
    ['two extension requests', { attributes: [twoNames, twoNames] }, 'request.malformed'],
    ['one extension twice', { attributes: [asking(extension.subjectAltName([{ kind: 'dns', value: 'a' }], false), extension.subjectAltName([{ kind: 'dns', value: 'b' }], false))] }, 'request.malformed'],
    ['keyCertSign', { attributes: [asking(extension.keyUsage(['keyCertSign']))] }, 'request.ca-requested'],
    ['cRLSign', { attributes: [asking(extension.keyUsage(['digitalSignature', 'cRLSign']))] }, 'request.ca-requested'],
    ['cA TRUE', { attributes: [challenge, asking(extension.basicConstraints({ ca: true }))] }, 'request.ca-requested'],
    ['an algorithm of another kind of key', { algorithm: algorithmIdentifier('ed25519') }, 'request.signature-algorithm-refused'],
    ['another hash than the one signed', { algorithm: algorithmIdentifier('ecdsa-sha384') }, 'request.signature-invalid'],
  ] as [string, Parts, string][])('%s', (_, parts, code) => {
    expect(() => verifyPossession(parseRequest(forge(parts)))).toThrow(expect.objectContaining({ code }));
  });

  test.each([
    ['nothing', '', 'request.empty'],
    ['white space', ' \n', 'request.empty'],
    ['no octets', new Uint8Array(), 'request.empty'],
    ['prose', 'hello, world', 'request.malformed'],
    ['prose as octets', new TextEncoder().encode('hello, world'), 'request.malformed'],
    ['too many octets', Uint8Array.from({ length: 65_537 }, (_, i) => (i === 0 ? 0x30 : 0)), 'request.too-large'],
    ['too much text', 'A'.repeat(131_073), 'request.too-large'],
    ['too much binary', new Uint8Array(200_000), 'request.too-large'],
    ['begin without end', '-----BEGIN CERTIFICATE REQUEST-----\nMIIB', 'request.pem-invalid'],
  ] as [string, string | Uint8Array, string][])('%s', (_, input, code) => {
    expect(() => readRequest(input)).toThrow(expect.objectContaining({ code }));
  });

  test('the message of a refusal repeats nothing of the request', () => {
    for (const input of ['VIN WVWZZZ1JZXW000026', encodePem('WVWZZZ1JZXW000026', built)]) {
      expect(() => readRequest(input)).toThrow(expect.not.objectContaining({ message: expect.stringContaining('WVWZZZ') }));
    }
  });

  test('any change of any octet: refused with a code of the catalogue', () => {
    fc.assert(fc.property(fc.nat(built.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const mutated = Uint8Array.from(built);
      mutated[at] = mutated[at]! ^ change;
      expect(() => verifyPossession(parseRequest(mutated))).toThrow(expect.objectContaining({ code: expect.stringMatching(/^request\./) }));
    }), { numRuns: 300 });
  });

  test('any cut: refused', () => {
    for (let end = 0; end < built.length; end++) {
      expect(() => readRequest(built.subarray(0, end))).toThrow(expect.objectContaining({ code: expect.stringMatching(/^request\.(malformed|empty)$/) }));
    }
  });
});
