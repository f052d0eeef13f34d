import { readdirSync, readFileSync } from 'node:fs';
import { type ErrorCode, isPkiError } from '@fleetroot/core';
import { type CertificationRequest, readRequest, verifyPossession } from '@fleetroot/x509';
import { describe, expect, test } from 'vitest';

// Requests of seven other programs, and what must be refused: test/corpus/csr/manifest.json.
const corpus = new URL('../../../test/corpus/csr/', import.meta.url);
const octets = (file: string): Uint8Array => new Uint8Array(readFileSync(new URL(file, corpus)));

function accept(input: Uint8Array | string): CertificationRequest {
  const request = readRequest(input);
  verifyPossession(request);
  return request;
}

function refusal(input: Uint8Array | string): string {
  try {
    accept(input);
  } catch (error) {
    if (isPkiError(error)) return error.code;
    throw error;
  }
  return 'accepted';
}

/** Key, signature algorithm, and names asked for. */
const good: Record<string, string> = {
  'botan-p256.pem': 'p-256 256 ecdsa-sha256 dns:radar-26-40.vehicle.example',
  'gnutls-ed25519.pem': 'ed25519 256 ed25519',
  'gnutls-p256.pem': 'p-256 256 ecdsa-sha256',
  'gnutls-rsa3072.pem': 'rsa 3072 rsa-sha256',
  'go-p256.pem': 'p-256 256 ecdsa-sha256 dns:go-26-70.vehicle.example ip:10.0.0.7',
  'java-ed25519.pem': 'ed25519 256 ed25519 dns:java32-26.vehicle.example',
  'java-p256.pem': 'p-256 256 ecdsa-sha256 dns:java30-26.vehicle.example',
  'java-rsa2048.pem': 'rsa 2048 rsa-sha256 dns:java31-26.vehicle.example',
  'nss-p256.pem': 'p-256 256 ecdsa-sha256',
  'openssl-ed25519.pem': 'ed25519 256 ed25519',
  'openssl-p256-challenge.pem': 'p-256 256 ecdsa-sha256',
  'openssl-p256-compressed.pem': 'p-256 256 ecdsa-sha256',
  'openssl-p256-empty-subject.pem': 'p-256 256 ecdsa-sha256 dns:empty-subject-26-11.vehicle.example',
  'openssl-p256-extensions.pem': 'p-256 256 ecdsa-sha256 dns:ivi-26-08.vehicle.example uri:urn:vin:WVWZZZ1JZXW000026',
  'openssl-p256-multivalue.pem': 'p-256 256 ecdsa-sha256',
  'openssl-p256-newhdr.pem': 'p-256 256 ecdsa-sha256',
  'openssl-p256-utf8.pem': 'p-256 256 ecdsa-sha256',
  'openssl-p256.der': 'p-256 256 ecdsa-sha256',
  'openssl-p256.pem': 'p-256 256 ecdsa-sha256',
  'openssl-p384.pem': 'p-384 384 ecdsa-sha384',
  'openssl-p521.pem': 'p-521 521 ecdsa-sha512',
  'openssl-rsa2048.pem': 'rsa 2048 rsa-sha256',
  // An rsaEncryption key that signs with RSASSA-PSS, salt of 32 octets.
  'openssl-rsa3072-pss.pem': 'rsa 3072 rsa-pss-sha256',
  'strongswan-p256.pem': 'p-256 256 ecdsa-sha256 dns:vpn-26-50.vehicle.example',
};

const bad: Record<string, ErrorCode> = {
  'asks-to-be-a-ca.der': 'request.ca-requested',
  'ber-indefinite-length.der': 'request.malformed',
  'ber-non-minimal-length.der': 'request.malformed',
  'certificate-not-request.pem': 'request.pem-label',
  'ec-explicit-parameters.der': 'request.key-refused',
  'ec-p224.der': 'request.key-refused',
  'ec-secp256k1.der': 'request.key-refused',
  'empty.der': 'request.empty',
  'length-claims-4gb.der': 'request.malformed',
  'md5-signature.der': 'request.signature-algorithm-refused',
  'nested-sequences-10k.der': 'request.malformed',
  'null-bytes-64k.der': 'request.malformed',
  'pem-bad-base64.pem': 'request.pem-invalid',
  'pem-two-requests.pem': 'request.pem-count',
  'random-4k.der': 'request.malformed',
  'rsa-1024.der': 'request.key-refused',
  'rsa-exponent-3.der': 'request.key-refused',
  'sha1-signature.der': 'request.signature-algorithm-refused',
  'signature-bit-flipped.der': 'request.signature-invalid',
  'subject-bit-flipped.der': 'request.signature-invalid',
  'trailing-garbage.der': 'request.trailing-bytes',
  'truncated-half.der': 'request.malformed',
  'truncated-last-byte.der': 'request.malformed',
  'wrong-pem-label.pem': 'request.pem-label',
};

function summary({ key, signatureAlgorithm, subjectAltNames }: CertificationRequest): string {
  const names = subjectAltNames.map(({ kind, value }) => `${kind}:${typeof value === 'string' ? value : value.join('.')}`);
  return [key.keyType, key.bits, signatureAlgorithm, ...names].join(' ');
}

describe('the corpus of requests', () => {
  test('the tables name every file', () => {
    expect(Object.keys(good)).toEqual(readdirSync(new URL('good', corpus)).sort());
    expect(Object.keys(bad)).toEqual(readdirSync(new URL('bad', corpus)).sort());
  });

  test.each(Object.entries(good))('%s proves possession', (file, expected) => {
    const request = accept(octets(`good/${file}`));
    expect(summary(request)).toBe(expected);
    expect(Buffer.from(request.der).includes(request.spkiDer)).toBe(true);
  });

  test.each(Object.keys(good))('%s means the same as text, bare base64 and DER', (file) => {
    const { der } = accept(octets(`good/${file}`));
    const base64 = Buffer.from(der).toString('base64');
    for (const form of [der, base64, `${base64}\n`, new TextEncoder().encode(base64)]) {
      expect(readRequest(form).der).toEqual(der);
    }
    if (file.endsWith('.pem')) expect(readRequest(readFileSync(new URL(`good/${file}`, corpus), 'utf8')).der).toEqual(der);
  });

  test.each(Object.entries(bad))('%s is refused: %s', (file, code) => {
    expect(refusal(octets(`bad/${file}`))).toBe(code);
  });
});
