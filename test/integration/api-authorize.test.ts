import { createHash, X509Certificate } from 'node:crypto';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { encodePem, extension, parseCertificate } from '@fleetroot/x509';
import { type ApiPlant, startApiPlant } from '../support/api-plant.ts';
import { asProxy } from '../support/authorize-client.ts';
import { p256Request } from '../support/csr.ts';
import { addCa, day, type RealCa } from '../support/ledger.ts';
import { certify, type CertificateFields, named, p256, type SoftwareCa } from '../support/software-ca.ts';

const VIN = '1M8GDM9AXKP042788';
/** By the address that they call from. */
const proxies = { escaped: '127.0.0.2', xfcc: '127.0.0.3', last: '127.0.0.4', clientCert: '127.0.0.5', token: '127.0.0.6', stranger: '127.0.0.1' };

let plant: ApiPlant;
let client: Client;
let ours: RealCa;
let other: RealCa;
let profile: number;
beforeAll(async () => {
  plant = await startApiPlant({
    authorizeStaleSeconds: 5,
    authorizeProxies: `escaped-pem=${proxies.escaped} xfcc=${proxies.xfcc} xfcc-last=${proxies.last}/32 client-cert=${proxies.clientCert}, escaped-pem=${proxies.token}+token`,
  });
  await plant.startIssuer();
  await plant.ready();
  client = new Client({ connectionString: plant.databaseUrl });
  await client.connect();
  [ours, other] = [await addCa(plant.store, 'plant-a'), await addCa(plant.store, 'plant-b')];
  profile = (await client.query<{ id: number }>("SELECT id FROM profile_version WHERE name = 'ecu-client' ORDER BY id DESC LIMIT 1")).rows[0]?.id ?? 0;
});
afterAll(async () => {
  await client?.end();
  await plant?.close();
});

const forClients = [extension.keyUsage(['digitalSignature']), extension.extendedKeyUsage(['clientAuth'])];
const forServers = [extension.keyUsage(['digitalSignature']), extension.extendedKeyUsage(['serverAuth'])];
const sha256 = (octets: Uint8Array): Buffer => createHash('sha256').update(octets).digest();
const pem = (der: Uint8Array): string => encodePem('CERTIFICATE', der);

let count = 0;
async function record(ca: RealCa, { certificate, spkiDer }: Pick<SoftwareCa, 'certificate' | 'spkiDer'>): Promise<void> {
  const { serial, notBefore, notAfter } = parseCertificate(certificate);
  const ecu = `AUTH-${++count}`;
  await client.query("INSERT INTO ecu (serial, part_number) VALUES ($1, 'PN-7')", [ecu]);
  await client.query(`INSERT INTO certificate (ca_id, serial, profile_version_id, ordinal, ecu_serial, spki_sha256, not_before, not_after, issued_at, der)
    VALUES ($1, $2, $3, 0, $4, $5, $6, $7, now(), $8)`, [ca.ca.id, Buffer.from(serial), profile, ecu, sha256(spkiDer), notBefore, notAfter, Buffer.from(certificate)]);
}

async function leaf(fields: Partial<CertificateFields> = {}, { by = ours, recorded = true } = {}): Promise<SoftwareCa> {
  const made = certify({ subject: named('ecu'), issuer: by.made, extensions: forClients, ...fields });
  if (recorded) await record(by, made);
  return made;
}

/** One after the other: they share a connection. */
async function leaves(n: number): Promise<SoftwareCa[]> {
  const all: SoftwareCa[] = [];
  for (let i = 0; i < n; i++) all.push(await leaf());
  return all;
}

/** Revocations as the ledger has them; the ways to them have tests of their own. */
async function revoke(ca: RealCa, { certificate }: SoftwareCa, reason: number): Promise<void> {
  await client.query(`INSERT INTO revocation (ca_id, serial, reason, revoked_at, not_after, principal_id) VALUES ($1, $2, $3, now(), $4, 1)
    ON CONFLICT (ca_id, serial) DO UPDATE SET reason = excluded.reason, released_at = NULL`,
  [ca.ca.id, Buffer.from(parseCertificate(certificate).serial), reason, parseCertificate(certificate).notAfter]);
}

