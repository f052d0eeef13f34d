import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import type { AuditAction } from '@fleetroot/audit';
import { type CaState, type CertificationAuthority, Issuance, type Profile, profileDocument, publishCrl, readProfileFolder, revocationReasons } from '@fleetroot/authority';
import { caName, ecuSerial, LedgerKey, partNumber, Secret, systemClock, systemRandom } from '@fleetroot/core';
import { JobRunner, type QueueOptions } from '@fleetroot/queue';
import { openStore, type Store } from '@fleetroot/store';
import { createLogger, type Running } from '@fleetroot/telemetry';
import { truststorePem, type TruststoreVersion } from '@fleetroot/trust';
import {
  assembleCertificate, assembleCrl, buildCrlTbs, buildRequest, CertificateTemplate, decodePem, describeName, encodePem, type Extension, extension, parseCertificate,
  parseCrl, parseRequest,
} from '@fleetroot/x509';
import { SingleRequests } from '../../apps/issuer/src/single-requests.ts';
import { startStatus } from '../../apps/status/src/start.ts';
import { startWorker } from '../../apps/worker/src/start.ts';
import type { Task } from '../../apps/worker/src/task.ts';
import { retireTask } from '../../apps/worker/src/tasks/retire.ts';
import { switchOverTask } from '../../apps/worker/src/tasks/switch-over.ts';
import { truststoresTask } from '../../apps/worker/src/tasks/truststores.ts';
import { type HsmHierarchy, makeHierarchy, years } from '../support/hsm-hierarchy.ts';
import { event } from '../support/ledger.ts';
import { freePort } from '../support/ports.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { makeToken, type TestToken } from '../support/softhsm.ts';
import { certify, named, type SoftwareCa } from '../support/software-ca.ts';

const lines: string[] = [];
const logger = createLogger({ role: 'test', level: 'debug', destination: { write: (line: string) => void lines.push(line) } });
const failures: unknown[] = [];
const ledgerKey = new LedgerKey(randomBytes(32));
const enrolmentSecret = new Secret(randomBytes(32).toString('hex'));
const never = new AbortController().signal;
const seconds = (n: number): Date => new Date(Date.now() + n * 1000);

let postgres: TestPostgres;
let store: Store;
let tokens: { ca: TestToken; ocsp: TestToken };
let hsm: HsmHierarchy;
let offline: SoftwareCa;
let folder: string;
let url: string;
let internalUrl: string;
let queue: QueueOptions;
let profiles: Map<string, Profile>;
const running: { close(): Promise<unknown> }[] = [];
let principalId: number;
/** Shortened where a test waits for the end of a CRL's life. */
let crlLifetimeMs = 120_000;

const pem = (name: string): string => join(folder, `${name}.pem`);
const put = (name: string, ...certificates: Uint8Array[]): Promise<void> => writeFile(pem(name), certificates.map((der) => encodePem('CERTIFICATE', der)).join(''));
const ca = async (name: string): Promise<CertificationAuthority> => store.authorities.byName(caName(name));
const state = async (name: string): Promise<CaState> => (await ca(name)).state;

async function add(name: string, parent: string | undefined, initial: CaState = 'active', more: Partial<CertificationAuthority> = {}): Promise<CertificationAuthority> {
  const certificate = more.certificate ?? await hsm.certify(name, parent, years(parent === undefined ? 30 : 10));
  await put(name, certificate);
  const { notBefore, notAfter } = parseCertificate(certificate);
  return store.authorities.add({
    name: caName(name), parentId: parent === undefined ? undefined : (await ca(parent)).id, state: initial, certificate,
    keyId: more.certificate === undefined ? hsm.key(name).keyId : undefined, signatureAlgorithm: undefined, labels: {}, notBefore, notAfter,
  }, event('ca.imported', `ca:${name}`));
}

async function publishTruststore(name: string, members: readonly string[]): Promise<void> {
  const cas = await Promise.all(members.map(ca));
  await store.truststores.publish(name, 'a test', cas.map(({ id }) => id), truststorePem(cas), (version) => event('truststore.published', `truststore:${name}/${version}`));
}

