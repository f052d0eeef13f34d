import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PkiError } from '@fleetroot/core';
import { describe, expect, it, test } from 'vitest';
import { parseProfile, profileDocument, profileFromDocument, readProfileFolder } from '../src/index.ts';

const statusUrl = 'http://status.example:8081/';
const shipped = fileURLToPath(new URL('../../../hsm-config/profiles', import.meta.url));

const good = `name: test
kind: leaf
requestedBy: [line]
requires: [ecuSerial]
keys:
  types: [p-256, rsa]
subject:
  - { type: commonName, from: ecuSerial }
validity:
  days: 2
keyUsage: [digitalSignature]
extendedKeyUsage: [clientAuth]
`;

function refusal(text: string, name = 'test.yaml'): PkiError {
  try {
    parseProfile(text, name, { statusUrl });
  } catch (error) {
    if (error instanceof PkiError) return error;
    throw error;
  }
  throw new Error('was accepted');
}

describe('a profile file', () => {
  it('becomes a complete, immutable profile', () => {
    const profile = parseProfile(good, '/etc/profiles/test.yaml', { statusUrl });
    expect(profile).toEqual({
      format: 1, name: 'test', kind: 'leaf', requestedBy: ['line'], requires: ['ecuSerial'],
      keys: { types: ['p-256', 'rsa'], rsaMinBits: 2048 }, subject: [{ type: 'commonName', from: 'ecuSerial' }],
      subjectAltNames: [], validity: { seconds: 172_800, backdateSeconds: 300 }, keyUsage: ['digitalSignature'],
      extendedKeyUsage: ['clientAuth'], certificatePolicies: [], ocspNoCheck: false,
      urls: {
        ocsp: 'http://status.example:8081/ocsp', caIssuers: 'http://status.example:8081/ca/{ca}.cer',
        crl: 'http://status.example:8081/crl/{ca}.crl',
      },
    });
    expect(() => { (profile.keys.types as string[]).push('p-521'); }).toThrow(TypeError);
  });

  it('goes to its document and back', () => {
    const profile = parseProfile(good, 'test.yaml', { statusUrl });
    expect(profileFromDocument(profileDocument(profile))).toEqual(profile);
    expect(profileDocument(profileFromDocument(profileDocument(profile)))).toBe(profileDocument(profile));
  });

  it('gives one document whatever the order and layout of its lines', () => {
    const [head = '', ...rest] = good.split(/^(?=\S)/m);
    const shuffled = parseProfile([...rest.reverse(), `# a comment\n${head}`].join('\n'), 'test.yaml', { statusUrl });
    expect(profileDocument(shuffled)).toBe(profileDocument(parseProfile(good, 'test.yaml', { statusUrl })));
  });

  // What was changed in `good`; the line at fault; what the message says.
  test.each<[string, (text: string) => string, number, RegExp]>([
    ['broken YAML', (t) => t.replace('[line]', '[line'), 4, /not valid YAML/],
    ['a key twice', (t) => `${t}name: test\n`, 13, /not valid YAML.*unique/i],
    ['two documents', (t) => `${t}---\nname: b\n`, 13, /not valid YAML/],
    ['an unknown tag', (t) => t.replace('name: test', 'name: !secret test'), 1, /not valid YAML/],
    ['nothing', () => '', 1, /must be a list of fields/],
    ['a list', () => '- a\n', 1, /must be a list of fields/],
    ['an unknown field', (t) => t.replace('kind: leaf', 'kind: leaf\npathLength: 3'), 3, /pathLength: is not a field here: remove it/],
    ['an unknown field inside', (t) => t.replace('  days: 2', '  days: 2\n  weeks: 1'), 11, /validity\.weeks: is not a field/],
    ['no keys', (t) => t.replace('keys:\n  types: [p-256, rsa]\n', ''), 1, /keys: is missing: add it/],
    ['no key types', (t) => t.replace('types: [p-256, rsa]', 'rsaMinBits: 3072'), 5, /keys\.types: is missing: add it/],
    ['an unknown kind', (t) => t.replace('kind: leaf', 'kind: ca'), 2, /kind: must be one of leaf, ocsp-signer/],
    ['an unknown role', (t) => t.replace('[line]', '[line, root]'), 3, /requestedBy\.1: must be one of line, admin, gateway, system/],
    ['a role twice', (t) => t.replace('[line]', '[line, line]'), 3, /names something twice/],
    ['nobody', (t) => t.replace('[line]', '[]'), 3, /needs at least 1/],
    ['a weak curve', (t) => t.replace('p-256, rsa', 'p-224'), 6, /keys\.types\.0: must be one of p-256/],
    ['short RSA keys', (t) => t.replace('[p-256, rsa]', '[rsa]\n  rsaMinBits: 1024'), 7, /keys\.rsaMinBits: must be at least 2048/],
    ['keyCertSign', (t) => t.replace('[digitalSignature]', '[digitalSignature, keyCertSign]'), 11, /keyUsage\.1: must be one of digitalSignature/],
    ['cRLSign', (t) => t.replace('[digitalSignature]', '[cRLSign]'), 11, /keyUsage\.0/],
    ['no key usage', (t) => t.replace('[digitalSignature]', '[]'), 11, /needs at least 1/],
    ['an empty extended key usage', (t) => t.replace('[clientAuth]', '[]'), 12, /needs at least 1/],
    ['keyEncipherment beside EC', (t) => t.replace('[digitalSignature]', '[digitalSignature, keyEncipherment]'), 11, /RSA keys only/],
    ['keyAgreement beside RSA', (t) => t.replace('[digitalSignature]', '[keyAgreement]'), 11, /p-521 only/],
    ['OCSPSigning on a leaf', (t) => t.replace('[clientAuth]', '[clientAuth, OCSPSigning]'), 12, /never signs for OCSP/],
    ['OCSPSigning by number', (t) => t.replace('[clientAuth]', '["1.3.6.1.5.5.7.3.9"]'), 12, /never signs for OCSP/],
    ['anyExtendedKeyUsage', (t) => t.replace('[clientAuth]', '["2.5.29.37.0"]'), 12, /name the usages/],
    ['an unknown usage', (t) => t.replace('[clientAuth]', '[clientauth]'), 12, /must be one of clientAuth/],
    ['an ocsp-signer that is none', (t) => t.replace('kind: leaf', 'kind: ocsp-signer'), 3, /write \[system\]/],
    ['a missing duration', (t) => t.replace('days: 2', 'backdateMinutes: 1'), 9, /either days or hours/],
    ['two durations', (t) => t.replace('days: 2', 'days: 2\n  hours: 2'), 9, /either days or hours/],
    ['no day', (t) => t.replace('days: 2', 'days: 0'), 10, /at least 1/],
    ['half a day', (t) => t.replace('days: 2', 'days: 0.5'), 10, /whole number/],
    ['a start in the future', (t) => t.replace('days: 2', 'days: 2\n  backdateMinutes: -5'), 11, /never starts in the future/],
    ['a start before its end', (t) => t.replace('days: 2', 'hours: 1\n  backdateMinutes: 60'), 11, /longer than the validity/],
    ['a fact that is not required', (t) => t.replace('requires: [ecuSerial]', 'requires: []'), 8, /add ecuSerial to requires/],
    ['a part without a value', (t) => t.replace('commonName, from: ecuSerial', 'commonName'), 8, /either fixed or from/],
    ['an attribute twice', (t) => t.replace('validity:', '  - { type: commonName, fixed: x }\nvalidity:'), 9, /stands twice/],
    ['a country in words', (t) => t.replace('validity:', '  - { type: countryName, fixed: Germany }\nvalidity:'), 9, /two capital letters/],
    ['a serialNumber that is no PrintableString', (t) => t.replace('validity:', '  - { type: serialNumber, fixed: a_b }\nvalidity:'), 9, /PrintableString/],
    ['a name too long', (t) => t.replace('validity:', `  - { type: organizationName, fixed: ${'x'.repeat(65)} }\nvalidity:`), 9, /1 to 64 characters/],
    ['DNS names that go nowhere', (t) => t.replace('[ecuSerial]', '[ecuSerial, dnsNames]'), 4, /go nowhere/],
    ['a VIN that may be absent', (t) => t.replace('validity:', 'subjectAltNames:\n  - { kind: uri, from: vin, prefix: "urn:vin:" }\nvalidity:'), 10, /add vin to requires/],
    ['a relative URI', (t) => t.replace('validity:', 'subjectAltNames:\n  - { kind: uri, from: ecuSerial, prefix: "/x/" }\nvalidity:'), 10, /beginning of a URI/],
    ['a policy that is no OID', (t) => `${t}certificatePolicies: ["1"]\n`, 13, /must be an OID/],
    ['ocspNoCheck on a leaf', (t) => `${t}ocspNoCheck: true\n`, 13, /only an ocsp-signer goes unchecked/],
    ['an end that is not none', (t) => t.replace('days: 2', 'notAfter: "2100-01-01"'), 10, /must be none/],
    ['a duration and no end', (t) => t.replace('days: 2', 'days: 2\n  notAfter: none'), 9, /either days or hours/],
    ['a leaf that would outlive its issuer (I7)', (t) => t.replace('days: 2', 'notAfter: none\n  atIssuerEnd: exceed'), 11, /would outlive its issuer.*write clamp or refuse/],
    ['an unknown rule at the issuer\'s end', (t) => t.replace('days: 2', 'days: 2\n  atIssuerEnd: stop'), 11, /must be clamp/],
    ['RSA bounds the wrong way round', (t) => t.replace('[p-256, rsa]', '[rsa]\n  rsaMinBits: 3072\n  rsaMaxBits: 2048'), 8, /less than rsaMinBits/],
    ['an ECU that says itself who it is', (t) => t.replace('from: ecuSerial', 'from: request'), 8, /does not say itself who it is/],
    ['optional where it is not the request\'s', (t) => t.replace('from: ecuSerial', 'from: ecuSerial, optional: true'), 8, /for what comes from the request/],
    ['a subject that may be empty', (t) => t.replace('commonName, from: ecuSerial', 'organizationName, from: request, optional: true'), 7, /let one part not be optional/],
    ['DNS names twice', (t) => t.replace('[ecuSerial]', '[ecuSerial, dnsNames]').replace('validity:', 'subjectAltNames:\n  - { kind: dns, from: request }\n  - { kind: dns, from: request }\nvalidity:'), 11, /dns from request twice/],
    ['a URI of the request that could go on', (t) => t.replace('validity:', 'subjectAltNames:\n  - { kind: uri, from: request, prefix: "https://a.example" }\nvalidity:'), 10, /must end in/],
    ['addresses without networks', (t) => t.replace('validity:', 'subjectAltNames:\n  - { kind: ip, from: request, networks: [] }\nvalidity:'), 10, /at least one network/],
    ['a network with bits beyond its prefix', (t) => t.replace('validity:', 'subjectAltNames:\n  - { kind: ip, from: request, networks: [10.0.0.1/8] }\nvalidity:'), 10, /CIDR/],
    ['a kind of name that is unknown', (t) => t.replace('validity:', 'subjectAltNames:\n  - { kind: email, from: request }\nvalidity:'), 10, /dns, uri, ip or hardwareModuleName/],
    ['a hardware type that is no OID', (t) => t.replace('validity:', 'subjectAltNames:\n  - { kind: hardwareModuleName, from: ecuSerial, hwType: "x" }\nvalidity:'), 10, /must be an OID/],
    ['a hardware serial of the request', (t) => t.replace('validity:', 'subjectAltNames:\n  - { kind: hardwareModuleName, from: request, hwType: "1.3.6.1" }\nvalidity:'), 10, /is the ECU serial/],
    ['noRevAvail beside OCSP and CRL', (t) => `${t}noRevAvail: true\nauthorityInformationAccess: [ocsp]\ncrlDistributionPoint: true\n`, 14, /RFC 9608 section 3/],
    ['noRevAvail for long', (t) => `${t.replace('days: 2', 'days: 32')}noRevAvail: true\nauthorityInformationAccess: []\ncrlDistributionPoint: false\n`, 9, /at most 31 days/],
    ['noRevAvail for ever', (t) => `${t.replace('days: 2', 'notAfter: none')}noRevAvail: true\nauthorityInformationAccess: []\ncrlDistributionPoint: false\n`, 9, /at most 31 days/],
    ['a TLS feature without OCSP', (t) => `${t}tlsFeature: [status_request]\nauthorityInformationAccess: []\n`, 13, /add ocsp/],
    ['an unknown TLS feature', (t) => `${t}tlsFeature: [5]\n`, 13, /must be one of status_request/],
    ['too small a budget', (t) => `${t}sizeBudget: 100\n`, 13, /at least 300/],
    ['too many shards', (t) => `${t}crlShards: 1001\n`, 13, /at most 1000/],
    ['shards of no CRL', (t) => `${t}crlShards: 2\ncrlDistributionPoint: false\n`, 13, /points to: remove it/],
    ['CA rights as a fixed extension', (t) => `${t}extensions:\n  - { oid: "2.5.29.19", der: "30030101ff" }\n`, 14, /rules of its own/],
    ['a fixed extension twice', (t) => `${t}extensions:\n  - { oid: "1.2.3.4", der: "0500" }\n  - { oid: "1.2.3.4", der: "0500" }\n`, 13, /names an extension twice/],
    ['a fixed extension that is no DER', (t) => `${t}extensions:\n  - { oid: "1.2.3.4", der: "3081020500" }\n`, 14, /is not DER/],
    ['a fixed extension with something behind it', (t) => `${t}extensions:\n  - { oid: "1.2.3.4", der: "050000" }\n`, 14, /is not DER/],
    ['a fixed extension that is critical', (t) => `${t}extensions:\n  - { oid: "1.2.3.4", der: "0500", critical: true }\n`, 14, /critical: is not a field/],
    ['keys made here, perhaps', (t) => `${t}serverKeys: maybe\n`, 13, /must be one of allowed, refused/],
    ['keys made here of an OCSP signer', (t) => `${t.replace('kind: leaf', 'kind: ocsp-signer')}serverKeys: allowed\n`, 13, /in its own token/],
    ['a signature algorithm that is refused', (t) => `${t}signatureAlgorithms: [ecdsa-sha1]\n`, 13, /must be one of ecdsa-sha256/],
    ['another name than the file\'s', (t) => t.replace('name: test', 'name: tset'), 1, /write test, or rename/],
  ])('with %s is refused at its line', (_what, change, line, says) => {
    expect(change(good)).not.toBe(good);
    const error = refusal(change(good));
    expect(error.code).toBe('profile.invalid');
    expect(error.message).toMatch(says);
    const told = error.message.split('\n').map((fault) => /^test\.yaml:(\d+): ./.exec(fault)?.[1]);
    expect(told).toContain(String(line));
    expect(error.data).toMatchObject({ file: 'test.yaml' });
  });

  it('tells all its faults at once, in the order of the lines', () => {
    const error = refusal(good.replace('[line]', '[root]').replace('days: 2', 'days: -1'));
    expect(error.message.split('\n')).toEqual([
      expect.stringMatching(/^test\.yaml:3: requestedBy\.0: /), expect.stringMatching(/^test\.yaml:10: validity\.days: /),
    ]);
    expect(error.data).toEqual({ file: 'test.yaml', line: 3, faults: 2 });
  });

  test.each(['', 'ftp://x', 'http://', 'status.example', 'http://x/?q=1', 'http://x y'])('takes no status URL %j', (url) => {
    expect(() => parseProfile(good, 'test.yaml', { statusUrl: url })).toThrow(expect.objectContaining({ code: 'config.invalid' }));
  });
});

