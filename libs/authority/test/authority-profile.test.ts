import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PkiError, toHex } from '@fleetroot/core';
import { assembleCertificate, CertificateTemplate, describeName, extension, keyIdentifier, lintCertificate, parseCertificate, parseRequest } from '@fleetroot/x509';
import { describe, expect, it, test } from 'vitest';
import {
  type AuthorityProfile, buildAuthorityTbs, parseAuthorityProfile, parseProfile, profileFromDocument, readAuthorityProfiles, readProfileFolder,
} from '../src/index.ts';
import { caEnd, caStart, csr, testAuthority } from './support/authority.ts';

const folder = fileURLToPath(new URL('../../../hsm-config/profiles', import.meta.url));
const surroundings = { statusUrl: 'http://status.example' };
const above = testAuthority();
const issuer = { ...above.certificate, name: above.authority.name };
const spkiOf = async (kind: Parameters<typeof csr>[0]) => parseRequest(await csr(kind)).spkiDer;
const holes = (spkiDer: Uint8Array) => ({ serial: new Uint8Array(16).fill(0x41), spkiDer, notBefore: caStart, subject: { commonName: 'ECU Issuing 2' } });
const parsed = ({ tbs, algorithm }: ReturnType<typeof buildAuthorityTbs>) => parseCertificate(assembleCertificate(tbs, algorithm, Uint8Array.of(0x30, 0)));

const base = {
  name: 'p', kind: 'ca', selfSigned: false, keys: { types: ['p-256'] }, subject: [{ type: 'commonName', from: 'ceremony' }],
  validity: { years: 2 }, pathLength: 0,
};
const make = (fields: object): AuthorityProfile => parseAuthorityProfile(JSON.stringify({ ...base, ...fields }), 'p.yaml', surroundings);

describe('no request ever gets a CA certificate (I9)', () => {
  const text = readFileSync(`${folder}/issuing-ca.yaml`, 'utf8');

  it('the folder that the api and the issuer read holds no CA', () => {
    expect([...readProfileFolder(folder, surroundings).values()].filter(({ kind }) => kind !== 'leaf' && kind !== 'ocsp-signer')).toEqual([]);
    expect([...readAuthorityProfiles(folder, surroundings).keys()]).toEqual(['issuing-ca', 'root-ca']);
  });

  it('a profile of a CA is no profile for issuing, as a file or as a document', () => {
    expect(() => parseProfile(text, 'issuing-ca.yaml', surroundings)).toThrow(/kind: must be one of leaf, ocsp-signer/);
    expect(() => profileFromDocument(JSON.stringify(make({})))).toThrow(expect.objectContaining({ code: 'internal' }));
  });

  test.each([
    ['basic constraints', extension.basicConstraints({ ca: true })], ['key usage', extension.keyUsage(['keyCertSign'])],
  ])('the template of leaves refuses the %s of a CA', (_what, one) => {
    const fields = { signatureAlgorithm: 'ecdsa-sha256' as const, issuerDer: issuer.subjectDer, subject: [], extensions: [one] };
    expect(() => CertificateTemplate.compile(fields)).toThrow(expect.objectContaining({ code: 'certificate.lint' }));
  });

  it('and a faulty one among them is told when they are read', () => {
    expect(() => make({ keyUsage: ['cRLSign'] })).toThrow(/p\.yaml:1: keyUsage: .*add keyCertSign/);
  });
});

describe('the profiles of CAs that are shipped', () => {
  const profiles = readAuthorityProfiles(folder, surroundings);
  const profile = (name: string) => profiles.get(name) ?? (() => { throw new Error(name); })();

  it('make a root', async () => {
    const spkiDer = await spkiOf('p-384');
    const certificate = parsed(buildAuthorityTbs(profile('root-ca'), undefined, holes(spkiDer)));
    expect(certificate).toMatchObject({ isCa: true, pathLength: 1, keyUsage: ['keyCertSign', 'cRLSign'], crlUrls: [], ocspUrls: [], notAfter: new Date('2056-10-31T23:59:59Z') });
    expect(toHex(certificate.issuerDer)).toBe(toHex(certificate.subjectDer));
  });

  it('make an issuing CA, which ends with its issuer', async () => {
    const certificate = parsed(buildAuthorityTbs(profile('issuing-ca'), issuer, holes(await spkiOf('p-256'))));
    expect(certificate).toMatchObject({
      isCa: true, pathLength: 0, notAfter: caEnd, caIssuersUrls: ['http://status.example/ca/ecu-issuing.cer'], crlUrls: ['http://status.example/crl/ecu-issuing.crl'],
    });
    expect(describeName(certificate.subjectDer)).toBe('CN=ECU Issuing 2,O=Example Motors');
    expect(toHex(certificate.authorityKeyIdentifier ?? new Uint8Array())).toBe(toHex(keyIdentifier(issuer.spkiDer)));
    expect(lintCertificate(certificate.tbsDer, { issuer, kind: 'leaf' }).map(({ rule }) => rule)).toContain('end-entity');
  });
});