async function issueLeaf(serial: string, of: string, profile = profiles.get('ecu-client') as Profile): Promise<Uint8Array> {
  const key = certify({ subject: named('x') });
  const csr = await buildRequest({ subject: named(serial), spkiDer: key.spkiDer, algorithm: 'ecdsa-sha256' }, (info) => key.sign(info));
  const version = await store.profiles.ensure(profile.name, profileDocument(profile));
  const submitted = await store.batches.submitOne(
    { principalId, idempotencyKey: undefined, caId: (await ca(of)).id, profileVersionId: version.id, priority: 1, purpose: 'line' },
    { ordinal: 0, ecuSerial: ecuSerial(serial), partNumber: partNumber('PN-1'), csr }, new Uint8Array(32), (batchId) => event('batch.accepted', `batch:${batchId}`));
  if (submitted.kind !== 'new') throw new Error('not new');
  await store.batches.chunkDone(submitted.chunkId, 20_000);
  for await (const result of store.batches.results(submitted.batchId, 0, never)) {
    if (result.outcome === 'failed') throw new Error(`${result.code}: ${result.detail}`);
    await put(serial, result.certificate);
    return result.certificate;
  }
  throw new Error('no result');
}

async function startIssuer(): Promise<Running> {
  const { signer } = hsm;
  const issuance = new Issuance({
    ledger: store.issuance, authorities: store.authorities, profiles: store.profiles, signer, ledgerKey, clock: systemClock, random: systemRandom, staleAfterMs: 3000,
  });
  const runner = new JobRunner(queue, 'issuer', {
    'issue-chunk': async ({ chunkId }) => void await issuance.issueChunk(BigInt(chunkId)),
    'renew-chunk': async ({ chunkId }) => void await issuance.issueChunk(BigInt(chunkId)),
    'publish-filter': async () => undefined,
    'publish-crl': async ({ caId }) => {
      const authority = (await store.authorities.all()).find(({ id }) => id === caId);
      if (authority !== undefined) await publishCrl({ crls: store.crls, authority, signer, clock: systemClock, lifetimeMs: crlLifetimeMs });
    },
  }, { concurrency: 2, log: logger });
  await runner.start();
  const singles = new SingleRequests({
    issuance, ledger: store.issuance, concurrency: 2, everyMs: 1000, logger, onFatal: (error) => { throw error; },
  });
  singles.start();
  return { close: async () => void await Promise.all([runner.close(), singles.close()]) };
}

async function startTestWorker(): Promise<Running> {
  return startWorker({
    logger, queue, profiles, statusInternalUrl: internalUrl, enrolmentSecret,
    store: await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey, pool: 4 }),
    staleAfterMs: 3000, crlRefreshPercent: 50, renewalWindowDays: 30, scheduleSeconds: 1,
  });
}

/** What a second and a third worker would do that take themselves for the leader too: all of it at once, again and again. */
async function crowd<T>(until: () => Promise<T>, expected: T, timeoutMs: number): Promise<void> {
  const parts = { authorities: store.authorities, crls: store.crls, truststores: store.truststores, clock: systemClock, logger, everyMs: 1 };
  const tasks: Task[] = [switchOverTask(parts), retireTask(parts), truststoresTask(parts)].flatMap((task) => [task, task, task]);
  await expect.poll(async () => {
    await Promise.all(tasks.map((task) => task.run(never)));
    return until();
  }, { timeout: timeoutMs, interval: 200 }).toEqual(expected);
}

/** Of what the events of this kind are, in order. */
async function auditOf(action: AuditAction): Promise<string[]> {
  const subjects: string[] = [];
  for await (const { payload } of store.audit.events()) {
    const one = JSON.parse(payload) as { action: string; subject: string };
    if (one.action === action) subjects.push(one.subject);
  }
  return subjects;
}

/** Not synchronous: the responder that it may ask lives in this process. */
async function run(...args: string[]): Promise<string> {
  try {
    const { stdout, stderr } = await promisify(execFile)('openssl', args, { timeout: 20_000 });
    return stdout + stderr;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return stdout + stderr;
  }
}

