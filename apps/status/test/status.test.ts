import { describe, expect, it, test } from 'vitest';
import { caName, PkiError, Secret, toHex } from '@fleetroot/core';
import type { CeremonyCertificate, CertificationAuthority, CrlPlace, PublishedLedger } from '@fleetroot/authority';
import { decodeCertsOnly, decodePem, parseCertificate, parseRequest, verifyPossession } from '@fleetroot/x509';
import { certify, named, p256 } from '../../../test/support/software-ca.ts';
import { cacheHeaders, etagOf, freshUntil, isUnchanged } from '../src/caching.ts';
import { Enrolment, enrolmentHmac } from '../src/enrolment.ts';
import { Memo } from '../src/memo.ts';
import { isDue, OcspSigners } from '../src/ocsp-signers.ts';
import { Published } from '../src/published.ts';
import { crlOf, type TestCrl } from './test-crl.ts';

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
  it('is given on while the ledger is away, asked for anew each time it is due, and forgotten when it is said to be gone', async () => {
    const time = clock();
    let answer: () => string = () => 'first';
    let loads = 0;
    const memo = new Memo(async () => {
      loads++;
      return answer();
    }, 1000, time);
    const fail = (code: 'store.unavailable' | 'truststore.not-found') => () => { throw new PkiError(code); };
    expect(await memo.get('a')).toBe('first');
    answer = fail('store.unavailable');
    for (const seconds of [1, 1, 2]) {
      time.set(seconds);
      expect(await memo.get('a')).toBe('first');
    }
    expect(loads).toBe(3);
    answer = () => 'second';
    time.set(3);
    expect(await memo.get('a')).toBe('second');
    answer = fail('truststore.not-found');
    time.set(4);
    await expect(memo.get('a')).rejects.toMatchObject({ code: 'truststore.not-found' });
    answer = fail('store.unavailable');
    await expect(memo.get('a')).rejects.toMatchObject({ code: 'store.unavailable' });
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

const ca = (id: number, name: string, more: Partial<CertificationAuthority> = {}): CertificationAuthority => ({
  id, name: caName(name), state: 'active', parentId: undefined, certificate: Uint8Array.of(id), keyId: Uint8Array.of(id), signatureAlgorithm: undefined,
  labels: {}, successorId: undefined, switchAt: undefined, revocation: undefined, notBefore: at(-100), notAfter: at(1_000_000), ...more,
});
const revocation = { revokedAt: at(-1), reason: 2 };

describe('published objects', () => {
  const crl = (caId: number, nextUpdate: Date): TestCrl => crlOf({ caId, thisUpdate: at(-10), nextUpdate }, Uint8Array.of(0x30, caId));
  const whole = (name: string): CrlPlace => ({ ca: name, scope: 'all', kind: 'full' });
  const fleet = [ca(1, 'root'), ca(2, 'issuing', { parentId: 1 }), ca(3, 'gone', { state: 'retired' })];
  function published(crls: readonly TestCrl[], authorities = fleet, made: readonly CeremonyCertificate[] = []): Published {
    const ledger: PublishedLedger = {
      authorities: async () => authorities,
      usableCertificates: async () => made,
      truststoreVersions: async () => new Map([['fleet', 1]]),
      truststore: async (name) => ({ truststore: name, version: 1, caIds: [1, 2], pem: 'PEM', createdAt: at(-5) }),
      crlsSince: async () => ({ heads: crls, at: at(0) }),
      crlContent: async ({ caId }) => {
        const found = crls.find((one) => one.caId === caId);
        return found === undefined ? undefined : { der: found.der, dated: true };
      },
    };
    return new Published(ledger, { now: () => at(0) });
  }
  const offline = (nextUpdate: Date | undefined) => published(
    [crl(2, at(60)), ...(nextUpdate === undefined ? [] : [crl(1, nextUpdate)])], [ca(1, 'root', { keyId: undefined }), ca(2, 'issuing', { parentId: 1 })]);

  test.each<[string, (from: Published) => Promise<unknown>, string]>([
    ['a CA that is not', (from) => from.certificate('nobody'), 'ca.not-found'],
    ['the certificates of a CA that is not', (from) => from.certificates('nobody'), 'ca.not-found'],
    ['the CRL of a CA that is not', (from) => from.crl(whole('nobody')), 'ca.not-found'],
    ['a CRL that is not there yet', (from) => from.crl(whole('issuing')), 'crl.not-found'],
    ['a bundle that lacks a CRL', (from) => from.truststoreCrls('fleet'), 'truststore.incomplete'],
    ['readiness without a CRL', (from) => from.checkCrls(), 'crl.not-found'],
  ])('refuses %s', async (_name, ask, code) => {
    await expect(ask(published([crl(1, at(60))]))).rejects.toMatchObject({ code });
  });
  it('counts an expired CRL as none in a bundle and for readiness, and shows it by itself', async () => {
    const from = published([crl(1, at(60)), crl(2, at(-1))]);
    await expect(from.truststoreCrls('fleet')).rejects.toMatchObject({ code: 'truststore.incomplete', message: expect.stringContaining('issuing') });
    await expect(from.checkCrls()).rejects.toMatchObject({ code: 'crl.not-found', message: 'no current CRL of issuing' });
    expect((await from.crl(whole('issuing'))).freshness.maxAge).toBe(0);
  });
  it('is not ready with the expired CRL of a shard, which certificates name, and is with an expired delta', async () => {
    const shard = (kind: 'full' | 'delta', nextUpdate: Date): TestCrl => crlOf({ caId: 2, scope: '64/17', kind, thisUpdate: at(-10), nextUpdate }, Uint8Array.of(0x30, 64));
    const whole = [crl(1, at(60)), crl(2, at(60))];
    await published([...whole, shard('full', at(60)), shard('delta', at(-1))]).checkCrls();
    await expect(published([...whole, shard('full', at(-1))]).checkCrls()).rejects.toMatchObject({ code: 'crl.not-found', message: 'no current CRL of issuing' });
  });
  it('bundles a CRL for each CA of the truststore, for no longer than the first of them holds', async () => {
    const from = published([crl(1, at(60)), crl(2, at(20))]);
    const bundle = await from.truststoreCrls('fleet');
    expect(Buffer.from(bundle.copy.octets).toString().match(/BEGIN X509 CRL/g)).toHaveLength(2);
    expect(bundle.freshness.maxAge).toBe(20);
    await from.checkCrls();
  });

  test.each<[string, Date | undefined]>([['has none', undefined], ['has an expired one', at(-1)]])('say that the CRL of an offline CA is to be imported where it %s, and are ready without it', async (_, nextUpdate) => {
    const from = offline(nextUpdate);
    await expect(from.truststoreCrls('fleet')).rejects.toMatchObject({ code: 'truststore.incomplete', message: expect.stringMatching(/^root has no current CRL: its key is not online: .*import/) });
    await from.checkCrls();
  });
  it('bundle an imported CRL like one of ours', async () => {
    expect(Buffer.from((await offline(at(60)).truststoreCrls('fleet')).copy.octets).toString().match(/BEGIN X509 CRL/g)).toHaveLength(2);
  });
  test.each<[string, Partial<CertificationAuthority>, Partial<CertificationAuthority>, number]>([
    ['one that is revoked', {}, { state: 'compromised', revocation }, 1],
    ['one that is retired', {}, { state: 'retired' }, 1],
    ['one below a CA that is revoked', { state: 'retired', revocation }, {}, 0],
  ])('leave out of a bundle the CRL of %s', async (_, ofRoot, ofIssuing, expected) => {
    const from = published([crl(1, at(60))], [ca(1, 'root', ofRoot), ca(2, 'issuing', { parentId: 1, ...ofIssuing })]);
    const text = Buffer.from((await from.truststoreCrls('fleet')).copy.octets).toString();
    expect(text.match(/BEGIN X509 CRL/g) ?? []).toHaveLength(expected);
  });
  it('are ready without the CRL of a CA that does not issue yet', () => published([], [ca(1, 'next', { state: 'prepared' })]).checkCrls());

  describe('certificates of a CA', () => {
    const key = p256();
    const old = certify({ subject: named('Issuing'), key });
    const renewed = certify({ subject: named('Issuing'), key, notAfter: new Date('2032-01-01T00:00:00Z') });
    const cross = certify({ subject: named('Issuing'), key, issuer: certify({ subject: named('Other root') }) });
    const made = (kind: CeremonyCertificate['kind'], { certificate }: { certificate: Uint8Array }): CeremonyCertificate =>
      ({ kind, subjectId: 2, issuerId: 1, serial: parseCertificate(certificate).serial, certificate, notBefore: at(0), notAfter: at(1) });
    const from = (certificate: Uint8Array) => published([], [ca(2, 'issuing', { certificate })], [made('ca', renewed), made('ca', old), made('cross', cross)]);
    it('are the newest alone, whose tag changes with it and which no cache keeps for long', async () => {
      const [before, after] = [await from(old.certificate).certificate('issuing'), await from(renewed.certificate).certificate('issuing')];
      expect(after.copy.octets).toEqual(renewed.certificate);
      expect(after.copy.etag).not.toBe(before.copy.etag);
      expect(after.freshness.maxAge).toBeLessThanOrEqual(3600);
      expect(after.freshness.lastModified, 'made before it was asked for last').toBeUndefined();
    });
    it('are all of them in a certs-only message, each once', async () => {
      const { copy: { octets }, mediaType } = await from(renewed.certificate).certificates('issuing');
      expect(mediaType).toBe('application/pkcs7-mime; smime-type=certs-only');
      const within = decodeCertsOnly(octets).certificates.map(toHex);
      expect(within.toSorted()).toEqual([old, renewed, cross].map(({ certificate }) => toHex(certificate)).toSorted());
    });
  });
});

describe('the OCSP signer certificates of our key', () => {
  const key = certify({ subject: named('OCSP') });
  const cas = [
    ca(1, 'offline', { keyId: undefined }), ca(2, 'active'), ca(3, 'prepared', { state: 'prepared' }), ca(4, 'retiring', { state: 'retiring' }),
    ca(5, 'retired', { state: 'retired' }), ca(6, 'compromised', { state: 'compromised', revocation }), ca(7, 'below', { parentId: 6 }),
  ];
  const from = (certified: readonly number[]): OcspSigners => new OcspSigners({
    ledger: { authorities: async () => cas, ocspSigners: async (caId) => certified.includes(caId) ? [certify({ subject: named('OCSP'), notBefore: at(-10), notAfter: at(1000) }).certificate, ours] : [] },
    key: { keyId: key.keyId, spkiDer: key.spkiDer, signer: { sign: async () => [] } }, clock: { now: () => at(0) }, refreshPercent: 50,
  });
  const ours = key.certificate;
  it('are asked for of every CA in use: those online before they issue, those offline for a ceremony', async () => {
    expect((await from([]).due()).map(({ name }) => name)).toEqual(['offline', 'active', 'prepared', 'retiring']);
    expect((await from([2, 4]).due()).map(({ name }) => name)).toEqual(['offline', 'prepared']);
  });
  it('keep the app from being ready where a CA that issues or has issued here lacks one, and only then', async () => {
    await expect(from([4, 5]).check()).rejects.toMatchObject({ message: expect.stringContaining('of active:') });
    await from([2, 4]).check();
  });
  it('serve on where the CA is revoked or retired', async () => {
    expect((await from([5, 6]).signerFor(6))?.certificate).toEqual(ours);
    expect(await from([5]).signerFor(6)).toBeUndefined();
  });
});

it('hands the request for the key out as PEM, whatever is due', async () => {
  const key = certify({ subject: named('OCSP') });
  const enrolment = new Enrolment(
    { due: async () => [] }, { keyId: key.keyId, spkiDer: key.spkiDer, signer: { sign: async (_id: Uint8Array, _algorithm: string, messages: readonly Uint8Array[]) => messages.map(key.sign) } as never }, new Secret('secret'));
  const [block] = decodePem(await enrolment.pem(), 'request.malformed');
  expect(block?.label).toBe('CERTIFICATE REQUEST');
  const request = parseRequest(block?.der ?? new Uint8Array(0));
  expect(toHex(request.spkiDer)).toBe(toHex(key.spkiDer));
  verifyPossession(request);
});
