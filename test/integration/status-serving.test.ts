import { execFile } from 'node:child_process';
import { hash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { type CaName, LedgerKey, Secret } from '@fleetroot/core';
import { openStore, type Store } from '@fleetroot/store';
import { createLogger, type Running } from '@fleetroot/telemetry';
import { encodePem, parseAnyCrl, parseCrl, verifySignature } from '@fleetroot/x509';
import { startStatus } from '../../apps/status/src/start.ts';
import { event } from '../support/ledger.ts';
import { openssl } from '../support/openssl.ts';
import { freePort } from '../support/ports.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { second, someEntries, TestPublisher } from '../support/published-crls.ts';
import { makeToken, type TestToken } from '../support/softhsm.ts';
import { certify, named, notAfter, notBefore, type SoftwareCa } from '../support/software-ca.ts';

/** Reads while CRLs are swapped; the fault test proper is 10,000, which FLEETROOT_READS sets. */
const READS = Number(process.env['FLEETROOT_READS'] ?? 400);

let postgres: TestPostgres;
let token: TestToken;
let store: Store;
let status: Running;
let publisher: TestPublisher;
let ca: SoftwareCa;
let folder: string;
let url: string;
const lines: string[] = [];
const failures: unknown[] = [];
const at = (path: string): string => `${url}/${path}`;

async function start(databaseUrl = postgres.statusDatabaseUrl, listen = url): Promise<Running> {
  return startStatus({
    logger: createLogger({ role: 'test', level: 'info', destination: { write: (line: string) => void lines.push(line) } }),
    databaseUrl, pool: 4, enrolmentSecret: new Secret('x'.repeat(32)), ocspSignerRefreshPercent: 50, crlMemory: 8 << 20,
    listen: { host: '127.0.0.1', port: Number(new URL(listen).port) }, internalListen: { host: '127.0.0.1', port: await freePort() },
    token: { module: token.module, tokenLabel: token.tokenLabel, pin: token.pin, deadlineMs: 3000, sessionCopies: 'try' },
  }, { fail: (error: unknown) => void failures.push(error) });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fleetroot-serving-'));
  [postgres, token] = await Promise.all([startTestPostgres(), makeToken('fleetroot-ocsp')]);
  process.env['SOFTHSM2_CONF'] = token.softhsmConf;
  url = `http://127.0.0.1:${await freePort()}`;
  store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey: new LedgerKey(randomBytes(32)), pool: 4 });
  ca = certify({ subject: named('Serving') });
  // Its key is elsewhere: no OCSP signer of it is waited for.
  const { id } = await store.authorities.add(
    { name: 'serving' as CaName, parentId: undefined, state: 'active', certificate: ca.certificate, keyId: undefined, signatureAlgorithm: undefined, labels: {}, notBefore, notAfter }, event('ca.imported', 'ca:serving'));
  await store.truststores.publish('fleet', 'all', [id], encodePem('CERTIFICATE', ca.certificate), (version) => event('truststore.published', `truststore:fleet/${version}`));
  publisher = await TestPublisher.open(postgres.databaseUrl, ca, id);
  await writeFile(join(folder, 'ca.pem'), encodePem('CERTIFICATE', ca.certificate));
  status = await start();
});

afterAll(async () => {
  await status?.close();
  await publisher?.close().catch(() => undefined);
  await store?.close();
  await postgres?.stop();
  await token?.remove();
  if (folder) await rm(folder, { recursive: true, force: true });
});

interface Curled {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

async function curl(path: string, ...args: readonly string[]): Promise<Curled> {
  const name = join(folder, randomBytes(6).toString('hex'));
  const { stdout } = await promisify(execFile)('curl', ['-s', '-m', '20', '-D', `${name}.head`, '-o', name, '-w', '%{http_code}', ...args, at(path)]);
  const head = await readFile(`${name}.head`, 'utf8');
  const headers = Object.fromEntries(head.trim().split('\r\n').slice(1).map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]));
  return { status: Number(stdout), headers, body: await readFile(name).catch(() => Buffer.alloc(0)) };
}