const ocsp = (by: string, chain: string, ...what: string[]): Promise<string> => run('ocsp', '-issuer', pem(by), ...what, '-url', `${url}/ocsp`, '-CAfile', pem(chain));
const download = async (path: string, name: string): Promise<number> => {
  const answer = await fetch(`${url}/${path}`);
  await writeFile(pem(name), await answer.text());
  return answer.status;
};
/** Who is in a truststore, as it is served. */
async function servedIn(truststore: string): Promise<string[]> {
  await download(`truststores/${truststore}.pem`, `${truststore}-store`);
  return decodePem(await readFile(pem(`${truststore}-store`), 'utf8'), 'internal').map(({ der }) => describeName(parseCertificate(der).subjectDer).replace('CN=', ''));
}
/** openssl's verdict on a certificate by a truststore and its CRLs, as they are served. */
async function verdict(leaf: string, truststore = 'ecu'): Promise<string> {
  await servedIn(truststore);
  await download(`truststores/${truststore}.crl.pem`, `${truststore}-crls`);
  return run('verify', '-crl_check_all', '-CAfile', pem(`${truststore}-store`), '-CRLfile', pem(`${truststore}-crls`), pem(leaf));
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fleetroot-hierarchy-'));
  const [started, caToken, ocspToken] = await Promise.all([startTestPostgres(), makeToken('fleetroot-ca'), makeToken('fleetroot-ocsp')]);
  postgres = started;
  tokens = { ca: caToken, ocsp: ocspToken };
  process.env['SOFTHSM2_CONF'] = ocspToken.softhsmConf;
  hsm = await makeHierarchy(caToken, ['root', 'ecu-issuing', 'ecu-issuing-g2', 'brand-b']);
  url = `http://127.0.0.1:${await freePort()}`;
  internalUrl = `http://127.0.0.1:${await freePort()}`;
  queue = { kind: 'postgres', databaseUrl: postgres.databaseUrl };
  profiles = readProfileFolder('hsm-config/profiles', { statusUrl: url });
  store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey, pool: 8 });
  principalId = (await store.principals.put('worker', ['system'], randomBytes(32), undefined, event('principal.created', 'principal:worker'))).id;
  await add('root', undefined);
  await add('ecu-issuing', 'root');
  await add('brand-b', 'root');
  offline = certify({ subject: named('offline-root') });
  await add('offline-root', undefined, 'active', { certificate: offline.certificate });
  await publishTruststore('ecu', ['root', 'ecu-issuing', 'brand-b']);
  await publishTruststore('all', ['root', 'ecu-issuing', 'offline-root']);
  running.push(await startStatus({
    logger, databaseUrl: postgres.statusDatabaseUrl, pool: 4, enrolmentSecret, ocspSignerRefreshPercent: 50,
    listen: { host: '127.0.0.1', port: Number(new URL(url).port) },
    internalListen: { host: '127.0.0.1', port: Number(new URL(internalUrl).port) },
    token: { module: ocspToken.module, tokenLabel: ocspToken.tokenLabel, pin: ocspToken.pin, deadlineMs: 3000, sessionCopies: 'try' },
  }, { fail: (error: unknown) => void failures.push(error) }));
  running.push(await startIssuer(), await startTestWorker());
});

afterAll(async () => {
  for (const one of running.toReversed()) await one.close();
  await hsm?.close();
  await store?.close();
  await postgres?.stop();
  await tokens?.ca.remove();
  await tokens?.ocsp.remove();
  await rm(folder, { recursive: true, force: true });
});

const ready = async (): Promise<number> => (await fetch(`${url}/readyz`)).status;
const asked = async (): Promise<string[]> => ((await (await fetch(`${internalUrl}/ocsp-signer-requests`)).json()) as { ca: string }[]).map((one) => one.ca);

