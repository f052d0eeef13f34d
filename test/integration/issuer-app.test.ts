import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { type CertificationAuthority, profileDocument, readProfileFolder } from '@fleetroot/authority';
import { ecuSerial, LedgerKey, partNumber, type Serial, toHex } from '@fleetroot/core';
import { FilterFile } from '@fleetroot/filter';
import { type JobProducer, JobProducer as Producer, relayOutbox } from '@fleetroot/queue';
import { openStore, type Store } from '@fleetroot/store';
import { createLogger, type Running } from '@fleetroot/telemetry';
import { parseCertificate, parseCrl, readRequest } from '@fleetroot/x509';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { startIssuer } from '../../apps/issuer/src/start.ts';
import { type HsmCa, makeHsmCa } from '../support/hsm-ca.ts';
import { clientModule, HsmServer } from '../support/hsm-server.ts';
import { openssl } from '../support/openssl.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { makeToken, type TestToken } from '../support/softhsm.ts';

const ledgerKey = new Uint8Array(32).fill(5);
const profiles = readProfileFolder(fileURLToPath(new URL('../../hsm-config/profiles', import.meta.url)), { statusUrl: 'http://status.example' });
const logged: string[] = [];
const failures: unknown[] = [];
const event = { action: 'batch.accepted', actor: 'system:test', at: new Date(), subject: 'test', data: {} } as const;

let token: TestToken;
let postgres: TestPostgres;
let store: Store;
let hsm: HsmServer;
let ca: HsmCa;
let authority: CertificationAuthority;
let producer: JobProducer;
let issuers: Running[] = [];
let serials = 0;

const start = (patienceMs = 2000): Promise<Running> => {
  const destination = new PassThrough();
  destination.on('data', (line: Buffer) => logged.push(line.toString()));
  return startIssuer({
    logger: createLogger({ role: 'issuer', level: 'debug', destination }),
    databaseUrl: postgres.databaseUrl, pool: 4, ledgerKey, queue: { kind: 'postgres', databaseUrl: postgres.databaseUrl },
    token: { module: clientModule, tokenLabel: token.tokenLabel, pin: token.pin, softhsmConf: token.softhsmConf, deadlineMs: 1500, sessionCopies: 'try', patienceMs, probeMs: 1000 },
    shares: { line: 60, renewal: 15, ocsp: 10, crl: 10, administration: 5 },
    concurrency: 2, staleAfterMs: 30_000, crlLifetimeMs: 3_600_000, crlDeltaLifetimeMs: 600_000, crlRefreshPercent: 50, statusUrl: 'http://127.0.0.1:8081',
  }, { fail: (error) => { failures.push(error); } });
};

beforeAll(async () => {
  [token, postgres] = await Promise.all([makeToken(), startTestPostgres()]);
  store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey: new LedgerKey(ledgerKey), pool: 4 });
  ca = await makeHsmCa(token);
  await store.principals.put('line', ['line'], new Uint8Array(32).fill(1), undefined, event);
  producer = new Producer({ kind: 'postgres', databaseUrl: postgres.databaseUrl });
  hsm = new HsmServer(token);
  await hsm.start();
  vi.stubEnv('P11_KIT_SERVER_ADDRESS', hsm.address);
  // Before the CA is on record: it comes into the ledger while the issuers run.
  issuers = await Promise.all([start(), start()]);
  authority = await store.authorities.add(ca.authority, event);
});

afterAll(async () => {
  await Promise.all(issuers.map((issuer) => issuer.close()));
  await hsm?.kill();
  vi.unstubAllEnvs();
  await producer?.close();
  await store?.close();
  await ca?.close();
  await postgres?.stop();
  await token?.remove();
});

const csr = (): Uint8Array => readRequest(openssl([
  'req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', '/dev/null', '-subj', '/CN=x',
])).der;

async function submitOne(request = csr()): Promise<{ batchId: string; chunkId: bigint }> {
  const profile = profiles.get('ecu-client');
  if (profile === undefined) throw new Error('no profile');
  const version = await store.profiles.ensure(profile.name, profileDocument(profile));
  const submitted = await store.batches.submitOne(
    { principalId: 1, idempotencyKey: undefined, caId: authority.id, profileVersionId: version.id, priority: 1, purpose: 'line' },
    { ordinal: 0, ecuSerial: ecuSerial(`ECU-${++serials}`), partNumber: partNumber('P-1'), csr: request }, new Uint8Array(32), () => event,
  );
  if (submitted.kind !== 'new') throw new Error('known');
  await relayOutbox(store.outbox, producer);
  return submitted;
}

async function burned(): Promise<number> {
  let count = 0;
  for await (const { reason } of store.crls.entries(authority.id)) count += reason === 0 ? 1 : 0;
  return count;
}

