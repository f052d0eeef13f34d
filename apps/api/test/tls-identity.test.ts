import { createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { parseProfile } from '@fleetroot/authority';
import { encodePem, extension } from '@fleetroot/x509';
import { certify, named, p256, type SoftwareCa } from '../../../test/support/software-ca.ts';
import { TlsIdentityKeeper } from '../src/device/tls-identity.ts';
import { ProfileCatalogue } from '../src/profile-catalogue.ts';

const folder = join(mkdtempSync(join(tmpdir(), 'fleetroot-tls-')), 'device-tls');
afterAll(() => rmSync(join(folder, '..'), { recursive: true, force: true }));

const text = readFileSync(new URL('../../../hsm-config/profiles/gateway-server.yaml', import.meta.url), 'utf8');
const profile = parseProfile(text, 'gateway-server.yaml', { statusUrl: 'http://status' });
const profiles = await ProfileCatalogue.record(new Map([['gateway-server', profile]]), {
  ensure: async (name, document) => ({ id: 1, name, document }), byId: async () => { throw new Error('not asked for'); },
});
const root = certify({ subject: named('root') });
const issuing = certify({ subject: named('issuing'), issuer: root });
const notBefore = new Date('2026-11-01T00:00:00Z');
const notAfter = new Date('2027-01-30T00:00:00Z');
let issued = 0;
let now = notBefore;
let issuer = issuing;

const keeper = (host: string): TlsIdentityKeeper => new TlsIdentityKeeper({
  folder, host, profiles, principal: { id: 1, name: 'api' }, clock: { now: () => now },
  authorities: {
    // Only the certificate is looked at.
    issuing: async () => ({ id: 1, certificate: issuer.certificate }) as never,
    chainAbove: async () => [issuer, root].map((ca: SoftwareCa) => encodePem('CERTIFICATE', ca.certificate)),
  },
  issuance: {
    issue: async ({ request }) => {
      issued++;
      const key = { publicKey: createPublicKey({ key: Buffer.from(request.spkiDer), format: 'der', type: 'spki' }), privateKey: p256().privateKey };
      const { certificate } = certify({
        subject: named(host), issuer, key, notBefore, notAfter,
        extensions: [extension.extendedKeyUsage(['serverAuth']), extension.subjectAltName(request.subjectAltNames, false)],
      });
      return { batchId: 'b', certificate };
    },
  },
});

it('asks for a certificate once, keeps it with its key, and asks again when that is needed', async () => {
  const file = join(folder, 'device-tls.pem');
  const count = async (host = 'plant.example'): Promise<number> => {
    const { key, cert } = await keeper(host).current();
    const leaf = new X509Certificate(cert);
    expect(leaf.subjectAltName).toBe(`DNS:${host}`);
    // The issuing CA goes along, the root does not.
    expect(cert.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(readFileSync(file, 'utf8')).toBe(`${key}${cert}`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(['device-tls.pem']);
    return issued;
  };
  expect(await count()).toBe(1);
  expect(await count()).toBe(1);
  now = new Date('2026-12-30T00:00:00Z');
  expect(await count(), 'a third of its life is left').toBe(1);
  now = new Date('2027-01-01T00:00:00Z');
  expect(await count(), 'less than that').toBe(2);
  now = notBefore;
  expect(await count()).toBe(2);
  expect(await count('other.example'), 'another name').toBe(3);
  issuer = certify({ subject: named('issuing-2'), issuer: root });
  expect(await count('other.example'), 'another CA').toBe(4);
  for (const broken of ['', 'nonsense', readFileSync(file, 'utf8').slice(0, 300)]) {
    writeFileSync(file, broken);
    await count('other.example');
  }
  expect(issued).toBe(7);
});