/** openssl's own judgement of the signature. */
const verifies = async (der: Uint8Array): Promise<string> => {
  const file = join(folder, `${randomBytes(6).toString('hex')}.crl`);
  await writeFile(file, der);
  const { stdout, stderr } = await promisify(execFile)('openssl', ['crl', '-inform', 'DER', '-in', file, '-noout', '-verify', '-CAfile', join(folder, 'ca.pem')]);
  return stdout + stderr;
};

describe('CRLs over HTTP', () => {
  const places = [
    ['crl/serving.crl', { scope: 'all', kind: 'full' }], ['crl/serving.delta.crl', { scope: 'all', kind: 'delta' }],
    ['crl/serving/64/17.crl', { scope: '64/17', kind: 'full' }], ['crl/serving/64/17.delta.crl', { scope: '64/17', kind: 'delta' }],
  ] as const;
  test.each(places)('%s is 404, and there within a second of its publication, as openssl verifies it', async (path, place) => {
    expect((await curl(path)).status).toBe(404);
    const der = await publisher.publish({ ...place, entries: someEntries(3000), ...(place.scope === 'all' ? {} : { url: at('crl/serving/64/17.crl') }) });
    await sleep(1000);
    const { status: code, headers, body } = await curl(path);
    expect([code, body.equals(der)]).toEqual([200, true]);
    expect(await verifies(body)).toContain('verify OK');
    const { thisUpdate } = parseAnyCrl(der);
    expect(headers).toMatchObject({
      'content-type': 'application/pkix-crl', 'content-length': String(der.length), 'accept-ranges': 'bytes', vary: 'accept-encoding', 'last-modified': thisUpdate.toUTCString(),
      'cache-control': `public, max-age=${place.kind === 'delta' ? 60 : 300}, must-revalidate, no-transform`,
    });
  });
  test.each(['crl/serving/64/018.crl', 'crl/serving/0/0.crl', 'crl/serving/64.crl', 'crl/serving/64/17', 'crl/serving/64/17/1.crl', 'crl/..%2f..%2fetc%2fpasswd.crl', 'crl/nobody.crl', 'crl/serving/64/18.crl', 'crl/serving.delta.delta.crl'])('%s is 404', async (path) => {
    const { status: code, headers } = await curl(path);
    expect([code, headers['content-type']]).toEqual([404, expect.stringContaining('application/problem+json')]);
  });
  it('HEAD says what GET would', async () => {
    const [get, head] = [await curl('crl/serving.crl'), await curl('crl/serving.crl', '-I')];
    const { date: _date, expires: _expires, 'x-request-id': _id, ...rest } = get.headers;
    expect(head.status).toBe(200);
    expect(head.headers).toMatchObject(rest);
  });
  it('one that was broken off is gone on with by curl, and is whole', async () => {
    const { body, headers } = await curl('crl/serving.crl');
    const file = join(folder, 'half');
    await writeFile(file, body.subarray(0, 10_000));
    await promisify(execFile)('curl', ['-s', '-C', '-', '-H', `If-Range: ${headers['etag']}`, '-o', file, at('crl/serving.crl')]);
    expect((await readFile(file)).equals(body)).toBe(true);
    const part = await curl('crl/serving.crl', '-r', '100-199');
    expect([part.status, part.headers['content-range'], part.headers['content-length'], part.body.equals(body.subarray(100, 200))]).toEqual([206, `bytes 100-199/${body.length}`, '100', true]);
    expect(await curl('crl/serving.crl', '-r', `${body.length}-`)).toMatchObject({ status: 416, headers: { 'content-range': `bytes */${body.length}` } });
  });
  it('is not sent again to who holds it, by its tag or its date, and by curl\'s own means', async () => {
    const { headers } = await curl('crl/serving.crl', '--etag-save', join(folder, 'etag'));
    expect(await curl('crl/serving.crl', '--etag-compare', join(folder, 'etag'))).toMatchObject({ status: 304, headers: { etag: headers['etag'] } });
    expect((await curl('crl/serving.crl', '-H', `If-Modified-Since: ${headers['last-modified']}`)).status).toBe(304);
  });
  it('is compressed for who takes it so, under another tag, and unfolds to the same', async () => {
    const plain = await curl('crl/serving/64/17.crl');
    const zipped = await curl('crl/serving/64/17.crl', '--compressed');
    expect([zipped.headers['content-encoding'], zipped.body.equals(plain.body), zipped.headers['vary']]).toEqual(['gzip', true, 'accept-encoding']);
    expect(zipped.headers['etag']).not.toBe(plain.headers['etag']);
    expect(Number(zipped.headers['content-length'])).toBeLessThan(plain.body.length * 0.9);
    expect((await curl('crl/serving/64/17.crl', '-H', 'Accept-Encoding: gzip', '-H', `If-None-Match: ${zipped.headers['etag']}`)).status).toBe(304);
  });
  it('two of one second are told apart: the second one bears no date to ask by', async () => {
    const thisUpdate = second();
    await publisher.publish({ scope: '2/1', thisUpdate, entries: someEntries(1) });
    await expect.poll(async () => (await curl('crl/serving/2/1.crl')).status, { timeout: 3000 }).toBe(200);
    const first = await curl('crl/serving/2/1.crl');
    await publisher.publish({ scope: '2/1', thisUpdate, entries: someEntries(2) });
    await sleep(1000);
    const again = await curl('crl/serving/2/1.crl', '-H', `If-Modified-Since: ${first.headers['last-modified']}`);
    expect([again.status, again.headers['last-modified'], again.body.equals(first.body)]).toEqual([200, undefined, false]);
  });
  it('one that has expired is served still, and kept by no cache', async () => {
    await publisher.publish({ scope: '2/0', thisUpdate: second(-7200), nextUpdate: second(-3600) });
    await expect.poll(async () => (await curl('crl/serving/2/0.crl')).headers['cache-control'], { timeout: 3000 }).toBe('no-cache, no-transform');
  });
});

