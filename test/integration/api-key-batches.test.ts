import { execFileSync, spawnSync } from 'node:child_process';
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, X509Certificate } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { verifyChain } from '@fleetroot/audit';
import { systemClock } from '@fleetroot/core';
import { createLogger } from '@fleetroot/telemetry';
import { buildRequest, encodePem, type SignatureAlgorithm, signatureAlgorithmFor } from '@fleetroot/x509';
import { madeKeysTask } from '../../apps/worker/src/tasks/made-keys.ts';
import { type ApiPlant, startApiPlant } from '../support/api-plant.ts';
import { openssl } from '../support/openssl.ts';
import { certify, named } from '../support/software-ca.ts';

// Keys that are made here, through the REST API: who gets them, how often, and what is left of them.

const run = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const PASSWORD = 'seven stations, one press';
type Line = 'line' | 'line-2';
interface Station { readonly pem: string; readonly key: string }

let plant: ApiPlant;
let folder: string;
let station: Station;
let database: Client;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-key-batches-'));
  const profilesDir = join(folder, 'profiles');
  cpSync(fileURLToPath(new URL('../../hsm-config/profiles', import.meta.url)), profilesDir, { recursive: true });
  const ec = readFileSync(join(profilesDir, 'key-station.yaml'), 'utf8');
  writeFileSync(join(profilesDir, 'rsa-station.yaml'), ec.replace('name: key-station', 'name: rsa-station').replace('[p-256, p-384, p-521]', '[rsa]').replace('[keyAgreement]', '[keyEncipherment]'));
  writeFileSync(join(profilesDir, 'small.yaml'), ec.replace('name: key-station', 'name: small\nserverKeys: allowed').replace('commonName, from: request', 'commonName, fixed: X')
    .replace('[p-256, p-384, p-521]', '[p-256]').replace('[keyAgreement]', '[digitalSignature]'));
  plant = await startApiPlant({ profilesDir });
  await plant.startIssuer();
  await plant.ready();
  database = new Client({ connectionString: plant.databaseUrl });
  await database.connect();
  station = await newStation('key-station', generateKeyPairSync('ec', { namedCurve: 'P-256' }));
});
afterAll(async () => {
  await database?.end();
  await plant?.close();
  rmSync(folder, { recursive: true, force: true });
});

let count = 0;
const unique = (prefix: string): string => `${prefix}-${++count}`;
const file = (name: string, octets: Uint8Array | string): string => {
  writeFileSync(join(folder, name), octets);
  return join(folder, name);
};

async function newStation(profile: string, { publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject }): Promise<Station> {
  const spkiDer = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
  const algorithm: SignatureAlgorithm = signatureAlgorithmFor(spkiDer);
  const csr = await buildRequest({ subject: named(unique('station')), spkiDer, algorithm }, (info) => sign('sha256', info, privateKey));
  const { status, body } = await plant.json('POST', '/v1/certificates', 'line', { profile, csr: Buffer.from(csr).toString('base64') });
  expect(status, JSON.stringify(body)).toBe(201);
  return { pem: body.certificate, key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string };
}

const items = (n: number) => Array.from({ length: n }, () => ({ ecuSerial: unique('ECU'), partNumber: 'PN-1' }));
const cms = (to: Station = station) => ({ kind: 'cms', recipient: to.pem });
const pkcs12 = { kind: 'pkcs12', password: PASSWORD };
const request = (fields: object = {}) => ({ profile: 'ecu-client-made-key', delivery: cms(), items: items(1), ...fields });

const submit = (body: unknown, key = unique('key'), holder: Line | 'admin' | 'gateway' | 'auditor' = 'line') =>
  plant.json('POST', '/v1/key-batches', holder, body, { 'idempotency-key': key });

async function made(fields: object = {}): Promise<string> {
  const { status, body } = await submit(request(fields));
  expect(status, JSON.stringify(body)).toBe(202);
  return body.id;
}

