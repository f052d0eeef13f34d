import { describe, expect, it, test } from 'vitest';
import { Secret } from '@fleetroot/core';
import type { CertificationAuthority, PublishedCrl } from '@fleetroot/authority';
import { cacheHeaders, etagOf, freshUntil, isUnchanged } from '../src/caching.ts';
import { enrolmentHmac } from '../src/enrolment.ts';
import { Memo } from '../src/memo.ts';
import { isDue } from '../src/ocsp-signers.ts';
import { Published, type PublishedLedger } from '../src/published.ts';

const at = (seconds: number): Date => new Date(Date.UTC(2026, 10, 22) + seconds * 1000);

function clock(): { now: () => Date; set: (seconds: number) => void } {
  let seconds = 0;
  return { now: () => at(seconds), set: (to) => { seconds = to; } };
}

describe('what caches may keep', () => {
  const octets = Uint8Array.of(1, 2, 3);
  test.each([
    ['with much time left, five minutes', 86_400, 300],
    ['with little left, until its end', 120, 120],
    ['at its end, nothing', 0, 0],
    ['after its end, nothing', -50, 0],
  ])('%s', (_name, left, maxAge) => {
    expect(freshUntil(octets, at(-10), at(left), at(0)).maxAge).toBe(maxAge);
  });
  it('is said in every header that a cache reads', () => {
    expect(cacheHeaders(freshUntil(octets, at(-10), at(120), at(0)), at(0))).toEqual({
      etag: etagOf(octets), 'last-modified': 'Sat, 21 Nov 2026 23:59:50 GMT', expires: 'Sun, 22 Nov 2026 00:02:00 GMT',
      'cache-control': 'public, max-age=120, must-revalidate, no-transform',
    });
    expect(cacheHeaders(freshUntil(octets, at(-10), at(-1), at(0)), at(0))['cache-control']).toBe('no-cache, no-transform');
  });

  const fresh = { etag: '"a"', lastModified: at(0), maxAge: 1 };
  test.each<[string, Record<string, string>, boolean]>([
    ['no condition', {}, false],
    ['the same tag', { 'if-none-match': '"a"' }, true],
    ['a weak form of it', { 'if-none-match': 'W/"a"' }, true],
    ['it among others', { 'if-none-match': '"x", "a"' }, true],
    ['any', { 'if-none-match': '*' }, true],
    ['another tag, though the date fits', { 'if-none-match': '"x"', 'if-modified-since': at(5).toUTCString() }, false],
    ['the same time', { 'if-modified-since': at(0).toUTCString() }, true],
    ['a time before', { 'if-modified-since': at(-1).toUTCString() }, false],
    ['no time', { 'if-modified-since': 'yesterday' }, false],
  ])('a client that has %s', (_name, headers, unchanged) => expect(isUnchanged(headers, fresh)).toBe(unchanged));
});

describe('what is remembered', () => {
  it('is loaded once in its time, shared, and not when it failed', async () => {
    const time = clock();
    let loads = 0;
    const memo = new Memo(async (key: string) => {
      loads++;
      if (key === 'bad') throw new Error('no');
      return `${key}${loads}`;
    }, 1000, time);
    expect(await Promise.all([memo.get('a'), memo.get('a')])).toEqual(['a1', 'a1']);
    time.set(1);
    expect(await memo.get('a')).toBe('a2');
    time.set(-3600);
    expect(await memo.get('a'), 'the clock was put back').toBe('a3');
    await expect(memo.get('bad')).rejects.toThrow('no');
    await expect(memo.get('bad')).rejects.toThrow('no');
    expect(loads).toBe(5);
  });
});

test.each([
  ['missing', undefined, true],
  ['new', { notBefore: at(0), notAfter: at(1000) }, false],
  ['a moment before half its life', { notBefore: at(-499), notAfter: at(501) }, false],
  ['at half its life', { notBefore: at(-500), notAfter: at(500) }, true],
  ['over', { notBefore: at(-1000), notAfter: at(-1) }, true],
])('an OCSP signer certificate that is %s is due: %s', (_name, certificate, due) => expect(isDue(certificate, at(0), 50)).toBe(due));

it('proves a request by HMAC-SHA-256 over CA and CSR', () => {
  // printf 'ecu-issuing\nTUlJ' | openssl dgst -sha256 -hmac secret
  expect(enrolmentHmac(new Secret('secret'), 'ecu-issuing', 'TUlJ')).toBe('43835baa4c587a16aea3fc14387b859119dceb2b293f06310918a791ecde7e5f');
});

describe('published objects', () => {
  const ca = (id: number, name: string, state = 'active'): CertificationAuthority =>
    ({ id, name, state, certificate: Uint8Array.of(id), notBefore: at(-100) }) as unknown as CertificationAuthority;
  const crl = (caId: number, nextUpdate: Date): PublishedCrl => ({ caId, number: 1n, thisUpdate: at(-10), nextUpdate, der: Uint8Array.of(0x30, caId) });
  function published(crls: readonly PublishedCrl[]): Published {
    const ledger: PublishedLedger = {
      authorities: async () => [ca(1, 'root'), ca(2, 'issuing'), ca(3, 'gone', 'retired')],
      latestCrl: async (caId) => crls.find((one) => one.caId === caId),
      truststore: async (name) => ({ truststore: name, version: 1, caIds: [1, 2], sha256: new Uint8Array(32), pem: 'PEM', createdAt: at(-5) }),
    };
    return new Published(ledger, { now: () => at(0) });
  }

  test.each<[string, (from: Published) => Promise<unknown>, string]>([
    ['a CA that is not', (from) => from.certificate('nobody'), 'ca.not-found'],
    ['the CRL of a CA that is not', (from) => from.crl('nobody'), 'ca.not-found'],
    ['a CRL that is not there yet', (from) => from.crl('issuing'), 'crl.not-found'],
    ['a bundle that lacks a CRL', (from) => from.truststoreCrls('fleet'), 'truststore.incomplete'],
    ['readiness without a CRL', (from) => from.checkCrls(), 'crl.not-found'],
  ])('refuses %s', async (_name, ask, code) => {
    await expect(ask(published([crl(1, at(60))]))).rejects.toMatchObject({ code });
  });
  it('counts an expired CRL as none in a bundle and for readiness, and shows it by itself', async () => {
    const from = published([crl(1, at(60)), crl(2, at(-1))]);
    await expect(from.truststoreCrls('fleet')).rejects.toMatchObject({ code: 'truststore.incomplete', message: expect.stringContaining('issuing') });
    await expect(from.checkCrls()).rejects.toMatchObject({ code: 'crl.not-found', message: 'no current CRL of issuing' });
    expect((await from.crl('issuing')).freshness.maxAge).toBe(0);
  });
  it('bundles a CRL for each CA of the truststore, for no longer than the first of them holds', async () => {
    const from = published([crl(1, at(60)), crl(2, at(20))]);
    const bundle = await from.truststoreCrls('fleet');
    expect(Buffer.from(bundle.octets).toString().match(/BEGIN X509 CRL/g)).toHaveLength(2);
    expect(bundle.freshness.maxAge).toBe(20);
    await from.checkCrls();
  });
});
