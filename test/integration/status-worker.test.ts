import { execFile, execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { type CaSigner, type CertificationAuthority, Issuance, type Profile, profileDocument, publishCrl, readProfileFolder } from '@fleetroot/authority';
import { type CaName, ecuSerial, LedgerKey, partNumber, Secret, serialFromBytes, systemClock, systemRandom } from '@fleetroot/core';
import { JobRunner, type QueueOptions } from '@fleetroot/queue';
import { openStore, type Store } from '@fleetroot/store';
import { createLogger, type Running } from '@fleetroot/telemetry';
import { buildRequest, encodePem, parseCertificate, parseCrl } from '@fleetroot/x509';
import { SingleRequests } from '../../apps/issuer/src/single-requests.ts';
import { startStatus } from '../../apps/status/src/start.ts';
import { startWorker } from '../../apps/worker/src/start.ts';
import { day, event } from '../support/ledger.ts';
import { ocspRequest } from '../support/ocsp-request.ts';
import { openssl } from '../support/openssl.ts';
import { freePort } from '../support/ports.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { makeToken, type TestToken } from '../support/softhsm.ts';
import { certify, named, notAfter, notBefore, type SoftwareCa } from '../support/software-ca.ts';

const lines: string[] = [];
const logger = createLogger({ role: 'test', level: 'debug', destination: { write: (line: string) => void lines.push(line) } });
const failures: unknown[] = [];
const control = { fail: (error: unknown) => void failures.push(error) };

let postgres: TestPostgres;
let store: Store;
let folder: string;
let token: TestToken;
let root: SoftwareCa;
let issuing: SoftwareCa;
let authorities: { root: CertificationAuthority; issuing: CertificationAuthority };
let profiles: Map<string, Profile>;
let queue: QueueOptions;
let url: string;
let internalUrl: string;
let status: Running;
let worker: Running | undefined;
let issuer: Running | undefined;
let principalId: number;
const ledgerKey = new LedgerKey(randomBytes(32));
const enrolmentSecret = new Secret(randomBytes(32).toString('hex'));

async function startTestStatus(): Promise<Running> {
  return startStatus({
    logger, databaseUrl: postgres.statusDatabaseUrl, pool: 4, enrolmentSecret, ocspSignerRefreshPercent: 50,
    listen: { host: '127.0.0.1', port: Number(new URL(url).port) },
    internalListen: { host: '127.0.0.1', port: Number(new URL(internalUrl).port) },
    token: { module: token.module, tokenLabel: token.tokenLabel, pin: token.pin, deadlineMs: 3000, sessionCopies: 'try' },
  }, control);
}

async function startTestWorker(statusInternalUrl = internalUrl): Promise<Running> {
  return startWorker({
    logger, queue, profiles, statusInternalUrl, enrolmentSecret,
    store: await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey, pool: 4 }),
    staleAfterMs: 1500, crlRefreshPercent: 50, renewalWindowDays: 1000, scheduleSeconds: 1,
  });
}

async function startTestIssuer(): Promise<Running> {
  const keys = new Map([[authorities.root.id, root], [authorities.issuing.id, issuing]]);
  const signer: CaSigner = {
    ready: async () => undefined,
    sign: async ({ id }, tbs) => tbs.map((one) => keys.get(id)?.sign(one) ?? new Uint8Array(0)),
  };
  const issuance = new Issuance({
    ledger: store.issuance, authorities: store.authorities, profiles: store.profiles, signer, ledgerKey, clock: systemClock,
    random: systemRandom, staleAfterMs: 1500,
  });
  const runner = new JobRunner(queue, 'issuer', {
    'issue-chunk': async ({ chunkId }) => void await issuance.issueChunk(BigInt(chunkId)),
    'renew-chunk': async ({ chunkId }) => void await issuance.issueChunk(BigInt(chunkId)),
    'publish-filter': async () => undefined,
    'publish-crl': async ({ caId }) => {
      const authority = (await store.authorities.all()).find(({ id }) => id === caId);
      if (authority !== undefined) await publishCrl({ crls: store.crls, authority, signer, clock: systemClock, lifetimeMs: day });
    },
  }, { concurrency: 2, log: logger });
  await runner.start();
  const singles = new SingleRequests({
    issuance, ledger: store.issuance, concurrency: 2, everyMs: 1000, logger, onFatal: (error) => { throw error; },
  });
  singles.start();
  return { close: async () => void await Promise.all([runner.close(), singles.close()]) };
}

