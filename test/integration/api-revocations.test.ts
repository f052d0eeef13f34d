// Revocation through REST, on the api with all that it needs: by serial, by query, with approvals, and by a proof of the key.
import { execFile } from 'node:child_process';
import { createHash, createPublicKey, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newToken, tokenSha256 } from '@fleetroot/access';
import { systemRandom } from '@fleetroot/core';
import { type ApiPlant, startApiPlant } from '../support/api-plant.ts';
import { p256Csr, p256Request } from '../support/csr.ts';
import { openssl } from '../support/openssl.ts';

const VIN = '1M8GDM9AXKP042788';

let plant: ApiPlant;
let client: Client;
beforeAll(async () => {
  plant = await startApiPlant({ revokeApprovals: '3=1,5=2' });
  await plant.startIssuer();
  await plant.ready();
  client = new Client({ connectionString: plant.databaseUrl });
  await client.connect();
});
afterAll(async () => {
  await client?.end();
  await plant?.close();
});

let count = 0;
const unique = (prefix: string): string => `${prefix}-${++count}-${randomBytes(3).toString('hex')}`;

async function issue(fields: Record<string, unknown> = {}): Promise<string> {
  const { status, body } = await plant.json('POST', '/v1/certificates', 'line', { profile: 'ecu-client', ecuSerial: unique('ECU'), partNumber: 'PN-1', csr: await p256Csr(), ...fields });
  expect(status, JSON.stringify(body)).toBe(201);
  return body.serial;
}

const post = (body: object, key = unique('key'), holder: 'security' | 'admin' = 'security') => plant.json('POST', '/v1/revocations', holder, body, { 'idempotency-key': key });
const revoke = (serial: string, reason: string, more = {}) => plant.json('POST', `/v1/certificates/${serial}/revocation`, 'security', { reason, ...more });
const stateOf = async (serial: string) => (await plant.json('GET', `/v1/certificates/${serial}`, 'security')).body;

async function admin(name: string): Promise<{ authorization: string }> {
  const token = newToken(systemRandom);
  await plant.store.principals.put(name, ['admin'], tokenSha256(token) ?? new Uint8Array(), undefined, {
    action: 'principal.created', actor: 'system:test', at: new Date(), subject: `principal:${name}`, data: {},
  });
  return { authorization: `Bearer ${token}` };
}

describe('one certificate', () => {
  it('is put on hold, released, and revoked after all', async () => {
    const serial = await issue();
    expect(await revoke(serial, 'removeFromCRL')).toMatchObject({ status: 409, body: { code: 'revocation.conflict' } });
    expect(await revoke(serial, 'certificateHold')).toMatchObject({ status: 200, body: { changed: true } });
    expect(await stateOf(serial)).toMatchObject({ status: 'revoked', revocation: { reason: 'certificateHold' } });
    expect(await revoke(serial, 'removeFromCRL')).toMatchObject({ status: 200, body: { changed: true, reason: 'removeFromCRL' } });
    expect(await revoke(serial, 'removeFromCRL')).toMatchObject({ status: 200, body: { changed: false } });
    expect(await stateOf(serial)).toMatchObject({ status: 'valid', revocation: null });
    expect(await revoke(serial, 'keyCompromise', { invalidityDate: '2026-01-02T03:04:05Z' })).toMatchObject({ body: { changed: true } });
    expect(await revoke(serial, 'removeFromCRL')).toMatchObject({ status: 409 });
    const { rows } = await client.query('SELECT invalidity_date FROM revocation WHERE serial = $1', [Buffer.from(serial, 'hex')]);
    expect(rows).toEqual([{ invalidity_date: new Date('2026-01-02T03:04:05Z') }]);
  });
});

it('the certificate of a CA is not revoked as a device\'s is: the answer says how', async () => {
  const { rows } = await client.query<{ serial: string; name: string }>(
    `SELECT encode(m.serial, 'hex') AS serial, ca.name FROM ceremony_certificate m JOIN ca ON ca.id = m.subject_id WHERE m.kind = 'ca' ORDER BY ca.name`);
  expect(rows.length).toBeGreaterThan(0);
  for (const { serial, name } of rows) {
    const { status, body } = await revoke(serial, 'keyCompromise');
    expect([status, body.code, body.detail]).toEqual([404, 'certificate.not-found', expect.stringContaining(`POST /v1/cas/${name}/revocation`)]);
    expect((await plant.json('GET', `/v1/certificates/${serial}`, 'auditor')).body.detail).toContain(`GET /v1/cas/${name}`);
  }
});