describe('a reader every 20 ms while CRLs are swapped in', () => {
  it(`finds each of ${READS} answers whole, valid, and never older than the one before`, async () => {
    const stop = new AbortController();
    let number = BigInt(Date.now());
    await publisher.publish({ number });
    await expect.poll(async () => (await curl('crl/serving.crl')).status, { timeout: 3000 }).toBe(200);
    const published = new Map<string, bigint>();
    const writer = (async () => {
      for (let n = 0; !stop.signal.aborted; n++) {
        number += 1n;
        // From hardly anything to two slices of the reader.
        published.set(hash('sha256', await publisher.publish({ number, entries: someEntries(n % 16 === 3 ? 30_000 : [1, 200, 20, 3000][n % 4] ?? 0, n) })), number);
        await sleep(60);
      }
    })();
    const agent = new Agent({ keepAlive: true, maxSockets: 4 });
    const verified = new Set<string>();
    let changes = 0;
    let reads = 0;
    const reader = async (): Promise<void> => {
      for (let last = 0n; reads < READS && !stop.signal.aborted;) {
        const read = reads++;
        const [body] = await Promise.all([get(agent, at('crl/serving.crl'), read % 3 === 0), sleep(20)]);
        const crl = parseCrl(body);
        const sha256 = hash('sha256', body);
        // The same octets verify once for all.
        if (!verified.has(sha256)) expect(verifySignature(ca.spkiDer, crl.signatureAlgorithm, crl.tbsDer, crl.signature), `read ${read}`).toBe(true);
        verified.add(sha256);
        expect(published.get(sha256) ?? crl.number, `read ${read}`).toBe(crl.number);
        expect(crl.number >= last, `read ${read}: ${crl.number} after ${last}`).toBe(true);
        if (crl.number > last) changes++;
        last = crl.number;
      }
    };
    try {
      await Promise.all([reader(), reader(), reader(), reader()]);
    } finally {
      stop.abort();
      await writer;
      agent.destroy();
    }
    expect([...verified].filter((sha256) => !published.has(sha256)).length, 'but the one that was there before').toBeLessThanOrEqual(1);
    expect(changes, 'it did change under the reader').toBeGreaterThan(Math.min(20, READS / 40));
    await sleep(1000);
    expect(parseCrl((await curl('crl/serving.crl')).body).number, 'the last one is there within a second').toBe(number);
  }, 600_000);
});