async function submitLeaf(serial: string): Promise<{ batchId: string; chunkId: bigint }> {
  const leaf = certify({ subject: named('x') });
  const csr = await buildRequest({ subject: named(serial), spkiDer: leaf.spkiDer, algorithm: 'ecdsa-sha256' }, (info) => leaf.sign(info));
  const profile = profiles.get('ecu-client') as Profile;
  const version = await store.profiles.ensure(profile.name, profileDocument(profile));
  const submitted = await store.batches.submitOne(
    { principalId, idempotencyKey: undefined, caId: authorities.issuing.id, profileVersionId: version.id, priority: 1, purpose: 'line' },
    { ordinal: 0, ecuSerial: ecuSerial(serial), partNumber: partNumber('PN-1'), csr }, new Uint8Array(32), (batchId) => event('batch.accepted', `batch:${batchId}`));
  if (submitted.kind !== 'new') throw new Error('not new');
  return submitted;
}

async function issueLeaf(serial: string): Promise<Uint8Array> {
  const { batchId, chunkId } = await submitLeaf(serial);
  await store.batches.chunkDone(chunkId, 20_000);
  for await (const result of store.batches.results(batchId, 0, new AbortController().signal)) {
    if (result.outcome === 'issued') return result.certificate;
    throw new Error(`${result.code}: ${result.detail}`);
  }
  throw new Error('no result');
}

const pem = (name: string): string => join(folder, name);
const asPem = (der: Uint8Array): string => encodePem('CERTIFICATE', der);

async function put(name: string, certificate: Uint8Array): Promise<string> {
  await writeFile(pem(name), asPem(certificate));
  return pem(name);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fleetroot-status-'));
  [postgres, token] = await Promise.all([startTestPostgres(), makeToken('fleetroot-ocsp')]);
  process.env['SOFTHSM2_CONF'] = token.softhsmConf;
  url = `http://127.0.0.1:${await freePort()}`;
  internalUrl = `http://127.0.0.1:${await freePort()}`;
  queue = { kind: 'postgres', databaseUrl: postgres.databaseUrl };
  profiles = readProfileFolder('hsm-config/profiles', { statusUrl: url });
  store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey, pool: 8 });
  root = certify({ subject: named('Test Root') });
  issuing = certify({ subject: named('Test Issuing'), issuer: root });
  const add = (ca: SoftwareCa, name: string, parentId: number | undefined): Promise<CertificationAuthority> => store.authorities.add(
    { name: name as CaName, parentId, state: 'active', certificate: ca.certificate, keyId: ca.keyId, signatureAlgorithm: undefined, labels: {}, notBefore, notAfter }, event('ca.imported', `ca:${name}`));
  const rootAuthority = await add(root, 'root', undefined);
  authorities = { root: rootAuthority, issuing: await add(issuing, 'ecu-issuing', rootAuthority.id) };
  principalId = (await store.principals.put('worker', ['system'], randomBytes(32), undefined, event('principal.created', 'principal:worker'))).id;
  await store.truststores.publish('ecu', 'ECUs', [authorities.root.id, authorities.issuing.id], asPem(root.certificate) + asPem(issuing.certificate),
    (version) => event('truststore.published', `truststore:ecu/${version}`));
  await put('root.pem', root.certificate);
  await put('issuing.pem', issuing.certificate);
  await writeFile(pem('chain.pem'), asPem(root.certificate) + asPem(issuing.certificate));
  status = await startTestStatus();
});

afterAll(async () => {
  await worker?.close();
  await issuer?.close();
  await status?.close();
  await store?.close();
  await postgres?.stop();
  await token?.remove();
  await rm(folder, { recursive: true, force: true });
});