describe('a query', () => {
  it('counts and lists in a dry run, and then revokes exactly that', async () => {
    const serials = [await issue({ vin: VIN }), await issue({ vin: VIN })].sort();
    const dry = await plant.json('POST', '/v1/revocations', 'security', { query: { vin: VIN }, reason: 'cessationOfOperation', dryRun: true });
    expect(dry).toMatchObject({ status: 200, body: { dryRun: true, targets: 2, approvalsNeeded: 0 } });
    expect(dry.body.first.map(({ serial }: { serial: string }) => serial)).toEqual(serials);
    expect(dry.body.targetsSha256).toBe(createHash('sha256').update(serials.map((serial) => `ecu-issuing/${serial}\n`).join('')).digest('hex'));
    for (const serial of serials) expect((await stateOf(serial)).status).toBe('valid');
    const key = unique('key');
    const done = await post({ query: { vin: VIN }, reason: 'cessationOfOperation', invalidityDate: '2026-01-01T00:00:00Z' }, key);
    expect(done).toMatchObject({ status: 200, body: { state: 'done', by: 'security', targets: 2, done: 2, changed: 2, outcomes: { new: 2 }, targetsSha256: dry.body.targetsSha256 } });
    expect(done.headers.get('location')).toBe(`/v1/revocations/${done.body.id}`);
    for (const serial of serials) expect(await stateOf(serial)).toMatchObject({ status: 'revoked', revocation: { reason: 'cessationOfOperation' } });
    expect((await post({ query: { vin: VIN }, reason: 'cessationOfOperation', invalidityDate: '2026-01-01T00:00:00Z' }, key)).body.id).toBe(done.body.id);
    expect(await post({ query: { vin: VIN }, reason: 'superseded' }, key)).toMatchObject({ status: 409, body: { code: 'idempotency.conflict' } });
    expect((await post({ query: { vin: VIN }, reason: 'certificateHold' })).body).toMatchObject({ state: 'done', changed: 0, outcomes: { conflict: 2 } });
    const page = (await plant.json('GET', `/v1/revocations/${done.body.id}/targets?limit=1`, 'auditor')).body;
    expect(page).toMatchObject({ items: [{ place: 0, serial: serials[0], outcome: 'new', profile: 'ecu-client' }], nextFrom: 1 });
    expect((await plant.json('GET', `/v1/revocations/${done.body.id}/targets?from=1`, 'auditor')).body).toMatchObject({ items: [{ serial: serials[1] }], nextFrom: null });
    expect(JSON.stringify(done.body)).not.toContain(VIN);
  });

  it('finds a key by its SubjectPublicKeyInfo as PEM, or by its hash', async () => {
    const { key, csr } = await p256Request();
    const serial = await issue({ csr });
    const publicKey = createPublicKey(key);
    const hash = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('hex');
    for (const given of [publicKey.export({ type: 'spki', format: 'pem' }) as string, hash, hash.toUpperCase()]) {
      const { body } = await plant.json('POST', '/v1/revocations', 'admin', { query: { publicKey: given }, reason: 'superseded', dryRun: true });
      expect(body.first).toMatchObject([{ serial }]);
    }
  });

  it('finds a lot of a supplier, together with what else is said, in a dry run and then', async () => {
    const [mine, other] = [unique('lot 7/'), unique('lot 8/')];
    const serials = [await issue({ lot: mine, partNumber: 'PN-A' }), await issue({ lot: mine, partNumber: 'PN-B' })];
    await issue({ lot: other, partNumber: 'PN-A' });
    const dry = async (query: object): Promise<string[]> =>
      (await plant.json('POST', '/v1/revocations', 'security', { query, reason: 'superseded', dryRun: true })).body.first.map(({ serial }: { serial: string }) => serial).toSorted();
    expect(await dry({ lot: mine })).toEqual(serials.toSorted());
    expect(await dry({ lot: mine, partNumber: 'PN-B' })).toEqual(serials.slice(1));
    expect(await dry({ lot: unique('lot') })).toEqual([]);
    expect((await post({ query: { lot: mine }, reason: 'superseded' })).body).toMatchObject({ state: 'done', query: { lot: mine }, outcomes: { new: 2 } });
    const { status, body } = await plant.json('POST', '/v1/certificates', 'line', { profile: 'ecu-client', ecuSerial: unique('ECU'), partNumber: 'PN-1', lot: 'L'.repeat(65), csr: await p256Csr() });
    expect([status, body.code]).toEqual([400, 'ecu.lot-invalid']);
  });

  it.each<[string, object, number, string]>([
    ['no criterion', { query: {}, reason: 'superseded' }, 400, 'revocation.query-refused'],
    ['a profile alone', { query: { profile: 'ecu-client' }, reason: 'superseded' }, 400, 'revocation.query-refused'],
    ['an unknown field', { query: { supplierLot: 'L1' }, reason: 'superseded' }, 400, 'http.body-invalid'],
    ['no reason', { query: { vin: VIN } }, 400, 'http.body-invalid'],
    ['an unknown reason', { query: { vin: VIN }, reason: 'aACompromise' }, 400, 'http.body-invalid'],
    ['a lot that is none', { query: { lot: ' ' }, reason: 'superseded' }, 400, 'ecu.lot-invalid'],
    ['no VIN', { query: { vin: '1M8GDM9A1KP042788' }, reason: 'superseded' }, 400, 'vin.invalid'],
    ['a key that is none', { query: { publicKey: 'x' }, reason: 'superseded' }, 400, 'http.body-invalid'],
    ['a date to come', { query: { vin: VIN }, reason: 'superseded', invalidityDate: '2099-01-01T00:00:00Z' }, 400, 'http.body-invalid'],
    ['an unknown CA', { query: { ca: 'none' }, reason: 'superseded' }, 404, 'ca.not-found'],
    ['what finds nothing', { query: { ecuSerial: 'NOBODY' }, reason: 'superseded' }, 404, 'certificate.not-found'],
  ])('%s is refused', async (_, body, status, code) => {
    expect(await post(body)).toMatchObject({ status, body: { code } });
  });

  it('needs an Idempotency-Key', async () => {
    expect(await plant.json('POST', '/v1/revocations', 'security', { query: { ecuSerial: 'X' }, reason: 'superseded' })).toMatchObject({ status: 400, body: { code: 'idempotency.key-invalid' } });
  });
});