const release = (ca: RealCa, { certificate }: SoftwareCa) =>
  client.query('UPDATE revocation SET released_at = now() WHERE ca_id = $1 AND serial = $2', [ca.ca.id, Buffer.from(parseCertificate(certificate).serial)]);

const ask = async (certificate: Uint8Array | string, more: object = {}) =>
  plant.json('POST', '/v1/authorize', 'gateway', { certificate: typeof certificate === 'string' ? certificate : pem(certificate), ...more });
const reasonOf = async (certificate: Uint8Array): Promise<string> => (await ask(certificate)).body.reason;

/** Until that reason is given: within a second where the machine is free. */
async function soon(certificate: Uint8Array, reason: string): Promise<void> {
  await expect.poll(() => reasonOf(certificate), { timeout: 5000, interval: 20 }).toBe(reason);
}

describe('a certificate of ours', () => {
  it('is allowed, with ECU, part number and VIN, which no log has', async () => {
    const { csr } = await p256Request();
    const issued = await plant.json('POST', '/v1/certificates', 'line', { profile: 'ecu-client', ecuSerial: 'AUTH-REAL', partNumber: 'PN-1', vin: VIN, csr });
    expect(issued.status, JSON.stringify(issued.body)).toBe(201);
    const x509 = new X509Certificate(issued.body.certificate);
    for (const text of [issued.body.certificate, x509.raw.toString('base64')]) {
      const { status, body } = await ask(text, { chain: issued.body.chain, truststore: 'ecu-clients' });
      expect(status).toBe(200);
      expect(body).toEqual({
        allowed: true, reason: 'allowed', detail: expect.any(String), ecuSerial: 'AUTH-REAL', partNumber: 'PN-1', vin: VIN,
        ca: 'ecu-issuing', serial: issued.body.serial, profile: 'ecu-client', notAfter: new Date(x509.validTo).toISOString(),
      });
    }
    const revoked = await plant.json('POST', `/v1/certificates/${issued.body.serial}/revocation`, 'security', { reason: 'keyCompromise' });
    expect(revoked.status).toBe(200);
    await soon(x509.raw, 'certificate.revoked');
    expect((await ask(x509.raw)).body).toMatchObject({ allowed: false, ecuSerial: 'AUTH-REAL', vin: VIN });
    expect(plant.logged()).not.toContain(VIN);
  });

  const later = new Date(Date.now() + 40 * day);
  const earlier = new Date(Date.now() - 40 * day);
  test.each<[string, () => Promise<Uint8Array>]>([
    ['allowed', async () => (await leaf()).certificate],
    ['certificate.expired', async () => (await leaf({ notAfter: earlier })).certificate],
    ['certificate.not-yet-valid', async () => (await leaf({ notBefore: later })).certificate],
    ['certificate.not-for-clients', async () => (await leaf({ extensions: forServers })).certificate],
    ['certificate.not-for-clients', async () => (await leaf({ extensions: [extension.keyUsage(['digitalSignature'])] })).certificate],
    ['certificate.not-for-clients', async () => ours.made.certificate],
    ['issuer.unknown', async () => certify({ subject: named('ecu'), issuer: certify({ subject: named('stranger') }), extensions: forClients }).certificate],
    ['certificate.signature-invalid', async () => certify({ subject: named('ecu'), issuer: ours.made, extensions: forClients, forged: true }).certificate],
    ['certificate.signature-invalid', async () => { const { certificate } = await leaf(); return certificate.with(certificate.length - 3, (certificate.at(-3) ?? 0) ^ 1); }],
    ['certificate.not-on-record', async () => (await leaf({}, { recorded: false })).certificate],
    ['certificate.altered', async () => (await leaf({ serial: 77_001 }), await leaf({ serial: 77_001 }, { recorded: false })).certificate],
  ])('gives %s', async (reason, make) => {
    const certificate = await make();
    const { status, body } = await ask(certificate);
    expect({ status, ...body }).toMatchObject({ status: 200, allowed: reason === 'allowed', reason });
  });

  it('of another CA with the same serial is judged by its own record', async () => {
    const [mine, theirs] = [await leaf({ serial: 88_001 }), await leaf({ serial: 88_001 }, { by: other })];
    await revoke(ours, mine, 4);
    await soon(mine.certificate, 'certificate.revoked');
    expect((await ask(theirs.certificate)).body).toMatchObject({ allowed: true, ca: 'plant-b' });
    expect((await ask(certify({ subject: named('ecu'), issuer: other.made, extensions: forClients, serial: 88_002 }).certificate)).body.reason).toBe('certificate.not-on-record');
  });

  it('counts its last second in', async () => {
    const end = new Date(Math.ceil(Date.now() / 1000) * 1000 + 1000);
    const { certificate } = await leaf({ notAfter: end });
    const before = await ask(certificate);
    if (Date.now() < end.getTime()) expect(before.body.reason).toBe('allowed');
    await expect.poll(() => reasonOf(certificate), { timeout: 5000, interval: 20 }).toBe('certificate.expired');
    expect(Date.now()).toBeGreaterThanOrEqual(end.getTime() + 1000);
  });
});