describe('before anything is published', () => {
  it('is alive, and says what is not ready', async () => {
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    const answer = await fetch(`${url}/readyz`);
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ ready: false, checks: {
      database: { ready: true }, ocspSigner: { ready: false, reason: expect.stringContaining('root, ecu-issuing') },
      crl: { ready: false, reason: 'no current CRL of root, ecu-issuing' },
    } });
  });
  it('answers tryLater, which no cache keeps', async () => {
    const answer = await post(ocspRequest([{ issuer: issuing.certificate, serial: Uint8Array.of(1) }]));
    expect(await octets(answer)).toEqual(Uint8Array.of(0x30, 3, 0x0a, 1, 3));
    expect(answer.headers.get('cache-control')).toBe('no-store');
  });
  it('has no CRL and no bundle', async () => {
    expect((await fetch(`${url}/crl/ecu-issuing.crl`)).status).toBe(404);
    expect((await fetch(`${url}/truststores/ecu.crl.pem`)).status).toBe(503);
  });
  it('asks for the certificate of its key, once for each CA, proven by HMAC', async () => {
    const requests = await (await fetch(`${internalUrl}/ocsp-signer-requests`)).json() as { ca: string; csr: string; hmac: string }[];
    expect(requests.map(({ ca }) => ca)).toEqual(['root', 'ecu-issuing']);
    expect(openssl(['req', '-inform', 'DER', '-verify', '-noout', '-text'], Buffer.from(requests[0]?.csr ?? '', 'base64'))).toContain('prime256v1');
  });
  it('hands the request for its key out by itself, for a ceremony', async () => {
    const answer = await fetch(`${internalUrl}/ocsp-signer-request.pem`);
    expect(answer.headers.get('content-type')).toContain('application/x-pem-file');
    expect(openssl(['req', '-verify', '-noout', '-text'], await answer.text())).toContain('prime256v1');
  });
  test.each(['ocsp-signer-requests', 'ocsp-signer-request.pem'])('does not hand %s out to the public', async (path) => {
    expect((await fetch(`${url}/${path}`)).status).toBe(404);
  });
});

