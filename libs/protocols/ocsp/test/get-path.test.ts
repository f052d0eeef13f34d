import { randomBytes } from 'node:crypto';
import { assert, boolean, property, uint8Array } from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { parseOcspRequest } from '@fleetroot/x509';
import { ocspRequest } from '../../../../test/support/ocsp-request.ts';
import { certify, named } from '../../../../test/support/software-ca.ts';
import { decodeOcspGetPath } from '../src/index.ts';

/** How clients and proxies write the same base64. */
const spellings: Record<string, (base64: string) => string> = {
  'as RFC 6960 appendix A.1 says': encodeURIComponent,
  'not escaped at all': (text) => text,
  'only the slashes escaped': (text) => text.replaceAll('/', '%2F'),
  'escaped in lower case': (text) => encodeURIComponent(text).replace(/%../g, (escape) => escape.toLowerCase()),
  'escaped twice': (text) => encodeURIComponent(encodeURIComponent(text)),
  'without padding': (text) => encodeURIComponent(text.replace(/=+$/, '')),
  'with each plus as a space': (text) => text.replaceAll('+', ' '),
  'with each plus as an escaped space': (text) => text.replaceAll('+', '%20'),
  'in the URL-safe alphabet': (text) => text.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, ''),
  'with a slash in front': (text) => `/${encodeURIComponent(text)}`,
  'with two slashes in front': (text) => `//${text}`,
  'every character escaped': (text) => [...text].map((character) => `%${character.charCodeAt(0).toString(16)}`).join(''),
};

describe('a GET path gives what the POST would hold (I18)', () => {
  test.each(Object.entries(spellings))('%s', (_, spell) => {
    assert(property(uint8Array({ maxLength: 200 }), boolean(), (body, dense) => {
      // 0xfb 0xff 0xbf in a row is "+/+/" or the like in base64: slashes and pluses enough.
      const der = Buffer.concat([Buffer.of(0x30), dense ? body.map((octet) => [0xfb, 0xef, 0xbe, 0xff][octet & 3] ?? 0) : body]);
      expect(Buffer.from(decodeOcspGetPath(spell(der.toString('base64'))))).toEqual(der);
    }), { numRuns: 200 });
  });

  it('has slashes and pluses in what it tries', () => {
    expect(Buffer.concat([Buffer.of(0x30), Buffer.alloc(30, Buffer.of(0xfb, 0xef, 0xbe, 0xff))]).toString('base64')).toMatch(/[+].*[/]/);
  });
});

test.each(['', '/', '%', '%zz', 'MA', 'M', 'MAA*', 'MAAé', 'MA==A', '%4d%', 'M'.repeat(300_000), '%25'.repeat(1000)])(
  'a path that is not base64 never throws', (path) => expect(decodeOcspGetPath(path).length).toBeLessThanOrEqual(1),
);

describe('two slashes in a row that a proxy made one', () => {
  const base64By = (issuer: Uint8Array, serial: Uint8Array): string => Buffer.from(ocspRequest([{ issuer, serial }], new Uint8Array(16).fill(3))).toString('base64');
  let issuer: Uint8Array;
  // One whose hashes have no slash themselves.
  do issuer = certify({ subject: named('CA') }).certificate; while (base64By(issuer, Uint8Array.of(1)).slice(0, 88).includes('/'));
  const base64Of = (serial: Uint8Array): string => base64By(issuer, serial);
  /** A serial whose request has such a text and no other slash behind the hashes, which end with the 88th character. */
  const found = (wanted: RegExp): string => {
    for (let n = 0; n < 200_000; n++) {
      const base64 = base64Of(Buffer.concat([Buffer.of(0x40), randomBytes(15)]));
      if (wanted.test(base64.slice(88))) return base64;
    }
    throw new Error('none');
  };
  it('are put back where only one place fits', () => {
    const base64 = found(/^[^/]*\/\/[^/]*$/);
    expect(decodeOcspGetPath(base64.replaceAll(/\/+/g, '/'))).toEqual(new Uint8Array(Buffer.from(base64, 'base64')));
  });
  it('are not guessed where two places do', () => {
    const base64 = found(/^[^/]{0,18}\/\/[^/]{1,6}\/[^/]*$/);
    expect(() => parseOcspRequest(decodeOcspGetPath(base64.replaceAll(/\/+/g, '/')))).toThrow();
  });
});
