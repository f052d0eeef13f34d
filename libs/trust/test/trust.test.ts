import { X509Certificate } from 'node:crypto';
import { describe, expect, it, test } from 'vitest';
import { assembleCrl, buildCrlTbs, decodePem, parseCrl } from '@fleetroot/x509';
import { pkiError } from '../../../test/support/error-code.ts';
import { certify, named, type SoftwareCa } from '../../../test/support/software-ca.ts';
import { crlBundle, entityTag, matchesEntityTag, truststorePem } from '../src/index.ts';

const now = new Date('2026-11-22T12:00:00Z');
const rootA = certify({ subject: named('Root A') });
const rootB = certify({ subject: named('Root B') });
const issuing = certify({ subject: named('A issuing'), issuer: rootA });
const lower = certify({ subject: named('0 lowest'), issuer: issuing });
const cas = [rootA, rootB, issuing, lower];

const hours = (n: number) => new Date(now.getTime() + n * 3_600_000);
function crlOf(ca: SoftwareCa, from = -1, until = 1, number = 1n, signer = ca): Uint8Array {
  const tbs = buildCrlTbs({
    signatureAlgorithm: 'ecdsa-sha256', issuerDer: ca.subjectDer, thisUpdate: hours(from), nextUpdate: hours(until), number,
    authorityKeyIdentifier: ca.keyId, entries: [],
  });
  return assembleCrl(tbs, 'ecdsa-sha256', signer.sign(tbs));
}
const namesIn = (pem: string) => pem.split(/(?<=-----END CERTIFICATE-----\n)/).map((block) => new X509Certificate(block).subject);

describe('the truststore', () => {
  it('has roots first, then each level below, by name', () => {
    expect(namesIn(truststorePem(cas))).toEqual(['CN=Root A', 'CN=Root B', 'CN=A issuing', 'CN=0 lowest']);
  });
  it('is the same text in whatever order the CAs come, and holds each once', () => {
    const pem = truststorePem(cas);
    expect(truststorePem([lower, issuing, rootB, rootA, issuing])).toBe(pem);
    expect(decodePem(pem, 'internal')).toHaveLength(4);
  });
  it('takes a subordinate whose issuer is not in it', () => expect(namesIn(truststorePem([issuing, rootB]))).toEqual(['CN=Root B', 'CN=A issuing']));
});

describe('the CRLs beside it (I29)', () => {
  const all = [crlOf(rootA), crlOf(rootB), crlOf(issuing), crlOf(lower)];
  const without = (place: number, ...more: Uint8Array[]) => [...all.filter((_, index) => index !== place), ...more];
  const numbers = (pem: string) => decodePem(pem, 'internal').map(({ label, der }) => [label, parseCrl(der).number]);

  it('are one of each CA, in the order of the CAs', () => {
    const pem = crlBundle(cas, [...all].reverse(), now);
    expect(decodePem(pem, 'internal').map(({ der }) => Buffer.from(parseCrl(der).issuerDer))).toEqual(cas.map(({ subjectDer }) => Buffer.from(subjectDer)));
  });
  it('are the newest that is valid now', () => {
    const crls = [crlOf(rootB, -1, 1, 4n), crlOf(rootB, -2, 2, 7n), crlOf(rootB, 1, 2, 9n), crlOf(rootB, -3, 1, 5n)];
    expect(numbers(crlBundle([rootB], crls, now))).toEqual([['X509 CRL', 7n]]);
  });
  it('hold through their last moment', () => expect(crlBundle(cas, all, hours(1))).toBe(crlBundle(cas, all, now)));

  test.each<[string, Uint8Array[], Date]>([
    ['one is missing', without(2), now],
    ['one is past nextUpdate', without(2, crlOf(issuing, -2, -1)), now],
    ['one is not valid yet', without(2, crlOf(issuing, 1, 2)), now],
    ['all are, a second past nextUpdate', all, new Date(hours(1).getTime() + 1000)],
    ['one is signed by another key', without(2, crlOf(issuing, -1, 1, 1n, lower)), now],
    ['one is of another CA', without(2, crlOf(lower)), now],
  ])('are incomplete where %s', (_, crls, at) => expect(pkiError(() => crlBundle(cas, crls, at))?.code).toBe('truststore.incomplete'));

  it('say whose is missing', () => expect(pkiError(() => crlBundle(cas, without(2), now))?.data).toEqual({ ca: 'CN=A issuing' }));
});

describe('the entity tag', () => {
  const tag = entityTag('abc');
  // SHA-256 of "abc", in base64url (FIPS 180-4's example).
  it('is the SHA-256', () => expect(tag).toBe(`"${Buffer.from('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', 'hex').toString('base64url')}"`));
  test.each<[string | undefined, boolean]>([
    [undefined, false], ['', false], ['"x"', false], [tag, true], [`W/${tag}`, true], [`"x", ${tag}`, true], ['*', true], [tag.slice(1, -1), false],
  ])('If-None-Match: %s', (header, expected) => expect(matchesEntityTag(header, tag)).toBe(expected));
});
