import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ecuSerial, partNumber, PkiError, toHex, vin } from '@fleetroot/core';
import { assembleCertificate, describeName, type GeneralName, lintCertificate, parseCertificate, parseRequest } from '@fleetroot/x509';
import { describe, expect, it, test } from 'vitest';
import {
  checkRequestAgainstProfile, compileProfile, dnsName, type Profile, profileDocument, profileFromDocument, parseProfile,
  readProfileFolder, type RequestFacts,
} from '../src/index.ts';
import { caEnd, caStart, csr, testAuthority } from './support/authority.ts';

const folder = fileURLToPath(new URL('../../../hsm-config/profiles', import.meta.url));
const statusUrl = 'http://status.example';
const profiles = readProfileFolder(folder, { statusUrl });
const profile = (name: string): Profile => profiles.get(name) ?? (() => { throw new Error(name); })();
const ca = testAuthority();
const issuer = { ...ca.certificate, name: ca.authority.name };
const facts: RequestFacts = { ecuSerial: ecuSerial('ECU_1'), partNumber: partNumber('P-4711') };
const theVin = vin('1M8GDM9AXKP042788');
const serial = Uint8Array.of(0x4f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
const signedAt = new Date('2026-11-22T10:11:12.345Z');
const dns = (...names: string[]): GeneralName[] => names.map((value) => ({ kind: 'dns', value }));

const thrown = (run: () => unknown): PkiError => {
  try {
    run();
  } catch (error) {
    return error as PkiError;
  }
  throw new Error('nothing was thrown');
};

describe('a DNS name', () => {
  test.each([
    ['gateway.example', 'gateway.example'], ['GateWay.Example', 'gateway.example'], ['localhost', 'localhost'],
    ['a', 'a'], ['1and1.example', '1and1.example'], ['xn--nxasmq6b.example', 'xn--nxasmq6b.example'],
    [`${'a'.repeat(63)}.example`, `${'a'.repeat(63)}.example`],
    [`${'a'.repeat(61)}.${'b'.repeat(61)}.${'c'.repeat(61)}.${'d'.repeat(61)}.eeeee`, expect.any(String)],
  ])('%s is taken as %s', (text, as) => expect(dnsName(text, { wildcards: false })).toEqual(as));

  test.each([
    '', '.', 'a.', '.a', 'a..b', ' ', 'a b', '-a.example', 'a-.example', 'a_b.example', 'ä.example', 'a.example\0', 'a.example\n',
    `${'a'.repeat(64)}.example`, `${'a.'.repeat(126)}ab`, '192.0.2.1', '10', '1.2.3.0x7f', 'ab--c.example', '*.example.com', '*', 'a.*.example',
    'user@example.com', 'http://example.com', 'example.com:443', '::1',
  ])('%j is refused', (text) => {
    expect(thrown(() => dnsName(text, { wildcards: false })).code).toBe('request.name-refused');
  });

  test.each([['*.example.com', true], ['*.a.example.com', true], ['*.com', false], ['*', false], ['a*.example.com', false], ['*.*.example.com', false]])(
    '%s with wildcards allowed: %s', (text, allowed) => {
      if (allowed) expect(dnsName(text, { wildcards: true })).toBe(text);
      else expect(thrown(() => dnsName(text, { wildcards: true })).code).toBe('request.name-refused');
    });
});

describe('a request against a profile', () => {
  test.each<[string, string, RequestFacts, Parameters<typeof csr>, string | undefined, string?]>([
    ['P-256 for an ECU', 'ecu-client', facts, ['p-256'], undefined],
    ['P-384 for an ECU', 'ecu-client', facts, ['p-384'], undefined],
    ['Ed25519 for an ECU', 'ecu-client', facts, ['ed25519'], undefined],
    ['RSA-2048 for an ECU', 'ecu-client', facts, ['rsa-2048'], undefined],
    ['names an ECU asks for are ignored', 'ecu-client', facts, ['p-256', [{ kind: 'email', value: 'a@b.example' }, ...dns('_')]], undefined],
    ['no ECU serial', 'ecu-client', { partNumber: partNumber('P') }, [], 'profile.field-missing', 'ecuSerial'],
    ['no part number', 'ecu-client', { ecuSerial: ecuSerial('E') }, [], 'profile.field-missing', 'partNumber'],
    ['no VIN', 'ecu-client-vin', facts, [], 'profile.field-missing', 'vin'],
    ['a VIN', 'ecu-client-vin', { ...facts, vin: theVin }, [], undefined],
    ['a server', 'gateway-server', {}, ['p-256', dns('gw.example', 'GW.example', 'b.example')], undefined],
    ['a server without a name', 'gateway-server', {}, [], 'profile.field-missing', 'dnsNames'],
    ['a server with a bad name', 'gateway-server', {}, ['p-256', dns('gw.example', 'a_b')], 'request.name-refused', 'dnsNames'],
    ['a server with a wildcard', 'gateway-server', {}, ['p-256', dns('*.example.com')], 'request.name-refused', 'dnsNames'],
    ['a server with an address', 'gateway-server', {}, ['p-256', [...dns('gw.example'), { kind: 'ip', value: Uint8Array.of(127, 0, 0, 1) }]], 'request.name-refused', 'subjectAltNames'],
    ['a server with a URI', 'gateway-server', {}, ['p-256', [...dns('gw.example'), { kind: 'uri', value: 'urn:vin:1M8GDM9AXKP042788' }]], 'request.name-refused', 'subjectAltNames'],
    ['a first name too long for the subject', 'gateway-server', {}, ['p-256', dns(`${'a'.repeat(60)}.example`)], 'request.name-refused', 'dnsNames'],
    ['too many names', 'gateway-server', {}, ['p-256', dns(...Array.from({ length: 101 }, (_, i) => `n${i}.example`))], 'request.name-refused', 'dnsNames'],
    ['RSA for an OCSP signer', 'ocsp-signer', {}, ['rsa-2048'], 'request.key-refused'],
  ])('%s', async (_what, name, known, request, code, field) => {
    const parsed = parseRequest(await csr(...request));
    if (code === undefined) return checkRequestAgainstProfile(profile(name), known, parsed);
    const error = thrown(() => { checkRequestAgainstProfile(profile(name), known, parsed); });
    expect(error.code).toBe(code);
    if (field !== undefined) expect(error.data).toMatchObject({ field });
    expect(error.message).not.toContain('1M8GDM9AXKP042788');
  });

  it('has RSA keys as long as the profile asks', async () => {
    const strict = { ...profile('ecu-client'), keys: { types: ['rsa'] as const, rsaMinBits: 3072 } };
    const short = parseRequest(await csr('rsa-2048'));
    expect(thrown(() => { checkRequestAgainstProfile(strict, facts, short); })).toMatchObject({ code: 'request.key-refused', data: { bits: 2048 } });
    checkRequestAgainstProfile(strict, facts, parseRequest(await csr('rsa-3072')));
    const ec = parseRequest(await csr());
    expect(thrown(() => { checkRequestAgainstProfile(strict, facts, ec); }).code).toBe('request.key-refused');
  });

  it('has a serialNumber without "_", where the profile writes one', async () => {
    const withSerialNumber = { ...profile('ecu-client'), subject: [{ type: 'serialNumber', from: 'ecuSerial' }] as const };
    const request = parseRequest(await csr());
    expect(thrown(() => { checkRequestAgainstProfile(withSerialNumber, facts, request); })).toMatchObject({ code: 'request.name-refused', data: { field: 'ecuSerial' } });
    checkRequestAgainstProfile(withSerialNumber, { ...facts, ecuSerial: ecuSerial('ECU-1') }, request);
  });
});

describe('a compiled profile', () => {
  it('builds the same octets twice, and from its document (I1)', async () => {
    for (const name of profiles.keys()) {
      const request = parseRequest(await csr('p-256', name.startsWith('gateway') ? dns('gw.example') : []));
      const known = { ...facts, ecuSerial: ecuSerial('ECU-1'), vin: theVin };
      const once = compileProfile(profile(name), issuer).prepare(known, request, serial, signedAt);
      expect(once.tbs.length).toBeLessThan(compileProfile(profile(name), issuer).worstCaseOctets);
      const again = compileProfile(profileFromDocument(profileDocument(profile(name))), issuer).prepare(known, parseRequest(request.der), serial, new Date(signedAt));
      expect(toHex(again.tbs)).toBe(toHex(once.tbs));
      expect(lintCertificate(once.tbs, { issuer, kind: profile(name).kind })).toEqual([]);
    }
  });

  it('does not depend on what was built before', async () => {
    const compiled = compileProfile(profile('ecu-client'), issuer);
    const request = parseRequest(await csr());
    const first = compiled.prepare(facts, request, serial, signedAt);
    const kept = toHex(first.tbs);
    compiled.prepare({ ...facts, ecuSerial: ecuSerial('OTHER') }, parseRequest(await csr('rsa-2048')), serial, new Date(caStart));
    expect(toHex(first.tbs)).toBe(kept);
    expect(toHex(compiled.prepare(facts, request, serial, signedAt).tbs)).toBe(kept);
  });

  it('puts in what the profile says and nothing of the request but its key (I9)', async () => {
    const request = parseRequest(await csr('p-256', [...dns('evil.example'), { kind: 'uri', value: 'urn:vin:X' }]));
    const prepared = compileProfile(profile('ecu-client'), issuer).prepare({ ...facts, vin: theVin }, request, serial, signedAt);
    const parsed = parseCertificate(assembleCertificate(prepared.tbs, 'ecdsa-sha256', Uint8Array.of(0x30, 0)));
    expect(describeName(parsed.subjectDer)).toBe('CN=ECU_1,OU=P-4711');
    expect(toHex(parsed.spkiDer)).toBe(toHex(request.spkiDer));
    expect(toHex(parsed.serial)).toBe(toHex(serial));
    expect(parsed).toMatchObject({
      isCa: false, keyUsage: ['digitalSignature'], extendedKeyUsage: ['clientAuth'], subjectAltNames: [],
      ocspUrls: ['http://status.example/ocsp'], caIssuersUrls: ['http://status.example/ca/ecu-issuing.cer'],
      crlUrls: ['http://status.example/crl/ecu-issuing.crl'],
    });
    expect(parsed.extensions.map(({ oid }) => oid)).toEqual([
      '2.5.29.35', '2.5.29.14', '2.5.29.19', '2.5.29.15', '2.5.29.37', '2.5.29.31', '1.3.6.1.5.5.7.1.1',
    ]);
    expect(Buffer.from(prepared.tbs).includes(theVin)).toBe(false);
    expect(prepared.subjectName).toBeUndefined();
  });

  it('names a vehicle only by the profile for that', async () => {
    const { tbs } = compileProfile(profile('ecu-client-vin'), issuer).prepare({ ...facts, vin: theVin }, parseRequest(await csr()), serial, signedAt);
    const parsed = parseCertificate(assembleCertificate(tbs, 'ecdsa-sha256', Uint8Array.of(0x30, 0)));
    expect(parsed.subjectAltNames).toEqual([{ kind: 'uri', value: `urn:vin:${theVin}` }]);
  });

  it('gives a server its names, each once', async () => {
    const request = parseRequest(await csr('p-256', dns('GW.example', 'b.example', 'gw.example')));
    const prepared = compileProfile(profile('gateway-server'), issuer).prepare({}, request, serial, signedAt);
    const parsed = parseCertificate(assembleCertificate(prepared.tbs, 'ecdsa-sha256', Uint8Array.of(0x30, 0)));
    expect(parsed.subjectAltNames).toEqual(dns('gw.example', 'b.example'));
    expect(describeName(parsed.subjectDer)).toBe('CN=gw.example');
    expect(prepared.subjectName).toBe('gw.example');
  });

  const days = (n: number) => n * 86_400_000;
  test.each<[string, Date, Date, Date]>([
    ['counts the last second in', signedAt, new Date('2026-11-22T10:06:12Z'), new Date(Date.parse('2026-11-22T10:06:12Z') + days(730) - 1000)],
    ['does not begin before its issuer', new Date('2026-11-01T00:02:00Z'), caStart, new Date(caStart.getTime() + days(730) - 1000)],
    ['does not outlive its issuer', new Date('2030-01-01T00:00:00Z'), new Date('2029-12-31T23:55:00Z'), caEnd],
  ])('%s (I7)', async (_what, at, notBefore, notAfter) => {
    const prepared = compileProfile(profile('ecu-client'), issuer).prepare(facts, parseRequest(await csr()), serial, at);
    expect(prepared).toMatchObject({ notBefore, notAfter });
    const parsed = parseCertificate(assembleCertificate(prepared.tbs, 'ecdsa-sha256', Uint8Array.of(0x30, 0)));
    expect(parsed).toMatchObject({ notBefore, notAfter });
  });

  test.each([new Date(caStart.getTime() - 1), new Date(caEnd.getTime() + 1), caEnd])('issues nothing at %s, outside its issuer', async (at) => {
    const request = parseRequest(await csr());
    expect(thrown(() => compileProfile(profile('ecu-client'), issuer).prepare(facts, request, serial, at)).code).toBe('ca.not-active');
  });

  it('marks the names critical where the subject is empty', async () => {
    const text = readFileSync(`${folder}/gateway-server.yaml`, 'utf8').replace(/subject:\n {2}- .*\n/, '');
    const { tbs } = compileProfile(parseProfile(text, 'gateway-server.yaml', { statusUrl }), issuer)
      .prepare({}, parseRequest(await csr('p-256', dns('gw.example'))), serial, signedAt);
    const parsed = parseCertificate(assembleCertificate(tbs, 'ecdsa-sha256', Uint8Array.of(0x30, 0)));
    expect(parsed.subjectDer).toHaveLength(2);
    expect(parsed.extensions.find(({ oid }) => oid === '2.5.29.17')?.critical).toBe(true);
  });
});
