import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { encodeName, encodePem, extension } from '@fleetroot/x509';
import { type ApiPlant, startApiPlant } from '../support/api-plant.ts';
import { p256Csr } from '../support/csr.ts';
import { openssl } from '../support/openssl.ts';
import { certify, type CertificateFields, named, type SoftwareCa } from '../support/software-ca.ts';

const plan = `ceremony: A second brand, and the next generation of the first
authorities:
  - name: north-root
    key: p-256
    subject: { organizationName: North, commonName: North Root }
    years: 20
    pathLength: 1
    labels: { brand: north }
  - name: north-issuing
    parent: north-root
    key: p-256
    subject: { organizationName: North, commonName: North ECU Issuing }
    years: 10
    pathLength: 0
    labels: { brand: north, plant: kiruna }
  - name: ecu-issuing-g2
    parent: fleetroot-dev-root
    key: p-384
    subject: { organizationName: Fleetroot Development, commonName: ECU Issuing G2 }
    years: 10
    pathLength: 0
    succeeds: ecu-issuing
    labels: { brand: south }
`;

let plant: ApiPlant;
let folder: string;
beforeAll(async () => {
  plant = await startApiPlant({ issueTimeoutMs: 15_000 });
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-hierarchy-'));
  await plant.startIssuer();
  await plant.ready();
});
afterAll(async () => {
  await plant?.close();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

const pem = (ca: { certificate: Uint8Array }): string => encodePem('CERTIFICATE', ca.certificate);
const add = (name: string, certificate: string, more: object = {}) => plant.json('POST', '/v1/cas', 'admin', { name, certificate, ...more });
const ca = async (name: string) => (await plant.json('GET', `/v1/cas/${name}`, 'auditor')).body;
const trusted = async (name: string): Promise<string[]> =>
  (await plant.json('GET', '/v1/truststores', 'auditor')).body.items.find((one: { name: string }) => one.name === name)?.cas;
const state = (name: string, to: string) => plant.json('POST', `/v1/cas/${name}/state`, 'admin', { state: to });
const revoke = (name: string, reason: string, more: object = {}) => plant.json('POST', `/v1/cas/${name}/revocation`, 'security', { reason, ...more });

let count = 0;
async function issue(fields: object = {}, holder: 'line' | 'line-2' = 'line') {
  return plant.json('POST', '/v1/certificates', holder, { profile: 'ecu-client', ecuSerial: `H-${++count}`, partNumber: 'PN-1', csr: await p256Csr(), ...fields });
}
const issuerOf = (body: { certificate: string }): string => new X509Certificate(body.certificate).issuer;

describe('CAs that a ceremony made', () => {
  it('come on record prepared, below the one that signed them, with labels; a second time as they are', async () => {
    const { authorities } = await plant.ceremony(plan);
    for (const { name, certificate, keyId, labels, succeeds } of authorities) {
      const body = { keyId: Buffer.from(keyId ?? []).toString('hex'), labels, ...(succeeds === undefined ? {} : { succeeds }) };
      const first = await add(name, pem({ certificate }), body);
      expect(first, JSON.stringify(first.body)).toMatchObject({ status: 201, body: { name, state: 'prepared', keyOnline: true, trusted: true, labels } });
      expect(first.headers.get('location')).toBe(`/v1/cas/${name}`);
      expect(await add(name, pem({ certificate }), body)).toMatchObject({ status: 200, body: { name, state: 'prepared' } });
    }
    expect(await ca('north-root')).toMatchObject({ parent: null, children: ['north-issuing'], issues: false });
    expect(await ca('north-issuing')).toMatchObject({ parent: 'north-root', issues: false, issuingGeneration: null, signatureAlgorithm: 'ecdsa-sha256', certificates: [{ kind: 'ca', subject: 'north-issuing', issuer: 'north-root' }] });
    expect(await ca('ecu-issuing')).toMatchObject({ issues: true, issuingGeneration: 'ecu-issuing', successor: 'ecu-issuing-g2' });
  });

  it('are found by state and labels', async () => {
    const find = async (query: string): Promise<string[]> => (await plant.json('GET', `/v1/cas?${query}`, 'line')).body.items.map(({ name }: { name: string }) => name);
    expect(await find('label.brand=north')).toEqual(['north-root', 'north-issuing']);
    expect(await find('label.brand=north&label.plant=kiruna')).toEqual(['north-issuing']);
    expect(await find('label.brand=west')).toEqual([]);
    expect(await find('state=active')).toEqual(['fleetroot-dev-root', 'ecu-issuing']);
    for (const bad of ['state=good', 'brand=north', 'label.=x', 'label.Brand=x']) expect((await plant.json('GET', `/v1/cas?${bad}`, 'line')).status).toBe(400);
  });

  it('have a chain, which openssl verifies', async () => {
    const chain = await (await plant.fetch('GET', '/v1/cas/north-issuing/chain', 'line')).text();
    const [issuing = '', root = ''] = chain.split(/(?<=-----END CERTIFICATE-----\n)/);
    writeFileSync(join(folder, 'root.pem'), root);
    writeFileSync(join(folder, 'issuing.pem'), issuing);
    expect(openssl(['verify', '-CAfile', join(folder, 'root.pem'), join(folder, 'issuing.pem')])).toContain('OK');
    expect((await plant.json('GET', '/v1/cas/north-issuing/chain', 'line', undefined, { accept: 'application/json' })).body).toEqual({ items: [issuing, root] });
    expect(await plant.json('GET', '/v1/cas/none/chain', 'line', undefined, { accept: 'application/json' })).toMatchObject({ status: 404, body: { code: 'ca.not-found' } });
  });

  it('are made active when they have a CRL, and not before', async () => {
    expect(await state('north-issuing', 'active')).toMatchObject({ status: 409, body: { code: 'ca.state-refused', detail: expect.stringMatching(/no current CRL/) } });
    await plant.publishCrls();
    await expect.poll(async () => (await ca('north-issuing')).crl?.current, { timeout: 20_000 }).toBe(true);
    expect(await state('north-issuing', 'active')).toMatchObject({ status: 200, body: { state: 'active' } });
    expect(await state('north-issuing', 'active')).toMatchObject({ status: 200, body: { state: 'active' } });
    expect(await ca('north-issuing')).toMatchObject({ issues: true, issuingGeneration: 'north-issuing' });
    for (const [name, to] of [['north-issuing', 'retired'], ['north-root', 'retiring']] as const) {
      expect(await state(name, to)).toMatchObject({ status: 409, body: { code: 'ca.state-refused' } });
    }
    expect((await state('north-issuing', 'compromised')).status).toBe(400);
  });
});

describe('which CA issues', () => {
  it('is the installation\'s for whoever has no other, and nobody learns of the others', async () => {
    expect(issuerOf((await issue()).body)).toContain('CN=Fleetroot Development ECU Issuing CA');
    const known = await issue({ ca: 'north-issuing' });
    const unknown = await issue({ ca: 'no-such-ca' });
    expect(known).toMatchObject({ status: 403, body: { code: 'ca.forbidden' } });
    expect({ ...unknown.body, instance: '' }).toEqual({ ...known.body, instance: '' });
    const batch = await plant.json('POST', '/v1/batches', 'line', { profile: 'ecu-client', ca: 'north-issuing', items: [{}] }, { 'idempotency-key': 'forbidden' });
    expect(batch).toMatchObject({ status: 403, body: { code: 'ca.forbidden' } });
  });

  it('is chosen among those that the principal has', async () => {
    expect(await plant.json('POST', '/v1/principals', 'admin', { name: 'line-north', roles: ['line'], authorities: ['no-such-ca'] })).toMatchObject({ status: 400, body: { code: 'http.body-invalid', field: 'authorities' } });
    const granted = (await plant.json('POST', '/v1/principals', 'admin', { name: 'line-north', roles: ['line'], authorities: ['north-issuing'] })).body;
    expect(granted.authorities).toEqual(['north-issuing']);
    const send = async (path: string, body: object, headers: Record<string, string> = {}) => {
      const response = await fetch(`${plant.base}${path}`, { method: 'POST', headers: { authorization: `Bearer ${granted.token}`, 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) });
      // oxlint-disable-next-line typescript/no-explicit-any
      return { status: response.status, body: (await response.json()) as any };
    };
    const item = async () => ({ ecuSerial: `H-${++count}`, partNumber: 'PN-1', csr: await p256Csr() });
    // The only one that it has, asked for or not.
    for (const more of [{}, { ca: 'north-issuing' }]) {
      const { status, body } = await send('/v1/certificates', { profile: 'ecu-client', ...await item(), ...more });
      expect(status, JSON.stringify(body)).toBe(201);
      expect(issuerOf(body)).toContain('CN=North ECU Issuing');
      expect(body.chain.map((one: string) => new X509Certificate(one).subject.split('\n').at(-1))).toEqual(['CN=North ECU Issuing', 'CN=North Root']);
    }
    expect((await send('/v1/certificates', { profile: 'ecu-client', ...await item(), ca: 'ecu-issuing' })).body.code).toBe('ca.forbidden');
    const items = [await item(), await item()];
    const accepted = await send('/v1/batches', { profile: 'ecu-client', ca: 'north-issuing', items }, { 'idempotency-key': 'north' });
    expect(accepted.status, JSON.stringify(accepted.body)).toBe(202);
    const lines = await (await fetch(`${plant.base}/v1/batches/${accepted.body.id}/certificates?format=pem`, { headers: { authorization: `Bearer ${granted.token}` } })).text();
    for (const line of lines.trim().split('\n')) expect(issuerOf(JSON.parse(line))).toContain('CN=North ECU Issuing');
    expect((await send('/v1/batches', { profile: 'ecu-client', ca: 'north-issuing', items }, { 'idempotency-key': 'north' })).status).toBe(200);
    // With several it says which; one key is one CA.
    const both = (await plant.json('POST', '/v1/principals', 'admin', { name: 'line-both', roles: ['line'], authorities: ['north-issuing', 'ecu-issuing'] })).body;
    const line = `${JSON.stringify(await item())}\n`;
    const stream = async (query: string) => {
      const response = await fetch(`${plant.base}/v1/batches?profile=ecu-client${query}`, { method: 'POST', headers: { authorization: `Bearer ${both.token}`, 'content-type': 'application/x-ndjson', 'idempotency-key': 'both' }, body: line });
      // oxlint-disable-next-line typescript/no-explicit-any
      return [response.status, ((await response.json()) as any).code];
    };
    expect(await stream('&ca=no-such-ca')).toEqual([403, 'ca.forbidden']);
    expect(await stream('&ca=north-issuing')).toEqual([202, undefined]);
    expect(await stream('&ca=north-issuing')).toEqual([200, undefined]);
    expect(await stream('&ca=ecu-issuing')).toEqual([409, 'idempotency.conflict']);
    // A new token keeps them; an empty list takes them.
    expect((await plant.json('POST', '/v1/principals', 'admin', { name: 'line-north', roles: ['line'] })).body.authorities).toEqual(['north-issuing']);
    expect((await plant.json('POST', '/v1/principals', 'admin', { name: 'line-north', roles: ['line'], authorities: [] })).body.authorities).toEqual([]);
  });
});

describe('a rollover', () => {
  const g2 = (body: object) => plant.json('PUT', '/v1/cas/ecu-issuing/succession', 'admin', body);
  it('is set, changed and taken back before its time', async () => {
    // The next generation came into the truststore with its import: every gateway knows it before it issues.
    expect(await trusted('ecu-clients')).toEqual(['fleetroot-dev-root', 'ecu-issuing', 'ecu-issuing-g2']);
    const free = await plant.json('DELETE', '/v1/cas/ecu-issuing/succession', 'admin');
    expect(free).toMatchObject({ status: 200, body: { successor: null, switchAt: null } });
    expect((await plant.json('DELETE', '/v1/cas/ecu-issuing/succession', 'admin')).status).toBe(200);
    const switchAt = new Date(Date.now() + 86_400_000).toISOString();
    for (const bad of [{ successor: 'north-issuing', switchAt }, { successor: 'ecu-issuing', switchAt }, { successor: 'ecu-issuing-g2', switchAt: '2026-01-01T00:00:00Z' }, { successor: 'ecu-issuing-g2', switchAt: '2099-01-01T00:00:00Z' }]) {
      expect(await g2(bad)).toMatchObject({ status: 409, body: { code: 'ca.state-refused' } });
    }
    expect((await g2({ successor: 'none', switchAt })).status).toBe(404);
    expect((await g2({ successor: 'ecu-issuing-g2', switchAt: 'soon' })).status).toBe(400);
    expect(await g2({ successor: 'ecu-issuing-g2', switchAt })).toMatchObject({ status: 200, body: { successor: 'ecu-issuing-g2', switchAt } });
  });

  it('is switched at its time: whoever asked for the one gets the other', async () => {
    expect((await g2({ successor: 'ecu-issuing-g2', switchAt: new Date().toISOString() })).status).toBe(200);
    const all = await plant.store.authorities.all();
    const id = all.find(({ name }) => name === 'ecu-issuing')?.id ?? 0;
    expect(await plant.store.authorities.switchOver(id, new Date(), { action: 'ca.switched', actor: 'system:test', at: new Date(), subject: 'ca:ecu-issuing', data: {} })).toBe(true);
    expect(await ca('ecu-issuing')).toMatchObject({ state: 'retiring', issues: false, issuingGeneration: 'ecu-issuing-g2' });
    for (const fields of [{}, { ca: 'ecu-issuing' }, { ca: 'ecu-issuing-g2' }]) {
      const { status, body } = await issue(fields);
      expect(status, JSON.stringify(body)).toBe(201);
      expect(issuerOf(body)).toContain('CN=ECU Issuing G2');
      expect(new X509Certificate(body.certificate).verify(new X509Certificate(body.chain[0]).publicKey)).toBe(true);
    }
    expect(await plant.json('DELETE', '/v1/cas/ecu-issuing/succession', 'admin')).toMatchObject({ status: 409, body: { code: 'ca.state-refused' } });
    expect(await state('ecu-issuing', 'retired')).toMatchObject({ status: 409, body: { detail: expect.stringMatching(/valid until/) } });
    expect((await plant.json('GET', '/readyz')).status).toBe(200);
  });
});

/** A hierarchy elsewhere, made by openssl. */
class Elsewhere {
  readonly root: string;
  readonly sub: string;

  constructor() {
    const config = join(folder, 'ca.cnf');
    writeFileSync(config, `[ca]\ndefault_ca=d\n[d]\ndatabase=${join(folder, 'index.txt')}\ncrlnumber=${join(folder, 'crlnumber')}\ndefault_md=sha256\ndefault_crl_days=30\ncrl_extensions=x\n[x]\nauthorityKeyIdentifier=keyid\n`);
    writeFileSync(join(folder, 'index.txt'), '');
    writeFileSync(join(folder, 'crlnumber'), '10\n');
    const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384', '-nodes'];
    openssl([
      'req', '-x509', ...ec, '-keyout', this.#path('ext-root.key'), '-out', this.#path('ext-root.pem'), '-days', '3650', '-subj', '/O=Tier One/CN=Tier One Root',
      '-addext', 'basicConstraints=critical,CA:TRUE,pathlen:1', '-addext', 'keyUsage=critical,keyCertSign,cRLSign',
    ]);
    openssl(['req', '-new', ...ec, '-keyout', this.#path('ext-sub.key'), '-out', this.#path('ext-sub.csr'), '-subj', '/O=Tier One/CN=Tier One Factory']);
    writeFileSync(this.#path('sub.ext'), 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n');
    openssl(['x509', '-req', '-in', this.#path('ext-sub.csr'), '-CA', this.#path('ext-root.pem'), '-CAkey', this.#path('ext-root.key'), '-CAcreateserial', '-days', '3000', '-sha384', '-extfile', this.#path('sub.ext'), '-out', this.#path('ext-sub.pem')]);
    this.root = readFileSync(this.#path('ext-root.pem'), 'utf8');
    this.sub = readFileSync(this.#path('ext-sub.pem'), 'utf8');
  }

  /** A CRL, PEM; its number is one more than that of the one before. */
  crl(): string {
    const out = this.#path('ext.crl');
    openssl(['ca', '-config', this.#path('ca.cnf'), '-gencrl', '-keyfile', this.#path('ext-root.key'), '-cert', this.#path('ext-root.pem'), '-out', out]);
    return readFileSync(out, 'utf8');
  }

  revokeSub(): void {
    openssl(['ca', '-config', this.#path('ca.cnf'), '-revoke', this.#path('ext-sub.pem'), '-crl_reason', 'keyCompromise', '-keyfile', this.#path('ext-root.key'), '-cert', this.#path('ext-root.pem')]);
  }

  #path(name: string): string {
    return join(folder, name);
  }
}

describe('a hierarchy elsewhere', () => {
  let elsewhere: Elsewhere;
  const putCrl = async (name: string, crl: string | Uint8Array, type = 'application/pkix-crl') => {
    const response = await plant.fetch('PUT', `/v1/cas/${name}/crl`, 'admin', { headers: { 'content-type': type }, body: crl });
    // oxlint-disable-next-line typescript/no-explicit-any
    return { status: response.status, body: (await response.json()) as any };
  };
  beforeAll(() => { elsewhere = new Elsewhere(); });

  it('comes on record from its root down, and into truststores', async () => {
    expect(await add('tier-one-factory', elsewhere.sub)).toMatchObject({ status: 422, body: { code: 'ca.certificate-refused', detail: expect.stringMatching(/import that first/) } });
    expect(await add('tier-one-root', elsewhere.root, { labels: { supplier: 'tier-one' } })).toMatchObject({ status: 201, body: { state: 'active', keyOnline: false, parent: null } });
    expect(await add('tier-one-factory', elsewhere.sub)).toMatchObject({ status: 201, body: { parent: 'tier-one-root', subject: 'CN=Tier One Factory,O=Tier One' } });
    expect(await add('another-name', elsewhere.sub)).toMatchObject({ status: 409, body: { code: 'ca.conflict' } });
    const compose = (name: string, cas: string[]) => plant.json('PUT', `/v1/truststores/${name}`, 'admin', { description: 'Factory certificates', cas });
    expect(await compose('factories', ['tier-one-root', 'tier-one-factory'])).toMatchObject({ status: 200, body: { version: 1, cas: ['tier-one-root', 'tier-one-factory'] } });
    expect(await compose('factories', ['tier-one-factory', 'tier-one-root'])).toMatchObject({ status: 200, body: { version: 1 } });
    expect((await compose('factories', ['none'])).body.code).toBe('ca.not-found');
    expect((await compose('Factories', ['tier-one-root'])).status).toBe(400);
    expect(await plant.json('PUT', '/v1/truststores/factories', 'admin', { description: 'Nul \0', cas: ['tier-one-root'] })).toMatchObject({ status: 400, body: { code: 'http.body-invalid' } });
    expect((await (await plant.fetch('GET', '/v1/truststores/factories', 'gateway')).text()).match(/BEGIN CERT/g)).toHaveLength(2);
  });

  it('issues nothing here', async () => {
    expect(await plant.json('POST', '/v1/principals', 'admin', { name: 'line-2', roles: ['line'], authorities: ['tier-one-factory'] })).toMatchObject({ status: 201 });
    expect(await state('tier-one-factory', 'retiring')).toMatchObject({ status: 200 });
    expect(await state('tier-one-factory', 'active')).toMatchObject({ status: 409, body: { detail: expect.stringMatching(/not online/) } });
  });

  it('brings its CRLs, newer ones only, and what they revoke', async () => {
    const first = elsewhere.crl();
    expect(await putCrl('tier-one-root', first)).toMatchObject({ status: 200, body: { number: '16', changed: true, revoked: [] } });
    expect(await putCrl('tier-one-root', first)).toMatchObject({ status: 200, body: { changed: false } });
    expect(await putCrl('tier-one-root', first, 'application/json')).toMatchObject({ status: 400 });
    expect(await putCrl('tier-one-root', first, 'text/plain')).toMatchObject({ status: 415 });
    expect(await putCrl('tier-one-root', 'nonsense')).toMatchObject({ status: 422, body: { code: 'crl.import-refused' } });
    expect(await putCrl('ecu-issuing', first)).toMatchObject({ status: 422, body: { detail: expect.stringMatching(/is online/) } });
    expect(await putCrl('tier-one-factory', first)).toMatchObject({ status: 422, body: { detail: expect.stringMatching(/another issuer/) } });
    expect(await ca('tier-one-root')).toMatchObject({ crl: { number: '16', current: true } });

    const before = await trusted('factories');
    elsewhere.revokeSub();
    const second = elsewhere.crl();
    const der = Buffer.from(second.replace(/-----[^-]+-----|\s/g, ''), 'base64');
    expect(await putCrl('tier-one-root', der)).toMatchObject({ status: 200, body: { number: '17', changed: true, revoked: ['tier-one-factory'] } });
    expect(await ca('tier-one-factory')).toMatchObject({ state: 'compromised', trusted: false, revocation: { ca: 'tier-one-factory', reason: 'keyCompromise' } });
    expect([before, await trusted('factories')]).toEqual([['tier-one-root', 'tier-one-factory'], ['tier-one-root']]);
    expect(await putCrl('tier-one-root', first)).toMatchObject({ status: 422, body: { detail: expect.stringMatching(/not above number 17/) } });
    expect(await add('tier-one-factory', elsewhere.sub)).toMatchObject({ status: 200, body: { state: 'compromised' } });
  });
});

describe('certificates that are not acceptable', () => {
  const both = extension.keyUsage(['keyCertSign', 'cRLSign']);
  const isCa = (pathLength?: number) => extension.basicConstraints(pathLength === undefined ? { ca: true } : { ca: true, pathLength });
  const brand = [{ type: 'organizationName' as const, value: 'Brand' }];
  const rootKey = certify({ subject: named('Strict Root'), extensions: [isCa(1), both, extension.nameConstraints({ permitted: [{ kind: 'directory', value: encodeName(brand) }] })] });
  const within = (commonName: string) => [...brand, { type: 'commonName' as const, value: commonName }];
  const midKey = certify({ subject: within('Mid'), issuer: rootKey, extensions: [isCa(), both] });
  const signer = [extension.basicConstraints({ ca: false }), extension.keyUsage(['digitalSignature']), extension.extendedKeyUsage(['OCSPSigning']), extension.ocspNoCheck()];
  beforeAll(async () => {
    expect((await add('strict-root', pem(rootKey))).status).toBe(201);
    expect((await add('strict-mid', pem(midKey))).status).toBe(201);
  });

  test.each<[string, CertificateFields, RegExp]>([
    ['of no CA', { subject: within('x'), issuer: rootKey, extensions: [extension.basicConstraints({ ca: false })] }, /not the certificate of a CA/],
    ['without cRLSign', { subject: within('x'), issuer: rootKey, extensions: [isCa(), extension.keyUsage(['keyCertSign'])] }, /cRLSign/],
    ['with OCSPSigning', { subject: within('x'), issuer: rootKey, extensions: [isCa(), both, extension.extendedKeyUsage(['OCSPSigning'])] }, /OCSPSigning/],
    ['forged', { subject: within('x'), issuer: rootKey, forged: true }, /does not verify/],
    ['too deep', { subject: within('x'), issuer: midKey }, /4\.2\.1\.9/],
    ['outside the name constraints', { subject: named('x'), issuer: rootKey }, /4\.2\.1\.10/],
    ['that outlives its issuer', { subject: within('x'), issuer: rootKey, notAfter: new Date('2035-01-01') }, /after its issuer/],
    ['that has expired', { subject: named('x'), notAfter: new Date('2026-02-01') }, /expired/],
    ['of an issuer that is not on record', { subject: named('x'), issuer: certify({ subject: named('Nobody') }) }, /not on record/],
  ])('%s: refused, and nothing is on record', async (_, fields, why) => {
    expect(await add('refused', pem(certify(fields)))).toMatchObject({ status: 422, body: { code: 'ca.certificate-refused', detail: expect.stringMatching(why) } });
    expect((await plant.json('GET', '/v1/cas/refused', 'auditor')).status).toBe(404);
  });

  test.each<[string, object, number, string]>([
    ['no PEM', { certificate: 'x' }, 422, 'ca.certificate-refused'],
    ['two of them', { certificate: pem(rootKey) + pem(midKey) }, 422, 'ca.certificate-refused'],
    ['a request', { certificate: encodePem('CERTIFICATE REQUEST', rootKey.certificate) }, 422, 'ca.certificate-refused'],
    ['a name in capitals', { name: 'Refused', certificate: pem(rootKey) }, 400, 'ca.name-invalid'],
    ['a key id that is none', { certificate: pem(rootKey), keyId: 'xyz' }, 400, 'http.body-invalid'],
    ['a label that is none', { certificate: pem(rootKey), labels: { Brand: 'x' } }, 400, 'http.body-invalid'],
    ['a state', { certificate: pem(rootKey), state: 'active' }, 400, 'http.body-invalid'],
  ])('%s: refused', async (_, body, status, code) => {
    expect(await plant.json('POST', '/v1/cas', 'admin', { name: 'refused', ...body })).toMatchObject({ status, body: { code } });
  });

  it('one more certificate: renewed, crossed, of an OCSP signer, or refused', async () => {
    const post = (name: string, certificate: SoftwareCa) => plant.json('POST', `/v1/cas/${name}/certificates`, 'admin', { certificate: pem(certificate) });
    const ocsp = certify({ subject: within('OCSP'), issuer: rootKey, extensions: signer });
    expect(await post('strict-root', ocsp)).toMatchObject({ status: 201, body: { ca: 'strict-root', kind: 'ocsp-signer', issuer: 'strict-root', changed: true } });
    expect(await post('strict-root', ocsp)).toMatchObject({ status: 200, body: { changed: false } });
    expect(await post('strict-mid', ocsp)).toMatchObject({ status: 422, body: { detail: expect.stringMatching(/not signed by the CA/) } });
    expect(await post('strict-mid', certify({ subject: within('Mid'), issuer: rootKey, extensions: [isCa(), both] }))).toMatchObject({ status: 422, body: { detail: expect.stringMatching(/another key/) } });
    expect((await ca('strict-root')).certificates.map(({ kind }: { kind: string }) => kind)).toEqual(expect.arrayContaining(['ca', 'ocsp-signer']));
  });
});

describe('the end of a CA', () => {
  /** What a line of that CA sent while it issued, and what it was answered. */
  const sent: { path: string; body: string; key: string; answer?: unknown }[] = [];
  async function send({ path, body, key }: { path: string; body: string; key: string }): Promise<{ status: number; body: Record<string, unknown> }> {
    const { token } = (await plant.json('POST', '/v1/principals', 'admin', { name: 'line-north', roles: ['line'], authorities: ['north-issuing'] })).body;
    const answer = await fetch(`${plant.base}${path}`, {
      method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': key }, body,
    });
    return { status: answer.status, body: await answer.json() as Record<string, unknown> };
  }

  it('is yet to come: its line is answered', async () => {
    const item = async (ecuSerial: string) => ({ ecuSerial, partNumber: 'PN-1', csr: await p256Csr() });
    sent.push({ path: '/v1/certificates', body: JSON.stringify({ profile: 'ecu-client', ...await item('H-KEPT-1') }), key: 'kept-one' });
    sent.push({ path: '/v1/batches', body: JSON.stringify({ profile: 'ecu-client', items: [await item('H-KEPT-2')] }), key: 'kept-batch' });
    const answers: Awaited<ReturnType<typeof send>>[] = [];
    for (const one of sent) answers.push(await send(one));
    expect(answers.map(({ status }) => status)).toEqual([201, 202]);
    sent.forEach((one, i) => { one.answer = answers[i]?.body[one.path === '/v1/batches' ? 'id' : 'certificate']; });
  });

  it('ends all below it, at once, for good', async () => {
    const compose = await plant.json('PUT', '/v1/truststores/north', 'admin', { description: 'North', cas: ['north-root', 'north-issuing'] });
    expect(compose.body.version).toBe(1);
    for (const bad of ['certificateHold', 'removeFromCRL', 'whim']) expect((await revoke('north-issuing', bad)).status).toBe(400);
    expect((await revoke('north-issuing', 'superseded', { invalidityDate: '2099-01-01T00:00:00Z' })).status).toBe(400);
    const first = await revoke('north-issuing', 'superseded');
    expect(first).toMatchObject({ status: 200, body: { ca: 'north-issuing', state: 'retired', reason: 'superseded', changed: true, needCrl: [], truststores: 1 } });
    expect((await revoke('north-issuing', 'superseded')).body).toEqual({ ...first.body, changed: false, truststores: 0 });
    expect((await revoke('north-issuing', 'keyCompromise')).body).toMatchObject({ state: 'compromised', reason: 'keyCompromise', revokedAt: first.body.revokedAt, changed: true });
    expect(await revoke('north-issuing', 'superseded')).toMatchObject({ status: 409, body: { code: 'revocation.conflict' } });
    expect(await trusted('north')).toEqual(['north-root']);
    expect(await ca('north-issuing')).toMatchObject({ trusted: false, issues: false, issuingGeneration: null });
    for (const to of ['active', 'retired']) expect(await state('north-issuing', to)).toMatchObject({ status: 409, body: { code: 'ca.state-refused' } });
    expect(await plant.json('PUT', '/v1/truststores/north', 'admin', { description: 'North', cas: ['north-issuing'] })).toMatchObject({ status: 409, body: { code: 'ca.state-refused' } });

    const granted = (await plant.json('POST', '/v1/principals', 'admin', { name: 'line-north', roles: ['line'], authorities: ['north-issuing'] })).body;
    const asked = await fetch(`${plant.base}/v1/certificates`, {
      method: 'POST', headers: { authorization: `Bearer ${granted.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ profile: 'ecu-client', ecuSerial: 'H-LATE', partNumber: 'PN-1', csr: await p256Csr() }),
    });
    expect([asked.status, (await asked.json() as { code: string }).code]).toEqual([409, 'ca.not-active']);
  });

  it('changes no answer that was given before (I5)', async () => {
    const [one, batch] = sent;
    if (one === undefined || batch === undefined) throw new Error('nothing was sent');
    expect(await send(one)).toMatchObject({ status: 201, body: { certificate: one.answer } });
    expect(await send(batch)).toMatchObject({ status: 200, body: { id: batch.answer } });
    expect(await send({ ...one, body: one.body.replace('H-KEPT-1', 'H-KEPT-3') })).toMatchObject({ status: 409, body: { code: 'idempotency.conflict' } });
    expect(await send({ ...one, key: 'kept-never' })).toMatchObject({ status: 409, body: { code: 'ca.not-active' } });
  });

  it('is on the CRL of its issuer, where that is online', async () => {
    const { certificates, certificate } = await ca('north-issuing');
    const serial = certificates.find((one: { certificate: string }) => one.certificate === certificate).serial;
    const { id } = await plant.store.authorities.byName('north-root' as never);
    await expect.poll(async () => {
      const crl = await plant.store.crls.latest(id);
      return openssl(['crl', '-inform', 'DER', '-noout', '-text'], crl?.der).toLowerCase().replaceAll(':', '').includes(serial.replace(/^00/, ''));
    }, { timeout: 20_000 }).toBe(true);
  });

  it('asks for a CRL from a ceremony where its issuer\'s key is elsewhere; the CAs below count as revoked', async () => {
    expect((await revoke('strict-mid', 'cessationOfOperation')).body).toMatchObject({ needCrl: ['strict-root'], state: 'retired' });
    expect((await revoke('north-root', 'keyCompromise')).body).toMatchObject({ needCrl: [], truststores: 1 });
    expect(await trusted('north')).toEqual([]);
    const deep = await ca('fleetroot-dev-root');
    expect(deep.trusted).toBe(true);
  });

  it('is in the audit log, with all that came before', async () => {
    const text = await (await plant.fetch('GET', '/v1/audit', 'auditor')).text();
    const actions = new Map<string, number>();
    for (const line of text.trim().split('\n')) {
      const { action, actor } = JSON.parse((JSON.parse(line) as { payload: string }).payload) as { action: string; actor: string };
      expect(actor).toMatch(/^(principal|system|ecu):/);
      actions.set(action, (actions.get(action) ?? 0) + 1);
    }
    for (const action of ['ca.imported', 'ca.certificate-imported', 'ca.state-changed', 'ca.succession-changed', 'ca.revoked', 'crl.imported', 'truststore.published', 'principal.created']) {
      expect([action, actions.get(action) ?? 0]).not.toEqual([action, 0]);
    }
    expect(text).not.toMatch(/frt_|BEGIN CERT/);
  });
});
