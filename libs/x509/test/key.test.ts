import { constants, createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { toHex } from '@fleetroot/core';
import {
  algorithmFitsKey, algorithmFromIdentifier, algorithmIdentifier, der, ecdsaSignatureToDer, importPublicKey, keyIdentifier,
  publicKeyFacts, type SignatureAlgorithm, signatureAlgorithmFor, verifySignature,
} from '@fleetroot/x509';
import { describe, expect, test } from 'vitest';

interface Pair { readonly privateKey: KeyObject; readonly spki: Uint8Array }
const pair = ({ publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject }): Pair =>
  ({ privateKey, spki: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })) });

const p256 = pair(generateKeyPairSync('ec', { namedCurve: 'P-256' }));
const p521 = pair(generateKeyPairSync('ec', { namedCurve: 'P-521' }));
const ed25519 = pair(generateKeyPairSync('ed25519'));
const rsa = pair(generateKeyPairSync('rsa', { modulusLength: 2048 }));
const pss = pair(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }));
// Node takes a number; its types say string.
const pss384 = pair(generateKeyPairSync('rsa-pss', { modulusLength: 2048, hashAlgorithm: 'sha384', mgf1HashAlgorithm: 'sha384', saltLength: 48 as unknown as string }));

const message = new TextEncoder().encode('TBS');
const algorithms: SignatureAlgorithm[] = [
  'ecdsa-sha256', 'ecdsa-sha384', 'ecdsa-sha512', 'ed25519', 'rsa-sha256', 'rsa-sha384', 'rsa-sha512', 'rsa-pss-sha256',
  'rsa-pss-sha384', 'rsa-pss-sha512',
];

function signWith({ privateKey }: Pair, algorithm: SignatureAlgorithm): Uint8Array {
  const digest = algorithm === 'ed25519' ? null : algorithm.slice(-6);
  const options = algorithm.startsWith('rsa-pss')
    ? { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST } : privateKey;
  return sign(digest, message, options);
}

describe('algorithms', () => {
  test.each(algorithms)('%s is found by its identifier', (algorithm) => {
    expect(algorithmFromIdentifier(algorithmIdentifier(algorithm), 'certificate.malformed')).toBe(algorithm);
  });

  // As OpenSSL 3 writes it: asn1parse of a request made with rsa_padding_mode:pss and a salt of the hash's length.
  test('RSASSA-PSS is written as OpenSSL writes it', () => {
    expect(toHex(algorithmIdentifier('rsa-pss-sha256'))).toBe(
      '304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120',
    );
  });

  const sha1 = der.sequence(der.oid('1.3.14.3.2.26'), der.nullValue());
  const sha256 = der.sequence(der.oid('2.16.840.1.101.3.4.2.1'), der.nullValue());
  const pssWith = (...fields: Uint8Array[]) => der.sequence(der.oid('1.2.840.113549.1.1.10'), der.sequence(...fields));
  const mgf = (hash: Uint8Array) => der.explicit(1, der.sequence(der.oid('1.2.840.113549.1.1.8'), hash));
  test.each([
    ['ECDSA with SHA-1', der.sequence(der.oid('1.2.840.10045.4.1'))],
    ['RSA with SHA-1', der.sequence(der.oid('1.2.840.113549.1.1.5'), der.nullValue())],
    ['RSA with MD5', der.sequence(der.oid('1.2.840.113549.1.1.4'), der.nullValue())],
    ['ECDSA with NULL parameters', der.sequence(der.oid('1.2.840.10045.4.3.2'), der.nullValue())],
    ['PSS with its defaults, SHA-1', pssWith()],
    ['PSS with another hash for MGF1', pssWith(der.explicit(0, sha256), mgf(sha1), der.explicit(2, der.integer(32)))],
    ['PSS with a salt of 20 octets', pssWith(der.explicit(0, sha256), mgf(sha256))],
    ['PSS with the default trailer written out', pssWith(der.explicit(0, sha256), mgf(sha256), der.explicit(2, der.integer(32)), der.explicit(3, der.integer(1)))],
    ['no DER at all', Uint8Array.of(1, 2, 3)],
  ])('refused: %s', (_, identifier) => {
    expect(() => algorithmFromIdentifier(identifier, 'request.signature-algorithm-refused'))
      .toThrow(expect.objectContaining({ code: 'request.signature-algorithm-refused' }));
  });
});