describe('what changes', () => {
  it('is known within a second: held, released, held again, revoked', async () => {
    const held = await leaf();
    await soon(held.certificate, 'allowed');
    await revoke(ours, held, 6);
    await soon(held.certificate, 'certificate.held');
    await release(ours, held);
    await soon(held.certificate, 'allowed');
    await revoke(ours, held, 6);
    await soon(held.certificate, 'certificate.held');
  });

  it('a blocked key: of another certificate with it too', async () => {
    const key = p256();
    const [shared, twin] = [await leaf({ key }), await leaf({ key }, { by: other })];
    await soon(twin.certificate, 'allowed');
    await client.query('BEGIN');
    await client.query("INSERT INTO subject_key (spki_sha256, owner, blocked) VALUES ($1, 'ecu:x', true)", [sha256(shared.spkiDer)]);
    await revoke(ours, shared, 1);
    await client.query('COMMIT');
    await soon(twin.certificate, 'key.blocked');
    await soon(shared.certificate, 'certificate.revoked');
  });

  it('many revocations in one statement', async () => {
    const all = await leaves(120);
    expect(new Set(await Promise.all(all.map(({ certificate }) => reasonOf(certificate))))).toEqual(new Set(['allowed']));
    await client.query(`INSERT INTO revocation (ca_id, serial, reason, revoked_at, not_after, principal_id)
      SELECT ca_id, serial, 4, now(), not_after, 1 FROM certificate WHERE serial = ANY($1) AND ca_id = $2`, [all.map(({ certificate }) => Buffer.from(parseCertificate(certificate).serial)), ours.ca.id]);
    for (const { certificate } of all) await soon(certificate, 'certificate.revoked');
  });

  it('what no notification told of: found by looking', async () => {
    const { certificate } = await leaf();
    await soon(certificate, 'allowed');
    await client.query('ALTER TABLE revocation DISABLE TRIGGER revocation_told');
    try {
      await client.query('INSERT INTO revocation (ca_id, serial, reason, revoked_at, not_after, principal_id) VALUES ($1, $2, 4, now(), now() + interval \'1 day\', 1)',
        [ours.ca.id, Buffer.from(parseCertificate(certificate).serial)]);
      await soon(certificate, 'certificate.revoked');
    } finally {
      await client.query('ALTER TABLE revocation ENABLE TRIGGER revocation_told');
    }
  });

  it('a burned serial is revoked', async () => {
    const { certificate } = await leaf();
    await client.query('INSERT INTO burned_serial (ca_id, serial, intent_id, not_after, burned_at) VALUES ($1, $2, 0, now() + interval \'1 day\', now())',
      [ours.ca.id, Buffer.from(parseCertificate(certificate).serial)]);
    expect(await reasonOf(certificate)).toBe('certificate.revoked');
  });

  it('a CA: retired, revoked with those below it, come on record', async () => {
    const fresh = certify({ subject: named('plant-c') });
    const early = certify({ subject: named('ecu'), issuer: fresh, extensions: forClients });
    expect(await reasonOf(early.certificate)).toBe('issuer.unknown');
    const ca = await addCa(plant.store, 'plant-c', undefined, { certificate: fresh.certificate, keyId: fresh.keyId });
    await record({ made: fresh, ca: ca.ca }, early);
    await soon(early.certificate, 'allowed');
    const below = await addCa(plant.store, 'plant-d', { made: fresh, ca: ca.ca }, { keyId: undefined });
    const lowest = await leaf({}, { by: below });
    await soon(lowest.certificate, 'allowed');
    await client.query("UPDATE ca SET state = 'retired' WHERE id = $1", [below.ca.id]);
    await soon(lowest.certificate, 'ca.not-trusted');
    expect((await plant.json('POST', '/v1/cas/plant-c/revocation', 'security', { reason: 'keyCompromise' })).status).toBe(200);
    await soon(early.certificate, 'ca.revoked');
    await soon(lowest.certificate, 'ca.revoked');
  });

  it('a truststore: its CRLs go on without those of a CA that is revoked, or below one that is', async () => {
    const gone = await addCa(plant.store, 'plant-gone');
    await addCa(plant.store, 'plant-below', gone);
    expect((await plant.json('PUT', '/v1/truststores/mixed', 'admin', { description: 'Mixed', cas: ['fleetroot-dev-root', 'plant-gone', 'plant-below', 'ecu-issuing'] })).status).toBe(200);
    const crls = () => plant.fetch('GET', '/v1/truststores/mixed/crls', 'gateway');
    expect((await crls()).status).toBe(503);
    // As it is until the next version of the truststore.
    await client.query("UPDATE ca SET state = 'compromised', revoked_at = now(), revocation_reason = 1 WHERE id = $1", [gone.ca.id]);
    await expect.poll(async () => (await crls()).status, { timeout: 10_000 }).toBe(200);
    const response = await crls();
    expect(response.headers.get('x-fleetroot-left-out')).toBe('plant-gone, plant-below');
    expect((await response.text()).match(/BEGIN X509 CRL/g)).toHaveLength(2);
    expect((await plant.fetch('GET', '/v1/truststores/ecu-clients/crls', 'gateway')).headers.has('x-fleetroot-left-out')).toBe(false);
  });

  it('a truststore: only CAs that are in it', async () => {
    const { certificate } = await leaf();
    expect((await ask(certificate, { truststore: 'ecu-clients' })).body.reason).toBe('truststore.not-member');
    expect(await ask(certificate, { truststore: 'none' })).toMatchObject({ status: 404, body: { code: 'truststore.not-found' } });
    expect((await plant.json('PUT', '/v1/truststores/plants', 'admin', { description: 'Plants', cas: ['plant-a'] })).status).toBe(200);
    await expect.poll(async () => (await ask(certificate, { truststore: 'plants' })).body.reason, { timeout: 5000 }).toBe('allowed');
  });
});

