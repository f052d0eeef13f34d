import { assert, boolean, property, uint8Array } from 'fast-check';
import { describe, expect, it, test } from 'vitest';
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