describe('the profiles that are shipped', () => {
  const profiles = readProfileFolder(shipped, { statusUrl });

  it('are eleven, none of them of a CA', () => expect([...profiles.keys()]).toEqual([
    'code-signing', 'ecu-client-made-key', 'ecu-client-vin', 'ecu-client', 'ecu-idevid', 'ecu-ldevid', 'gateway-client', 'gateway-server', 'key-station', 'ocsp-signer', 'v2g-leaf',
  ]));
  it('put a VIN only where the name says so', () => {
    const withVin = [...profiles.values()].filter((profile) => profile.subjectAltNames.some((rule) => rule.from === 'vin'));
    expect(withVin.map(({ name }) => name)).toEqual(['ecu-client-vin']);
  });
  it('allow keys that are made here where the name says so, and nowhere else', () => {
    expect(parseProfile(`${good}serverKeys: refused\n`, 'test.yaml', { statusUrl })).toEqual(parseProfile(good, 'test.yaml', { statusUrl }));
    expect([...profiles.values()].filter(({ serverKeys }) => serverKeys === 'allowed').map(({ name }) => name)).toEqual(['ecu-client-made-key']);
  });
  it('let only the product ask for an OCSP signer, which is short-lived and unchecked (I19)', () => {
    expect(profiles.get('ocsp-signer')).toMatchObject({ kind: 'ocsp-signer', requestedBy: ['system'], ocspNoCheck: true, validity: { seconds: 604_800 }, urls: {} });
  });
});