test.each<[string, object, number, string]>([
  ['no certificate', {}, 400, 'http.body-invalid'],
  ['another type', { certificate: 1 }, 400, 'http.body-invalid'],
  ['something else beside it', { certificate: 'x', vin: VIN }, 400, 'http.body-invalid'],
  ['no base64', { certificate: '!!' }, 400, 'certificate.malformed'],
  ['no DER', { certificate: 'AAAA' }, 400, 'certificate.malformed'],
  ['PEM of something else', { certificate: encodePem('PUBLIC KEY', new Uint8Array(20)) }, 400, 'certificate.malformed'],
  ['too much', { certificate: 'A'.repeat(40_000) }, 400, 'http.body-invalid'],
  ['a chain that is none', { certificate: 'AAAA', chain: ['-'] }, 400, 'certificate.malformed'],
])('a body with %s is refused', async (_, body, status, code) => {
  expect(await plant.json('POST', '/v1/authorize', 'gateway', body)).toMatchObject({ status, body: { code } });
});

describe('proxies', () => {
  let good: SoftwareCa;
  let bad: SoftwareCa;
  beforeAll(async () => {
    [good, bad] = [await leaf(), await leaf()];
    await revoke(ours, bad, 1);
  });
  const escaped = ({ certificate }: SoftwareCa): string => encodeURIComponent(pem(certificate));
  const hashOf = ({ certificate }: SoftwareCa): string => sha256(certificate).toString('hex');
  const item = ({ certificate }: SoftwareCa): string => `:${Buffer.from(certificate).toString('base64')}:`;
  const envoy = '/v1/authorize/envoy/telemetry/v2?x=1';

  type Case = [string, () => { from: string; path?: string; method?: string; headers: string[]; body?: string }, number, string];
  test.each<Case>([
    ['nginx: good', () => ({ from: proxies.escaped, headers: ['X-SSL-Client-Cert', escaped(good)] }), 204, 'allowed'],
    ['nginx: good, again', () => ({ from: proxies.escaped, headers: ['x-ssl-client-cert', escaped(good)] }), 204, 'allowed'],
    ['nginx: good, with a query', () => ({ from: proxies.escaped, path: '/v1/authorize/nginx?x=1', headers: ['X-SSL-Client-Cert', escaped(good)] }), 204, 'allowed'],
    ['nginx: good, by a path that is spelled in another way', () => ({ from: proxies.escaped, path: '/v1/authorize/%6eginx', headers: ['X-SSL-Client-Cert', escaped(good)] }), 204, 'allowed'],
    ['nginx: revoked, by a path that is spelled in another way', () => ({ from: proxies.escaped, path: '/v1/%61uthorize/nginx', headers: ['X-SSL-Client-Cert', escaped(bad)] }), 403, 'certificate.revoked'],
    ['nginx: revoked', () => ({ from: proxies.escaped, headers: ['X-SSL-Client-Cert', escaped(bad)] }), 403, 'certificate.revoked'],
    ['nginx: none', () => ({ from: proxies.escaped, headers: [] }), 401, 'certificate.missing'],
    ['nginx: an empty one', () => ({ from: proxies.escaped, headers: ['X-SSL-Client-Cert', ''] }), 401, 'certificate.missing'],
    ['nginx: twice the same', () => ({ from: proxies.escaped, headers: ['X-SSL-Client-Cert', escaped(good), 'x-ssl-client-cert', escaped(good)] }), 403, 'header.ambiguous'],
    ['nginx: a second one, in the form of others', () => ({ from: proxies.escaped, headers: ['X-SSL-Client-Cert', escaped(bad), 'Client-Cert', item(good)] }), 403, 'header.conflicting'],
    ['nginx: only in the form of others', () => ({ from: proxies.escaped, headers: ['X-Forwarded-Client-Cert', `Cert="${escaped(good)}"`] }), 403, 'header.conflicting'],
    ['nginx: not a certificate', () => ({ from: proxies.escaped, headers: ['X-SSL-Client-Cert', 'hello'] }), 403, 'header.malformed'],
    ['nginx: two in one', () => ({ from: proxies.escaped, headers: ['X-SSL-Client-Cert', escaped(good) + escaped(bad)] }), 403, 'header.malformed'],
    ['nginx: in a truststore without its CA', () => ({ from: proxies.escaped, headers: ['X-SSL-Client-Cert', escaped(good), 'X-Fleetroot-Truststore', 'ecu-clients'] }), 403, 'truststore.not-member'],
    ['nginx: in no truststore', () => ({ from: proxies.escaped, headers: ['X-SSL-Client-Cert', escaped(good), 'X-Fleetroot-Truststore', 'none'] }), 403, 'truststore.not-found'],
    ['a stranger', () => ({ from: proxies.stranger, headers: ['X-SSL-Client-Cert', escaped(good)] }), 403, 'proxy.unknown'],
    ['a stranger with a gateway\'s token', () => ({ from: proxies.stranger, headers: ['X-SSL-Client-Cert', escaped(good), 'X-Fleetroot-Proxy-Token', plant.token('gateway')] }), 403, 'proxy.unknown'],
    ['a proxy without its token', () => ({ from: proxies.token, headers: ['X-SSL-Client-Cert', escaped(good)] }), 403, 'proxy.token-invalid'],
    ['a proxy with the token of a line', () => ({ from: proxies.token, headers: ['X-SSL-Client-Cert', escaped(good), 'X-Fleetroot-Proxy-Token', plant.token('line')] }), 403, 'proxy.token-invalid'],
    ['a proxy with a token in Authorization, which is its client\'s', () => ({ from: proxies.token, headers: ['X-SSL-Client-Cert', escaped(good), 'Authorization', `Bearer ${plant.token('gateway')}`] }), 403, 'proxy.token-invalid'],
    ['a proxy with its token', () => ({ from: proxies.token, headers: ['X-SSL-Client-Cert', escaped(good), 'X-Fleetroot-Proxy-Token', plant.token('gateway')] }), 204, 'allowed'],
    ['Envoy: good', () => ({ from: proxies.xfcc, path: envoy, headers: ['x-forwarded-client-cert', `By=spiffe://edge;Hash=${hashOf(good)};Cert="${escaped(good)}";Subject="CN=\\"a, b;c=d\\"";URI=;DNS=a;DNS=b`] }), 200, 'allowed'],
    ['Envoy: with the method and body of its client', () => ({ from: proxies.xfcc, path: envoy, method: 'POST', body: 'x=1', headers: ['content-type', 'text/plain', 'content-length', '3', 'x-forwarded-client-cert', `Cert="${escaped(good)}"`] }), 200, 'allowed'],
    ['Envoy: revoked', () => ({ from: proxies.xfcc, path: envoy, method: 'PUT', headers: ['x-forwarded-client-cert', `Cert="${escaped(bad)}"`] }), 403, 'certificate.revoked'],
    ['Envoy: none', () => ({ from: proxies.xfcc, path: envoy, headers: [] }), 403, 'certificate.missing'],
    ['Envoy: the hash of another', () => ({ from: proxies.xfcc, path: envoy, headers: ['x-forwarded-client-cert', `Hash=${hashOf(good)};Cert="${escaped(bad)}"`] }), 403, 'header.conflicting'],
    ['Envoy: two elements', () => ({ from: proxies.xfcc, path: envoy, headers: ['x-forwarded-client-cert', `Cert="${escaped(good)}",Cert="${escaped(bad)}"`] }), 403, 'header.ambiguous'],
    ['Envoy, the last element counts: revoked', () => ({ from: proxies.last, path: envoy, headers: ['x-forwarded-client-cert', `Cert="${escaped(good)}",Cert="${escaped(bad)}"`] }), 403, 'certificate.revoked'],
    ['Envoy, the last element counts: good', () => ({ from: proxies.last, path: envoy, headers: ['x-forwarded-client-cert', `Cert="${escaped(bad)}",Cert="${escaped(good)}"`] }), 200, 'allowed'],
    ['RFC 9440: good', () => ({ from: proxies.clientCert, headers: ['Client-Cert', item(good)] }), 204, 'allowed'],
    ['RFC 9440: with a chain', () => ({ from: proxies.clientCert, headers: ['Client-Cert', item(good), 'Client-Cert-Chain', `${item(ours.made)}, ${item(other.made)}`] }), 204, 'allowed'],
    ['RFC 9440: revoked', () => ({ from: proxies.clientCert, headers: ['Client-Cert', item(bad)] }), 403, 'certificate.revoked'],
    ['RFC 9440: a chain alone', () => ({ from: proxies.clientCert, headers: ['Client-Cert-Chain', item(ours.made)] }), 403, 'header.conflicting'],
    ['RFC 9440: a chain that is none', () => ({ from: proxies.clientCert, headers: ['Client-Cert', item(good), 'Client-Cert-Chain', 'x'] }), 403, 'header.malformed'],
  ])('%s', async (_, make, status, reason) => {
    const answer = await asProxy(plant.port, make());
    expect({ status: answer.status, reason: answer.headers['x-fleetroot-reason'] }).toEqual({ status, reason });
    expect(answer.headers['cache-control']).toBe('no-store');
    if (reason === 'allowed') expect(answer.headers['x-fleetroot-part-number']).toBe('PN-7');
  });

  test.each([['POST', '/v1/authorize/nginx'], ['HEAD', '/v1/authorize/nginx'], ['GET', '/v1/authorize/nginxx'], ['GET', '/v1/authorize/envoy'], ['GET', '/v1/authorize']])(
    '%s %s is no question of a proxy', async (method, path) => {
      const { status, headers } = await asProxy(plant.port, { from: proxies.escaped, method, path, headers: ['X-SSL-Client-Cert', escaped(good)] });
      expect([404, 405]).toContain(status);
      expect(headers['x-fleetroot-reason']).toBeUndefined();
    });

  it('an answer says nothing of who was not told of, and each is counted', async () => {
    const { headers } = await asProxy(plant.port, { from: proxies.escaped });
    expect(headers).toMatchObject({ 'x-fleetroot-ecu': '', 'x-fleetroot-vin': '', 'www-authenticate': 'TLS realm="fleetroot"' });
    const metrics = await (await plant.fetch('GET', '/metrics', 'auditor')).text();
    expect(metrics).toMatch(/fleetroot_authorizations_total\{[^}]*form="escaped-pem",reason="allowed"[^}]*\} \d/);
  });
});