describe('with the database away', () => {
  it('serves what it has, says so, and heals', async () => {
    expect(await (await fetch(at('readyz'))).json()).toMatchObject({ ready: true, checks: { database: { ready: true } } });
    const before = await Promise.all(['crl/serving.crl', 'crl/serving/64/17.delta.crl', 'ca/serving.cer', 'ca/serving.p7c', 'truststores/fleet.pem', 'truststores/fleet.crl.pem'].map(async (path) => [path, (await curl(path)).body] as const));
    const away = postgres.restart(6000);
    await expect.poll(async () => (await fetch(at('readyz'))).json(), { timeout: 8000 }).toMatchObject({
      ready: true, degraded: true, checks: { database: { ready: true, degraded: true, reason: expect.stringContaining('from memory'), since: expect.stringMatching(/^2\d{3}-/) } },
    });
    const began = performance.now();
    for (const [path, body] of before) {
      const answer = await curl(path);
      expect([path, answer.status, answer.body.equals(body)]).toEqual([path, 200, true]);
    }
    expect((await curl('crl/serving/64/18.crl')).status, 'what it never had').toBe(404);
    expect(performance.now() - began, 'nobody waits for the database').toBeLessThan(4000);
    await away;
    await expect.poll(async () => (await (await fetch(at('readyz'))).json() as { degraded?: boolean }).degraded, { timeout: 20_000 }).toBeUndefined();
    publisher = await TestPublisher.open(postgres.databaseUrl, ca, 1);
    const der = await publisher.publish({ entries: someEntries(7) });
    await expect.poll(async () => (await curl('crl/serving.crl')).body.equals(der), { timeout: 3000 }).toBe(true);
    expect(lines.filter((line) => line.includes('the database is away'))).toHaveLength(1);
    expect(lines.filter((line) => line.includes('the database is back'))).toHaveLength(1);
  });
  it('starts, is not ready, and does not crash', async () => {
    const nowhere = new URL(postgres.statusDatabaseUrl.reveal());
    nowhere.port = String(await freePort());
    const listen = `http://127.0.0.1:${await freePort()}`;
    const other = await start(new Secret(nowhere.href), listen);
    try {
      expect((await fetch(`${listen}/healthz`)).status).toBe(200);
      const answer = await fetch(`${listen}/readyz`);
      expect([answer.status, await answer.json()]).toEqual([503, expect.objectContaining({ ready: false })]);
      expect((await fetch(`${listen}/crl/serving.crl`)).status).toBe(503);
    } finally {
      await other.close();
    }
  });
  it('had no fault that ends the process, and logged no secret', () => {
    expect(failures).toEqual([]);
    for (const secret of [token.pin.reveal(), new URL(postgres.statusDatabaseUrl.reveal()).password]) expect(lines.join('')).not.toContain(secret);
  });
});

it('what openssl reads of a shard\'s delta is what was published', async () => {
  const { body } = await curl('crl/serving/64/17.delta.crl');
  const text = openssl(['crl', '-inform', 'DER', '-noout', '-text'], body);
  expect(text).toContain('X509v3 Delta CRL Indicator: critical');
  expect(text).toContain(at('crl/serving/64/17.crl'));
});

/** The octets as sent: a length that is not that of the answer is an error of its own. */
function get(agent: Agent, target: string, zipped: boolean): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    request(target, { agent, headers: zipped ? { 'accept-encoding': 'gzip' } : {} }, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.on('error', reject);
      answer.on('end', () => {
        const body = Buffer.concat(parts);
        if (answer.statusCode !== 200 || body.length !== Number(answer.headers['content-length'])) reject(new Error(`${answer.statusCode}, ${body.length} octets of ${answer.headers['content-length']}`));
        else if (answer.headers['content-encoding'] === 'gzip') resolve(gunzipSync(body));
        else resolve(body);
      });
    }).on('error', reject).end();
  });
}
