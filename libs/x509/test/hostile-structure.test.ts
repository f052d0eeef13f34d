import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { errorCode } from '../../../test/support/error-code.ts';
import { decodeCertsOnly, der, encodeCertsOnly, parseCertificate, parseName, verifySignedData } from '../src/index.ts';

// What the fuzzer found accepted that OpenSSL refused, and the bounds of CMS.

const corpus = join(import.meta.dirname, '../../../test/corpus/fuzz');
const file = (name: string): Buffer => readFileSync(join(corpus, name));

/** The certificate with octets replaced by as many others. */
function changed(name: string, from: string, to: string): Buffer {
  const bytes = file(name);
  const at = bytes.indexOf(Buffer.from(from, 'hex'));
  expect([at > 0, to.length]).toEqual([true, from.length]);
  bytes.set(Buffer.from(to, 'hex'), at);
  return bytes;
}

describe('a certificate', () => {
  test.each([
    ['as it is', '7035', '7035', undefined],
    ['with a string in its name that runs past its end', '0c0470353231', '0c2470353231', 'certificate.malformed'],
    ['with a string of its name in constructed form', '0c0470353231', '2c0470353231', 'certificate.malformed'],
    ['with a name of a multi-octet tag', '0c0470353231', '1f0470353231', 'certificate.malformed'],
    ['whose key names its algorithm by no OID', '06072a8648ce3d0201', '04072a8648ce3d0201', 'certificate.malformed'],
    ['whose key bits are no BIT STRING', '0381860004', '0481860004', 'certificate.malformed'],
  ])('%s', (_, from, to, code) => {
    expect(errorCode(() => parseCertificate(changed('certificate/p521.der', from, to)))).toBe(code);
  });
});

test.each([0x2c, 0x33, 0x36, 0x24, 0x23])('a value of tag 0x%s is a string in pieces, which a name does not have', (tag) => {
  const name = der.sequence(der.tlv(0x31, der.sequence(der.oid('2.5.4.3'), der.tlv(tag, der.text(0x0c, 'x')))));
  expect(errorCode(() => parseName(name, 'request.malformed'))).toBe('request.malformed');
});

describe('CMS', () => {
  const nested = (depth: number): Uint8Array => {
    let value = der.nullValue();
    for (let i = 0; i < depth; i++) value = der.sequence(value);
    return value;
  };
  const bundle = (...certificates: Uint8Array[]): Uint8Array => {
    const set = der.setOf(...certificates);
    set[0] = 0xa0;
    const data = der.sequence(der.integer(1), der.setOf(), der.sequence(der.oid('1.2.840.113549.1.7.1')), set, der.setOf());
    return der.sequence(der.oid('1.2.840.113549.1.7.2'), der.explicit(0, data));
  };

  test('a bundle comes back byte for byte, in the order of DER', () => {
    const certificates = ['leaf', 'ca', 'ed', 'rsa'].map((name) => file(`certificate/${name}.der`));
    const { certificates: back } = decodeCertsOnly(encodeCertsOnly({ certificates }));
    expect(back.map((one) => Buffer.from(one))).toEqual([...certificates].sort((a, b) => Buffer.compare(a, b)));
  });

  test.each<[string, Uint8Array]>([
    ['a value that is too deep', bundle(nested(60))],
    ['too many values', bundle(der.sequence(...Array<Uint8Array>(12_000).fill(der.nullValue())))],
    ['too many elements', bundle(...Array<Uint8Array>(1001).fill(der.sequence()))],
    ['an attribute certificate', bundle(der.tlv(0xa2, der.nullValue()))],
    ['a NULL for a certificate', bundle(der.nullValue())],
    ['another content type', der.sequence(der.oid('1.2.840.113549.1.7.1'), der.explicit(0, der.octetString(der.nullValue())))],
    ['text', Buffer.from('-----BEGIN PKCS7-----')],
  ])('%s is refused', (_, message) => {
    expect(errorCode(() => decodeCertsOnly(message))).toBe('cms.malformed');
    expect(errorCode(() => verifySignedData(message))).toBe('cms.malformed');
  });

  test('a bundle at the bound of elements is read', () => {
    expect(decodeCertsOnly(bundle(...Array<Uint8Array>(1000).fill(der.sequence()))).certificates).toHaveLength(1000);
  });
});