describe('the database', () => {
  const lookUps = async (): Promise<number> => Number(/^fleetroot_authorizer_ledger_queries\{.*\} (\d+)$/m.exec(await (await plant.fetch('GET', '/metrics', 'auditor')).text())?.[1]);

  it('is asked a few times for many certificates, once for one that many ask for, and not for strangers', async () => {
    const all = await leaves(300);
    const before = await lookUps();
    const answers = await Promise.all(all.map(({ certificate }) => asProxy(plant.port, { from: proxies.escaped, headers: ['X-SSL-Client-Cert', encodeURIComponent(pem(certificate))] })));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([204]));
    const asked = await lookUps() - before;
    expect(asked).toBeGreaterThan(0);
    expect(asked).toBeLessThan(300);
    const warm = await lookUps();
    for (const { certificate } of all.slice(0, 20)) expect(await reasonOf(certificate)).toBe('allowed');
    for (let i = 0; i < 20; i++) await ask(certify({ subject: named('ecu'), issuer: ours.made, extensions: forClients, forged: true }).certificate);
    expect(await lookUps()).toBe(warm);
  });

  it('may be away for a while: what is known goes on, what is not is refused, and at last nobody is let in', async () => {
    const known = await leaf();
    // One that is asked for before the database is gone is known from then on.
    const unknown: SoftwareCa[] = [];
    while (unknown.length < 30) unknown.push(await leaf());
    const send = async ({ certificate }: SoftwareCa) => (await asProxy(plant.port, { from: proxies.escaped, headers: ['X-SSL-Client-Cert', encodeURIComponent(pem(certificate))] })).headers['x-fleetroot-reason'];
    expect(await send(known)).toBe('allowed');
    await client.end();
    const back = plant.postgres.restart(8_000);
    await expect.poll(() => send(unknown.pop() ?? known), { timeout: 6000, interval: 250 }).toBe('status.unavailable');
    expect(await send(known)).toBe('allowed');
    expect((await ask(known.certificate)).body.reason).toBe('allowed');
    await expect.poll(() => send(known), { timeout: 14_000, interval: 200 }).toBe('status.unavailable');
    await back;
    await expect.poll(() => send(known), { timeout: 10_000, interval: 100 }).toBe('allowed');
    expect(await send(unknown.pop() ?? known)).toBe('allowed');
  }, 60_000);
});