describe('a large one', () => {
  it('waits for others, is seen by them, and runs once they have agreed; cancelled it does not', async () => {
    const [anna, bert] = [await admin('anna'), await admin('bert')];
    const partNumber = unique('PN');
    const serials = await Promise.all([1, 2, 3, 4, 5].map(() => issue({ partNumber })));
    const { status, body: job } = await post({ query: { partNumber }, reason: 'superseded' }, unique('key'), 'admin');
    expect([status, job]).toMatchObject([202, { state: 'waiting', targets: 5, approvalsNeeded: 2, approvals: [], ratePerSecond: null, secondsLeft: null }]);
    const url = `/v1/revocations/${job.id}`;
    const approve = (targetsSha256: string, headers: Record<string, string> = {}) => plant.json('POST', `${url}/approvals`, 'admin', { targetsSha256 }, headers);
    expect(await approve(job.targetsSha256)).toMatchObject({ status: 403, body: { code: 'revocation.approval-refused' } });
    expect(await approve('00'.repeat(32), anna)).toMatchObject({ status: 403 });
    expect((await plant.json('POST', `${url}/approvals`, 'security', { targetsSha256: job.targetsSha256 })).status).toBe(403);
    expect(await approve(job.targetsSha256, anna)).toMatchObject({ status: 200, body: { state: 'waiting', approvals: [{ by: 'anna' }] } });
    expect(await approve(job.targetsSha256, anna)).toMatchObject({ status: 200, body: { approvals: [{ by: 'anna' }] } });
    expect((await stateOf(serials[0]!)).status).toBe('valid');
    expect(await approve(job.targetsSha256, bert)).toMatchObject({ status: 200, body: { state: 'running' } });
    // What the worker does.
    expect(await plant.store.revocationJobs.running(10)).toEqual([job.id]);
    await plant.store.revocationJobs.runPage(job.id, new Date());
    expect((await plant.json('GET', url, 'auditor')).body).toMatchObject({ state: 'done', done: 5, changed: 5, outcomes: { new: 5 }, completedAt: expect.any(String) });
    for (const serial of serials) expect((await stateOf(serial)).status).toBe('revoked');
    expect(await approve(job.targetsSha256, await admin('cleo'))).toMatchObject({ status: 409, body: { code: 'revocation.state-refused' } });

    const other = (await post({ query: { partNumber }, reason: 'keyCompromise' })).body;
    expect(await plant.json('POST', `/v1/revocations/${other.id}/cancel`, 'security')).toMatchObject({ status: 200, body: { state: 'cancelled', changed: 0 } });
    expect((await plant.json('POST', `/v1/revocations/${other.id}/approvals`, 'admin', { targetsSha256: other.targetsSha256 })).body.code).toBe('revocation.state-refused');
    const list = (await plant.json('GET', '/v1/revocations?limit=2', 'auditor')).body;
    expect(list.items.map(({ id }: { id: string }) => id)).toEqual([other.id, job.id]);
    expect((await plant.json('GET', `/v1/revocations?limit=1&cursor=${list.items[0].id}`, 'auditor')).body.items[0].id).toBe(job.id);
    for (const id of ['x', '00000000-0000-4000-8000-000000000000']) expect((await plant.json('GET', `/v1/revocations/${id}`, 'auditor')).status).toBe(404);
    // Each step is told, in its order (I26).
    const { rows } = await client.query<{ action: string }>(`SELECT payload::json ->> 'action' AS action FROM audit_event WHERE payload LIKE $1 ORDER BY seq`, [`%revocation:${job.id}"%`]);
    expect(rows.map(({ action }) => action)).toEqual(['revocation.requested', 'revocation.approved', 'revocation.approved', 'revocation.begun', 'revocation.page', 'revocation.done']);
  });
});

