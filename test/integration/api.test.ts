import { createHash, X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { readRequest } from '@fleetroot/x509';
import { verifyChain } from '@fleetroot/audit';
import { type ApiPlant, startApiPlant } from '../support/api-plant.ts';
import { p256Csr } from '../support/csr.ts';

const corpus = new URL('../corpus/csr/', import.meta.url);
const VIN = '1M8GDM9AXKP042788';
const NDJSON = { 'content-type': 'application/x-ndjson' };

let plant: ApiPlant;
beforeAll(async () => {
  plant = await startApiPlant({ issueTimeoutMs: 8_000 }, { marginMs: 0, bodyPace: { graceMs: 1_500, octetsPerSecond: 1024 } });
  await plant.startIssuer();
  await plant.ready();
});
afterAll(() => plant?.close());

let count = 0;
const unique = (prefix: string): string => `${prefix}-${++count}`;

async function item(fields: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
  return { ecuSerial: unique('ECU'), partNumber: 'PN-1', csr: await p256Csr(), ...fields };
}

const corpusText = (path: string): string => {
  const octets = readFileSync(new URL(path, corpus));
  return path.endsWith('.pem') ? octets.toString('latin1') : octets.toString('base64');
};

async function submit(items: readonly unknown[], key = unique('key'), holder: 'line' | 'line-2' = 'line') {
  const body = items.map((one) => `${JSON.stringify(one)}\n`).join('');
  const response = await plant.fetch('POST', '/v1/batches?profile=ecu-client', holder, { headers: { ...NDJSON, 'idempotency-key': key }, body });
  // oxlint-disable-next-line typescript/no-explicit-any
  return { status: response.status, headers: response.headers, body: (await response.json()) as any };
}

async function results(id: string, query = ''): Promise<Record<string, unknown>[]> {
  const text = await (await plant.fetch('GET', `/v1/batches/${id}/certificates${query}`, 'line')).text();
  return text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('a batch', () => {
  it('goes in as NDJSON and comes back in order, failed items with their reason', async () => {
    const items = await Promise.all(Array.from({ length: 130 }, () => item({ vin: VIN })));
    items[7] = { ...items[7], vin: '1M8GDM9A1KP042788' };
    items[120] = { ...items[120], csr: corpusText('bad/rsa-1024.der') };
    items[121] = { ...items[121], csr: corpusText('bad/signature-bit-flipped.der') };
    const { status, headers, body } = await submit(items);
    expect(status).toBe(202);
    expect(headers.get('location')).toBe(`/v1/batches/${body.id}`);
    expect(body).toMatchObject({ profile: 'ecu-client', state: 'accepted', items: 130 });
    const lines = await results(body.id);
    expect(lines.map(({ ordinal }) => ordinal)).toEqual(items.map((_, i) => i));
    expect(lines[7]).toMatchObject({ outcome: 'failed', code: 'vin.invalid' });
    expect(lines[120]).toMatchObject({ outcome: 'failed', code: 'request.key-refused' });
    expect(lines[121]).toMatchObject({ outcome: 'failed', code: 'request.signature-invalid' });
    const issued = lines.filter(({ outcome }) => outcome === 'issued');
    expect(issued).toHaveLength(127);
    for (const [i, line] of lines.entries()) {
      if (line['outcome'] !== 'issued') continue;
      const certificate = new X509Certificate(Buffer.from(String(line['certificate']), 'base64'));
      expect(certificate.subject).toContain(`CN=${String(items[i]?.['ecuSerial'])}`);
      expect(certificate.serialNumber.toLowerCase().replace(/^0+/, '')).toBe(String(line['serial']).replace(/^0+/, ''));
    }
    expect((await plant.json('GET', `/v1/batches/${body.id}`, 'line')).body).toMatchObject({ state: 'done', issued: 127, failed: 3, pending: 0 });
    expect((await results(body.id, '?from=128')).map(({ ordinal }) => ordinal)).toEqual([128, 129]);
    expect((await results(body.id, '?from=129&format=pem'))[0]?.['certificate']).toMatch(/^-----BEGIN CERTIFICATE-----\n/);
  });

  it('goes in as JSON too', async () => {
    const { status, body } = await plant.json('POST', '/v1/batches', 'line', { profile: 'ecu-client', items: [await item(), await item({ vin: 'x' })] }, { 'idempotency-key': unique('key') });
    expect(status).toBe(202);
    expect((await results(body.id)).map(({ outcome }) => outcome)).toEqual(['issued', 'failed']);
  });

  it('tells its progress as events', async () => {
    const { body } = await submit([await item(), await item()]);
    const text = await (await plant.fetch('GET', `/v1/batches/${body.id}/events`, 'line')).text();
    expect(text).toMatch(/event: done\ndata: \{.*"issued":2.*\}\n\n$/);
  });

  it('is the same batch for the same key and body, and a conflict for another body or profile (I5)', async () => {
    const items = [await item(), await item()];
    const first = await submit(items, 'twice');
    const lines = await (await plant.fetch('GET', `/v1/batches/${first.body.id}/certificates`, 'line')).text();
    const second = await submit(items, 'twice');
    expect([first.status, second.status, second.body.id]).toEqual([202, 200, first.body.id]);
    expect(await (await plant.fetch('GET', `/v1/batches/${second.body.id}/certificates`, 'line')).text()).toBe(lines);
    expect(await submit([...items, await item()], 'twice')).toMatchObject({ status: 409, body: { code: 'idempotency.conflict' } });
    const body = items.map((one) => `${JSON.stringify(one)}\n`).join('');
    const other = await plant.fetch('POST', '/v1/batches?profile=ecu-client-vin', 'line', { headers: { ...NDJSON, 'idempotency-key': 'twice' }, body });
    expect([other.status, (await other.json() as { code: string }).code]).toEqual([409, 'idempotency.conflict']);
    expect((await submit(items, 'twice', 'line-2')).body.id).not.toBe(first.body.id);
  });

  it('is nobody else\'s (I32)', async () => {
    const { body } = await submit([await item()]);
    for (const path of ['', '/certificates', '/events']) {
      expect(await plant.json('GET', `/v1/batches/${body.id}${path}`, 'line-2')).toMatchObject({ status: 404, body: { code: 'batch.not-found' } });
    }
    expect((await plant.fetch('GET', `/v1/batches/${body.id}`, 'auditor')).status).toBe(200);
    for (const id of ['x', '00000000-0000-0000-0000-000000000000', '%27']) expect((await plant.fetch('GET', `/v1/batches/${id}`, 'admin')).status).toBe(404);
  });

  test.each([
    ['a line that is not JSON', (lines: string[]) => [...lines, 'oops'], 400, 'batch.line-invalid', 61],
    ['a line that lacks the csr', (lines: string[]) => ['', '{"ecuSerial":"E1"}', ...lines], 400, 'batch.line-invalid', 2],
    ['a line too long', (lines: string[]) => [...lines, `{"csr":"${'A'.repeat(140_000)}"}`], 413, 'batch.line-too-large', 61],
    ['nothing', () => [], 400, 'batch.empty', undefined],
  ])('%s refuses all of it, and nothing stays', async (_, change, status, code, line) => {
    const ecuSerial = unique('NEVER');
    const body = change((await Promise.all(Array.from({ length: 60 }, () => item({ ecuSerial })))).map((one) => JSON.stringify(one))).join('\n');
    const key = unique('key');
    const before = await counts();
    const response = await plant.fetch('POST', '/v1/batches?profile=ecu-client', 'line', { headers: { ...NDJSON, 'idempotency-key': key }, body });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ code, ...(line === undefined ? {} : { line }) });
    expect(await counts()).toEqual(before);
    // The key is free again.
    const again = await submit([await item()], key);
    expect(again.status).toBe(202);
    await results(again.body.id);
  });

  test.each([
    ['no key', { ...NDJSON }, '?profile=ecu-client', 400, 'idempotency.key-invalid'],
    ['a long key', { ...NDJSON, 'idempotency-key': 'x'.repeat(201) }, '?profile=ecu-client', 400, 'idempotency.key-invalid'],
    ['no profile', { ...NDJSON, 'idempotency-key': 'k' }, '', 400, 'http.query-invalid'],
    ['an unknown profile', { ...NDJSON, 'idempotency-key': 'k' }, '?profile=x', 404, 'profile.not-found'],
    ['a profile for others', { ...NDJSON, 'idempotency-key': 'k' }, '?profile=gateway-server', 403, 'profile.forbidden'],
    ['a profile of the system', { ...NDJSON, 'idempotency-key': 'k' }, '?profile=ocsp-signer', 403, 'profile.forbidden'],
    ['another media type', { 'content-type': 'text/csv', 'idempotency-key': 'k' }, '?profile=ecu-client', 415, 'http.media-type'],
    ['JSON that is none', { 'content-type': 'application/json', 'idempotency-key': 'k' }, '?profile=ecu-client', 400, 'http.body-invalid'],
  ])('%s is refused', async (_, headers, query, status, code) => {
    const response = await plant.fetch('POST', `/v1/batches${query}`, 'line', { headers, body: '{"items":{}}\n' });
    expect([response.status, (await response.json() as { code: string }).code]).toEqual([status, code]);
  });

  it('has a bounded number of items', async () => {
    const line = `${JSON.stringify(await item())}\n`;
    const response = await plant.fetch('POST', '/v1/batches?profile=ecu-client', 'line', { headers: { ...NDJSON, 'idempotency-key': unique('key') }, body: line.repeat(2001) });
    expect([response.status, (await response.json() as { code: string }).code]).toEqual([413, 'batch.too-many-items']);
  });

  it('that breaks off in the middle leaves nothing', async () => {
    const before = await counts();
    const line = `${JSON.stringify(await item({ ecuSerial: unique('NEVER') }))}\n`;
    const socket = connect(plant.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(`POST /v1/batches?profile=ecu-client HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${plant.token('line')}\r\ncontent-type: application/x-ndjson\r\nidempotency-key: broken\r\ncontent-length: 1000000\r\n\r\n${line.repeat(70)}`);
    await expect.poll(async () => (await counts()).batches).toBe(before.batches + 1);
    socket.destroy();
    await expect.poll(counts, { timeout: 5_000 }).toEqual(before);
    const again = await submit([await item()], 'broken');
    expect(again.status).toBe(202);
    await results(again.body.id);
  });
});

interface Counts {
  readonly batches: number;
  readonly chunks: number;
  readonly failures: number;
  readonly certificates: number;
}

/** What is stored of batches and certificates, once nothing is being issued any more. */
async function counts(): Promise<Counts> {
  const client = new Client({ connectionString: plant.databaseUrl });
  await client.connect();
  try {
    while ((await client.query(`SELECT FROM batch WHERE state = 'accepted'`)).rows.length > 0) await sleep(20);
    const { rows: [row] } = await client.query<Counts>(`SELECT (SELECT count(*)::int FROM batch) AS batches, (SELECT count(*)::int FROM chunk) AS chunks,
      (SELECT count(*)::int FROM failure) AS failures, (SELECT count(*)::int FROM certificate) AS certificates`);
    if (row === undefined) throw new Error('no row');
    return row;
  } finally {
    await client.end();
  }
}

describe('one certificate', () => {
  const issue = (body: unknown, holder: 'line' | 'admin' | 'gateway' = 'line', headers = {}) => plant.json('POST', '/v1/certificates', holder, body, headers);

  it('is answered with its chain, and the same for the same key (I5)', async () => {
    const body = { profile: 'ecu-client', ...(await item({ vin: VIN })) };
    const first = await issue(body, 'line', { 'idempotency-key': 'single' });
    expect(first.status).toBe(201);
    const [leaf, issuing, root] = [first.body.certificate, ...first.body.chain].map((pem: string) => new X509Certificate(pem));
    expect(leaf?.verify(issuing!.publicKey) && issuing?.verify(root!.publicKey)).toBe(true);
    expect(first.headers.get('location')).toBe(`/v1/certificates/${first.body.serial}`);
    expect((await issue(body, 'line', { 'idempotency-key': 'single' })).body).toEqual(first.body);
    const told = (await (await plant.fetch('GET', '/v1/audit', 'auditor')).text()).trim().split('\n')
      .map((line) => JSON.parse((JSON.parse(line) as { payload: string }).payload) as { action: string; subject: string; data: { ecu?: string } })
      .filter(({ data }) => data.ecu === (body as { ecuSerial?: unknown }).ecuSerial);
    expect(told).toMatchObject([{ action: 'batch.accepted', subject: expect.stringMatching(/^batch:[0-9a-f-]{36}$/) }]);
    expect(await issue({ ...body, partNumber: 'PN-2' }, 'line', { 'idempotency-key': 'single' })).toMatchObject({ status: 409, body: { code: 'idempotency.conflict' } });
  });

  test.each(readdirSync(new URL('good/', corpus)))('of the request good/%s', async (file) => {
    const csr = corpusText(`good/${file}`);
    const { status, body } = await issue({ profile: 'ecu-client', ecuSerial: unique('GOOD'), partNumber: 'PN-1', csr });
    expect(body).toMatchObject(status === 201 ? {} : { code: 'key.other-ecu' });
    if (status !== 201) return void expect(status).toBe(409);
    const certificate = new X509Certificate(body.certificate);
    expect(certificate.publicKey.export({ format: 'der', type: 'spki' })).toEqual(Buffer.from(readRequest(csr).spkiDer));
    expect(certificate.ca).toBe(false);
  });

  test.each(readdirSync(new URL('bad/', corpus)))('of the request bad/%s is refused', async (file) => {
    const csr = corpusText(`bad/${file}`);
    const before = await counts();
    const { status, headers, body } = await issue({ profile: 'ecu-client', ecuSerial: unique('BAD'), partNumber: 'PN-1', csr });
    expect(headers.get('content-type')).toBe('application/problem+json');
    expect(status >= 400 && status < 500, `${status} ${JSON.stringify(body)}`).toBe(true);
    expect(body.code).toMatch(/^request\./);
    expect(await counts()).toEqual(before);
    const marks = [csr.replaceAll(/-----.*-----/g, '').trim().slice(0, 60), csr.trim().slice(-60)].filter((mark) => mark.length >= 20);
    for (const mark of marks) expect(plant.logged()).not.toContain(mark.split('\n')[0]);
  });

  it('is refused for another ECU\'s key, and for an ECU of another part number', async () => {
    const one = await item();
    expect((await issue({ profile: 'ecu-client', ...one })).status).toBe(201);
    expect(await issue({ profile: 'ecu-client', ...one, ecuSerial: unique('ECU') })).toMatchObject({ status: 409, body: { code: 'key.other-ecu' } });
    expect(await issue({ profile: 'ecu-client', ...one, partNumber: 'OTHER', csr: await p256Csr() })).toMatchObject({ status: 409, body: { code: 'ecu.part-number-conflict' } });
  });

  test.each([
    ['a garbage body', '{{{{', 400, 'http.body-invalid'],
    ['an array', '[]', 400, 'http.body-invalid'],
    ['another field', '{"profile":"ecu-client","csr":"x","ca":true}', 400, 'http.body-invalid'],
    ['a large body', JSON.stringify({ profile: 'ecu-client', csr: 'A'.repeat(300_000) }), 413, 'http.body-too-large'],
    ['random octets', Buffer.from(createHash('sha512').update('x').digest()).toString('latin1'), 400, 'http.body-invalid'],
  ])('%s', async (_, body, status, code) => {
    const response = await plant.fetch('POST', '/v1/certificates', 'line', { headers: { 'content-type': 'application/json' }, body });
    expect([response.status, (await response.json() as { code: string }).code]).toEqual([status, code]);
  });

  it('can be had as JSON, PEM and DER, by who may see it', async () => {
    const { body: { serial, certificate } } = await issue({ profile: 'ecu-client', ...(await item({ vin: VIN })) });
    const get = (accept: string, holder: 'line' | 'line-2' | 'admin' = 'line') => plant.fetch('GET', `/v1/certificates/${serial}`, holder, { headers: { accept } });
    expect(await (await get('application/json')).json()).toMatchObject({ serial, ca: 'ecu-issuing', profile: 'ecu-client', status: 'valid', vin: VIN, certificate });
    expect(await (await get('application/x-pem-file')).text()).toBe(certificate);
    expect(Buffer.from(await (await get('application/pkix-cert')).arrayBuffer())).toEqual(new X509Certificate(certificate).raw);
    expect((await get('text/html')).status).toBe(406);
    expect((await get('application/json', 'admin')).status).toBe(200);
    expect((await get('application/json', 'line-2')).status).toBe(404);
    expect((await plant.json('GET', `/v1/certificates/${serial}?ca=fleetroot-dev-root`, 'admin')).status).toBe(404);
    expect((await plant.json('GET', '/v1/certificates/xyz', 'admin')).body.code).toBe('certificate.serial-invalid');
  });

  it('is found by what is known of it, page by page, and only by who may see it', async () => {
    const partNumber = unique('SEARCH');
    const vin = 'WFR00000100000042';
    const serials: string[] = [];
    for (let i = 0; i < 3; i++) serials.unshift((await issue({ profile: 'ecu-client', ...(await item({ partNumber })) })).body.serial);
    const find = async (query: string, holder: 'line' | 'line-2' | 'auditor' = 'line') => (await plant.json('GET', `/v1/certificates?${query}`, holder)).body;
    const page = await find(`partNumber=${partNumber}&limit=2`);
    expect(page.items.map((one: { serial: string }) => one.serial)).toEqual(serials.slice(0, 2));
    const rest = await find(`partNumber=${partNumber}&limit=2&cursor=${page.nextCursor}`);
    expect([rest.items.map((one: { serial: string }) => one.serial), rest.nextCursor]).toEqual([serials.slice(2), null]);
    expect((await find(`serial=${serials[0]}`)).items).toHaveLength(1);
    expect((await find(`partNumber=${partNumber}&status=revoked`)).items).toHaveLength(0);
    expect((await find(`partNumber=${partNumber}&status=valid&expiresBefore=2020-01-01T00:00:00Z`)).items).toHaveLength(0);
    expect((await find(`partNumber=${partNumber}`, 'line-2')).items).toHaveLength(0);
    expect((await find(`partNumber=${partNumber}`, 'auditor')).items).toHaveLength(3);
    expect((await find(`vin=${vin}`, 'auditor')).items).toHaveLength(0);
    for (const bad of ['limit=0', 'limit=x', 'cursor=-1', 'status=good', 'nonsense=1', 'expiresBefore=tomorrow']) {
      expect(await plant.json('GET', `/v1/certificates?${bad}`, 'auditor')).toMatchObject({ status: 400, body: { code: 'http.query-invalid' } });
    }
  });

  it('is revoked once, for a stronger reason again, and seen on the CRL', async () => {
    const { body: { serial } } = await issue({ profile: 'ecu-client', ...(await item()) });
    const revoke = (reason: string, more = {}) => plant.json('POST', `/v1/certificates/${serial}/revocation`, 'security', { reason, ...more });
    const first = await revoke('superseded');
    expect(first).toMatchObject({ status: 200, body: { serial, ca: 'ecu-issuing', reason: 'superseded', changed: true } });
    expect((await revoke('superseded')).body).toEqual({ ...first.body, changed: false });
    expect((await revoke('keyCompromise')).body).toMatchObject({ reason: 'keyCompromise', revokedAt: first.body.revokedAt, changed: true });
    expect(await revoke('superseded')).toMatchObject({ status: 409, body: { code: 'revocation.conflict' } });
    expect((await plant.json('GET', `/v1/certificates/${serial}`, 'security')).body).toMatchObject({ status: 'revoked', revocation: { reason: 'keyCompromise' } });
    expect(await revoke('removeFromCRL')).toMatchObject({ status: 409, body: { code: 'revocation.conflict' } });
    for (const bad of ['aACompromise', 'whim']) expect((await revoke(bad)).status).toBe(400);
    expect((await revoke('keyCompromise', { invalidityDate: '2099-01-01T00:00:00Z' })).status).toBe(400);
    expect((await plant.json('POST', '/v1/certificates/0f/revocation', 'security', { reason: 'superseded' })).status).toBe(404);
  });
});

describe('resources', () => {
  it('truststores: PEM with a strong ETag, and a CRL of each CA', async () => {
    const list = (await plant.json('GET', '/v1/truststores', 'gateway')).body;
    expect(list.items).toMatchObject([{ name: 'ecu-clients', version: 1, cas: ['fleetroot-dev-root', 'ecu-issuing'] }]);
    for (const [path, label] of [['', 'CERTIFICATE'], ['/crls', 'X509 CRL']] as const) {
      const get = (headers: Record<string, string> = {}) => plant.fetch('GET', `/v1/truststores/ecu-clients${path}`, 'gateway', { headers });
      const response = await get();
      expect((await response.text()).match(new RegExp(`BEGIN ${label}`, 'g'))).toHaveLength(2);
      expect(response.headers.get('etag') ?? '').toMatch(/^"[\w-]+"$/);
      // A CRL may be published between two requests: what was revoked before is published for some seconds.
      await expect.poll(async () => {
        const again = await get({ 'if-none-match': (await get()).headers.get('etag') ?? '' });
        return [again.status, await again.text()];
      }, { timeout: 30_000 }).toEqual([304, '']);
    }
    expect((await plant.json('GET', '/v1/truststores/none', 'gateway')).body.code).toBe('truststore.not-found');
  });

  it('CAs and profiles', async () => {
    expect((await plant.json('GET', '/v1/cas', 'line')).body.items).toMatchObject([{ name: 'fleetroot-dev-root', parent: null }, { name: 'ecu-issuing', parent: 'fleetroot-dev-root', state: 'active' }]);
    expect((await plant.json('GET', '/v1/profiles', 'line')).body.items.map(({ name }: { name: string }) => name)).toContain('ecu-client');
  });

  it('principals: a token is told once, works, and ends with the next one', async () => {
    const make = (body: object) => plant.json('POST', '/v1/principals', 'admin', body);
    const first = await make({ name: 'audit-firm', roles: ['auditor'] });
    expect(first).toMatchObject({ status: 201, body: { name: 'audit-firm', roles: ['auditor'], token: expect.stringMatching(/^frt_/) } });
    const use = async (token: string) => (await fetch(`${plant.base}/v1/principals`, { headers: { authorization: `Bearer ${token}` } }));
    const seen = await use(first.body.token);
    expect(seen.status).toBe(200);
    expect(await seen.text()).not.toMatch(/frt_|[Ss]ha256/);
    await make({ name: 'audit-firm', roles: ['auditor'] });
    expect((await use(first.body.token)).status).toBe(401);
    for (const bad of [{ name: 'x', roles: ['system'] }, { name: 'api', roles: ['admin'] }, { name: 'X', roles: ['line'] }, { name: 'x', roles: [] }, { name: 'x', roles: ['line'], expiresAt: '2020-01-01T00:00:00Z' }]) {
      expect((await make(bad)).status).toBe(400);
    }
    expect(plant.logged()).not.toContain('frt_');
  });

  it('the audit chain holds, and holds no VIN', async () => {
    const text = await (await plant.fetch('GET', '/v1/audit', 'auditor')).text();
    const events = text.trim().split('\n').map((line) => JSON.parse(line) as { seq: number; payload: string; prevHash: string; hash: string });
    const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));
    const verdict = await verifyChain((async function* () {
      for (const { seq, payload, prevHash, hash } of events) yield { seq: BigInt(seq), payload, prevHash: bytes(prevHash), hash: bytes(hash) };
    })());
    expect(verdict).toMatchObject({ events: events.length });
    expect(verdict.breach).toBeUndefined();
    expect(text).not.toContain(VIN);
    expect((await (await plant.fetch('GET', '/v1/audit?from=3', 'auditor')).text()).split('\n')[0]).toContain('"seq":3,');
  });
});