describe('keys', () => {
  test.each([
    ['P-256', p256, 'p-256', 256, 'ecdsa-sha256'],
    ['P-521', p521, 'p-521', 521, 'ecdsa-sha512'],
    ['Ed25519', ed25519, 'ed25519', 256, 'ed25519'],
    ['RSA', rsa, 'rsa', 2048, 'rsa-sha256'],
    ['RSASSA-PSS', pss, 'rsa', 2048, 'rsa-pss-sha256'],
    ['RSASSA-PSS bound to SHA-384', pss384, 'rsa', 2048, 'rsa-pss-sha384'],
  ] as const)('%s', (_, { spki }, keyType, bits, signs) => {
    expect(publicKeyFacts(spki, 'request.malformed')).toEqual({ keyType, bits, spkiDer: spki });
    expect(signatureAlgorithmFor(spki)).toBe(signs);
  });

  const ecSpki = (point: Uint8Array) =>
    der.sequence(der.sequence(der.oid('1.2.840.10045.2.1'), der.oid('1.2.840.10045.3.1.7')), der.bitString(point));
  const rsaSpki = (modulus: Uint8Array, exponent: number | bigint) => der.sequence(
    der.sequence(der.oid('1.2.840.113549.1.1.1'), der.nullValue()),
    der.bitString(der.sequence(der.integer(modulus), der.integer(exponent))),
  );
  const modulus = (octets: number, last = 0xff) => Uint8Array.from({ length: octets }, (_, i) => (i === octets - 1 ? last : 0xa5));
  test.each([
    ['a point of the wrong length', ecSpki(Uint8Array.from([4, ...new Uint8Array(63).fill(1)]))],
    ['a hybrid point', ecSpki(Uint8Array.from([6, ...new Uint8Array(64).fill(1)]))],
    ['the point at infinity', ecSpki(Uint8Array.of(0))],
    ['RSA of 2040 bits', rsaSpki(modulus(255), 65_537)],
    ['RSA of 8200 bits', rsaSpki(modulus(1025), 65_537)],
    ['RSA with an even modulus', rsaSpki(modulus(256, 0xfe), 65_537)],
    ['RSA with exponent 3', rsaSpki(modulus(256), 3)],
    ['RSA with an even exponent', rsaSpki(modulus(256), 65_538)],
    ['RSA with exponent 0', rsaSpki(modulus(256), 0)],
    ['RSA with an exponent of 65 bits', rsaSpki(modulus(256), (1n << 64n) + 1n)],
    ['Ed25519 of 31 octets', der.sequence(der.sequence(der.oid('1.3.101.112')), der.bitString(new Uint8Array(31)))],
    ['X25519', der.sequence(der.sequence(der.oid('1.3.101.110')), der.bitString(new Uint8Array(32)))],
  ])('refused: %s', (_, spki) => {
    expect(() => publicKeyFacts(spki, 'request.malformed')).toThrow(expect.objectContaining({ code: 'request.key-refused' }));
  });

  test('a point off the curve is refused when it is used', () => {
    const spki = ecSpki(Uint8Array.from([4, ...new Uint8Array(64).fill(1)]));
    expect(() => importPublicKey(spki)).toThrow(expect.objectContaining({ code: 'request.key-refused' }));
    expect(verifySignature(spki, 'ecdsa-sha256', message, signWith(p256, 'ecdsa-sha256'))).toBe(false);
  });

  test('bytes after the key are malformed', () => {
    const spki = Uint8Array.from([...p256.spki, 0]);
    expect(() => publicKeyFacts(spki, 'certificate.malformed')).toThrow(expect.objectContaining({ code: 'certificate.malformed' }));
  });

  test('the key identifier is the SHA-1 of the key bits', () => {
    expect(toHex(keyIdentifier(p256.spki))).toBe(createHash('sha1').update(p256.spki.subarray(26)).digest('hex'));
  });
});

describe('signatures', () => {
  test.each([
    [p256, 'ecdsa-sha256'], [p256, 'ecdsa-sha384'], [p521, 'ecdsa-sha512'], [ed25519, 'ed25519'], [rsa, 'rsa-sha256'], [rsa, 'rsa-sha512'],
    [rsa, 'rsa-pss-sha256'], [pss, 'rsa-pss-sha256'], [pss, 'rsa-pss-sha512'], [pss384, 'rsa-pss-sha384'],
  ] as [Pair, SignatureAlgorithm][])('case %#: good, changed, and under every other algorithm', (key, algorithm) => {
    const signature = signWith(key, algorithm);
    expect(verifySignature(key.spki, algorithm, message, signature)).toBe(true);
    expect(verifySignature(key.spki, algorithm, message.subarray(1), signature)).toBe(false);
    expect(verifySignature(key.spki, algorithm, message, signature.subarray(1))).toBe(false);
    for (const other of algorithms.filter((name) => name !== algorithm)) {
      expect(verifySignature(key.spki, other, message, signature)).toBe(false);
    }
  });

  test('a PSS key makes no PKCS #1 v1.5 signature, and one bound to a hash no other', () => {
    expect(algorithmFitsKey('rsa-sha256', pss.spki)).toBe(false);
    expect(algorithmFitsKey('rsa-pss-sha256', pss384.spki)).toBe(false);
    expect(algorithmFitsKey('rsa-pss-sha384', pss384.spki)).toBe(true);
  });

  test('ECDSA from PKCS #11 to X.509', () => {
    const raw = sign('sha256', message, { key: p256.privateKey, dsaEncoding: 'ieee-p1363' });
    expect(verifySignature(p256.spki, 'ecdsa-sha256', message, ecdsaSignatureToDer(raw))).toBe(true);
    expect(toHex(ecdsaSignatureToDer(Uint8Array.of(0, 0x80, 0, 1)))).toBe('300702020080020101');
    expect(() => ecdsaSignatureToDer(new Uint8Array(3))).toThrow(expect.objectContaining({ code: 'hsm.signature-invalid' }));
  });
});