async function certificateOf({ batchId }: { batchId: string }): Promise<Uint8Array> {
  for await (const item of store.batches.results(batchId, 0, AbortSignal.timeout(10_000))) {
    if (item.outcome === 'issued') return item.certificate;
    throw new Error(item.detail);
  }
  throw new Error('no result');
}

it('issues what comes through the queue, also for a CA that came while it ran', async () => {
  const submitted = await Promise.all(Array.from({ length: 6 }, () => submitOne()));
  await Promise.all(submitted.map(({ chunkId }) => store.batches.chunkDone(chunkId, 15_000)));
  const issued = await Promise.all(submitted.map(certificateOf));
  expect(new Set(issued.map((der) => toHex(parseCertificate(der).serial))).size).toBe(6);
});

it('does one chunk once, however often its job is delivered (I21)', async () => {
  const submitted = await submitOne();
  await producer.addMany(Array.from({ length: 10 }, () => ({ name: 'issue-chunk' as const, payload: { chunkId: String(submitted.chunkId) } })));
  await store.batches.chunkDone(submitted.chunkId, 15_000);
  const first = toHex(await certificateOf(submitted));
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(toHex(await certificateOf(submitted))).toBe(first);
});

it('publishes a CRL when its job comes', async () => {
  const submitted = await submitOne();
  await store.batches.chunkDone(submitted.chunkId, 15_000);
  const serial = toHex(parseCertificate(await certificateOf(submitted)).serial) as Serial;
  await store.revocations.revoke({ serial, ca: authority.name, reason: 'keyCompromise', revokedAt: new Date(), principalId: 1 }, event);
  await relayOutbox(store.outbox, producer);
  await expect.poll(async () => {
    const crl = await store.crls.latest(authority.id);
    return crl === undefined ? false : parseCrl(crl.der).entries.has(serial);
  }, { timeout: 15_000 }).toBe(true);
});

it('publishes a revocation filter when its job comes, signed by the HSM', async () => {
  await store.filters.ask(authority.id);
  await relayOutbox(store.outbox, producer);
  await expect.poll(async () => {
    const filter = await store.filters.newestFull(authority.id);
    return filter === undefined ? undefined : new FilterFile(filter.content, parseCertificate(authority.certificate).spkiDer).header.revoked;
  }, { timeout: 15_000 }).toBe(1);
});

it('is heard of in the ledger while its HSM works', async () => {
  await expect.poll(async () => {
    const at = await store.heartbeats.lastHeard('issuer');
    return at !== undefined && Date.now() - at.getTime() < 10_000;
  }, { timeout: 15_000 }).toBe(true);
});

it.each<[string, () => Promise<void> | void, () => Promise<void> | void]>([
  ['dies', () => hsm.kill(), () => hsm.start()],
  ['hangs', () => { hsm.hang(); }, () => { hsm.resume(); }],
])('waits while its HSM %s, burns little, and goes on when it is back (I23)', async (_what, lose, find) => {
  const before = await burned();
  await lose();
  let submitted: { batchId: string; chunkId: bigint };
  try {
    submitted = await submitOne();
    await expect(store.batches.chunkDone(submitted.chunkId, 4000)).rejects.toMatchObject({ code: 'issuance.timeout' });
    expect(await store.batches.progress(submitted.batchId)).toMatchObject({ pending: 1, failed: 0 });
  } finally {
    await find();
  }
  await store.batches.chunkDone(submitted.chunkId, 40_000);
  expect(parseCertificate(await certificateOf(submitted)).isCa).toBe(false);
  // One attempt of each issuer may have met the loss; the retries found out before they recorded an intent.
  expect(await burned() - before).toBeLessThanOrEqual(2);
});

it.each<[string, () => Promise<void> | void, () => Promise<void> | void]>([
  ['is away', () => hsm.kill(), () => hsm.start()],
  ['hangs', () => { hsm.hang(); }, () => { hsm.resume(); }],
])('ends in time while its HSM %s, with a chunk in hand', async (_what, lose, find) => {
  await Promise.all(issuers.splice(0).map((issuer) => issuer.close()));
  const patient = await start(30_000);
  await lose();
  let took: number;
  const submitted = await submitOne();
  try {
    await new Promise((resolve) => setTimeout(resolve, 2500));
    const began = performance.now();
    await patient.close();
    took = performance.now() - began;
  } finally {
    await find();
  }
  // A process gets ten seconds.
  expect(took).toBeLessThan(6000);
  issuers = await Promise.all([start(), start()]);
  await store.batches.chunkDone(submitted.chunkId, 40_000);
});

it('logs no secret and no request, and met no fault that would end it', () => {
  const text = logged.join('');
  expect(text).toContain('chunk issued');
  for (const secret of [token.pin.reveal(), postgres.databaseUrl.reveal(), Buffer.from(ledgerKey).toString('hex'), 'CERTIFICATE REQUEST']) {
    expect(text).not.toContain(secret);
  }
  expect(failures).toEqual([]);
});
