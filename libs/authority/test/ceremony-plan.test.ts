import { generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isPkiError } from '@fleetroot/core';
import { buildRequest, encodePem } from '@fleetroot/x509';
import { describe, expect, it } from 'vitest';
import { parseAuthorityProfile, parseCeremonyPlan, type PlanSurroundings, readAuthorityProfiles } from '../src/index.ts';
import { testAuthority } from './support/authority.ts';

const root = ['  - name: root', '    key: p-384', '    subject:', '      commonName: Root', '    years: 20', '    pathLength: 1'];
const issuing = ['  - name: issuing', '    parent: root', '    key: p-256', '    subject:', '      commonName: Issuing', '    years: 10', '    pathLength: 0'];
const plan = (...lines: string[]): string => ['ceremony: A test', 'authorities:', ...lines, ''].join('\n');
const swap = (lines: string[], from: string, to: string): string[] => lines.map((line) => (line.trim() === from ? line.replace(from, to) : line));
/** A plan as JSON, which is YAML: all of it is line 1. */
const json = (fields: object): string => JSON.stringify({ ceremony: 'A test', ...fields });

const keyPair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const { publicKey, privateKey } = keyPair();
const spkiDer = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
const officerPem = (): string => keyPair().publicKey.export({ type: 'spki', format: 'pem' }) as string;
const alicePem = officerPem();
const request = await buildRequest({ subject: [], spkiDer, algorithm: 'ecdsa-sha256' }, (info) => sign('sha256', info, privateKey));
const stolen = await buildRequest({ subject: [], spkiDer, algorithm: 'ecdsa-sha256' }, (info) => sign('sha256', info, keyPair().privateKey));

const files: Record<string, Uint8Array> = {
  '/plans/sub.csr': Buffer.from(encodePem('CERTIFICATE REQUEST', request)), '/plans/stolen.csr': stolen, '/plans/alice.pub.pem': Buffer.from(alicePem),
  '/plans/other.cer': testAuthority().certificate.der, '/plans/junk': Buffer.from('junk'),
};
const surroundings: PlanSurroundings = {
  profiles: new Map([
    ...readAuthorityProfiles(new URL('../../../hsm-config/profiles', import.meta.url).pathname, { statusUrl: 'http://status.example' }),
    ['two-years', parseAuthorityProfile(JSON.stringify({
      name: 'two-years', kind: 'ca', selfSigned: false, keys: { types: ['p-256'] }, subject: [{ type: 'commonName', from: 'ceremony' }], validity: { years: 2 }, pathLength: 0,
    }), 'two-years.yaml', { statusUrl: 'http://status.example' })],
  ]),
  readFile: (path) => files[path] ?? (() => { throw new Error(`ENOENT: ${path}`); })(),
};
const parse = (text: string) => parseCeremonyPlan(text, '/plans/plan.yaml', surroundings);