describe('a CA whose key is not online', () => {
  it('keeps nobody from being ready, and has its CRL asked for from whoever is in charge', async () => {
    await expect.poll(ready, { timeout: 30_000 }).toBe(200);
    expect(await asked()).toEqual(['offline-root']);
    const answer = await fetch(`${url}/truststores/all.crl.pem`);
    expect([answer.status, await answer.text()]).toEqual([503, expect.stringContaining('offline-root has no current CRL: its key is not online')]);
    await expect.poll(() => lines.some((line) => line.includes('a CA has no CRL') && line.includes('offline-root')), { timeout: 5000 }).toBe(true);
    expect(await download('truststores/ecu.crl.pem', 'crls')).toBe(200);
  });

  it('has its imported CRL served like ours', async () => {
    const [thisUpdate, nextUpdate] = [seconds(-60), seconds(3600)].map((date) => new Date(Math.floor(date.getTime() / 1000) * 1000)) as [Date, Date];
    const tbs = buildCrlTbs({ signatureAlgorithm: 'ecdsa-sha256', issuerDer: offline.subjectDer, thisUpdate, nextUpdate, number: 7n, authorityKeyIdentifier: offline.keyId, entries: [] });
    const der = assembleCrl(tbs, 'ecdsa-sha256', offline.sign(tbs));
    const { id } = await ca('offline-root');
    expect(await store.crls.adopt({ caId: id, number: 7n, thisUpdate, nextUpdate, der }, 0, event('crl.imported', 'ca:offline-root'))).toBe(true);
    await expect.poll(async () => (await fetch(`${url}/crl/offline-root.crl`)).status, { timeout: 5000 }).toBe(200);
    expect(new Uint8Array(await (await fetch(`${url}/crl/offline-root.crl`)).arrayBuffer())).toEqual(new Uint8Array(der));
    expect(await download('truststores/all.crl.pem', 'crls')).toBe(200);
    expect(await run('crl', '-in', pem('crls'), '-noout', '-text')).toContain('X509v3 CRL Number');
  });

  it('is not answered for, then by a signer that a ceremony certified for the key of the status app', async () => {
    expect(await ocsp('offline-root', 'offline-root', '-serial', '0x1234')).toContain('unauthorized');
    const [request] = decodePem(await (await fetch(`${internalUrl}/ocsp-signer-request.pem`)).text(), 'request.malformed');
    const certificate = byOffline('OCSP signer', parseRequest(request?.der ?? new Uint8Array(0)).spkiDer, [
      extension.keyUsage(['digitalSignature']), extension.extendedKeyUsage(['OCSPSigning']), extension.ocspNoCheck(),
    ]);
    const { id } = await ca('offline-root');
    const { serial, notBefore, notAfter } = parseCertificate(certificate);
    await store.authorities.addCertificate({ kind: 'ocsp-signer', subjectId: undefined, issuerId: id, serial, certificate, notBefore, notAfter }, event('ca.certificate-imported', 'ca:offline-root'));
    await expect.poll(() => ocsp('offline-root', 'offline-root', '-serial', '0x1234'), { timeout: 5000 }).toContain('0x1234: unknown');
    expect(await asked()).toEqual([]);
  });

  it('has certified a key of ours: both certificates are in one message, and each is good at its own issuer', async () => {
    const certificate = byOffline('root', hsm.key('root').spkiDer, [extension.basicConstraints({ ca: true }), extension.keyUsage(['keyCertSign', 'cRLSign'])]);
    await put('cross', certificate);
    const [root, { id: issuerId }] = [await ca('root'), await ca('offline-root')];
    const { serial, notBefore, notAfter } = parseCertificate(certificate);
    await store.authorities.addCertificate({ kind: 'cross', subjectId: root.id, issuerId, serial, certificate, notBefore, notAfter }, event('ca.certificate-imported', 'ca:root'));
    const issuers = async (): Promise<unknown> => {
      const message = await fetch(`${url}/ca/root.p7c`);
      expect(message.headers.get('content-type')).toBe('application/pkcs7-mime; smime-type=certs-only');
      await writeFile(pem('root-p7c'), Buffer.from(await message.arrayBuffer()));
      const shown = await run('pkcs7', '-inform', 'DER', '-in', pem('root-p7c'), '-print_certs', '-noout');
      return [...shown.matchAll(/issuer=CN = (.*)/g)].map(([, cn]) => cn).toSorted();
    };
    // What is served follows the ledger within a second.
    await expect.poll(issuers, { timeout: 5000 }).toEqual(['offline-root', 'root']);
    expect(await ocsp('offline-root', 'offline-root', '-cert', pem('cross'))).toContain('cross.pem: good');
    expect(await ocsp('root', 'root', '-cert', pem('root'))).toContain('root.pem: good');
    expect(await ocsp('root', 'root', '-cert', pem('ecu-issuing'))).toContain('ecu-issuing.pem: good');
  });
});

