import { ecuSerial, partNumber, PkiError, toHex } from '@fleetroot/core';
import {
  assembleCertificate, describeName, type GeneralName, lintCertificate, parseCertificate, type ParsedCertificate, parseRequest,
  type NamePart,
} from '@fleetroot/x509';
import { describe, expect, it, test } from 'vitest';
import {
  checkRequestAgainstProfile, compileProfile, crlShard, parseProfile, type Profile, profileDocument, profileFromDocument,
  type RequestFacts,
} from '../src/index.ts';
import { caEnd, csr, testAuthority } from './support/authority.ts';

// What the fields of a profile put into a certificate, and what they refuse.

const ca = testAuthority();
const issuer = { ...ca.certificate, name: ca.authority.name };
const forever = { ...issuer, notAfter: new Date('9999-12-31T23:59:59Z') };
const facts: RequestFacts = { ecuSerial: ecuSerial('ECU-1'), partNumber: partNumber('P-4711') };
const serial = Uint8Array.of(0x4f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 0, 0, 12);
const signedAt = new Date('2026-11-22T10:11:12Z');

const base = {
  name: 'p', kind: 'leaf', requestedBy: ['admin'], requires: ['ecuSerial'], keys: { types: ['p-256'] }, validity: { days: 2 },
  subject: [{ type: 'commonName', from: 'ecuSerial' }], keyUsage: ['digitalSignature'], extendedKeyUsage: ['clientAuth'],
};
// JSON is YAML. The profile goes through its document, as in the ledger.
const make = (fields: object): Profile =>
  profileFromDocument(profileDocument(parseProfile(JSON.stringify({ ...base, ...fields }), 'p.yaml', { statusUrl: 'http://status.example' })));

interface Asked { readonly subject?: readonly NamePart[]; readonly names?: readonly GeneralName[]; readonly facts?: RequestFacts; readonly by?: typeof issuer; readonly serial?: Uint8Array }

async function issue(fields: object, asked: Asked = {}): Promise<ParsedCertificate> {
  const profile = make(fields);
  const request = parseRequest(await csr('p-256', asked.names, asked.subject));
  const known = asked.facts ?? facts;
  checkRequestAgainstProfile(profile, known, request);
  const { tbs } = compileProfile(profile, asked.by ?? issuer).prepare(known, request, asked.serial ?? serial, signedAt);
  expect(lintCertificate(tbs, { issuer: asked.by ?? issuer, kind: 'leaf' })).toEqual([]);
  return parseCertificate(assembleCertificate(tbs, 'ecdsa-sha256', Uint8Array.of(0x30, 0)));
}

async function refusal(fields: object, asked?: Asked): Promise<PkiError> {
  try {
    await issue(fields, asked);
  } catch (error) {
    if (error instanceof PkiError) return error;
    throw error;
  }
  throw new Error('was issued');
}

const hexOf = (certificate: ParsedCertificate, oid: string): string | undefined => {
  const found = certificate.extensions.find((extension) => extension.oid === oid);
  return found === undefined ? undefined : `${found.critical ? 'critical ' : ''}${toHex(found.value)}`;
};

describe('the subject from the request', () => {
  const fields = {
    requires: [], subject: [
      { type: 'organizationName', fixed: 'Example Motors' }, { type: 'organizationalUnitName', from: 'request', optional: true },
      { type: 'commonName', from: 'request' },
    ],
  };
  const cn = (value: string): NamePart => ({ type: 'commonName', value });

  test.each<[string, NamePart[], string]>([
    ['what is named, and nothing else', [cn('Team 1'), { type: 'localityName', value: 'Elsewhere' }, { type: 'organizationName', value: 'Evil' }], 'CN=Team 1,O=Example Motors'],
    ['what is optional', [{ type: 'organizationalUnitName', value: 'Brakes' }, cn('Ünit')], 'CN=Ünit,OU=Brakes,O=Example Motors'],
  ])('takes %s', async (_what, subject, name) => {
    expect(describeName((await issue(fields, { subject, facts: {} })).subjectDer)).toBe(name);
  });

  test.each<[string, NamePart[], string, string]>([
    ['lacks a part', [{ type: 'organizationalUnitName', value: 'Brakes' }], 'profile.field-missing', 'commonName'],
    ['has a part twice', [cn('a'), cn('b')], 'request.name-refused', 'commonName'],
  ])('is refused where it %s', async (_what, subject, code, field) => {
    expect(await refusal(fields, { subject, facts: {} })).toMatchObject({ code, data: { field } });
  });

  it('names whom the certificate is for', async () => {
    const request = parseRequest(await csr('p-256', [], [cn('Team 1')]));
    expect(compileProfile(make(fields), issuer).prepare({}, request, serial, signedAt).subjectName).toBe('Team 1');
  });
});