describe('a proof that a key is compromised', () => {
  /** As an operator makes it. */
  function proofOf(keyPem: string, subject: (hash: string) => string = (hash) => `/O=Fleetroot key compromise/CN=${hash}`): string {
    const file = join(plant.dir, unique('key'));
    writeFileSync(file, keyPem);
    const spki = createPublicKey(keyPem).export({ type: 'spki', format: 'der' });
    return openssl(['req', '-new', '-key', file, '-subj', subject(createHash('sha256').update(spki).digest('hex'))]);
  }
  const prove = (csr: string) => plant.json('POST', '/v1/revocations/proof', undefined, { csr });

  it('revokes every certificate with the key and blocks it; sent again it changes nothing; no token is needed', async () => {
    const { key, csr } = await p256Request();
    const ecuSerial = unique('ECU');
    const serials = [await issue({ csr, ecuSerial }), await issue({ csr, ecuSerial })].sort();
    await revoke(serials[0]!, 'superseded');
    const other = await issue({ ecuSerial });
    const proof = proofOf(key);
    const first = await prove(proof);
    expect(first).toMatchObject({ status: 200, body: { changed: 2 } });
    expect(first.body.certificates.map(({ serial }: { serial: string }) => serial)).toEqual(serials);
    for (const serial of serials) expect(await stateOf(serial)).toMatchObject({ revocation: { reason: 'keyCompromise' } });
    expect((await stateOf(other)).status).toBe('valid');
    const told = async () => (await client.query(`SELECT FROM audit_event WHERE payload LIKE '{"action":"certificate.revoked"%' OR payload LIKE '{"action":"key.compromised"%'`)).rowCount;
    const before = await told();
    expect(await prove(proof)).toMatchObject({ status: 200, body: { changed: 0 } });
    expect(await told()).toBe(before);
    const again = await plant.json('POST', '/v1/certificates', 'line', { profile: 'ecu-client', ecuSerial, partNumber: 'PN-1', csr });
    expect(again).toMatchObject({ status: 422, body: { code: 'key.blocked' } });
  });

  it('is no proof with another subject, another key in it, or a broken signature', async () => {
    const { key, csr } = await p256Request();
    const serial = await issue({ csr });
    const proof = Buffer.from(proofOf(key).replace(/-----[^-]+-----|\s/g, ''), 'base64');
    proof[proof.length - 3]! ^= 1;
    const cases: [string, number, string][] = [
      // The request that the certificate was issued for.
      [csr, 400, 'revocation.proof-invalid'],
      [proofOf(key, () => '/O=Fleetroot key compromise/CN=00'), 400, 'revocation.proof-invalid'],
      [proofOf(key, (hash) => `/CN=${hash}`), 400, 'revocation.proof-invalid'],
      [proofOf(key, (hash) => `/O=Fleetroot key compromise/CN=${hash}/OU=x`), 400, 'revocation.proof-invalid'],
      [proofOf(key, (hash) => `/CN=${hash}/O=Fleetroot key compromise`), 400, 'revocation.proof-invalid'],
      [proof.toString('base64'), 400, 'request.signature-invalid'],
      ['AAAA', 400, 'request.malformed'],
      ['', 400, 'request.empty'],
      // Of a key that nobody had certified.
      [proofOf((await p256Request()).key), 404, 'certificate.not-found'],
    ];
    for (const [given, status, code] of cases) expect(await prove(given)).toMatchObject({ status, body: { code } });
    expect((await stateOf(serial)).status).toBe('valid');
    const { rows } = await client.query('SELECT FROM subject_key WHERE blocked AND spki_sha256 = $1', [createHash('sha256').update(createPublicKey(key).export({ type: 'spki', format: 'der' })).digest()]);
    expect(rows).toEqual([]);
  });

  it('is served to strangers only so often', async () => {
    const { CompromiseProofs } = await import('../../apps/api/src/revocations/compromise-proofs.ts');
    const at = new Date();
    const proofs = new CompromiseProofs({ compromises: plant.store.compromises, relay: { kick: () => undefined }, clock: { now: () => at }, principal: { id: 1, name: 'api' } }, 2);
    for (const code of ['request.empty', 'request.empty', 'http.too-many-requests']) await expect(proofs.take('')).rejects.toMatchObject({ code });
  });
});

