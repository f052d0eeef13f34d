// The issuer as an app with several CAs: one without its key, one that is followed by the next generation in mid batch, and
// a wave of renewals beside the line.
import { randomBytes } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { AuditAction } from '@fleetroot/audit';
import { type CertificationAuthority, type ItemResult, profileDocument, readProfileFolder, type SigningPurpose, signingPurposes } from '@fleetroot/authority';
import { ecuSerial, equalBytes, LedgerKey, partNumber } from '@fleetroot/core';
import { readShares } from '@fleetroot/hsm';
import { JobProducer, relayOutbox } from '@fleetroot/queue';
import { openStore, type Store } from '@fleetroot/store';
import { createLogger, type Running } from '@fleetroot/telemetry';
import { parseCertificate } from '@fleetroot/x509';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startIssuer } from '../../apps/issuer/src/start.ts';
import { ecuKey } from '../support/faults.ts';
import { type HsmCa, makeHsmCa } from '../support/hsm-ca.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { makeToken, type TestToken } from '../support/softhsm.ts';

const ledgerKey = new Uint8Array(32).fill(6);
const profiles = readProfileFolder(fileURLToPath(new URL('../../hsm-config/profiles', import.meta.url)), { statusUrl: 'http://status.example' });
const event = (action: AuditAction) => ({ action, actor: 'system:test', at: new Date(), subject: 'test', data: {} } as const);

let token: TestToken;
let postgres: TestPostgres;
let store: Store;
const cas: HsmCa[] = [];
let first: CertificationAuthority;
let lost: CertificationAuthority;
let producer: JobProducer;
let issuer: Running | undefined;
let principalId: number;
let profileVersionId: number;
let logged = '';
const failures: unknown[] = [];

beforeAll(async () => {
  [token, postgres] = await Promise.all([makeToken(), startTestPostgres()]);
  store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey: new LedgerKey(ledgerKey), pool: 8 });
  const [one, other] = [await makeHsmCa(token, 'ecu-issuing'), await makeHsmCa(token, 'brand-issuing')];
  cas.push(one, other);
  first = await store.authorities.add(one.authority, event('ca.imported'));
  // Its key is not in the token: a wrong CKA_ID on record.
  lost = await store.authorities.add({ ...other.authority, keyId: randomBytes(16) }, event('ca.imported'));
  principalId = (await store.principals.put('line', ['line'], new Uint8Array(32).fill(1), undefined, event('principal.created'))).id;
  const profile = profiles.get('ecu-client');
  if (profile === undefined) throw new Error('no profile');
  profileVersionId = (await store.profiles.ensure(profile.name, profileDocument(profile))).id;
  const queue = { kind: 'postgres', databaseUrl: postgres.databaseUrl } as const;
  producer = new JobProducer(queue);
  const destination = new PassThrough();
  destination.on('data', (lines: Buffer) => { logged += lines.toString(); });
  issuer = await startIssuer({
    logger: createLogger({ role: 'issuer', level: 'info', destination }), databaseUrl: postgres.databaseUrl, pool: 6, ledgerKey, queue,
    token: { module: token.module, tokenLabel: token.tokenLabel, pin: token.pin, softhsmConf: token.softhsmConf, deadlineMs: 3000, sessionCopies: 'try', patienceMs: 5000, probeMs: 1000 },
    shares: readShares('line=60,renewal=15,ocsp=10,crl=10,administration=5', signingPurposes),
    concurrency: 2, staleAfterMs: 30_000, crlLifetimeMs: 3_600_000, crlDeltaLifetimeMs: 600_000, crlRefreshPercent: 50, statusUrl: 'http://127.0.0.1:8081',
  }, { fail: (error) => { failures.push(error); } });
});

afterAll(async () => {
  await issuer?.close();
  await producer?.close();
  await store?.close();
  for (const ca of cas) await ca.close();
  await postgres?.stop();
  await token?.remove();
});

let ecus = 0;
async function item(ordinal: number) {
  const serial = `ECU-${++ecus}`;
  return { ordinal, ecuSerial: ecuSerial(serial), partNumber: partNumber('P-1'), csr: new Uint8Array(Buffer.from(await ecuKey().request(serial), 'base64')) };
}

async function submitOne(caId: number, purpose: SigningPurpose = 'line'): Promise<{ batchId: string; chunkId: bigint }> {
  const submitted = await store.batches.submitOne(
    { principalId, idempotencyKey: undefined, caId, profileVersionId, priority: 1, purpose }, await item(0), new Uint8Array(32), () => event('batch.accepted'));
  if (submitted.kind !== 'new') throw new Error('not new');
  return submitted;
}