describe('the plan of a ceremony', () => {
  it('is read with its CAs in order and its hash', () => {
    const read = parseCeremonyPlan(plan(...root, ...issuing), 'plan.yaml');
    expect(read.authorities).toEqual([
      {
        name: 'root', parent: undefined, key: { make: 'p-384' }, succeeds: undefined, labels: {}, signatureAlgorithm: undefined,
        terms: { subject: [{ type: 'commonName', value: 'Root' }], years: 20, pathLength: 1 },
      },
      {
        name: 'issuing', parent: 'root', key: { make: 'p-256' }, succeeds: undefined, labels: {}, signatureAlgorithm: undefined,
        terms: { subject: [{ type: 'commonName', value: 'Issuing' }], years: 10, pathLength: 0 },
      },
    ]);
    expect(read.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(read).toMatchObject({ approvals: 0, officers: [], requests: [], renewals: [], crossCertificates: [], crls: [], ocspSigners: [], inputs: [] });
  });

  it('reads the files that it names, relative to it, and tells their hashes', () => {
    const read = parse(json({
      approvals: 1, officers: [{ name: 'Alice', publicKeyFile: 'alice.pub.pem' }],
      authorities: [{ name: 'sub', parent: 'root', request: 'sub.csr', profile: 'two-years', subject: { commonName: 'Sub' }, labels: { brand: 'A' }, signatureAlgorithm: 'ecdsa-sha384' }],
      crossCertificates: [{ certificate: 'other.cer', issuer: 'root', years: 2 }],
      crls: [{ authority: 'root', days: 30, revoked: [{ serial: '4F:01', revokedAt: '2026-11-01T00:00:00Z', reason: 'superseded' }] }],
      ocspSigners: [{ issuer: 'root', request: './sub.csr', days: 7 }],
    }));
    expect(read.inputs.map(({ file }) => file)).toEqual(['alice.pub.pem', 'sub.csr', 'other.cer', './sub.csr']);
    expect(read.inputs.every(({ sha256 }) => /^[0-9a-f]{64}$/.test(sha256))).toBe(true);
    expect(read.crossCertificates[0]?.subject).toMatchObject({ stem: 'other' });
    expect(read.crls[0]?.revoked[0]).toMatchObject({ serial: Uint8Array.of(0x4f, 1), reason: 4 });
    expect(read.ocspSigners[0]?.subject).toEqual([{ type: 'commonName', value: 'OCSP signer of root' }]);
  });

  it.each<[string, string, number, RegExp]>([
    ['not YAML', 'a: [', 1, /not valid YAML/],
    ['empty', '', 1, /must hold the field/],
    ['nothing to make', 'ceremony: A test\nauthorities: []\n', 2, /at least one CA, or one of requests/],
    ['a field misspelt', plan(...root, '    yeers: 3'), 9, /authorities\.0\.yeers: is not a field here: remove it/],
    ['a field missing', plan(...root.filter((line) => !line.includes('years'))), 3, /authorities\.0\.years: must be a number of years/],
    ['a weak key', plan(...swap(root, 'key: p-384', 'key: rsa-1024')), 4, /must be one of p-256/],
    ['half a year', plan(...swap(root, 'years: 20', 'years: 0.5')), 7, /whole number/],
    ['a bad name', plan(...swap(root, '- name: root', '- name: Root CA')), 3, /lower-case letters.*rename it/],
    ['two of one name', plan(...root, ...swap(root, 'commonName: Root', 'commonName: Other')), 9, /stands twice/],
    ['two of one subject', plan(...root, ...swap(issuing, 'commonName: Issuing', 'commonName: Root')), 12, /name of another CA/],
    ['a parent below', plan(...issuing, ...root), 4, /put the parent first/],
    ['a path as long as the parent\'s', plan(...root, ...swap(issuing, 'pathLength: 0', 'pathLength: 1')), 15, /less than the parent's, which is 1/],
    ['a child that outlives its parent', plan(...root, ...swap(issuing, 'years: 10', 'years: 30')), 14, /more than the parent's 20/],
    ['no common name', plan(...swap(root, 'commonName: Root', 'organizationName: Root')), 5, /no commonName/],
    ['a country of three letters', plan(...swap(root, 'commonName: Root', '{commonName: Root, countryName: DEU}').filter((line) => line.length > 0)), 5, /correct it/],
    ['a name part that does not exist', plan(...swap(root, 'commonName: Root', 'comonName: Root')), 6, /must be one of commonName|is not a field/],
    ['a title of two lines', 'ceremony: "A\\nB"\nauthorities: []', 1, /one line of visible characters/],
    ['a title that reads backwards', 'ceremony: "A \u202e B"\nauthorities: []', 1, /one line of visible characters/],
    ['a key and a request', plan(...root, '    request: sub.csr'), 4, /exactly one of the three/],
    ['a file that is not there', plan(...swap(issuing, 'key: p-256', 'request: none.csr')), 5, /none\.csr cannot be read: ENOENT/],
    ['a request that its key did not sign', plan(...swap(issuing, 'key: p-256', 'request: stolen.csr')), 5, /not signed by the key it holds/],
    ['a root from a request', plan(...swap(root, 'key: p-384', 'request: sub.csr')), 4, /a root signs its own certificate/],
    ['an algorithm of another key', plan(...root, '    signatureAlgorithm: rsa-pss-sha256'), 9, /not one that a key of type p-384 signs with/],
    ['a label that breaks its line', plan(...root, '    labels: { brand: "A\\nB" }'), 9, /one line of visible characters/],
    ['a successor of itself', plan(...root, '    succeeds: root'), 9, /put it first/],
  ])('with %s is refused with its line and the remedy', (_, text, line, what) => refused(text, line, what));

  const sub = { name: 'sub', parent: 'root', key: 'p-256', profile: 'two-years', subject: { commonName: 'Sub' } };
  const crl = (revoked: object[]) => json({ crls: [{ authority: 'root', days: 30, revoked }] });
  const gone = { serial: '4f01', revokedAt: '2026-11-01T00:00:00Z', reason: 'superseded' };
  const officers = [{ name: 'alice', publicKey: alicePem }];
  it.each<[string, string, RegExp]>([
    ['a profile that does not exist', json({ authorities: [{ ...sub, profile: 'none' }] }), /not a profile of the kind ca: use one of issuing-ca, root-ca/],
    ['years beside a profile', json({ authorities: [{ ...sub, years: 2 }] }), /years: is what the profile says/],
    ['a root\'s profile for a CA below', json({ authorities: [{ ...sub, profile: 'root-ca', key: 'p-384' }] }), /is for a root/],
    ['a key that the profile refuses', json({ authorities: [{ ...sub, key: 'p-521' }] }), /key: is not one that the profile takes: p-256/],
    ['an RSA key too short for the profile', json({ authorities: [{ ...sub, profile: 'issuing-ca', key: 'rsa-2048' }] }), /has 2048 bits, and the profile takes 3072 or more/],
    ['a part of the subject that the profile fixes', json({ authorities: [{ ...sub, profile: 'issuing-ca', subject: { commonName: 'S', organizationName: 'Other' } }] }), /organizationName, which the profile does not leave/],
    ['a part of the subject too few', json({ authorities: [{ ...sub, subject: {} }] }), /lacks commonName, which the profile leaves to the ceremony/],
    ['a certificate and a subject', json({ authorities: [{ name: 'sub', certificate: 'other.cer', subject: { commonName: 'S' } }] }), /subject: is what the certificate says/],
    ['a certificate that is none', json({ authorities: [{ name: 'sub', certificate: 'junk' }] }), /authorities\.0\.certificate: /],
    ['a CA and a request of one name', json({ authorities: [{ ...sub }], requests: [{ name: 'sub', key: 'p-256', subject: { commonName: 'S' } }] }), /requests\.0\.name: stands twice/],
    ['a request without a name', json({ requests: [{ name: 'sub', key: 'p-256', subject: {} }] }), /a CA has a name/],
    ['more approvals than officers', json({ authorities: [sub], approvals: 2, officers }), /more than the 1 officers/],
    ['an officer twice', json({ authorities: [sub], officers: [...officers, { name: 'Alice', publicKey: officerPem() }] }), /officers\.1\.name: stands twice/],
    ['two officers with one key', json({ authorities: [sub], officers: [...officers, { name: 'bob', publicKey: alicePem }] }), /has the key of alice/],
    ['an officer without a key', json({ authorities: [sub], officers: [{ name: 'bob' }] }), /either publicKey or publicKeyFile/],
    ['an officer twice, spelt in two ways', json({ authorities: [sub], officers: [{ name: 'Zo\u00eb', publicKey: alicePem }, { name: 'Zoe\u0308', publicKey: officerPem() }] }), /officers\.1\.name: stands twice/],
    ['an officer whose name ends in a space', json({ authorities: [sub], officers: [...officers, { name: 'alice ', publicKey: officerPem() }] }), /officers\.1\.name: must be one line of visible characters/],
    ['a file whose name breaks its line', json({ authorities: [{ name: 'sub', certificate: 'other.cer\n2. certificate' }] }), /certificate: must be one line of visible characters/],
    ['an officer whose key is none', json({ authorities: [sub], officers: [{ name: 'bob', publicKey: 'abc' }] }), /officers\.0\.publicKey: /],
    ['a cross-certificate of nobody', json({ crossCertificates: [{ issuer: 'root', years: 1 }] }), /either subject or certificate/],
    ['a cross-certificate by itself', json({ crossCertificates: [{ subject: 'root', issuer: 'root', years: 1 }] }), /its own issuer/],
    ['a cross-certificate twice', json({ crossCertificates: [1, 2].map((years) => ({ subject: 'a', issuer: 'root', years })) }), /crossCertificates\.1: stands twice/],
    ['a renewal twice', json({ renewals: [1, 2].map((years) => ({ authority: 'a', years })) }), /renewals\.1: stands twice/],
    ['an OCSP signer for years', json({ ocspSigners: [{ issuer: 'root', request: 'sub.csr', days: 900 }] }), /at most 366/],
    ['a serial that is a number', crl([{ ...gone, serial: 4711 }]), /hexadecimal in quotes/],
    ['a serial that is none', crl([{ ...gone, serial: 'xyz' }]), /serial: a serial number is.*correct it/],
    ['a serial twice', crl([gone, { ...gone, serial: '4F:01' }]), /revoked\.1\.serial: stands twice/],
    ['a reason that belongs on delta CRLs', crl([{ ...gone, reason: 'removeFromCRL' }]), /reason: must be one of unspecified/],
    ['a local time', crl([{ ...gone, revokedAt: '2026-11-01T00:00:00+01:00' }]), /a time in UTC/],
    ['two CRLs of one CA', json({ crls: [1, 2].map((days) => ({ authority: 'root', days })) }), /one number is one CRL/],
  ])('with %s is refused with the remedy', (_, text, what) => refused(text, 1, what));
});

function refused(text: string, line: number, what: RegExp): void {
  let refusal: unknown;
  try {
    parse(text);
  } catch (error) {
    refusal = error;
  }
  expect(isPkiError(refusal) && refusal.code).toBe('ceremony.invalid');
  if (!isPkiError(refusal)) return;
  expect(refusal.message).toMatch(what);
  expect(refusal.message).toContain(`plan.yaml:${line}:`);
}

describe('the ceremonies that are shipped', () => {
  const folder = new URL('../../../hsm-config/', import.meta.url);
  const key = encodePem('PUBLIC KEY', new Uint8Array(keyPair().publicKey.export({ type: 'spki', format: 'der' })));
  const shipped = (name: string) => parseCeremonyPlan(readFileSync(new URL(name, folder), 'utf8'), name, {
    ...surroundings,
    readFile: (path) => Buffer.from(path.endsWith('.csr') ? encodePem('CERTIFICATE REQUEST', request)
      : path.endsWith('alice.pub.pem') ? key : officerPem()),
  });

  it('of the development hierarchy keeps its CAs', () => {
    const { authorities, approvals } = shipped('ceremony-dev.yaml');
    expect(authorities.map(({ name }) => name)).toEqual(['fleetroot-dev-root', 'ecu-issuing']);
    expect(approvals).toBe(0);
  });

  it.each([
    ['ceremony-root.yaml', { approvals: 2, authorities: [{ name: 'example-root' }] }],
    ['ceremony-subordinate-request.yaml', { requests: [{ name: 'ecu-issuing-1' }] }],
    ['ceremony-sign-subordinate.yaml', { approvals: 2, authorities: [{ name: 'ecu-issuing-1', parent: 'example-root' }] }],
    ['ceremony-rollover.yaml', { crossCertificates: [{ subject: 'example-root-g2', issuer: 'example-root' }, { subject: 'example-root', issuer: 'example-root-g2' }] }],
    ['ceremony-root-crl.yaml', { crls: [{ authority: 'example-root' }] }],
  ])('%s is read', (name, holds) => expect(shipped(name)).toMatchObject(holds));
});
