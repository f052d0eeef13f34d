import { generateKeyPairSync, sign } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import {
  buildAuthorityTbs, checkRequestAgainstProfile, compileProfile, parseAuthorityProfile, parseProfile, type Profile, readAuthorityProfiles, readProfileFolder,
} from '@fleetroot/authority';
import { ecuSerial, partNumber, vin } from '@fleetroot/core';
import { assembleCertificate, buildRequest, parseCertificate, parseRequest } from '@fleetroot/x509';
import { describe, expect, test } from 'vitest';
import { openssl } from '../support/openssl.ts';

// What openssl reads in certificates of every profile that is shipped, and in the extensions that only profiles write.

const folder = fileURLToPath(new URL('../../hsm-config/profiles', import.meta.url));
const surroundings = { statusUrl: 'http://status.example' };
const pair = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve });
const spki = ({ publicKey }: ReturnType<typeof pair>): Uint8Array => publicKey.export({ format: 'der', type: 'spki' });
const serial = (last: number) => Uint8Array.from([0x4f, ...new Uint8Array(14).fill(7), last]);
const notBefore = new Date('2026-11-01T00:00:00Z');

const authorities = readAuthorityProfiles(folder, surroundings);
const authority = (name: string) => authorities.get(name) ?? (() => { throw new Error(name); })();
const rootKey = pair('P-384');
const rootTbs = buildAuthorityTbs(authority('root-ca'), undefined, { serial: serial(1), spkiDer: spki(rootKey), notBefore, subject: { commonName: 'Root' } });
const root = parseCertificate(assembleCertificate(rootTbs.tbs, rootTbs.algorithm, sign('sha384', rootTbs.tbs, rootKey.privateKey)));
const caKey = pair('P-256');
const caTbs = buildAuthorityTbs(authority('issuing-ca'), { ...root, name: 'root' }, { serial: serial(2), spkiDer: spki(caKey), notBefore, subject: { commonName: 'ECU Issuing CA' } });
const ca = { ...parseCertificate(assembleCertificate(caTbs.tbs, caTbs.algorithm, sign('sha384', caTbs.tbs, rootKey.privateKey))), name: 'ecu-issuing' };

const deviceKey = pair('P-256');
const text = (der: Uint8Array): string => openssl(['x509', '-inform', 'DER', '-noout', '-text', '-nameopt', 'RFC2253'], der);

async function certificate(profile: Profile): Promise<Uint8Array> {
  const request = parseRequest(await buildRequest({
    subject: [{ type: 'commonName', value: 'Signing team' }], spkiDer: spki(deviceKey), algorithm: 'ecdsa-sha256',
    subjectAltNames: profile.requires.includes('dnsNames') ? [{ kind: 'dns', value: 'gw.example' }] : [],
  }, (info) => sign('sha256', info, deviceKey.privateKey)));
  const facts = { ecuSerial: ecuSerial('ECU-0001'), partNumber: partNumber('P-4711'), vin: vin('1M8GDM9AXKP042788') };
  checkRequestAgainstProfile(profile, facts, request);
  const { tbs } = compileProfile(profile, ca).prepare(facts, request, serial(3), new Date('2026-11-22T10:00:00Z'));
  return assembleCertificate(tbs, 'ecdsa-sha256', sign('sha256', tbs, caKey.privateKey));
}