it('the example of docs/profiles.md is a profile', () => {
  const page = readFileSync(new URL('../../../docs/profiles.md', import.meta.url), 'utf8');
  const [, example = ''] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
  expect(parseProfile(example, 'plant-server.yaml', { statusUrl })).toMatchObject({ name: 'plant-server', noRevAvail: true, urls: { caIssuers: expect.any(String) } });
});

test.each([
  ['{}'], ['not json'], ['{"format":2}'],
  [profileDocument(parseProfile(good, 'test.yaml', { statusUrl })).replace('"digitalSignature"', '"keyCertSign"')],
  [profileDocument(parseProfile(good, 'test.yaml', { statusUrl })).replace('"clientAuth"', '"OCSPSigning"')],
  [profileDocument(parseProfile(good, 'test.yaml', { statusUrl })).replace('{"ecu', '{"more":1,"ecu').replace('{"certificatePolicies"', '{"more":1,"certificatePolicies"')],
])('a document that this version does not know is no profile: %s', (json) => {
  expect(() => profileFromDocument(json)).toThrow(expect.objectContaining({ code: 'internal', retry: 'later' }));
});

it('a folder that is not there, or empty, is said', () => {
  expect(() => readProfileFolder('/nowhere', { statusUrl })).toThrow(expect.objectContaining({ code: 'profile.invalid', message: expect.stringContaining('FLEETROOT_PROFILES_DIR') }));
  expect(() => readProfileFolder(fileURLToPath(new URL('.', import.meta.url)), { statusUrl })).toThrow(/holds no \.yaml/);
});
