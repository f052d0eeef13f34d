import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it, test } from 'vitest';
import { type CrlPlace, NewestCrls, type PublishedLedger } from '@fleetroot/authority';
import { caName, PkiError } from '@fleetroot/core';
import { Copy } from '../src/copy.ts';
import { LedgerView } from '../src/ledger-view.ts';
import { Published } from '../src/published.ts';
import { answerWith, partOf, takesGzip } from '../src/representation.ts';
import { crlOf, type TestCrl } from './test-crl.ts';

const at = (seconds: number): Date => new Date(Date.UTC(2026, 10, 22) + seconds * 1000);
const clock = { now: () => at(0) };

test.each<[string, ReturnType<typeof partOf>]>([
  ['bytes=0-99', { first: 0, last: 99 }], ['bytes=90-', { first: 90, last: 99 }], ['bytes=-10', { first: 90, last: 99 }],
  ['bytes=50-5000', { first: 50, last: 99 }], ['bytes=-5000', { first: 0, last: 99 }], ['Bytes = 5 - 6', { first: 5, last: 6 }],
  ['bytes=100-', 'none'], ['bytes=100-200', 'none'], ['bytes=-0', 'none'],
  ['bytes=6-5', 'whole'], ['bytes=0-1,3-4', 'whole'], ['bytes=-', 'whole'], ['bytes=a-b', 'whole'], ['lines=0-1', 'whole'], ['', 'whole'],
  ['bytes=0-99999999999999999999', 'whole'],
])('of 100 octets, Range: %s is %o', (range, part) => expect(partOf(range, 100)).toEqual(part));
it('there is no part of nothing', () => expect([partOf('bytes=0-', 0), partOf('bytes=-1', 0)]).toEqual(['none', 'none']));

test.each<[string | undefined, boolean]>([
  [undefined, false], ['', false], ['gzip', true], ['deflate, GZIP;q=0.5', true], ['x-gzip', true], ['*', true], ['gzip;q=0', false],
  ['gzip; q=0.000, *;q=1', false], ['br', false], ['identity', false], ['gzip;q=nonsense', false],
])('Accept-Encoding: %s takes gzip: %s', (header, takes) => expect(takesGzip(header)).toBe(takes));

describe('an answer', () => {
  const octets = Buffer.from('0123456789'.repeat(500));
  const copy = new Copy(octets);
  const object = { copy, mediaType: 'application/pkix-crl', compressible: true, freshness: { lastModified: at(-60), maxAge: 60 } };
  const ask = (headers: Record<string, string>, method = 'GET') => answerWith(object, { method, headers }, at(0));
  const { etag, gzipTag } = copy;
  const gzip = { 'accept-encoding': 'gzip' };

  test.each<[string, Record<string, string>, string, number, string, number | undefined]>([
    ['all', {}, 'GET', 200, etag, 5000],
    ['a part', { range: 'bytes=10-19' }, 'GET', 206, etag, 10],
    ['a part, and takes gzip', { ...gzip, range: 'bytes=-5' }, 'GET', 206, etag, 5],
    ['a part of what it holds', { range: 'bytes=10-19', 'if-range': etag }, 'GET', 206, etag, 10],
    ['a part of what was replaced', { range: 'bytes=10-19', 'if-range': '"other"' }, 'GET', 200, etag, 5000],
    ['a part of the gzip that it holds', { range: 'bytes=10-19', 'if-range': gzipTag }, 'GET', 200, etag, 5000],
    ['a part by a weak tag', { range: 'bytes=10-19', 'if-range': `W/${etag}` }, 'GET', 200, etag, 5000],
    ['a part by a date, which is never enough', { range: 'bytes=10-19', 'if-range': at(-60).toUTCString() }, 'GET', 200, etag, 5000],
    ['several parts', { range: 'bytes=0-1,4-5' }, 'GET', 200, etag, 5000],
    ['a part, by HEAD', { range: 'bytes=0-1' }, 'HEAD', 200, etag, 5000],
    ['what it holds', { 'if-none-match': etag }, 'GET', 304, etag, undefined],
    ['what it holds, and takes gzip', { ...gzip, 'if-none-match': etag }, 'GET', 304, etag, undefined],
    ['the gzip that it holds', { ...gzip, 'if-none-match': gzipTag }, 'GET', 304, gzipTag, undefined],
    ['what it holds as gzip, and takes none any more', { 'if-none-match': gzipTag }, 'GET', 200, etag, 5000],
    ['what it holds, in part', { range: 'bytes=0-1', 'if-none-match': etag }, 'GET', 304, etag, undefined],
    ['what it holds by its date', { 'if-modified-since': at(-60).toUTCString() }, 'GET', 304, etag, undefined],
    ['what it must hold, and does', { 'if-match': `"x", ${etag}` }, 'GET', 200, etag, 5000],
    ['what it must hold, and does not', { 'if-match': '"x"' }, 'GET', 412, etag, undefined],
  ])('to a client that asks for %s', async (_name, headers, method, status, tag, length) => {
    const answer = await ask(headers, method);
    expect([answer.status, answer.headers['etag'], answer.body?.length]).toEqual([status, tag, length]);
    expect([answer.headers['vary'], answer.headers['accept-ranges'], answer.headers['content-encoding']]).toEqual(['accept-encoding', 'bytes', undefined]);
  });
  it('names the place of a part, and how much there is where it lies outside', async () => {
    const part = await ask({ range: 'bytes=10-19' });
    expect([part.headers['content-range'], Buffer.from(part.body ?? []).toString()]).toEqual(['bytes 10-19/5000', '0123456789']);
    const outside = await ask({ range: 'bytes=5000-' });
    expect([outside.status, outside.headers['content-range'], outside.headers['cache-control']]).toEqual([416, 'bytes */5000', 'no-store']);
  });
  it('is compressed under a tag of its own, once', async () => {
    const [one, other] = [await ask(gzip), await ask(gzip)];
    expect([one.headers['content-encoding'], one.headers['etag'], one.headers['vary']]).toEqual(['gzip', gzipTag, 'accept-encoding']);
    expect(gunzipSync(one.body ?? Buffer.alloc(0))).toEqual(octets);
    expect(other.body).toBe(one.body);
  });
  it('is sent as it is where gzip saves nothing', async () => {
    const noise = new Copy(crypto.getRandomValues(new Uint8Array(20_000)));
    expect((await answerWith({ ...object, copy: noise }, { method: 'GET', headers: gzip }, at(0))).headers['content-encoding']).toBeUndefined();
    const short = new Copy(Buffer.alloc(900));
    expect(await short.gzip()).toBeUndefined();
  });
});