async function submitBatch(chunks: number, items: number): Promise<string> {
  const begun = await store.batches.begin({ principalId, idempotencyKey: undefined, caId: first.id, profileVersionId, priority: 10, purpose: 'line' });
  if (begun.kind !== 'new') throw new Error('not new');
  for (let chunk = 0; chunk < chunks; chunk++) {
    await store.batches.append(begun.batchId, await Promise.all(Array.from({ length: items }, (_, i) => item(chunk * items + i))), []);
  }
  await store.batches.accept(begun.batchId, new Uint8Array(32), event('batch.accepted'));
  return begun.batchId;
}

async function results(batchId: string): Promise<ItemResult[]> {
  const all: ItemResult[] = [];
  for await (const result of store.batches.results(batchId, 0, AbortSignal.timeout(30_000))) all.push(result);
  return all;
}

it('one CA without its key stops no other: the issuer says so, and how its HSM fares', async () => {
  const [waits, issued] = [await submitOne(lost.id), await submitOne(first.id)];
  await store.batches.chunkDone(issued.chunkId, 15_000);
  expect(await results(issued.batchId)).toMatchObject([{ outcome: 'issued' }]);
  await expect.poll(() => logged, { timeout: 10_000 }).toMatch(/"code":"ca\.key-unusable".*"msg":"a single request is tried again"/);
  expect(logged).toMatch(/"level":"error".*the key of the CA brand-issuing cannot be used.*"msg":"a CA cannot sign"/);
  expect(await store.batches.progress(waits.batchId)).toMatchObject({ pending: 1, failed: 0 });
  await expect.poll(async () => (await store.heartbeats.figures('issuer'))[0]?.figures, { timeout: 15_000 })
    .toMatchObject({ unusableKeys: 1, 'queued.line': 0, 'signed.line': 1 });
  expect(failures).toEqual([]);
});

it('a switch to the next generation in mid batch loses nothing: both CAs have issued, and no item failed', async () => {
  const next = await makeHsmCa(token, 'ecu-issuing-g2');
  cas.push(next);
  const second = await store.authorities.add({ ...next.authority, state: 'prepared' }, event('ca.imported'));
  await store.authorities.succeed(first.id, { successorId: second.id, switchAt: new Date() }, event('ca.imported'));
  const batchId = await submitBatch(60, 20);
  await relayOutbox(store.outbox, producer);
  await expect.poll(async () => (await store.batches.progress(batchId)).issued, { interval: 5, timeout: 15_000 }).toBeGreaterThan(200);
  expect(await store.authorities.switchOver(first.id, new Date(), event('ca.imported'))).toBe(true);
  const all = await results(batchId);
  expect(all.map((one) => (one.outcome === 'issued' ? 'issued' : one.detail))).toEqual(Array.from({ length: 1200 }, () => 'issued'));
  // Each on record under the CA that signed it, which is the one whose CRL would name it.
  const client = new Client({ connectionString: postgres.databaseUrl.reveal() });
  await client.connect();
  const { rows } = await client.query<{ ca_id: number; der: Buffer }>(
    'SELECT c.ca_id, c.der FROM certificate c JOIN chunk ON chunk.id = c.chunk_id WHERE chunk.batch_id = $1', [batchId]);
  await client.end();
  const names = new Map([[first.id, parseCertificate(first.certificate).subjectDer], [second.id, parseCertificate(second.certificate).subjectDer]]);
  expect(rows.filter(({ ca_id, der }) => !equalBytes(parseCertificate(der).issuerDer, names.get(ca_id) ?? new Uint8Array(0)))).toEqual([]);
  expect(new Set(rows.map(({ ca_id }) => ca_id))).toEqual(new Set([first.id, second.id]));
  expect(failures).toEqual([]);
});

it('a wave of renewals does not keep the line out of the issuer', async () => {
  const renewals = [];
  for (let i = 0; i < 400; i++) renewals.push(await submitOne(first.id, 'renewal'));
  const line = await submitBatch(4, 50);
  await relayOutbox(store.outbox, producer);
  expect(await results(line)).toHaveLength(200);
  const pending = (await Promise.all(renewals.map(({ batchId }) => store.batches.progress(batchId)))).filter((batch) => batch.pending > 0).length;
  // One queue for all would have served every renewal first: they are of single requests, which come before batches.
  expect(pending).toBeGreaterThan(100);
  await Promise.all(renewals.map(({ chunkId }) => store.batches.chunkDone(chunkId, 30_000)));
});