/** A certificate as a ceremony elsewhere makes it: the CA's key is no business of the token. */
function byOffline(subject: string, spkiDer: Uint8Array, extensions: readonly Extension[]): Uint8Array {
  const tbs = CertificateTemplate.compileAuthority({
    signatureAlgorithm: 'ecdsa-sha256', issuerDer: offline.subjectDer, subject: [{ type: 'commonName', from: { fixed: subject } }],
    extensions: [extension.authorityKeyIdentifier(offline.keyId), { hole: 'subjectKeyIdentifier' }, ...extensions],
  }).build({ serial: Buffer.concat([Buffer.of(0x55), randomBytes(15)]), notBefore: seconds(-60), notAfter: seconds(86_400), subject: {}, spkiDer });
  return assembleCertificate(tbs, 'ecdsa-sha256', offline.sign(tbs));
}

describe('the next generation', () => {
  // Lives for 12 s: it was made 300 s ago.
  const short = (): Profile => {
    const profile = profiles.get('ecu-client') as Profile;
    return { ...profile, name: 'ecu-short', validity: { ...profile.validity, seconds: 312 } };
  };
  let old: Uint8Array;

  it('has its CRL and OCSP signer, and is in the truststores, before it issues', async () => {
    old = await issueLeaf('ECU-OLD', 'ecu-issuing', short());
    const g2 = await add('ecu-issuing-g2', 'root', 'prepared');
    await store.authorities.succeed((await ca('ecu-issuing')).id, { successorId: g2.id, switchAt: seconds(3600) }, event('ca.succession-changed', 'ca:ecu-issuing'));
    await expect.poll(() => servedIn('ecu'), { timeout: 15_000 }).toContain('ecu-issuing-g2');
    await expect.poll(() => ocsp('ecu-issuing-g2', 'ecu-store', '-serial', '0x1234'), { timeout: 15_000 }).toContain('0x1234: unknown');
    await expect.poll(async () => (await fetch(`${url}/crl/ecu-issuing-g2.crl`)).status, { timeout: 15_000 }).toBe(200);
    expect([await state('ecu-issuing'), await state('ecu-issuing-g2'), await ready()]).toEqual(['active', 'prepared', 200]);
    await issueLeaf('ECU-BEFORE', 'ecu-issuing');
    expect(await run('x509', '-in', pem('ECU-BEFORE'), '-noout', '-issuer')).toContain('ecu-issuing\n');
  });

  it('issues from its time on: one switch, whoever thinks that he leads', async () => {
    const [g1, g2] = [await ca('ecu-issuing'), await ca('ecu-issuing-g2')];
    const switchAt = seconds(3);
    await store.authorities.succeed(g1.id, { successorId: g2.id, switchAt }, event('ca.succession-changed', 'ca:ecu-issuing'));
    await crowd(async () => [await state('ecu-issuing'), await state('ecu-issuing-g2')], ['retiring', 'active'], 15_000);
    expect(Date.now()).toBeGreaterThanOrEqual(switchAt.getTime());
    expect(await auditOf('ca.switched')).toEqual(['ca:ecu-issuing']);
    await issueLeaf('ECU-NEW', 'ecu-issuing');
    expect(await run('x509', '-in', pem('ECU-NEW'), '-noout', '-issuer')).toContain('ecu-issuing-g2\n');
    expect(await ocsp('ecu-issuing-g2', 'ecu-store', '-cert', pem('ECU-NEW'))).toContain('ECU-NEW.pem: good');
    expect(await ocsp('ecu-issuing', 'ecu-store', '-cert', pem('ECU-BEFORE'))).toContain('ECU-BEFORE.pem: good');
    expect([await verdict('ECU-NEW'), await verdict('ECU-BEFORE')]).toEqual([expect.stringContaining('OK'), expect.stringContaining('OK')]);
  });

  it('is renewed with the same key: its new certificate is served, and in the truststores', async () => {
    const g2 = await ca('ecu-issuing-g2');
    const before = await fetch(`${url}/ca/ecu-issuing-g2.cer`);
    const certificate = await hsm.certify('ecu-issuing-g2', 'root', years(12));
    const { serial, notBefore, notAfter } = parseCertificate(certificate);
    await store.authorities.addCertificate({ kind: 'ca', subjectId: g2.id, issuerId: g2.parentId, serial, certificate, notBefore, notAfter }, event('ca.certificate-imported', 'ca:ecu-issuing-g2'));
    await expect.poll(async () => new Uint8Array(await (await fetch(`${url}/ca/ecu-issuing-g2.cer`, { headers: { 'if-none-match': before.headers.get('etag') ?? '' } })).arrayBuffer()), { timeout: 5000 })
      .toEqual(new Uint8Array(certificate));
    await expect.poll(async () => (await store.truststores.current('ecu')).pem, { timeout: 10_000 }).toContain(encodePem('CERTIFICATE', certificate));
    expect(await verdict('ECU-NEW')).toContain('OK');
  });

  it('is the only one left when nothing unexpired chains to the one before', async () => {
    // What else the old one has signed for ECUs is made to be as short-lived; else this would wait for years. Its OCSP signers
    // live on.
    const g1 = await ca('ecu-issuing');
    const { notAfter } = parseCertificate(old);
    await sql('UPDATE intent SET not_after = $2 WHERE ca_id = $1 AND not_after > $2 AND profile_version_id NOT IN (SELECT id FROM profile_version WHERE name = \'ocsp-signer\')', [g1.id, notAfter]);
    expect([await store.authorities.lastDependant(g1.id), await state('ecu-issuing')]).toEqual([notAfter, 'retiring']);
    crlLifetimeMs = 3000;
    await publishCrl({ crls: store.crls, authority: g1, signer: hsm.signer, clock: systemClock, lifetimeMs: crlLifetimeMs });
    await crowd(() => state('ecu-issuing'), 'retired', 40_000);
    crlLifetimeMs = 120_000;
    expect(Date.now()).toBeGreaterThan(notAfter.getTime() + 3000);
    expect((await store.crls.latest(g1.id))?.thisUpdate.getTime()).toBeGreaterThan(notAfter.getTime());
    expect(await auditOf('ca.retired')).toEqual(['ca:ecu-issuing']);
    await expect.poll(() => servedIn('ecu'), { timeout: 10_000 }).toEqual(['root', 'brand-b', 'ecu-issuing-g2']);
    expect([await verdict('ECU-NEW'), await ready()]).toEqual([expect.stringContaining('OK'), 200]);
    expect(await asked(), 'no new signer for the retired one').toEqual([]);
    expect(await ocsp('ecu-issuing', 'root', '-issuer', pem('ecu-issuing'), '-cert', pem('ECU-BEFORE'), '-verify_other', pem('ecu-issuing'))).toContain('ECU-BEFORE.pem: good');
  }, 60_000);
});