async function fetchKey(id: string, ordinal: number | string, body?: object, holder: Line | 'admin' = 'line', headers = {}): Promise<{ status: number; type: string | null; content: Buffer; code: string }> {
  const response = await plant.fetch('POST', `/v1/key-batches/${id}/keys/${ordinal}`, holder, {
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers }, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const content = Buffer.from(await response.arrayBuffer());
  return { status: response.status, type: response.headers.get('content-type'), content, code: response.ok ? '' : (JSON.parse(content.toString()) as { code: string }).code };
}

const keyBatch = async (id: string) => (await plant.json('GET', `/v1/key-batches/${id}`, 'line')).body;
const acknowledge = (id: string, ordinals: unknown, holder: Line | 'admin' = 'line') => plant.json('POST', `/v1/key-batches/${id}/acknowledgements`, holder, { ordinals });

/** The private key of an EnvelopedData, by OpenSSL. */
function openCms(content: Buffer, to: Station = station): KeyObject {
  openssl(['cms', '-decrypt', '-inform', 'DER', '-in', file('key.cms', content), '-inkey', file('station.key', to.key), '-recip', file('station.pem', to.pem), '-out', join(folder, 'package')]);
  const octets = readFileSync(join(folder, 'package'));
  const length = octets[1]!;
  return createPrivateKey({ key: octets.subarray(length < 0x80 ? 2 : 2 + (length & 0x7f)), format: 'der', type: 'pkcs8' });
}

async function certificates(id: string): Promise<X509Certificate[]> {
  const text = await (await plant.fetch('GET', `/v1/batches/${id}/certificates`, 'line')).text();
  return text.trim().split('\n').map((line) => JSON.parse(line) as { certificate?: string }).flatMap(({ certificate }) => (certificate === undefined ? [] : [new X509Certificate(Buffer.from(certificate, 'base64'))]));
}

interface Told { action: string; actor: string; subject: string; data: Record<string, unknown> }
async function told(id: string): Promise<Told[]> {
  const text = await (await plant.fetch('GET', '/v1/audit', 'auditor')).text();
  return text.trim().split('\n').map((line) => JSON.parse((JSON.parse(line) as { payload: string }).payload) as Told).filter(({ subject }) => subject.startsWith(`key:${id}/`));
}

const runWorker = (): Promise<void> =>
  madeKeysTask(plant.store.madeKeys, 1000, systemClock, createLogger({ role: 'worker', level: 'silent' })).run(new AbortController().signal);

/** Whether the text stands in any column of any table, octets as hex. */
async function onRecord(text: string): Promise<string[]> {
  const tables = (await database.query<{ name: string }>(`SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'`)).rows;
  const found: string[] = [];
  for (const { name } of tables) {
    const { rows } = await database.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${name} AS t WHERE position($1 in t::text) > 0`, [text]);
    if ((rows[0]?.n ?? 0) > 0) found.push(name);
  }
  return found;
}

describe('keys for a station', () => {
  test.each(['p-256', 'p-384', 'p-521', 'ed25519', 'rsa-3072'])('of %s: each opens with the key of the station and fits its certificate', async (keyType) => {
    const id = await made({ keyType, items: items(3) });
    const issued = await certificates(id);
    expect(issued).toHaveLength(3);
    for (const [ordinal, certificate] of issued.entries()) {
      const { status, type, content } = await fetchKey(id, ordinal);
      expect([status, type]).toEqual([200, 'application/pkcs7-mime; smime-type=enveloped-data']);
      expect(certificate.checkPrivateKey(openCms(content))).toBe(true);
    }
    expect(await keyBatch(id)).toMatchObject({ state: 'done', issued: 3, delivery: 'cms', keys: { made: 3, delivered: 3, deleted: 0 } });
  });

  it('opens with an RSA key of a station', async () => {
    const rsa = await newStation('rsa-station', generateKeyPairSync('rsa', { modulusLength: 2048 }));
    const id = await made({ delivery: cms(rsa) });
    const { content } = await fetchKey(id, 0, {}, 'line', { accept: 'application/cms' });
    expect((await certificates(id))[0]!.checkPrivateKey(openCms(content, rsa))).toBe(true);
  });

  it('comes as a stream, failed items with their reason, and goes on where it was left', async () => {
    const wanted = items(60);
    wanted[7] = { ...wanted[7]!, partNumber: 'not a part number' };
    const id = await made({ items: wanted });
    const read = async (query = '') => (await (await plant.fetch('GET', `/v1/key-batches/${id}/keys${query}`, 'line')).text()).trim().split('\n')
      .map((line) => JSON.parse(line) as { ordinal: number; outcome: string; ecuSerial: string; serial: string; certificate: string; key: string; code: string });
    const lines = await read();
    expect(lines.map(({ ordinal }) => ordinal)).toEqual(wanted.map((_, i) => i));
    expect(lines[7]).toMatchObject({ outcome: 'failed', code: 'ecu.part-number-invalid' });
    for (const ordinal of [0, 59]) {
      const line = lines[ordinal]!;
      expect(line).toMatchObject({ outcome: 'delivered', ecuSerial: wanted[ordinal]!.ecuSerial });
      expect(new X509Certificate(Buffer.from(line.certificate, 'base64')).checkPrivateKey(openCms(Buffer.from(line.key, 'base64')))).toBe(true);
    }
    expect((await acknowledge(id, [58, 59])).body).toEqual({ deleted: 2 });
    expect((await read('?from=57')).map(({ outcome, code }) => [outcome, code])).toEqual([['delivered', undefined], ['gone', 'key.gone'], ['gone', 'key.gone']]);
    expect(await keyBatch(id)).toMatchObject({ items: 60, issued: 59, failed: 1, keys: { made: 59, delivered: 59, deleted: 2 } });
    expect((await told(id)).filter(({ action }) => action === 'key.made')).toHaveLength(59);
    expect(await fetchKey(id, 7)).toMatchObject({ status: 404, code: 'key.not-found' });
  });
});

describe('keys under a password', () => {
  it('is a PFX that OpenSSL opens, with the certificate and its chain', async () => {
    const id = await made({ delivery: pkcs12, items: items(2) });
    const { status, type, content } = await fetchKey(id, 1, { password: PASSWORD });
    expect([status, type]).toEqual([200, 'application/x-pkcs12']);
    const info = openssl(['pkcs12', '-in', file('key.p12', content), '-passin', `file:${file('password', PASSWORD)}`, '-nodes']);
    const pem = /-----BEGIN PRIVATE KEY[\s\S]*?END PRIVATE KEY-----/.exec(info)![0];
    expect((await certificates(id))[1]!.checkPrivateKey(createPrivateKey(pem))).toBe(true);
    expect(info.match(/BEGIN CERTIFICATE/g)).toHaveLength(3);
    const list = run('keytool', '-list', '-keystore', join(folder, 'key.p12'), '-storepass:file', join(folder, 'password'), '-J-Duser.language=en');
    expect(list).toContain('PrivateKeyEntry');
  });

  it('opens with that password alone, and not as a stream', async () => {
    const id = await made({ delivery: pkcs12 });
    await certificates(id);
    for (const body of [undefined, {}, { password: `${PASSWORD}!` }]) expect(await fetchKey(id, 0, body)).toMatchObject({ status: 403, code: 'key.password-incorrect' });
    expect(await fetchKey(id, 0, { password: 'short' })).toMatchObject({ status: 400, code: 'http.body-invalid' });
    expect(await plant.json('GET', `/v1/key-batches/${id}/keys`, 'line')).toMatchObject({ status: 403, body: { code: 'key.password-incorrect' } });
    expect(await keyBatch(id)).toMatchObject({ keys: { made: 1, delivered: 0 } });
  });

  it('does not let one caller take up the processor: the fifth guess at once is told to wait', async () => {
    const id = await made({ delivery: pkcs12 });
    await certificates(id);
    const guesses = await Promise.all(Array.from({ length: 8 }, (_, i) => fetchKey(id, 0, { password: `a wrong password ${i}` })));
    expect(new Set(guesses.map(({ status }) => status))).toEqual(new Set([403, 429]));
    expect((await fetchKey(id, 0, { password: PASSWORD })).status).toBe(200);
  });
});

describe('what is left of a key', () => {
  it('is nothing in clear, anywhere: tables, audit, logs; nor of the password', async () => {
    const one = await made();
    const other = await made({ delivery: pkcs12 });
    await certificates(other);
    const keys = [openCms((await fetchKey(one, 0)).content)];
    const p12 = (await fetchKey(other, 0, { password: PASSWORD })).content;
    keys.push(createPrivateKey(openssl(['pkcs12', '-in', file('key.p12', p12), '-passin', `file:${file('password', PASSWORD)}`, '-nodes', '-nocerts'])));
    for (const key of keys) {
      const secret = Buffer.from(key.export({ format: 'jwk' }).d!, 'base64url');
      expect(await onRecord(secret.toString('hex'))).toEqual([]);
      for (const form of ['hex', 'base64', 'base64url'] as const) expect(plant.logged()).not.toContain(secret.toString(form));
    }
    for (const text of [PASSWORD, Buffer.from(PASSWORD).toString('hex'), Buffer.from(PASSWORD).toString('base64')]) {
      expect(await onRecord(text)).toEqual([]);
      expect(plant.logged()).not.toContain(text);
    }
    // The same question finds what is there.
    const spki = createPublicKey(keys[0]!).export({ type: 'spki', format: 'der' });
    expect(await onRecord(spki.toString('hex'))).toContain('certificate');
  });

  it('goes with the acknowledgement, once, and only of what was handed out; each step is an event', async () => {
    const id = await made({ items: items(3) });
    await certificates(id);
    expect(await acknowledge(id, [0])).toMatchObject({ status: 409, body: { code: 'key.not-delivered', ordinal: 0 } });
    await fetchKey(id, 0);
    await fetchKey(id, 0);
    await fetchKey(id, 1);
    expect(await acknowledge(id, [0, 2])).toMatchObject({ status: 409, body: { code: 'key.not-delivered', ordinal: 2 } });
    expect(await acknowledge(id, [0, 900])).toMatchObject({ status: 404, body: { code: 'key.not-found' } });
    expect((await keyBatch(id)).keys).toEqual({ made: 3, delivered: 2, deleted: 0 });
    expect((await acknowledge(id, [1, 0])).body).toEqual({ deleted: 2 });
    expect((await acknowledge(id, [0, 1])).body).toEqual({ deleted: 0 });
    expect(await fetchKey(id, 0)).toMatchObject({ status: 410, code: 'key.gone' });
    expect((await database.query('SELECT ordinal, envelope FROM made_key WHERE batch_id = $1 AND envelope IS NULL ORDER BY 1', [id])).rows).toHaveLength(2);
    expect((await told(id)).map(({ action, actor, subject, data }) => [action, actor, subject.slice(-1), data['why']])).toEqual([
      ...[0, 1, 2].map((n) => ['key.made', 'principal:line', String(n), undefined]),
      ...[0, 0, 1].map((n) => ['key.delivered', 'principal:line', String(n), undefined]),
      ...[0, 1].map((n) => ['key.deleted', 'principal:line', String(n), 'acknowledged']),
    ]);
  });

  it('goes when its time has run out, delivered or not; before the worker has come it is not handed out either', async () => {
    const id = await made({ items: items(2) });
    await certificates(id);
    await fetchKey(id, 0);
    const { expiresAt, createdAt } = await keyBatch(id);
    expect(Math.abs(new Date(expiresAt).getTime() - new Date(createdAt).getTime() - 86_400_000)).toBeLessThan(60_000);
    await database.query(`UPDATE made_key SET expires_at = now() - interval '1 second' WHERE batch_id = $1`, [id]);
    for (const ordinal of [0, 1]) expect(await fetchKey(id, ordinal)).toMatchObject({ status: 410, code: 'key.gone' });
    await runWorker();
    await runWorker();
    expect((await keyBatch(id)).keys).toEqual({ made: 2, delivered: 1, deleted: 2 });
    expect((await told(id)).slice(-2)).toMatchObject([0, 1].map((n) => ({ action: 'key.deleted', actor: 'system:worker', subject: `key:${id}/${n}`, data: { why: 'expired' } })));
    expect((await acknowledge(id, [0])).body).toEqual({ deleted: 0 });
  });

  it('goes where the item got no certificate after all', async () => {
    const [first] = items(1);
    await certificates(await made({ items: [first] }));
    const id = await made({ items: [{ ...first, partNumber: 'PN-OTHER' }, ...items(1)] });
    expect(await certificates(id)).toHaveLength(1);
    expect(await fetchKey(id, 0)).toMatchObject({ status: 404, code: 'key.not-found' });
    await runWorker();
    expect((await keyBatch(id)).keys).toEqual({ made: 2, delivered: 0, deleted: 1 });
    expect((await told(id)).at(-1)).toMatchObject({ action: 'key.deleted', subject: `key:${id}/0`, data: { why: 'no-certificate' } });
    expect((await fetchKey(id, 1)).status).toBe(200);
  });
});

describe('the same Idempotency-Key', () => {
  test.each([['a station', () => cms()], ['a password', () => pkcs12]])('for %s: the same body gives the same batch and no new keys, another a 409', async (_, delivery) => {
    const body = request({ delivery: delivery(), items: items(2) });
    const key = unique('twice');
    const first = await submit(body, key);
    const second = await submit(body, key);
    expect([first.status, second.status, second.body.id]).toEqual([202, 200, first.body.id]);
    expect((await database.query('SELECT FROM made_key WHERE batch_id = $1', [first.body.id])).rowCount).toBe(2);
    for (const other of [{ items: items(2) }, { keyType: 'p-384' }, { profile: 'small' }, { delivery: { kind: 'pkcs12', password: 'another password' } }]) {
      expect(await submit({ ...body, ...other }, key)).toMatchObject({ status: 409, body: { code: 'idempotency.conflict' } });
    }
    expect((await submit(body, key, 'line-2')).body.id).not.toBe(first.body.id);
  });

  test.each([['a station', () => cms()], ['a password', () => pkcs12]])('is one for two that come at once, for %s', async (_, delivery) => {
    const body = request({ items: items(20), delivery: delivery() });
    const key = unique('race');
    const answers = await Promise.all([submit(body, key), submit(body, key)]);
    const ids = new Set(answers.filter(({ status }) => status < 300).map(({ body: { id } }) => id));
    expect(ids.size).toBe(1);
    expect((await submit(body, key)).body.id).toBe([...ids][0]);
    expect((await database.query('SELECT FROM made_key WHERE batch_id = $1', [[...ids][0]])).rowCount).toBe(20);
  });

  it('is not shared with other batches', async () => {
    const body = request();
    const key = unique('shared');
    await submit(body, key);
    const line = `${JSON.stringify({ ...body.items[0], csr: 'x' })}\n`;
    const response = await plant.fetch('POST', '/v1/batches?profile=ecu-client', 'line', { headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': key }, body: line });
    expect(response.status).toBe(409);
  });
});

describe('another principal, an admin, a gateway', () => {
  it('gets nothing of a batch (I32)', async () => {
    const id = await made({ delivery: pkcs12 });
    await certificates(id);
    for (const holder of ['line-2', 'admin'] as const) {
      for (const path of ['', '/keys']) expect(await plant.json('GET', `/v1/key-batches/${id}${path}`, holder)).toMatchObject({ status: 404, body: { code: 'batch.not-found' } });
      expect(await fetchKey(id, 0, { password: PASSWORD }, holder)).toMatchObject({ status: 404, code: 'batch.not-found' });
      expect(await acknowledge(id, [0], holder)).toMatchObject({ status: 404, body: { code: 'batch.not-found' } });
    }
    for (const holder of ['gateway', 'auditor'] as const) expect((await submit(request(), unique('key'), holder)).status).toBe(403);
    for (const bad of ['x', '00000000-0000-0000-0000-000000000000', '%27']) expect((await plant.fetch('GET', `/v1/key-batches/${bad}`, 'line')).status).toBe(404);
    for (const bad of ['x', '-1', '1.5', '99999', '%27']) expect(await fetchKey(id, bad, { password: PASSWORD })).toMatchObject({ status: 404, code: 'key.not-found' });
    expect(await keyBatch(id)).toMatchObject({ keys: { made: 1, delivered: 0, deleted: 0 } });
  });
});

describe('what is refused leaves nothing', () => {
  const stranger = () => encodePem('CERTIFICATE', certify({ subject: named('Stranger'), extensions: [] }).certificate);
  const ca = async (): Promise<string> => /-----BEGIN[\s\S]*?END CERTIFICATE-----\n/.exec(await (await plant.fetch('GET', '/v1/cas/ecu-issuing/chain', 'line')).text())![0];
  async function signer(): Promise<string> {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const csr = await buildRequest({ subject: [], spkiDer: new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })), algorithm: 'ecdsa-sha256' }, (info) => sign('sha256', info, privateKey));
    return (await plant.json('POST', '/v1/certificates', 'line', { profile: 'ecu-client', ...items(1)[0], csr: Buffer.from(csr).toString('base64') })).body.certificate;
  }
  async function revoked(): Promise<string> {
    const { pem } = await newStation('key-station', generateKeyPairSync('ec', { namedCurve: 'P-256' }));
    const serial = new X509Certificate(pem).serialNumber;
    expect((await plant.json('POST', `/v1/certificates/${serial}/revocation`, 'security', { reason: 'superseded' })).status).toBe(200);
    return pem;
  }
  const weak = (): string => {
    openssl(['req', '-x509', '-newkey', 'rsa:1024', '-nodes', '-keyout', join(folder, 'weak.key'), '-out', join(folder, 'weak.pem'), '-subj', '/CN=weak']);
    return readFileSync(join(folder, 'weak.pem'), 'utf8');
  };
  const to = (recipient: string) => request({ delivery: { kind: 'cms', recipient } });

  test.each<[string, () => unknown, number, string]>([
    ['a profile that does not allow it', () => request({ profile: 'ecu-client' }), 403, 'profile.keys-not-made'],
    ['a profile for others', () => request({ profile: 'gateway-server' }), 403, 'profile.forbidden'],
    ['no such profile', () => request({ profile: 'x' }), 404, 'profile.not-found'],
    ['a CA that is not for the caller', () => request({ ca: 'fleetroot-dev-root' }), 403, 'ca.forbidden'],
    ['a key type that the profile does not take', () => request({ profile: 'small', keyType: 'p-384' }), 422, 'request.key-refused'],
    ['a key type that there is not', () => request({ keyType: 'rsa-1024' }), 400, 'http.body-invalid'],
    ['no item', () => request({ items: [] }), 400, 'http.body-invalid'],
    ['1001 items', () => request({ items: items(1001) }), 413, 'batch.too-many-items'],
    ['101 RSA keys', () => request({ keyType: 'rsa-3072', items: items(101) }), 413, 'batch.too-many-items'],
    ['a body too large', () => request({ items: Array.from({ length: 6000 }, () => ({ ecuSerial: 'E'.repeat(64), partNumber: 'P'.repeat(64) })) }), 413, 'http.body-too-large'],
    ['an item with a csr', () => request({ items: [{ ecuSerial: 'E', csr: 'x' }] }), 400, 'http.body-invalid'],
    ['a short password', () => request({ delivery: { kind: 'pkcs12', password: '11 letters.' } }), 400, 'http.body-invalid'],
    ['a password that programs read differently', () => request({ delivery: { kind: 'pkcs12', password: 'Schlüssel-Kasten' } }), 400, 'http.body-invalid'],
    ['both ways at once', () => request({ delivery: { ...cms(), password: PASSWORD } }), 400, 'http.body-invalid'],
    ['no way', () => request({ delivery: undefined }), 400, 'http.body-invalid'],
    ['a recipient that is no PEM', () => to('hello'), 422, 'key.recipient-refused'],
    ['two recipients', () => to(station.pem + station.pem), 422, 'key.recipient-refused'],
    ['a private key as a recipient', () => to(station.key), 422, 'key.recipient-refused'],
    ['a recipient of another CA', () => to(stranger()), 422, 'key.recipient-refused'],
    ['a recipient with a weak key', () => to(weak()), 422, 'key.recipient-refused'],
  ])('%s', async (_, make, status, code) => {
    const before = (await database.query('SELECT count(*)::int AS n FROM batch')).rows;
    const answer = await submit(make());
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect((await database.query('SELECT count(*)::int AS n FROM batch')).rows).toEqual(before);
  });
  test.each<[string, () => Promise<string>, RegExp]>([
    ['a CA', ca, /keyAgreement|CA/], ['a certificate that signs only', signer, /keyAgreement/], ['one that is revoked', revoked, /revoked/],
  ])('a recipient that is %s', async (_, make, why) => {
    const { status, body } = await submit(to(await make()));
    expect([status, body.code]).toEqual([422, 'key.recipient-refused']);
    expect(body.detail).toMatch(why);
  });
  it('no Idempotency-Key', async () => {
    expect(await plant.json('POST', '/v1/key-batches', 'line', request())).toMatchObject({ status: 400, body: { code: 'idempotency.key-invalid' } });
  });
});

describe('an api that is killed', () => {
  async function kill(point: string, key: string, body: object): Promise<void> {
    const { rows: [line] } = await database.query<{ id: number }>(`SELECT id FROM principal WHERE name = 'line'`);
    const { rows: [version] } = await database.query<{ id: number; document: string }>(`SELECT id, document FROM profile_version WHERE name = 'ecu-client-made-key' ORDER BY id DESC LIMIT 1`);
    const submission = {
      principal: { id: line!.id, name: 'line' }, idempotencyKey: key, caId: (await plant.store.authorities.all()).find(({ name }) => name === 'ecu-issuing')!.id,
      profile: { versionId: version!.id, profile: JSON.parse(version!.document) as object }, request: body,
    };
    const victim = spawnSync(process.execPath, ['--conditions=fleetroot-source', fileURLToPath(new URL('../support/made-keys-victim.ts', import.meta.url)), point], {
      input: JSON.stringify({ databaseUrl: plant.databaseUrl, ledgerKey: Buffer.from(plant.ledgerKey).toString('hex'), submission }), encoding: 'utf8', timeout: 30_000,
    });
    expect(victim.signal, victim.stderr).toBe('SIGKILL');
  }
  const fields = () => ({ profile: 'ecu-client-made-key', keyType: 'p-256', delivery: cms(), items: items(5) });

  it('before the acceptance leaves nothing that counts, and the same key makes it whole', async () => {
    const key = unique('killed');
    const body = fields();
    await kill('batch.appended', key, body);
    const { rows: [batch] } = await database.query<{ id: string; state: string }>('SELECT id, state FROM batch WHERE idempotency_key = $1', [key]);
    expect(batch!.state).toBe('receiving');
    const { rows } = await database.query<{ envelope: Buffer }>('SELECT envelope FROM made_key WHERE batch_id = $1', [batch!.id]);
    expect(rows).toHaveLength(2);
    for (const { envelope } of rows) expect(openCms(envelope).type).toBe('private');
    expect(await told(batch!.id)).toEqual([]);
    expect((await database.query('SELECT FROM outbox')).rowCount).toBe(0);
    expect((await submit(body, key)).body.code).toBe('idempotency.in-progress');
    await database.query(`UPDATE batch SET received_at = now() - interval '1 minute' WHERE id = $1`, [batch!.id]);
    const again = await submit(body, key);
    expect(again.status).toBe(202);
    expect((await database.query('SELECT FROM made_key WHERE batch_id = $1', [batch!.id])).rowCount).toBe(0);
    expect(await certificates(again.body.id)).toHaveLength(5);
    expect((await database.query(`SELECT FROM ecu WHERE serial = ANY($1)`, [body.items.map(({ ecuSerial }) => ecuSerial)])).rowCount).toBe(5);
  });

  it('after the acceptance loses nothing: the same key finds the batch, every certificate has its key', async () => {
    const key = unique('killed');
    const body = fields();
    await kill('batch.accepted', key, body);
    const again = await submit(body, key);
    expect([again.status, again.body.keys]).toEqual([200, { made: 5, delivered: 0, deleted: 0 }]);
    // Any submission relays the outbox; the worker would, too.
    await made();
    for (const [ordinal, certificate] of (await certificates(again.body.id)).entries()) {
      expect(certificate.checkPrivateKey(openCms((await fetchKey(again.body.id, ordinal)).content))).toBe(true);
    }
    expect((await told(again.body.id)).filter(({ action }) => action === 'key.made')).toHaveLength(5);
  });
});

it('a thousand keys are made, each in its place', async () => {
  const wanted = items(1000);
  const id = await made({ items: wanted });
  const issued = await certificates(id);
  expect(issued.map(({ subject }) => /CN=(.*)/.exec(subject)?.[1])).toEqual(wanted.map(({ ecuSerial }) => ecuSerial));
  expect((await keyBatch(id)).keys).toEqual({ made: 1000, delivered: 0, deleted: 0 });
  expect(issued[999]!.checkPrivateKey(openCms((await fetchKey(id, 999)).content))).toBe(true);
});

it('the audit chain holds', async () => {
  const { breach, events } = await verifyChain(plant.store.audit.events(), await plant.store.audit.head());
  expect(breach).toBeUndefined();
  expect(events).toBeGreaterThan(0);
});