describe('with a worker and an issuer', () => {
  let good: Uint8Array;
  let bad: Uint8Array;

  it('becomes ready by itself, and issues and revokes', async () => {
    worker = await startTestWorker();
    issuer = await startTestIssuer();
    await expect.poll(async () => (await fetch(`${url}/readyz`)).status, { timeout: 30_000 }).toBe(200);
    good = await issueLeaf('ECU-GOOD');
    bad = await issueLeaf('ECU-BAD');
    await put('good.pem', good);
    await put('bad.pem', bad);
    await store.revocations.revoke({
      serial: serialFromBytes(parseCertificate(bad).serial), ca: 'ecu-issuing' as CaName, reason: 'keyCompromise', revokedAt: new Date(), principalId,
    }, event('certificate.revoked', 'certificate:x'));
  });

  it('has one OCSP signer certificate of each CA, though it was asked for again and again', async () => {
    const { rows } = await withPg((client) => client.query(`SELECT ca_id, count(*)::int FROM certificate c JOIN profile_version p ON p.id = c.profile_version_id WHERE p.name = 'ocsp-signer' GROUP BY ca_id ORDER BY ca_id`));
    expect(rows).toEqual([{ ca_id: authorities.root.id, count: 1 }, { ca_id: authorities.issuing.id, count: 1 }]);
    expect(await (await fetch(`${internalUrl}/ocsp-signer-requests`)).json()).toEqual([]);
  });

  test.each([['good', 'good'], ['bad', 'revoked']])('openssl ocsp hears that %s.pem is %s, by POST', async (name, expected) => {
    const said = await opensslOcsp(['-issuer', pem('issuing.pem'), '-cert', pem(`${name}.pem`), '-url', `${url}/ocsp`, '-CAfile', pem('chain.pem')]);
    expect(said).toContain(`${pem(`${name}.pem`)}: ${expected}`);
    if (expected === 'revoked') expect(said).toContain('Reason: keyCompromise');
  });
  it('openssl ocsp hears of the issuing CA from the root\'s own signer', async () => {
    expect(await opensslOcsp(['-issuer', pem('root.pem'), '-cert', pem('issuing.pem'), '-url', `${url}/ocsp`, '-CAfile', pem('root.pem')])).toContain(`${pem('issuing.pem')}: good`);
  });

  it('answers GET as POST, whatever the base64 holds and however it is escaped (I18)', async () => {
    const texts = new Set<string>();
    for (let n = 0; texts.size < 40; n++) {
      const request = ocspRequest([{ issuer: issuing.certificate, serial: n === 0 ? parseCertificate(bad).serial : Buffer.concat([Buffer.of(0x40), randomBytes(14 + (n % 4))]) }]);
      const base64 = Buffer.from(request).toString('base64');
      if (n > 0 && !base64.includes('/') && !base64.includes('+')) continue;
      texts.add(base64);
      const wanted = withoutTimes(await octets(await post(request)));
      for (const path of [encodeURIComponent(base64), base64, base64.replaceAll('/', '%2F'), base64.replaceAll('+', '%2B').replace(/=+$/, '')]) {
        const answer = await fetch(`${url}/ocsp/${path}`);
        expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/ocsp-response']);
        expect(withoutTimes(await octets(answer))).toBe(wanted);
      }
    }
  });

  it('tells caches how long a GET without a nonce holds, and never to keep one with a nonce', async () => {
    const question = [{ issuer: issuing.certificate, serial: parseCertificate(good).serial }];
    const plain = await fetch(`${url}/ocsp/${encodeURIComponent(Buffer.from(ocspRequest(question)).toString('base64'))}`);
    // As long as a CRL, though the answer holds for an hour: a cache does not hear of a revocation.
    expect(plain.headers.get('cache-control')).toBe('public, max-age=300, must-revalidate, no-transform');
    const left = Date.parse(plain.headers.get('expires') ?? '') - Date.parse(plain.headers.get('date') ?? '');
    expect([left > 295_000, left <= 301_000]).toEqual([true, true]);
    const nonced = await fetch(`${url}/ocsp/${encodeURIComponent(Buffer.from(ocspRequest(question, randomBytes(16))).toString('base64'))}`);
    expect(nonced.headers.get('cache-control')).toBe('no-store');
  });

  test.each<[string, () => Promise<Response>, number]>([
    ['64 KiB and an octet', () => post(new Uint8Array(65_537)), 413],
    ['another media type', () => post(new Uint8Array(1), 'application/octet-stream'), 415],
    ['JSON', () => post(Buffer.from('{}'), 'application/json'), 415],
    ['a wrong method', () => fetch(`${url}/ocsp`, { method: 'PUT', body: 'x', headers: { 'content-type': 'application/ocsp-request' } }), 405],
    ['an object of no known form', () => fetch(`${url}/ca/ecu-issuing.der`), 404],
    ['a path that climbs', () => fetch(`${url}/ca/..%2f..%2fetc%2fpasswd.cer`), 404],
    ['a CA that is not', () => fetch(`${url}/ca/nobody.cer`), 404],
    ['a truststore that is not', () => fetch(`${url}/truststores/nobody.pem`), 404],
  ])('refuses %s', async (_name, ask, expected) => {
    const answer = await ask();
    expect(answer.status).toBe(expected);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
  });
  test.each([['nothing', new Uint8Array(0)], ['noise', new Uint8Array(randomBytes(300))]])('answers malformedRequest to %s', async (_name, body) => {
    expect(await octets(await post(body))).toEqual(Uint8Array.of(0x30, 3, 0x0a, 1, 1));
    const path = encodeURIComponent(Buffer.from(body).toString('base64'));
    expect(await octets(await fetch(`${url}/ocsp/${path}`))).toEqual(Uint8Array.of(0x30, 3, 0x0a, 1, 1));
  });

  it('serves CA certificates', async () => {
    const answer = await fetch(`${url}/ca/ecu-issuing.cer`);
    expect(answer.headers.get('content-type')).toBe('application/pkix-cert');
    expect(await octets(answer)).toEqual(new Uint8Array(issuing.certificate));
    expect(answer.headers.get('cache-control')).toContain('max-age=3600');
    const again = await fetch(`${url}/ca/ecu-issuing.cer`, { headers: { 'if-none-match': answer.headers.get('etag') ?? '' } });
    expect([again.status, await again.text()]).toEqual([304, '']);
  });
  it('serves a CRL on which openssl finds the revoked certificate, and says when it is unchanged', async () => {
    const serial = Buffer.from(parseCertificate(bad).serial).toString('hex');
    await expect.poll(async () => {
      const crl = await octets(await fetch(`${url}/crl/ecu-issuing.crl`));
      return openssl(['crl', '-inform', 'DER', '-noout', '-text', '-CAfile', pem('chain.pem')], crl).toLowerCase().includes(serial);
    }, { timeout: 20_000 }).toBe(true);
    const answer = await fetch(`${url}/crl/ecu-issuing.crl`);
    expect(answer.headers.get('content-type')).toBe('application/pkix-crl');
    expect(answer.headers.get('cache-control')).toContain('max-age=300');
    const { thisUpdate } = parseCrl(await octets(answer));
    expect(Date.parse(answer.headers.get('last-modified') ?? '')).toBe(thisUpdate.getTime());
    const again = await fetch(`${url}/crl/ecu-issuing.crl`, { headers: { 'if-none-match': answer.headers.get('etag') ?? '' } });
    expect([again.status, await again.text()]).toEqual([304, '']);
  });
  it('serves a truststore and its CRLs by which openssl tells good from revoked', async () => {
    for (const [file, name] of [['ecu.pem', 'store.pem'], ['ecu.crl.pem', 'crls.pem']] as const) {
      const answer = await fetch(`${url}/truststores/${file}`);
      expect(answer.headers.get('content-type')).toBe('application/x-pem-file');
      expect((await fetch(`${url}/truststores/${file}`, { headers: { 'if-none-match': answer.headers.get('etag') ?? '' } })).status).toBe(304);
      await writeFile(pem(name), await answer.text());
    }
    const verify = (name: string): string => {
      try {
        return execFileSync('openssl', ['verify', '-crl_check_all', '-CAfile', pem('store.pem'), '-CRLfile', pem('crls.pem'), pem(name)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
      } catch (error) {
        return (error as { stderr: string }).stderr;
      }
    };
    expect(verify('good.pem')).toContain('OK');
    expect(verify('bad.pem')).toContain('certificate revoked');
  });

  it('counts what it answered', async () => {
    expect((await fetch(`${url}/metrics`)).status, 'the public listener').toBe(404);
    const counts = (await (await fetch(`${internalUrl}/metrics`)).text()).split('\n').filter((line) => line.startsWith('fleetroot_ocsp_responses_total{method="GET"'));
    expect(counts).toEqual([expect.stringMatching(/outcome="answer",role="status"\} \d{3}$/), expect.stringMatching(/outcome="error",role="status"\} 2$/)]);
  });

  it('keeps its key and certificates over a restart', async () => {
    await status.close();
    status = await startTestStatus();
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
  });

  it('issues a chunk whose job was lost with the queue (I20)', async () => {
    await issuer?.close();
    const { chunkId } = await submitLeaf('ECU-LOST');
    await expect.poll(async () => (await store.outbox.pending(10)).length, { timeout: 10_000 }).toBe(0);
    await withPg((client) => client.query('DELETE FROM bullmq.job; DELETE FROM bullmq.dedup'));
    issuer = await startTestIssuer();
    await store.batches.chunkDone(chunkId, 30_000);
  });

  it('discards a batch whose sender has been silent for more than an hour', async () => {
    const begin = async () => {
      const begun = await store.batches.begin({ principalId, idempotencyKey: randomBytes(8).toString('hex'), caId: authorities.issuing.id, profileVersionId: 1, priority: 10, purpose: 'line' });
      if (begun.kind !== 'new') throw new Error('not new');
      return begun.batchId;
    };
    const [silent, heard] = [await begin(), await begin()];
    await withPg(async (client) => {
      for (const [id, minutes] of [[silent, 61], [heard, 59]]) await client.query(`UPDATE batch SET received_at = now() - $2 * interval '1 minute' WHERE id = $1`, [id, minutes]);
    });
    await expect.poll(() => store.batches.progress(silent).then(({ state }) => state, (error: { code: string }) => error.code), { timeout: 10_000 }).toBe('batch.not-found');
    expect(await store.batches.progress(heard)).toMatchObject({ state: 'receiving' });
  });

  it('says which batch an OCSP signer certificate was asked for with', async () => {
    const { rows } = await withPg((client) => client.query<{ payload: string }>(`SELECT payload FROM audit_event WHERE payload LIKE '%system:worker%' AND payload LIKE '%batch.accepted%'`));
    const { rows: batches } = await withPg((client) => client.query<{ id: string }>(`SELECT b.id FROM batch b JOIN profile_version p ON p.id = b.profile_version_id WHERE p.name = 'ocsp-signer' AND b.state <> 'receiving'`));
    expect(rows.map(({ payload }) => (JSON.parse(payload) as { subject: string }).subject).sort()).toEqual(batches.map(({ id }) => `batch:${id}`).sort());
    expect(rows.length).toBeGreaterThan(0);
  });

  it('marks what ends within the window as due for renewal', async () => {
    await expect.poll(async () => (await store.certificates.find(serialFromBytes(parseCertificate(good).serial))).renewalDueAt, { timeout: 10_000 }).toBeInstanceOf(Date);
  });

  it('leads with one worker of two, and with the other when that one is gone', async () => {
    const other = await startTestWorker();
    const holders = async (): Promise<string[]> => (await withPg((client) => client.query<{ holder: string }>('SELECT holder FROM lease WHERE until > clock_timestamp()'))).rows.map(({ holder }) => holder);
    const [first] = await holders();
    expect(await holders()).toEqual([first]);
    await worker?.close();
    await expect.poll(holders, { timeout: 10_000 }).toEqual([expect.not.stringContaining(first ?? '-')]);
    worker = other;
    expect(await store.heartbeats.lastHeard('worker')).toBeInstanceOf(Date);
  });

  it('submits nothing for a status app that does not know the secret', async () => {
    const csr = await buildRequest({ subject: [], spkiDer: issuing.spkiDer, algorithm: 'ecdsa-sha256' }, (info) => issuing.sign(info));
    const entry = { ca: 'ecu-issuing', csr: Buffer.from(csr).toString('base64'), hmac: createHash('sha256').update('guess').digest('hex') };
    const imposter = createServer((_request, response) => void response.end(JSON.stringify([entry])));
    const port = await freePort();
    await new Promise<void>((resolve) => { imposter.listen(port, '127.0.0.1', resolve); });
    const before = lines.length;
    await worker?.close();
    worker = await startTestWorker(`http://127.0.0.1:${port}`);
    await expect.poll(() => lines.slice(before).some((line) => line.includes('without the right HMAC')), { timeout: 10_000 }).toBe(true);
    expect(lines.slice(before).some((line) => line.includes('certificate was asked for'))).toBe(false);
    imposter.close();
  });

  it('logged no secret, and had no fault that ends the process', () => {
    const log = lines.join('');
    for (const secret of [token.pin.reveal(), enrolmentSecret.reveal(), new URL(postgres.databaseUrl.reveal()).password]) expect(log).not.toContain(secret);
    expect(failures).toEqual([]);
  });
});

/** Not synchronous: the responder it asks lives in this process. */
async function opensslOcsp(args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)('openssl', ['ocsp', ...args], { timeout: 20_000 });
  return stdout + stderr;
}

function post(body: Uint8Array, type = 'application/ocsp-request'): Promise<Response> {
  return fetch(`${url}/ocsp`, { method: 'POST', body: body as Uint8Array<ArrayBuffer>, headers: { 'content-type': type } });
}

async function octets(answer: Response): Promise<Uint8Array> {
  return new Uint8Array(await answer.arrayBuffer());
}

/** What two answers to one request have in common: openssl's reading without times and signature. */
function withoutTimes(response: Uint8Array): string {
  writeFileSync(pem('response.der'), response);
  return openssl(['ocsp', '-respin', pem('response.der'), '-resp_text', '-noverify'])
    .split('\n').filter((line) => !/Produced At|This Update|Next Update|^\s+([0-9a-f]{2}:)+/i.test(line)).join('\n');
}

async function withPg<T>(work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: postgres.databaseUrl.reveal() });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