describe('hostile connections', () => {
  const raw = (text: string, patience: number): Promise<string> => new Promise((resolve) => {
    const socket = connect(plant.port, '127.0.0.1');
    let answer = '';
    socket.on('data', (data) => (answer += data.toString()));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(answer));
    socket.write(text);
    setTimeout(() => socket.destroy(), patience);
  });
  it('what is not HTTP gets a problem and the end', async () => {
    expect(await raw('\x16\x03\x01\x02\x00\x01\x00\r\n\r\n', 3000)).toMatch(/^HTTP\/1\.1 400 [\s\S]*problem\+json[\s\S]*http\.body-invalid/);
    expect(await raw(`GET / HTTP/1.1\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`, 3000)).toMatch(/^HTTP\/1\.1 431 /);
  });
  it('a stranger\'s body is not read: the answer comes before it', async () => {
    const began = performance.now();
    const answer = await raw(`POST /v1/batches?profile=ecu-client HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ncontent-length: 100000000\r\n\r\n`, 10_000);
    expect(answer).toMatch(/^HTTP\/1\.1 401 [\s\S]*auth\.token-missing/);
    expect(performance.now() - began).toBeLessThan(5000);
  });
  it('a body that trickles is cut, and leaves nothing', async () => {
    const before = await counts();
    const line = `${JSON.stringify(await item())}\n`;
    const answer = await raw(`POST /v1/batches?profile=ecu-client HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${plant.token('line')}\r\ncontent-type: application/x-ndjson\r\nidempotency-key: trickle\r\ncontent-length: 1000000\r\n\r\n${line.repeat(60)}`, 10_000);
    expect(answer).toMatch(/^HTTP\/1\.1 408 [\s\S]*http\.timeout/);
    expect(await counts()).toEqual(before);
    const single = await raw(`POST /v1/certificates HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${plant.token('line')}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{`, 15_000);
    expect(single).toMatch(/^HTTP\/1\.1 408 [\s\S]*http\.timeout/);
  }, 30_000);
  it('no body or token is in any log', async () => {
    await sleep(50);
    expect(plant.logged()).not.toMatch(new RegExp(`${VIN}|Bearer|frt_|BEGIN CERTIFICATE`));
    expect(plant.logged()).not.toContain(plant.token('line').slice(4, 20));
  });
});