describe('subjectAltNames', () => {
  const ip = (...octets: number[]): GeneralName => ({ kind: 'ip', value: Uint8Array.from(octets) });
  const v6 = (last: number): GeneralName => ip(0x20, 1, 0xd, 0xb8, ...new Uint8Array(11).fill(0), last);
  const rules = [
    { kind: 'uri', from: 'request', prefix: 'urn:example:' }, { kind: 'ip', from: 'request', networks: ['192.0.2.128/25', '2001:db8::/120'] },
  ];

  it('has a hardwareModuleName: hwType and the octets of the ECU serial', async () => {
    const certificate = await issue({ subjectAltNames: [{ kind: 'hardwareModuleName', from: 'ecuSerial', hwType: '1.3.6.1.4.1.99999.1' }] });
    // [0] { OID id-on-hardwareModuleName, [0] { SEQUENCE { OID hwType, OCTET STRING "ECU-1" } } }
    expect(hexOf(certificate, '2.5.29.17')).toBe('3022a02006082b06010505070804a014301206092b06010401868d1f0104054543552d31');
  });

  it('takes URIs and addresses of the request in the order of the rules, each once', async () => {
    const certificate = await issue({ subjectAltNames: rules }, { names: [ip(192, 0, 2, 200), { kind: 'uri', value: 'urn:example:1' }, v6(9), ip(192, 0, 2, 200)] });
    expect(certificate.subjectAltNames).toEqual([{ kind: 'uri', value: 'urn:example:1' }, ip(192, 0, 2, 200), v6(9)]);
  });

  it('needs neither', async () => expect(hexOf(await issue({ subjectAltNames: rules }), '2.5.29.17')).toBeUndefined());

  test.each<[string, GeneralName]>([
    ['an address below the network', ip(192, 0, 2, 127)], ['an address above it', ip(192, 0, 3, 0)],
    ['an IPv6 address outside', ip(0x20, 1, 0xd, 0xb8, ...new Uint8Array(10).fill(0), 1, 0)],
    ['an IPv4 address in IPv6', ip(...new Uint8Array(10).fill(0), 255, 255, 192, 0, 2, 200)],
    ['another URI', { kind: 'uri', value: 'urn:evil:1' }], ['a URI of nothing but the prefix', { kind: 'uri', value: 'urn:example:' }],
    ['a URI with a quote', { kind: 'uri', value: 'urn:example:"' }], ['a long URI', { kind: 'uri', value: `urn:example:${'x'.repeat(255)}` }],
    ['a DNS name', { kind: 'dns', value: 'a.example' }], ['a mail address', { kind: 'email', value: 'a@b.example' }],
    ['an otherName', { kind: 'other', value: Uint8Array.of(0xa0, 0) }],
  ])('refuses %s', async (_what, name) => {
    expect(await refusal({ subjectAltNames: rules }, { names: [name] })).toMatchObject({ code: 'request.name-refused', data: { field: 'subjectAltNames' } });
  });
});

describe('validity', () => {
  const end = new Date('9999-12-31T23:59:59Z');
  const none = (atIssuerEnd: string) => ({ validity: { notAfter: 'none', atIssuerEnd } });

  test.each([['clamp'], ['refuse']])('none is 99991231235959Z below a CA without an end (%s)', async (rule) => {
    const certificate = await issue(none(rule), { by: forever });
    expect(certificate.notAfter).toEqual(end);
    // GeneralizedTime, RFC 5280 section 4.1.2.5.
    expect(toHex(certificate.tbsDer)).toContain(`180f${toHex(Buffer.from('99991231235959Z'))}`);
  });

  it('none ends with a CA that ends (I7)', async () => expect((await issue(none('clamp'))).notAfter).toEqual(caEnd));

  test.each([[none('refuse')], [{ validity: { days: 3650, atIssuerEnd: 'refuse' } }]])('is refused beyond the CA where the profile says so', async (fields) => {
    expect(await refusal(fields)).toMatchObject({ code: 'ca.not-active', message: expect.stringContaining('says refuse') });
  });
});

