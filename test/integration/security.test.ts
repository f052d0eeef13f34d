import { X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { encodePem, extension } from '@fleetroot/x509';
import { type ApiPlant, startApiPlant } from '../support/api-plant.ts';
import { p256Csr } from '../support/csr.ts';
import { certify, named } from '../support/software-ca.ts';

let plant: ApiPlant;
let serial: string;
beforeAll(async () => {
  plant = await startApiPlant();
  await plant.startIssuer();
  await plant.ready();
  const { status, body } = await plant.json('POST', '/v1/certificates', 'line', { profile: 'ecu-client', ecuSerial: 'SEC-1', partNumber: 'PN-1', csr: await p256Csr() });
  expect(status, JSON.stringify(body)).toBe(201);
  serial = body.serial;
});
afterAll(() => plant?.close());

describe('what only a database would refuse', () => {
  const big = '9999999999999999999';
  test.each([
    [`/v1/certificates?cursor=${big}`, 400, 'http.query-invalid'],
    [`/v1/registrations?cursor=${big}`, 400, 'http.query-invalid'],
    ['/v1/certificates?ecuSerial=%00', 400, 'http.query-invalid'],
    ['/v1/certificates?partNumber=a%00b', 400, 'http.query-invalid'],
    ['/v1/certificates?expiresBefore=0000-01-01T00:00:00%2B23:59', 400, 'http.query-invalid'],
    ['/v1/truststores/%00', 404, 'truststore.not-found'],
    ['/v1/truststores/%00/crls', 404, 'truststore.not-found'],
  ])('%s', async (path, status, code) => {
    expect(await plant.json('GET', path, 'auditor')).toMatchObject({ status, body: { code } });
  });
});

describe('times that no certificate can hold', () => {
  it('as an invalidityDate would keep the CA from ever publishing a CRL again', async () => {
    for (const invalidityDate of ['0000-01-01T00:00:00+23:59', '0001-01-01T00:00:00Z', '2999-01-01T00:00:00Z']) {
      expect(await plant.json('POST', `/v1/certificates/${serial}/revocation`, 'security', { reason: 'keyCompromise', invalidityDate }))
        .toMatchObject({ status: 400, body: { code: 'http.body-invalid', field: 'invalidityDate' } });
    }
  });
  it('as the end of a token would make the list of principals unreadable', async () => {
    for (const expiresAt of ['9999-12-31T23:59:59-23:59', '2020-01-01T00:00:00Z']) {
      expect(await plant.json('POST', '/v1/principals', 'admin', { name: 'far', roles: ['line'], expiresAt })).toMatchObject({ status: 400, body: { code: 'http.body-invalid' } });
    }
    expect((await plant.json('GET', '/v1/principals', 'admin')).status).toBe(200);
  });
});

it('metrics are for auditor and admin', async () => {
  for (const [holder, status] of [[undefined, 401], ['line', 403], ['gateway', 403], ['security', 403], ['auditor', 200], ['admin', 200]] as const) {
    expect((await plant.fetch('GET', '/metrics', holder)).status, holder).toBe(status);
  }
});

it('one principal\'s key and batch are nothing to another, though they share the name of the key (I32)', async () => {
  const item = JSON.stringify({ ecuSerial: 'SEC-2', partNumber: 'PN-1', csr: await p256Csr() });
  const submit = (holder: 'line' | 'line-2', body: string) => plant.fetch('POST', '/v1/batches?profile=ecu-client', holder, {
    headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': 'shared' }, body,
  });
  const first = await (await submit('line', item)).json() as { id: string };
  const second = await submit('line-2', `${item}\n`);
  expect(second.status).toBe(202);
  expect((await second.json() as { id: string }).id).not.toBe(first.id);
  for (const path of ['', '/certificates', '/events']) {
    expect(await plant.json('GET', `/v1/batches/${first.id}${path}`, 'line-2')).toMatchObject({ status: 404, body: { code: 'batch.not-found' } });
  }
  expect(await plant.json('GET', `/v1/certificates/${serial}`, 'line-2')).toMatchObject({ status: 404, body: { code: 'certificate.not-found' } });
});

it('a flood of strangers does not fill the ledger', async () => {
  const stranger = certify({ subject: named('stranger'), extensions: [extension.keyUsage(['digitalSignature'])] });
  const cert = encodePem('CERTIFICATE', stranger.certificate);
  expect(new X509Certificate(cert).subject).toBe('CN=stranger');
  const knock = () => new Promise<number>((resolve, reject) => {
    const call = request({
      host: 'localhost', port: plant.api.devicePort(), path: '/v1/device/registration', method: 'POST', agent: false, rejectUnauthorized: false, key: stranger.keyPem, cert,
    }, (response) => { response.resume().on('end', () => resolve(response.statusCode ?? 0)); });
    call.on('error', reject).end();
  });
  const before = (await plant.json('GET', '/v1/registrations?limit=500', 'auditor')).body.items.length as number;
  expect(new Set(await Promise.all(Array.from({ length: 50 }, knock)))).toEqual(new Set([403]));
  const kept = (await plant.json('GET', '/v1/registrations?limit=500', 'auditor')).body.items.length - before;
  expect(kept).toBeGreaterThanOrEqual(5);
  // Twice as many where a minute ended meanwhile.
  expect(kept).toBeLessThanOrEqual(10);
});
