import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { encodePem, extension, type NamePart } from '@fleetroot/x509';
import { type ApiPlant, startApiPlant } from '../support/api-plant.ts';
import { p256Csr, p256Request } from '../support/csr.ts';
import { certify, named, type SoftwareCa } from '../support/software-ca.ts';

let plant: ApiPlant;
let root: string;
beforeAll(async () => {
  plant = await startApiPlant({ issueTimeoutMs: 1_500 });
});
afterAll(() => plant?.close());

interface Client {
  readonly key: string;
  /** PEM, its chain behind it. */
  readonly cert: string;
}

interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any;
}

function device(method: string, path: string, client: Client | undefined, body?: unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request({
      host: 'localhost', port: plant.api.devicePort(), path, method, ca: root, agent: false, ...client,
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' } }),
    }, (response) => {
      let text = '';
      response.on('data', (data: Buffer) => (text += data.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'], body: JSON.parse(text) }));
    });
    call.on('error', reject);
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const ecuName = (ecuSerial: string, partNumber = 'TCU-1'): NamePart[] => [{ type: 'serialNumber', value: ecuSerial }, { type: 'commonName', value: partNumber }];
const leafRights = [extension.keyUsage(['digitalSignature']), extension.extendedKeyUsage(['clientAuth'])];
const clientOf = (ecu: SoftwareCa, ...above: readonly SoftwareCa[]): Client => ({
  key: ecu.keyPem, cert: [ecu, ...above].map(({ certificate }) => encodePem('CERTIFICATE', certificate)).join(''),
});

describe('before there is an issuer', () => {
  it('readyz says what is missing, and the device listener is not up', async () => {
    const { status, body } = await plant.json('GET', '/readyz');
    expect(status).toBe(503);
    expect(body).toMatchObject({
      ready: false,
      checks: {
        database: { ready: true }, queue: { ready: true }, 'issuing-ca': { ready: true },
        issuer: { ready: false, reason: 'no issuer was ever heard of' },
        crl: { ready: false, reason: expect.stringMatching(/no CRL yet/) },
        'device-listener': { ready: false, reason: expect.stringMatching(/^the device listener is not up: /) },
      },
    });
    expect(plant.api.devicePort()).toBeUndefined();
  });
  it('a single request ends in time and names the batch, where the certificate comes to be later', async () => {
    const asked = { profile: 'ecu-client', ecuSerial: 'LATE-1', partNumber: 'PN-1', csr: await p256Csr() };
    const late = await plant.json('POST', '/v1/certificates', 'line', asked, { 'idempotency-key': 'late' });
    expect(late).toMatchObject({ status: 504, body: { code: 'issuance.timeout', batch: expect.stringMatching(/^[0-9a-f-]{36}$/) } });
    await plant.startIssuer();
    await plant.ready();
    await expect.poll(async () => (await plant.json('GET', `/v1/batches/${late.body.batch}`, 'line')).body.issued, { timeout: 20_000 }).toBe(1);
    expect((await plant.json('POST', '/v1/certificates', 'line', asked, { 'idempotency-key': 'late' })).status).toBe(201);
    root = (await plant.json('GET', '/v1/cas', 'admin')).body.items[0].certificate;
  });
});

describe('the device listener', () => {
  it('has a certificate of our own CA, its key in a file of its own, and TLS 1.2 or later', async () => {
    const folder = join(plant.dir, 'device-tls');
    expect([statSync(folder).mode & 0o777, statSync(join(folder, 'device-tls.pem')).mode & 0o777]).toEqual([0o700, 0o600]);
    const leaf = new X509Certificate(readFileSync(join(folder, 'device-tls.pem'), 'utf8').replace(/^[\s\S]*?(?=-----BEGIN CERT)/, ''));
    expect(leaf.subjectAltName).toBe('DNS:localhost');
    const old = connect({ host: 'localhost', port: plant.api.devicePort() ?? 0, ca: root, maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT:@SECLEVEL=0' });
    expect(await new Promise((resolve) => { old.on('secureConnect', () => resolve('connected')); old.on('error', () => resolve('refused')); })).toBe('refused');
  });

  it('answers errors as problems', async () => {
    expect(await device('GET', '/nothing', undefined)).toMatchObject({ status: 404, type: 'application/problem+json', body: { code: 'http.not-found' } });
    expect(await device('GET', '/v1/device/registration', undefined)).toMatchObject({ status: 405, body: { code: 'http.method-not-allowed' } });
    expect(await device('POST', '/v1/device/registration', undefined, {})).toMatchObject({ status: 401, body: { code: 'registration.certificate-missing' } });
    expect(await device('GET', '/v1/device/renewal', undefined)).toMatchObject({ status: 401, body: { code: 'registration.certificate-missing' } });
    expect(await device('GET', '/v1/cas', undefined)).toMatchObject({ status: 404 });
  });
});

describe('a first connection', () => {
  const supplierCa = certify({ subject: named('Tier One CA') });
  const line = certify({ subject: named('Tier One Line 3'), issuer: supplierCa });
  const ecu = certify({ subject: ecuName('JIT-1'), issuer: line, extensions: leafRights });

  it('is refused before its supplier is registered', async () => {
    expect(await device('POST', '/v1/device/registration', clientOf(ecu, line), {})).toMatchObject({ status: 403, body: { code: 'registration.issuer-unknown' } });
    const pem = encodePem('CERTIFICATE', supplierCa.certificate);
    expect(await plant.json('POST', '/v1/suppliers', 'admin', { name: 'tier-one', certificate: pem })).toMatchObject({ status: 201, body: { name: 'tier-one', disabledAt: null } });
    expect(await plant.json('POST', '/v1/suppliers', 'admin', { name: 'tier-one', certificate: pem })).toMatchObject({ status: 409, body: { code: 'supplier.conflict' } });
    for (const certificate of ['', 'x', encodePem('CERTIFICATE', ecu.certificate), encodePem('CERTIFICATE REQUEST', supplierCa.certificate), `${pem}${pem}`]) {
      expect(await plant.json('POST', '/v1/suppliers', 'admin', { name: 'tier-two', certificate })).toMatchObject({ status: 400, body: { code: 'supplier.certificate-invalid' } });
    }
  });

  it('registers the ECU once, and gives it its operational certificate', async () => {
    const { key, csr } = await p256Request();
    const first = await device('POST', '/v1/device/registration', clientOf(ecu, line), { csr });
    expect(first).toMatchObject({ status: 201, body: { outcome: 'registered', ecuSerial: 'JIT-1', partNumber: 'TCU-1' } });
    const certificate = new X509Certificate(first.body.certificate);
    expect(certificate.subject).toBe('OU=TCU-1\nCN=JIT-1');
    expect(certificate.verify(new X509Certificate(first.body.chain[0]).publicKey)).toBe(true);
    const second = await device('POST', '/v1/device/registration', clientOf(ecu, line));
    expect(second).toMatchObject({ status: 201, body: { outcome: 'known', ecuSerial: 'JIT-1' } });
    expect(second.body.certificate).toBeUndefined();
    const cert = `${first.body.certificate}${first.body.chain[0]}`;
    expect(await device('GET', '/v1/device/renewal', { key, cert })).toMatchObject({ status: 200, body: { due: false, notAfter: certificate.validToDate.toISOString() } });
  });

  test.each([
    ['without its chain', () => clientOf(ecu), 403, 'registration.issuer-unknown'],
    ['with an expired certificate', () => clientOf(certify({ subject: ecuName('JIT-2'), issuer: line, extensions: leafRights, notAfter: new Date('2026-02-01') }), line), 403, 'registration.certificate-expired'],
    ['with a forged certificate', () => clientOf(certify({ subject: ecuName('JIT-2'), issuer: line, extensions: leafRights, forged: true }), line), 403, 'registration.path-invalid'],
    ['without a name', () => clientOf(certify({ subject: named('x'), issuer: line, extensions: leafRights }), line), 403, 'registration.identity-missing'],
    ['with another key', () => clientOf(certify({ subject: ecuName('JIT-1'), issuer: line, extensions: leafRights }), line), 409, 'registration.identity-conflict'],
    ['with its own signature only', () => clientOf(certify({ subject: ecuName('JIT-2'), extensions: leafRights })), 403, 'registration.issuer-unknown'],
  ] as const)('%s is refused, and kept with its reason', async (_, client, status, code) => {
    expect(await device('POST', '/v1/device/registration', client(), {})).toMatchObject({ status, type: 'application/problem+json', body: { code } });
    const { body } = await plant.json('GET', '/v1/registrations?limit=1', 'auditor');
    expect(body.items[0]).toMatchObject({ outcome: 'refused', code });
  });

  it('with a bad request registers, and issues nothing', async () => {
    const other = certify({ subject: ecuName('JIT-3'), issuer: line, extensions: leafRights });
    const bad = readFileSync(new URL('../corpus/csr/bad/signature-bit-flipped.der', import.meta.url)).toString('base64');
    expect(await device('POST', '/v1/device/registration', clientOf(other, line), { csr: bad })).toMatchObject({ status: 400, body: { code: 'request.signature-invalid' } });
    expect((await plant.json('GET', '/v1/certificates?ecuSerial=JIT-3', 'auditor')).body.items).toEqual([]);
  });
});

describe('a renewal', () => {
  const fit = async (ecuSerial: string): Promise<Client & { serial: string }> => {
    const { key, csr } = await p256Request();
    const { status, body } = await plant.json('POST', '/v1/certificates', 'line', { profile: 'ecu-client-vin', ecuSerial, partNumber: 'PN-1', vin: '1M8GDM9AXKP042788', csr });
    expect(status, JSON.stringify(body)).toBe(201);
    return { key, cert: `${body.certificate}${body.chain[0]}`, serial: body.serial };
  };

  it('is due when the schedule says so, and keeps profile, ECU and vehicle', async () => {
    const ecu = await fit('REN-1');
    expect((await device('GET', '/v1/device/renewal', ecu)).body.due).toBe(false);
    const until = new Date(Date.now() + 3650 * 86_400_000);
    await plant.store.certificates.markRenewalDue(new Date(), until, 1000, (count) => ({ action: 'renewal.due', actor: 'system:test', at: new Date(), subject: 'test', data: { count } }));
    expect((await device('GET', '/v1/device/renewal', ecu)).body.due).toBe(true);
    const renewed = await device('POST', '/v1/device/renewal', ecu, { csr: await p256Csr() });
    expect(renewed.status).toBe(201);
    const certificate = new X509Certificate(renewed.body.certificate);
    expect([certificate.subject, certificate.subjectAltName]).toEqual(['OU=PN-1\nCN=REN-1', 'URI:urn:vin:1M8GDM9AXKP042788']);
  });

  it('is refused to a revoked certificate and to a factory certificate', async () => {
    const ecu = await fit('REN-2');
    await plant.json('POST', `/v1/certificates/${ecu.serial}/revocation`, 'security', { reason: 'keyCompromise' });
    expect(await device('POST', '/v1/device/renewal', ecu, { csr: await p256Csr() })).toMatchObject({ status: 403, body: { code: 'registration.certificate-revoked' } });
    expect((await plant.json('GET', '/v1/registrations?limit=1', 'auditor')).body.items[0]).toMatchObject({ outcome: 'refused', code: 'registration.certificate-revoked' });
    const factory = clientOf(certify({ subject: ecuName('REN-2'), issuer: certify({ subject: named('Elsewhere') }), extensions: leafRights }));
    expect(await device('GET', '/v1/device/renewal', factory)).toMatchObject({ status: 403, body: { code: 'registration.not-registered' } });
  });
});

describe('CAs that come and go', () => {
  const organisation = 'Fleetroot Development';
  const next = `ceremony: Next generation
authorities:
  - name: ecu-issuing-g2
    parent: fleetroot-dev-root
    succeeds: ecu-issuing
    key: p-256
    subject: { organizationName: ${organisation}, commonName: ECU Issuing CA G2 }
    years: 5
    pathLength: 0
`;
  const issue = async (ecuSerial: string): Promise<Client> => {
    const { key, csr } = await p256Request();
    const { status, body } = await plant.json('POST', '/v1/certificates', 'line', { profile: 'ecu-client', ecuSerial, partNumber: 'PN-1', csr });
    expect(status, JSON.stringify(body)).toBe(201);
    return { key, cert: `${body.certificate}${body.chain[0]}` };
  };

  it('an ECU of the generation before renews with the next one, until its CA is revoked', async () => {
    const ecu = await issue('GEN-1');
    const held = (await plant.ceremony(next)).authorities[0];
    const imported = await plant.json('POST', '/v1/cas', 'admin', {
      name: 'ecu-issuing-g2', certificate: encodePem('CERTIFICATE', held?.certificate ?? new Uint8Array()), keyId: Buffer.from(held?.keyId ?? []).toString('hex'), succeeds: 'ecu-issuing',
    });
    expect(imported).toMatchObject({ status: 201, body: { state: 'prepared', parent: 'fleetroot-dev-root' } });
    await plant.publishCrls();
    expect((await plant.json('PUT', '/v1/cas/ecu-issuing/succession', 'admin', { successor: 'ecu-issuing-g2', switchAt: new Date().toISOString() })).status).toBe(200);
    const old = (await plant.json('GET', '/v1/cas/ecu-issuing', 'admin')).body;
    const all = await plant.store.authorities.all();
    expect(await plant.store.authorities.switchOver(all.find(({ name }) => name === 'ecu-issuing')?.id ?? 0, new Date(), { action: 'ca.switched', actor: 'system:test', at: new Date(), subject: 'ca:ecu-issuing', data: {} })).toBe(true);

    const renewed = await device('POST', '/v1/device/renewal', ecu, { csr: await p256Csr() });
    expect(renewed.status, JSON.stringify(renewed.body)).toBe(201);
    expect(new X509Certificate(renewed.body.certificate).issuer).toContain('CN=ECU Issuing CA G2');
    expect(new X509Certificate(renewed.body.chain[0]).subject).toContain('CN=ECU Issuing CA G2');
    expect(await device('GET', '/v1/device/renewal', ecu)).toMatchObject({ status: 200 });

    expect(await plant.json('POST', `/v1/cas/${old.name}/revocation`, 'security', { reason: 'cACompromise' })).toMatchObject({ status: 200, body: { state: 'compromised' } });
    expect(await device('POST', '/v1/device/renewal', ecu, { csr: await p256Csr() })).toMatchObject({ status: 403, body: { code: 'registration.certificate-revoked' } });
    expect((await plant.json('GET', '/v1/registrations?limit=1', 'auditor')).body.items[0]).toMatchObject({ outcome: 'refused', code: 'registration.certificate-revoked' });
  });

  it('a first connection is refused once its supplier\'s CA, which is on record, is revoked', async () => {
    const supplierCa = certify({ subject: named('Tier Two CA') });
    const certificate = encodePem('CERTIFICATE', supplierCa.certificate);
    const ecu = (serial: string) => clientOf(certify({ subject: ecuName(serial), issuer: supplierCa, extensions: leafRights }));
    expect((await plant.json('POST', '/v1/suppliers', 'admin', { name: 'tier-two', certificate })).status).toBe(201);
    expect(await plant.json('POST', '/v1/cas', 'admin', { name: 'tier-two-ca', certificate, labels: { supplier: 'tier-two' } })).toMatchObject({ status: 201, body: { state: 'active', keyOnline: false } });
    expect((await device('POST', '/v1/device/registration', ecu('T2-1'), {})).status).toBe(201);
    expect((await plant.json('POST', '/v1/cas/tier-two-ca/revocation', 'security', { reason: 'keyCompromise' })).status).toBe(200);
    expect(await device('POST', '/v1/device/registration', ecu('T2-2'), {})).toMatchObject({ status: 403, body: { code: 'registration.certificate-revoked' } });
  });
});