describe('openssl reads what each profile makes', () => {
  test.each([
    ['ecu-idevid', /othername: (?:1\.3\.6\.1\.5\.5\.7\.8\.4|id-on-hardwareModuleName)/], ['ecu-ldevid', /TLS Web Client Authentication/], ['ecu-client', /CN=ECU-0001,OU=P-4711/],
    ['ecu-client-vin', /URI:urn:vin:1M8GDM9AXKP042788/], ['gateway-client', /DNS:gw\.example/], ['gateway-server', /TLS Web Server Authentication/],
    ['v2g-leaf', /DC=OEM,CN=ECU-0001,O=Example Motors/], ['code-signing', /CN=Signing team,O=Example Motors[^]*Code Signing/], ['ocsp-signer', /OCSP No Check/],
  ])('%s', async (name, says) => {
    const profile = readProfileFolder(folder, surroundings).get(name) ?? (() => { throw new Error(name); })();
    const der = await certificate(profile);
    expect(text(der)).toMatch(says);
    if (profile.sizeBudget !== undefined) expect(der.length).toBeLessThanOrEqual(profile.sizeBudget);
  });

  test('v2g-leaf never comes over 800 octets below a CA of such a name', () => {
    const profile = readProfileFolder(folder, surroundings).get('v2g-leaf') ?? (() => { throw new Error('v2g-leaf'); })();
    expect(compileProfile(profile, ca).worstCaseOctets).toBeLessThanOrEqual(800);
  });

  test('the CAs', () => {
    expect(text(root.der)).toMatch(/CA:TRUE, pathlen:1/);
    expect(text(ca.der)).toMatch(/CA:TRUE, pathlen:0/);
  });
});

test('openssl reads must-staple, noRevAvail, a hardwareModuleName, no end and name constraints', async () => {
  const file = (fields: object) => parseProfile(JSON.stringify({
    name: 'p', kind: 'leaf', requestedBy: ['admin'], requires: ['ecuSerial'], keys: { types: ['p-256'] }, validity: { days: 2 },
    subject: [{ type: 'serialNumber', from: 'ecuSerial' }], keyUsage: ['digitalSignature'], extendedKeyUsage: ['serverAuth'], ...fields,
  }), 'p.yaml', surroundings);
  expect(text(await certificate(file({ tlsFeature: ['status_request'] })))).toMatch(/TLS Feature: *\n *status_request/);
  const unrevoked = await certificate(file({ noRevAvail: true, authorityInformationAccess: [], crlDistributionPoint: false }));
  expect(openssl(['asn1parse', '-inform', 'DER'], unrevoked)).toMatch(/(?:2\.5\.29\.56|X509v3 No Revocation Available)[^]*?\[HEX DUMP\]:0500/);
  const hardware = await certificate(file({ subjectAltNames: [{ kind: 'hardwareModuleName', from: 'ecuSerial', hwType: '1.3.6.1.4.1.99999.1' }] }));
  const at = parseCertificate(hardware).extensions.find(({ oid }) => oid === '2.5.29.17')?.value ?? new Uint8Array();
  expect(openssl(['asn1parse', '-inform', 'DER'], at)).toMatch(/(?:hardwareModuleName|1\.3\.6\.1\.5\.5\.7\.8\.4)[^]*SEQUENCE[^]*OBJECT *:1\.3\.6\.1\.4\.1\.99999\.1\n[^]*OCTET STRING *:ECU-0001/i);
  const constrained = parseAuthorityProfile(JSON.stringify({
    name: 'p', kind: 'ca', selfSigned: false, keys: { types: ['p-256'] }, subject: [{ type: 'commonName', from: 'ceremony' }], validity: { notAfter: 'none' }, pathLength: 0,
    nameConstraints: { permitted: [{ dns: 'a.example' }, { ip: '10.0.0.0/8' }], excluded: [{ directory: [{ type: 'countryName', value: 'DE' }] }] },
  }), 'p.yaml', surroundings);
  const endless = { ...root, name: 'root', notAfter: new Date('9999-12-31T23:59:59Z') };
  const { tbs, algorithm } = buildAuthorityTbs(constrained, endless, { serial: serial(4), spkiDer: spki(caKey), notBefore, subject: { commonName: 'C' } });
  const read = text(assembleCertificate(tbs, algorithm, sign('sha384', tbs, rootKey.privateKey)));
  expect(read).toMatch(/Name Constraints: critical\s+Permitted:\s+DNS:a\.example\s+IP:10\.0\.0\.0\/255\.0\.0\.0\s+Excluded:\s+DirName:\s*C ?= ?DE/);
  expect(read).toContain('Not After : Dec 31 23:59:59 9999 GMT');
});