describe('extensions', () => {
  test.each<[string, object, string, string | undefined]>([
    ['must-staple', { tlsFeature: ['status_request'] }, '1.3.6.1.5.5.7.1.24', '3003020105'],
    ['no TLS feature', {}, '1.3.6.1.5.5.7.1.24', undefined],
    ['noRevAvail', { noRevAvail: true, authorityInformationAccess: ['caIssuers'], crlDistributionPoint: false }, '2.5.29.56', '0500'],
    ['no CRL beside it', { noRevAvail: true, authorityInformationAccess: ['caIssuers'], crlDistributionPoint: false }, '2.5.29.31', undefined],
    ['a fixed one', { extensions: [{ oid: '1.3.6.1.4.1.99999.2', der: '0c0141' }] }, '1.3.6.1.4.1.99999.2', '0c0141'],
  ])('%s', async (_what, fields, oid, hex) => expect(hexOf(await issue(fields), oid)).toBe(hex));

  it('points to the CRL shard of its serial number', async () => {
    const certificate = await issue({ crlShards: 5 });
    expect(certificate.crlUrls).toEqual(['http://status.example/crl/ecu-issuing/5/2.crl']);
    const other = await issue({ crlShards: 5 }, { serial: Uint8Array.from([...serial.subarray(0, 15), 13]) });
    expect(other.crlUrls).toEqual(['http://status.example/crl/ecu-issuing/5/3.crl']);
    expect((await issue({ crlShards: 1 })).crlUrls).toEqual(['http://status.example/crl/ecu-issuing.crl']);
  });
});

test.each([[[0], 7, 0], [[6], 7, 6], [[7], 7, 0], [[0xff, 0xff, 0xff, 0xff], 1000, 295], [[9, 0, 0, 0, 0], 10, 0], [[1, 0, 0, 0, 3], 10, 3], [[0x7f], 1, 0]])(
  'the shard of %j of %i is %i', (octets, shards, shard) => expect(crlShard(Uint8Array.from(octets), shards)).toBe(shard));

describe('limits', () => {
  it('a size budget stops a certificate that might not fit, and no other', async () => {
    const profile = make({});
    const octets = compileProfile(profile, issuer).prepare(facts, parseRequest(await csr()), serial, signedAt).tbs.length + 4 + 12 + 75;
    expect((await issue({ sizeBudget: octets })).tbsDer).toHaveLength(octets - 91);
    expect(await refusal({ sizeBudget: octets - 1 })).toMatchObject({ code: 'certificate.lint', retry: 'never', data: { octets, budget: octets - 1 } });
  });

  it('knows the worst case, which the longest names reach', async () => {
    const longest = { ecuSerial: ecuSerial('E'.repeat(64)), partNumber: partNumber('P'.repeat(64)) };
    const compiled = compileProfile(make({}), issuer);
    const { tbs } = compiled.prepare(longest, parseRequest(await csr()), new Uint8Array(20).fill(0x7f), signedAt);
    // A GeneralizedTime is two octets longer than a UTCTime, and there are two.
    expect(compiled.worstCaseOctets).toBe(tbs.length + 4 + 4 + 12 + 75);
  });

  it('a CA that signs otherwise is refused', async () => {
    expect(await refusal({ signatureAlgorithms: ['ecdsa-sha384', 'ed25519'] })).toMatchObject({ code: 'certificate.lint', message: expect.stringContaining('signs with ecdsa-sha256') });
    await issue({ signatureAlgorithms: ['ecdsa-sha256'] });
  });

  it('an RSA key that is longer than the profile takes is refused', async () => {
    const profile = make({ keys: { types: ['rsa'], rsaMaxBits: 2048 } });
    const request = parseRequest(await csr('rsa-3072'));
    expect(() => { checkRequestAgainstProfile(profile, facts, request); }).toThrow(expect.objectContaining({ code: 'request.key-refused', data: { keyType: 'rsa', bits: 3072 } }));
  });
});

it('a profile without the newer fields keeps the document it had', () => {
  expect(profileDocument(make({}))).toBe('{"certificatePolicies":[],"extendedKeyUsage":["clientAuth"],"format":1,"keyUsage":["digitalSignature"],"keys":{"rsaMinBits":2048,"types":["p-256"]},"kind":"leaf","name":"p","ocspNoCheck":false,"requestedBy":["admin"],"requires":["ecuSerial"],"subject":[{"from":"ecuSerial","type":"commonName"}],"subjectAltNames":[],"urls":{"caIssuers":"http://status.example/ca/{ca}.cer","crl":"http://status.example/crl/{ca}.crl","ocsp":"http://status.example/ocsp"},"validity":{"backdateSeconds":300,"seconds":172800}}');
});