describe('a profile of a CA', () => {
  it('has name constraints, critical', async () => {
    const profile = make({ nameConstraints: {
      permitted: [{ dns: 'a.example' }, { ip: '10.0.0.0/8' }, { directory: [{ type: 'countryName', value: 'DE' }] }], excluded: [{ uri: '.b.example' }, { email: 'c.example' }],
    } });
    const found = parsed(buildAuthorityTbs(profile, issuer, holes(await spkiOf('p-256')))).extensions.find(({ oid }) => oid === '2.5.29.30');
    expect(found?.critical).toBe(true);
    // [0] dNSName, iPAddress with its mask, directoryName (explicit); [1] uniformResourceIdentifier, rfc822Name.
    expect(toHex(found?.value ?? new Uint8Array())).toBe(
[
        '304b', 'a02c', '300b8209612e6578616d706c65', '300a87080a000000ff000000', '3011a40f300d310b3009060355040613024445',
        'a11b', '300c860a2e622e6578616d706c65', '300b8109632e6578616d706c65',
      ].join(''));
  });

  it('without an end has none, and lets an IDevID have none', async () => {
    const root = make({ selfSigned: true, validity: { notAfter: 'none' } });
    expect(parsed(buildAuthorityTbs(root, undefined, holes(await spkiOf('p-256')))).notAfter).toEqual(new Date('9999-12-31T23:59:59Z'));
    const below = make({ validity: { notAfter: 'none', atIssuerEnd: 'refuse' } });
    const spkiDer = await spkiOf('p-256');
    expect(() => buildAuthorityTbs(below, issuer, holes(spkiDer))).toThrow(expect.objectContaining({ code: 'ca.not-active' }));
  });

  test.each<[string, object, Parameters<typeof csr>[0], object, string]>([
    ['another kind of key', {}, 'p-384', {}, 'request.key-refused'],
    ['a short RSA key', { keys: { types: ['rsa'], rsaMinBits: 3072 } }, 'rsa-2048', {}, 'request.key-refused'],
    ['no common name', {}, 'p-256', { subject: {} }, 'profile.field-missing'],
    ['another signature', { signatureAlgorithms: ['ed25519'] }, 'p-256', {}, 'certificate.lint'],
    ['too many octets', { sizeBudget: 300 }, 'p-256', {}, 'certificate.lint'],
    ['a serial number that is not random', {}, 'p-256', { serial: Uint8Array.of(1) }, 'certificate.lint'],
  ])('refuses %s', async (_what, fields, kind, changed, code) => {
    const spkiDer = await spkiOf(kind);
    expect(() => buildAuthorityTbs(make(fields), issuer, { ...holes(spkiDer), ...changed })).toThrow(expect.objectContaining({ code }));
  });

  it('is built for its own issuer or none', async () => {
    const spkiDer = await spkiOf('p-256');
    expect(() => buildAuthorityTbs(make({}), undefined, holes(spkiDer))).toThrow(TypeError);
    expect(() => buildAuthorityTbs(make({ selfSigned: true }), issuer, holes(spkiDer))).toThrow(TypeError);
  });

  test.each<[string, object, RegExp]>([
    ['no key usage for CRLs', { keyUsage: ['keyCertSign'] }, /keyUsage: must have cRLSign/],
    ['OCSPSigning', { extendedKeyUsage: ['OCSPSigning'] }, /extendedKeyUsage\.0: a CA has OCSP signers/],
    ['any purpose', { extendedKeyUsage: ['2.5.29.37.0'] }, /allows all/],
    ['a requester', { requestedBy: ['admin'] }, /requestedBy: is not a field here/],
    ['an attribute twice', { subject: [{ type: 'commonName', fixed: 'a' }, { type: 'commonName', from: 'ceremony' }] }, /subject\.1\.type: commonName stands twice/],
    ['a name from a request', { subject: [{ type: 'commonName', from: 'request' }] }, /write from: ceremony/],
    ['no name', { subject: [] }, /a CA has a name/],
    ['years and none', { validity: { years: 1, notAfter: 'none' } }, /either years or notAfter: none/],
    ['empty name constraints', { nameConstraints: {} }, /must not be empty/],
    ['name constraints of a root', { selfSigned: true, nameConstraints: { permitted: [{ dns: 'a.example' }] } }, /not looked at in a trust anchor/],
    ['pointers of a root', { selfSigned: true, authorityInformationAccess: ['caIssuers'] }, /point to the root itself/],
    ['a CRL of a root', { selfSigned: true, crlDistributionPoint: true }, /signs over itself/],
    ['a domain with a leading period', { nameConstraints: { permitted: [{ dns: '.a.example' }] } }, /permitted\.0\.dns: must be a domain/],
    ['two forms in one subtree', { nameConstraints: { permitted: [{ dns: 'a.example', uri: 'a.example' }] } }, /exactly one of dns/],
    ['no network', { nameConstraints: { excluded: [{ ip: '10.0.0.1' }] } }, /excluded\.0\.ip: must be a network/],
    ['a name part that is too long', { nameConstraints: { permitted: [{ directory: [{ type: 'countryName', value: 'Germany' }] }] } }, /two capital letters/],
  ])('is refused with %s', (_what, fields, says) => {
    const run = () => make(fields);
    expect(run).toThrow(PkiError);
    expect(run).toThrow(says);
  });
});