it('no CRL follows one with a higher number (I13)', () => {
  const newest = new NewestCrls();
  const crl = (number: bigint, more: Partial<TestCrl> = {}) => crlOf({ number, ...more }, Uint8Array.of(Number(number)));
  expect(newest.merge([crl(5n, { kind: 'delta' }), crl(4n), crl(6n)]).map(({ number, kind }) => `${kind} ${number}`)).toEqual(['full 6', 'delta 5']);
  expect(newest.merge([crl(6n), crl(5n)])).toEqual([]);
  expect([newest.get(1)?.number, newest.get(1, 'all', 'delta')?.number, newest.get(1, '64/1')]).toEqual([6n, 5n, undefined]);
});

/** A ledger whose CRLs are put in by the test, and which can be away or slow. */
class TestLedger implements PublishedLedger {
  crls: TestCrl[] = [];
  mood: 'here' | 'away' | 'hanging' = 'here';
  contents = 0;
  /** Where set, octets of full CRLs are not read before. */
  held: Promise<void> | undefined;
  readonly #authority = { id: 1, name: caName('issuing'), state: 'active', parentId: undefined, certificate: Uint8Array.of(1), keyId: Uint8Array.of(1), signatureAlgorithm: undefined,
    labels: {}, successorId: undefined, switchAt: undefined, revocation: undefined, notBefore: at(-100), notAfter: at(1e6) } as const;

  async #here(): Promise<void> {
    if (this.mood === 'away') throw new PkiError('store.unavailable');
    if (this.mood === 'hanging') await new Promise(() => undefined);
  }
  async authorities() {
    await this.#here();
    return [{ ...this.#authority }];
  }
  async usableCertificates() { return []; }
  async truststoreVersions() { return new Map([['fleet', 1]]); }
  async truststore(truststore: string) { return { truststore, version: 1, caIds: [1], pem: 'PEM', createdAt: at(0) }; }
  async crlsSince() {
    await this.#here();
    return { heads: this.crls, at: at(0) };
  }
  async crlContent({ scope, kind, number }: TestCrl) {
    await this.#here();
    this.contents++;
    if (kind === 'full') await this.held;
    const found = this.crls.find((crl) => crl.scope === scope && crl.kind === kind && crl.number === number);
    return found === undefined ? undefined : { der: found.der, dated: true };
  }
}

const whole: CrlPlace = { ca: 'issuing', scope: 'all', kind: 'full' };
const delta: CrlPlace = { ...whole, kind: 'delta' };
const numbered = (number: bigint, more: Partial<TestCrl> = {}) => crlOf({ number, nextUpdate: at(3600), thisUpdate: at(-10), ...more }, Uint8Array.of(Number(number)));

describe('CRLs served from memory', () => {
  const served = async (from: Published, place = whole) => (await from.crl(place)).copy.octets[0];
  async function started(...crls: TestCrl[]) {
    const ledger = new TestLedger();
    ledger.crls = crls;
    const from = new Published(ledger, clock, { limit: 1000 });
    await from.authorities();
    return { ledger, from };
  }

  it('are read once, and anew when the ledger has a newer one', async () => {
    const { ledger, from } = await started(numbered(1n));
    for (let n = 0; n < 5; n++) expect(await served(from)).toBe(1);
    expect(ledger.contents).toBe(1);
    ledger.crls = [numbered(2n)];
    await from.refresh();
    expect(await served(from)).toBe(2);
    expect(ledger.contents).toBe(2);
  });
  it('stay the one before while the next is read', async () => {
    const { ledger, from } = await started(numbered(1n));
    await served(from);
    let release = (): void => undefined;
    ledger.held = new Promise((resolve) => { release = resolve; });
    ledger.crls = [numbered(2n)];
    await from.refresh();
    expect(await served(from)).toBe(1);
    release();
    await expect.poll(() => served(from)).toBe(2);
  });
  it('are never other octets than those on record', async () => {
    const { ledger, from } = await started(numbered(1n));
    await served(from);
    ledger.crls = [{ ...numbered(2n), sha256: new Uint8Array(32) }];
    await from.refresh();
    expect(await served(from)).toBe(1);
    const fresh = new Published(ledger, clock);
    await expect(fresh.crl(whole)).rejects.toMatchObject({ code: 'crl.invalid' });
  });
  it('wait, as deltas, for the full CRL that they add to', async () => {
    const { ledger, from } = await started(numbered(1n), numbered(2n, { kind: 'delta', baseNumber: 1n }));
    expect([await served(from), await served(from, delta)]).toEqual([1, 2]);
    let release = (): void => undefined;
    ledger.held = new Promise((resolve) => { release = resolve; });
    ledger.crls = [numbered(3n), numbered(4n, { kind: 'delta', baseNumber: 3n })];
    await from.refresh();
    expect([await served(from), await served(from, delta)]).toEqual([1, 2]);
    release();
    await expect.poll(async () => [await served(from), await served(from, delta)]).toEqual([3, 4]);
  });
  it('are there for a place that was not known a moment ago', async () => {
    const { ledger, from } = await started();
    await expect(from.crl(whole)).rejects.toMatchObject({ code: 'crl.not-found' });
    ledger.crls = [numbered(1n)];
    await sleep(250);
    expect(await served(from)).toBe(1);
  });
  it('take no more memory than they may', async () => {
    const shards = Array.from({ length: 9 }, (_, shard) => crlOf({ scope: `9/${shard}`, nextUpdate: at(3600), entries: 0 }, new Uint8Array(400)));
    const { ledger, from } = await started(...shards);
    for (let round = 0; round < 2; round++) {
      for (let shard = 0; shard < 9; shard++) {
        await from.crl({ ca: 'issuing', scope: `9/${shard}`, kind: 'full' });
        expect(from.held).toBeLessThanOrEqual(1000);
      }
    }
    expect(ledger.contents).toBeGreaterThan(15);
  });

  test.each(['away', 'hanging'] as const)('are served on while the ledger is %s, which is said, and renewed when it is back', async (mood) => {
    const told: string[] = [];
    const ledger = new TestLedger();
    ledger.crls = [numbered(1n)];
    const from = new Published(ledger, clock, { onAway: () => told.push('away'), onBack: () => told.push('back') });
    await from.start();
    expect([await served(from), from.awaySince]).toEqual([1, undefined]);
    ledger.mood = mood;
    await expect.poll(() => from.awaySince, { timeout: 5000 }).toEqual(at(0));
    const began = performance.now();
    for (let n = 0; n < 20; n++) expect(await served(from)).toBe(1);
    expect((await from.truststore('fleet')).copy.octets.length).toBe(3);
    expect(performance.now() - began, 'nobody waits for it').toBeLessThan(1000);
    if (mood === 'away') {
      ledger.mood = 'here';
      ledger.crls = [numbered(2n)];
      await expect.poll(() => served(from), { timeout: 5000 }).toBe(2);
      expect(told).toEqual(['away', 'back']);
    }
    from.stop();
  });
  it('are not there where the ledger never was, and are when it comes', async () => {
    const ledger = new TestLedger();
    ledger.mood = 'away';
    ledger.crls = [numbered(1n)];
    const from = new Published(ledger, clock);
    await from.start();
    await expect(from.crl(whole)).rejects.toMatchObject({ code: 'store.unavailable' });
    ledger.mood = 'here';
    await expect.poll(() => served(from).catch(() => 0), { timeout: 5000 }).toBe(1);
    from.stop();
  });
});

it('a CA is the same object for as long as it says the same', async () => {
  const ledger = new TestLedger();
  const view = new LedgerView(ledger, clock);
  const first = (await view.look()).authorities[0];
  await view.refresh();
  expect((await view.look()).authorities[0]).toBe(first);
});