describe('fleetroot revoke', () => {
  const MAIN = fileURLToPath(new URL('../../apps/cli/dist/main.js', import.meta.url));
  const cli = (authorization: string, ...parameters: string[]): Promise<{ status: number | null; stdout: string; stderr: string }> => {
    const token = join(plant.dir, unique('token'));
    writeFileSync(token, authorization.replace('Bearer ', ''));
    return new Promise((resolve) => execFile(process.execPath, [MAIN, 'revoke', ...parameters, '--api', plant.base, '--token-file', token], (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
    }));
  };

  it('asks, is approved by another, and tells what came of it', async () => {
    const [dora, emil] = [(await admin('dora')).authorization, (await admin('emil')).authorization];
    const partNumber = unique('PN');
    await Promise.all([1, 2, 3].map(() => issue({ partNumber })));
    const asked = await cli(dora, '--part-number', partNumber, '--reason', 'superseded', '--json');
    const job = JSON.parse(asked.stdout) as { event: string; id: string; targetsSha256: string };
    expect([asked.status, job.event]).toEqual([0, 'waiting']);
    const approve = (authorization: string) => cli(authorization, 'approve', job.id, '--targets-sha256', job.targetsSha256);
    const own = await approve(dora);
    expect([own.status, own.stderr]).toEqual([4, expect.stringContaining('nobody approves their own')]);
    expect(await approve(emil)).toMatchObject({ status: 0, stdout: expect.stringContaining('approvals: 1 of 1 (emil)') });
    const following = cli(dora, 'status', job.id, '--follow');
    await plant.store.revocationJobs.runPage(job.id, new Date());
    expect(await following).toMatchObject({ status: 0, stdout: expect.stringMatching(/done: 3 of 3 certificates, 3 changed[^]*3 revoked/) });
    const weaker = await cli(dora, '--part-number', partNumber, '--reason', 'certificateHold');
    expect(weaker.status).toBe(0);
    const next = (await plant.json('GET', '/v1/revocations?limit=1', 'admin')).body.items[0].id;
    expect(await cli(dora, 'cancel', next)).toMatchObject({ status: 0, stdout: expect.stringContaining('cancelled: 0 of 3') });
    for (const wrong of [['--reason', 'superseded'], ['0f'], ['xyz', '--reason', 'superseded'], ['0f', '--ecu-serial', 'X', '--reason', 'superseded'], ['approve', job.id]]) {
      expect((await cli(dora, ...wrong)).status, wrong.join(' ')).toBe(2);
    }
  }, 120_000);
});

it('no VIN is in any log, in the audit log, or in clear in a table of revocations', async () => {
  const { rows } = await client.query(`SELECT payload AS text FROM audit_event UNION ALL SELECT to_jsonb(j)::text FROM revocation_job j`);
  expect(JSON.stringify(rows)).not.toContain(VIN);
  expect(plant.logged()).not.toMatch(new RegExp(`${VIN}|BEGIN CERTIFICATE REQUEST`));
});