describe('a subordinate CA that is revoked', () => {
  let before: TruststoreVersion;

  it('has everything under it seen as revoked by OCSP, and itself at the root', async () => {
    await issueLeaf('ECU-B', 'brand-b');
    expect(await verdict('ECU-B')).toContain('OK');
    await writeFile(pem('gateway-store'), await readFile(pem('ecu-store')));
    await writeFile(pem('gateway-b-crl'), encodePem('X509 CRL', (await store.crls.latest((await ca('brand-b')).id))?.der ?? new Uint8Array(0)));
    before = await store.truststores.current('ecu');
    const { id } = await ca('brand-b');
    const revoked = await store.authorities.revoke({ caId: id, reason: revocationReasons.cACompromise, revokedAt: new Date('2026-11-01T10:20:30Z'), principalId }, event('ca.revoked', 'ca:brand-b'));
    expect(revoked).toEqual({ changed: true, offlineIssuers: [] });
    const said = (of: string) => expect.stringMatching(new RegExp(`${of}: revoked[^]*Reason: cACompromise[^]*Revocation Time: Nov  1 10:20:30 2026 GMT`));
    await expect.poll(() => ocsp('brand-b', 'gateway-store', '-cert', pem('ECU-B')), { timeout: 10_000 }).toEqual(said('ECU-B.pem'));
    expect(await ocsp('brand-b', 'gateway-store', '-serial', '0x4711')).toEqual(said('0x4711'));
    expect(await ocsp('root', 'root', '-cert', pem('brand-b'))).toEqual(said('brand-b.pem'));
    expect(await ocsp('ecu-issuing-g2', 'gateway-store', '-cert', pem('ECU-NEW'))).toContain('ECU-NEW.pem: good');
  });

  it('is on the CRL of the root', async () => {
    const serial = Buffer.from(parseCertificate((await ca('brand-b')).certificate).serial).toString('hex');
    const served = async () => new Uint8Array(await (await fetch(`${url}/crl/root.crl`)).arrayBuffer());
    // What is served follows the ledger within a second.
    await expect.poll(async () => parseCrl(await served()).entries.get(serial)?.reason, { timeout: 15_000 }).toBe(2);
    await writeFile(pem('root-crl'), encodePem('X509 CRL', await served()));
    const text = await run('crl', '-in', pem('root-crl'), '-noout', '-text', '-CAfile', pem('root'));
    expect(text).toContain('verify OK');
    expect(text.toLowerCase()).toContain(serial);
  });

  it('is out of the truststores, in one new version, whoever thinks that he leads', async () => {
    await crowd(() => servedIn('ecu'), ['root', 'ecu-issuing-g2'], 15_000);
    expect((await store.truststores.current('ecu')).version).toBe(before.version + 1);
    expect((await auditOf('truststore.published')).filter((subject) => subject === 'truststore:ecu')).toHaveLength(before.version);
    const sizes = await sql('SELECT count(*)::int AS n, max(version)::int AS last FROM truststore_version WHERE truststore = $1', ['ecu']);
    expect(sizes).toEqual([{ n: before.version + 1, last: before.version + 1 }]);
  });

  it('is not put back by who began with an older version, and the description stays', async () => {
    const current = await store.truststores.current('ecu');
    const stale = await store.truststores.publish('ecu', undefined, before.caIds, before.pem, (version) => event('truststore.published', `truststore:ecu/${version}`), before.version);
    expect(stale).toEqual(current);
    expect(await store.truststores.current('ecu')).toEqual(current);
    expect(await sql('SELECT description FROM truststore WHERE name = $1', ['ecu'])).toEqual([{ description: 'a test' }]);
  });

  test.each(['by the new truststore', 'by the old one, which a gateway still has'])('has its leaves refused by openssl %s', async (which) => {
    await expect.poll(() => verdict('ECU-NEW'), { timeout: 10_000 }).toContain('OK');
    if (which.includes('new')) {
      expect(await verdict('ECU-B')).toContain('unable to get local issuer certificate');
      return;
    }
    await writeFile(pem('gateway-crls'), (await readFile(pem('ecu-crls'), 'utf8')) + (await readFile(pem('gateway-b-crl'), 'utf8')));
    const said = await run('verify', '-crl_check_all', '-CAfile', pem('gateway-store'), '-CRLfile', pem('gateway-crls'), pem('ECU-B'));
    expect(said).toContain('certificate revoked');
  });

  it('gets no new OCSP signer, issues nothing, and keeps nobody from being ready', async () => {
    expect([await asked(), await ready(), await state('brand-b')]).toEqual([[], 200, 'compromised']);
    await expect(issueLeaf('ECU-B2', 'brand-b')).rejects.toThrow('ca.not-active');
  });

  it('made no process fail, and nothing was logged as a fault of ours', () => {
    expect(failures).toEqual([]);
    expect(lines.filter((line) => line.includes('a scheduled task failed'))).toEqual([]);
  });
});

async function sql(text: string, values: readonly unknown[]): Promise<unknown[]> {
  const client = new Client({ connectionString: postgres.databaseUrl.reveal() });
  await client.connect();
  try {
    return (await client.query(text, [...values])).rows;
  } finally {
    await client.end();
  }
}

