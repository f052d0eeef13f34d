import 'reflect-metadata';
import { createHash, generateKeyPairSync, type KeyObject, webcrypto } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { compileProfile, parseProfile, type ProfileIssuer } from '@fleetroot/authority';
import { ecuSerial, partNumber, toHex, vin } from '@fleetroot/core';
import {
  assembleCertificate, buildRequest, CertificateTemplate, der, DerReader, encodeName, extension, type GeneralName, keyIdentifier, type KeyUsage,
  keyUsages, type NamePart, parseCertificate, parseRequest, type SignatureAlgorithm, signatureAlgorithmFor,
} from '@fleetroot/x509';
import * as peculiar from '@peculiar/x509';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

// Our template, and profiles with requests, against @peculiar/x509, the second opinion: from the same fields the same
// TBSCertificate, octet for octet.

const crypto = webcrypto as Crypto;
const spkiOf = (publicKey: KeyObject): Uint8Array<ArrayBuffer> => new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
const pool = [
  generateKeyPairSync('ec', { namedCurve: 'P-256' }), generateKeyPairSync('ec', { namedCurve: 'P-384' }), generateKeyPairSync('ed25519'),
  generateKeyPairSync('rsa', { modulusLength: 2048 }),
].map(({ publicKey }) => spkiOf(publicKey));

interface Issuer {
  readonly algorithm: SignatureAlgorithm;
  readonly spki: Uint8Array<ArrayBuffer>;
  readonly signingKey: CryptoKey;
  readonly signingAlgorithm: webcrypto.EcdsaParams;
}

async function makeIssuer(
  algorithm: SignatureAlgorithm, parameters: webcrypto.EcKeyGenParams | webcrypto.RsaHashedKeyGenParams | { name: 'Ed25519' }, hash: string,
): Promise<Issuer> {
  const keys = await crypto.subtle.generateKey(parameters, true, ['sign', 'verify']) as webcrypto.CryptoKeyPair;
  return {
    algorithm, signingKey: keys.privateKey, signingAlgorithm: { name: parameters.name, hash },
    spki: new Uint8Array(await crypto.subtle.exportKey('spki', keys.publicKey)),
  };
}

const rsa = { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1), hash: 'SHA-256' };
const issuers = {
  'ECDSA P-256': await makeIssuer('ecdsa-sha256', { name: 'ECDSA', namedCurve: 'P-256' }, 'SHA-256'),
  'ECDSA P-384': await makeIssuer('ecdsa-sha384', { name: 'ECDSA', namedCurve: 'P-384' }, 'SHA-384'),
  RSA: await makeIssuer('rsa-sha256', rsa, 'SHA-256'),
  Ed25519: await makeIssuer('ed25519', { name: 'Ed25519' }, 'SHA-512'),
};

const printable = fc.stringMatching(/^[A-Za-z0-9 '()+,\-./:=?]{1,64}$/);
const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }).filter((value) => [...value].length <= 64 && !/\p{Cc}/u.test(value) && value.isWellFormed());
const part: fc.Arbitrary<NamePart> = fc.oneof(
  fc.record({ type: fc.constantFrom('commonName' as const, 'organizationName' as const, 'organizationalUnitName' as const), value: fc.oneof(printable, text) }),
  fc.record({ type: fc.constantFrom('serialNumber' as const, 'dnQualifier' as const), value: printable }),
  fc.record({ type: fc.constant('countryName' as const), value: fc.stringMatching(/^[A-Z]{2}$/) }),
  fc.record({ type: fc.constant('domainComponent' as const), value: fc.stringMatching(/^[a-z0-9-]{1,63}$/) }),
);
const label = fc.stringMatching(/^[a-z0-9]{1,20}$/);
const generalName: fc.Arbitrary<{ name: GeneralName; json: peculiar.JsonGeneralName }> = fc.oneof(
  label.map((value) => ({ name: { kind: 'dns' as const, value: `${value}.example` }, json: { type: 'dns' as const, value: `${value}.example` } })),
  label.map((value) => ({ name: { kind: 'uri' as const, value: `urn:vin:${value}` }, json: { type: 'url' as const, value: `urn:vin:${value}` } })),
  label.map((value) => ({ name: { kind: 'email' as const, value: `${value}@b.example` }, json: { type: 'email' as const, value: `${value}@b.example` } })),
  fc.ipV4().filter(isIPv4).map((value) => ({
    name: { kind: 'ip' as const, value: Uint8Array.from(value.split('.').map(Number)) }, json: { type: 'ip' as const, value },
  })),
);
// Dates on both sides of 2050, where the form changes; whole seconds.
const date = fc.integer({ min: Date.UTC(1990, 0), max: Date.UTC(2120, 0) }).map((ms) => new Date(Math.floor(ms / 1000) * 1000));
const fields = fc.record({
  issuer: fc.constantFrom(...(Object.keys(issuers) as (keyof typeof issuers)[])),
  issuerName: fc.array(part, { minLength: 1, maxLength: 4 }),
  subject: fc.array(fc.record({ part, hole: fc.boolean() }), { maxLength: 4 }),
  key: fc.constantFrom(...pool),
  serial: fc.uint8Array({ minLength: 1, maxLength: 16 }).filter((octets) => octets.some((octet) => octet !== 0)),
  notBefore: date, notAfter: date,
  usages: fc.uniqueArray(fc.constantFrom(...keyUsages.filter((usage) => usage !== 'keyCertSign' && usage !== 'cRLSign')), { minLength: 1 }),
  purposes: fc.uniqueArray(fc.constantFrom('serverAuth' as const, 'clientAuth' as const, 'codeSigning' as const), { minLength: 1 }),
  names: fc.array(generalName, { maxLength: 4 }), namesCritical: fc.boolean(),
  constraints: fc.boolean(), urls: fc.boolean(), policy: fc.boolean(),
});
type Fields = typeof fields extends fc.Arbitrary<infer T> ? T : never;

function ours(f: Fields): Uint8Array {
  const { algorithm, spki } = issuers[f.issuer];
  const template = CertificateTemplate.compile({
    signatureAlgorithm: algorithm, issuerDer: encodeName(f.issuerName),
    subject: f.subject.map(({ part: { type, value }, hole }, i) => ({ type, from: hole ? { hole: `h${i}` } : { fixed: value } })),
    extensions: [
      ...(f.constraints ? [extension.basicConstraints({ ca: false })] : []), extension.keyUsage(f.usages), extension.extendedKeyUsage(f.purposes),
      { hole: 'subjectAltName', critical: f.namesCritical }, { hole: 'subjectKeyIdentifier' }, extension.authorityKeyIdentifier(keyIdentifier(spki)),
      ...(f.urls ? [
        extension.authorityInformationAccess({ ocsp: 'http://status.example/ocsp', caIssuers: 'http://status.example/ca/ecu.cer' }),
        extension.crlDistributionPoints(['http://status.example/crl/ecu.crl']),
      ] : []),
      ...(f.policy ? [extension.certificatePolicies(['1.3.6.1.4.1.99999.1', '2.23.140.1.2.1'])] : []),
    ],
  });
  return template.build({
    serial: f.serial, notBefore: f.notBefore, notAfter: f.notAfter, spkiDer: f.key, subjectAltNames: f.names.map(({ name }) => name),
    subject: Object.fromEntries(f.subject.map(({ part: { value } }, i) => [`h${i}`, value])),
  });
}

const oids: Record<string, string> = {
  commonName: '2.5.4.3', organizationName: '2.5.4.10', organizationalUnitName: '2.5.4.11', serialNumber: '2.5.4.5', dnQualifier: '2.5.4.46',
  countryName: '2.5.4.6', domainComponent: '0.9.2342.19200300.100.1.25', localityName: '2.5.4.7',
};

/** The same name, its string types chosen here anew. */
function theirName(parts: readonly NamePart[]): peculiar.Name {
  return new peculiar.Name(parts.map(({ type, value }) => {
    const isPrintable = /^[A-Za-z0-9 '()+,\-./:=?]*$/.test(value);
    const form = type === 'domainComponent' ? { ia5String: value } : isPrintable ? { printableString: value } : { utf8String: value };
    return { [oids[type]!]: [form] };
  }));
}

const usageFlags: Record<Exclude<KeyUsage, 'keyCertSign' | 'cRLSign'>, peculiar.KeyUsageFlags> = {
  digitalSignature: peculiar.KeyUsageFlags.digitalSignature, nonRepudiation: peculiar.KeyUsageFlags.nonRepudiation,
  keyEncipherment: peculiar.KeyUsageFlags.keyEncipherment, dataEncipherment: peculiar.KeyUsageFlags.dataEncipherment,
  keyAgreement: peculiar.KeyUsageFlags.keyAgreement, encipherOnly: peculiar.KeyUsageFlags.encipherOnly, decipherOnly: peculiar.KeyUsageFlags.decipherOnly,
};

async function theirs(f: Fields): Promise<Uint8Array> {
  const { spki, signingKey, signingAlgorithm } = issuers[f.issuer];
  const flags = f.usages.reduce((all, usage) => all | usageFlags[usage as keyof typeof usageFlags], 0);
  const extensions: peculiar.Extension[] = [
    ...(f.constraints ? [new peculiar.BasicConstraintsExtension(false, undefined, true)] : []),
    new peculiar.KeyUsagesExtension(flags, true),
    new peculiar.ExtendedKeyUsageExtension(f.purposes.map((purpose) => peculiar.ExtendedKeyUsage[purpose])),
    ...(f.names.length === 0 ? [] : [new peculiar.SubjectAlternativeNameExtension(f.names.map(({ json }) => json), f.namesCritical)]),
    await peculiar.SubjectKeyIdentifierExtension.create(f.key, false, crypto),
    await peculiar.AuthorityKeyIdentifierExtension.create(spki, false, crypto),
    ...(f.urls ? [
      new peculiar.AuthorityInfoAccessExtension({ ocsp: 'http://status.example/ocsp', caIssuers: 'http://status.example/ca/ecu.cer' }),
      new peculiar.CRLDistributionPointsExtension(['http://status.example/crl/ecu.crl']),
    ] : []),
    ...(f.policy ? [new peculiar.CertificatePolicyExtension(['1.3.6.1.4.1.99999.1', '2.23.140.1.2.1'])] : []),
  ];
  return theirTbs({
    serialNumber: toHex(f.serial), issuer: theirName(f.issuerName), subject: theirName(f.subject.map(({ part }) => part)),
    notBefore: f.notBefore, notAfter: f.notAfter, publicKey: f.key, signingKey, signingAlgorithm, extensions,
  });
}

async function theirTbs(parameters: peculiar.X509CertificateCreateParams): Promise<Uint8Array> {
  const certificate = await peculiar.X509CertificateGenerator.create(parameters, crypto);
  return new DerReader(new Uint8Array(certificate.rawData), 'certificate.malformed').enter(der.tag.sequence, 'certificate').element('tbsCertificate');
}

describe('the template against @peculiar/x509', () => {
  test.each(Object.keys(issuers) as (keyof typeof issuers)[])('%s: 150 sets of fields, the same TBSCertificate each', async (issuer) => {
    let compared = 0;
    await fc.assert(fc.asyncProperty(fields, async (random) => {
      const f = { ...random, issuer };
      expect(toHex(ours(f))).toBe(toHex(await theirs(f)));
      compared++;
    }), { numRuns: 150 });
    expect(compared).toBe(150);
  });

  test('one field that differs is seen', async () => {
    const [f] = fc.sample(fields, 1);
    const expected = await theirs({ ...f!, serial: Uint8Array.of(1) });
    expect(toHex(ours({ ...f!, serial: Uint8Array.of(2) }))).not.toBe(toHex(expected));
  });

  test('key identifiers are those of SHA-1', () => {
    expect(toHex(keyIdentifier(pool[0]!))).toBe(createHash('sha1').update(pool[0]!.subarray(26)).digest('hex'));
  });
});

// Profiles. A profile comes as its file would, goes through its reader and its compiler, and meets a request; the other side
// is told only what the certificate is to hold.

const STATUS = 'http://status.example';
const NO_END = new Date('9999-12-31T23:59:59Z');
const caBegin = new Date('2026-01-01T00:00:00Z');
const hwType = { oid: '1.3.6.1.4.1.99999.7', der: '06092b06010401868d1f07' };

/** A CA of that key. Nobody looks at its signature here. */
function asIssuer({ spki, algorithm }: Issuer, notAfter: Date): ProfileIssuer {
  const tbs = CertificateTemplate.compileAuthority({
    signatureAlgorithm: algorithm, issuerDer: encodeName([{ type: 'commonName', value: 'Issuing CA' }]),
    subject: [{ type: 'commonName', from: { fixed: 'Issuing CA' } }],
    extensions: [extension.basicConstraints({ ca: true }), extension.keyUsage(['keyCertSign']), { hole: 'subjectKeyIdentifier' }],
  }).build({ serial: Uint8Array.of(1), notBefore: caBegin, notAfter, subject: {}, spkiDer: spki });
  return { ...parseCertificate(assembleCertificate(tbs, algorithm, Uint8Array.of(0x30, 0))), name: 'ecu-issuing' };
}

const plate = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9.:_-]{0,63}$/);
const directoryText = text.filter((value) => /^[\x20-\x7e\u00a0-\u{10ffff}]{1,64}$/u.test(value));
const hosts = fc.uniqueArray(label.map((value) => `${value}.example`), { minLength: 1, maxLength: 3 });
const addresses = fc.uniqueArray(fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255)).map((rest) => `10.${rest.join('.')}`), { maxLength: 2 });
const pairs = fc.record({
  key: fc.constantFrom(...pool), serial: fc.uint8Array({ minLength: 16, maxLength: 16 }).filter((octets) => octets[0] !== 0),
  facts: fc.record({ ecuSerial: plate, partNumber: plate }), vin: fc.constantFrom('1M8GDM9AXKP042788', '11111111111111111'),
  organization: fc.option(directoryText), commonName: fc.constantFrom('ecuSerial' as const, 'request' as const), asked: directoryText,
  locality: fc.option(directoryText), takesLocality: fc.boolean(),
  hosts: fc.option(hosts), addresses: fc.option(addresses), vinUri: fc.boolean(), hardware: fc.boolean(),
  signedAt: fc.integer({ min: Date.UTC(2026, 1), max: Date.UTC(2099, 0) }).map((ms) => new Date(ms)),
  backdate: fc.nat(1440), days: fc.option(fc.integer({ min: 2, max: 36_500 })), caEnd: fc.constantFrom(NO_END, new Date('2099-06-30T23:59:59Z')),
  usages: fc.uniqueArray(fc.constantFrom('digitalSignature' as const, 'nonRepudiation' as const), { minLength: 1 }),
  purposes: fc.uniqueArray(fc.constantFrom('serverAuth' as const, 'clientAuth' as const, 'codeSigning' as const), { minLength: 1 }),
  policies: fc.uniqueArray(fc.constantFrom('1.3.6.1.4.1.99999.1', '2.23.140.1.2.1', '2.5.29.32.0'), { maxLength: 3 }),
  access: fc.subarray(['ocsp' as const, 'caIssuers' as const]), crl: fc.boolean(), shards: fc.integer({ min: 1, max: 1000 }), staple: fc.boolean(),
  fixed: fc.uniqueArray(fc.record({ arc: fc.integer({ min: 1, max: 99_999 }), text: fc.stringMatching(/^[a-z]{0,99}$/) }), { maxLength: 2, selector: ({ arc }) => arc }),
}).map((pair) => ({ ...pair, staple: pair.staple && pair.access.includes('ocsp'), shards: pair.crl ? pair.shards : 1 }));
type Pair = typeof pairs extends fc.Arbitrary<infer T> ? T : never;

const utf8String = (value: string) => `0c${value.length.toString(16).padStart(2, '0')}${toHex(Buffer.from(value))}`;

/** JSON is YAML. */
const profileFile = (p: Pair): string => JSON.stringify({
  name: 'p', kind: 'leaf', requestedBy: ['admin'], keys: { types: ['p-256', 'p-384', 'ed25519', 'rsa'] },
  requires: ['partNumber', ...(p.commonName === 'ecuSerial' || p.hardware ? ['ecuSerial'] : []), ...(p.vinUri ? ['vin'] : []), ...(p.hosts === null ? [] : ['dnsNames'])],
  subject: [
    ...(p.organization === null ? [] : [{ type: 'organizationName', fixed: p.organization }]), { type: 'organizationalUnitName', from: 'partNumber' },
    ...(p.takesLocality ? [{ type: 'localityName', from: 'request', optional: true }] : []), { type: 'commonName', from: p.commonName },
  ],
  subjectAltNames: [
    ...(p.hosts === null ? [] : [{ kind: 'dns', from: 'request' }]), ...(p.addresses === null ? [] : [{ kind: 'ip', from: 'request', networks: ['10.0.0.0/8'] }]),
    ...(p.vinUri ? [{ kind: 'uri', from: 'vin', prefix: 'urn:vin:' }] : []), ...(p.hardware ? [{ kind: 'hardwareModuleName', from: 'ecuSerial', hwType: hwType.oid }] : []),
  ],
  validity: { ...(p.days === null ? { notAfter: 'none' } : { days: p.days }), backdateMinutes: p.backdate },
  keyUsage: p.usages, extendedKeyUsage: p.purposes, certificatePolicies: p.policies, authorityInformationAccess: p.access,
  crlDistributionPoint: p.crl, crlShards: p.shards, ...(p.staple ? { tlsFeature: ['status_request'] } : {}),
  ...(p.access.includes('ocsp') || p.crl || p.days === null || p.days > 31 ? {} : { noRevAvail: true }),
  ...(p.fixed.length === 0 ? {} : { extensions: p.fixed.map(({ arc, text: value }) => ({ oid: `1.3.6.1.4.1.99999.${arc}`, der: utf8String(value) })) }),
});

async function oursOf(p: Pair, issuer: Issuer): Promise<Uint8Array> {
  const request = parseRequest(await buildRequest({
    subject: [{ type: 'commonName', value: p.asked }, { type: 'dnQualifier', value: 'ignored' }, ...(p.locality === null ? [] : [{ type: 'localityName' as const, value: p.locality }])],
    spkiDer: p.key, algorithm: signatureAlgorithmFor(p.key),
    subjectAltNames: [
      ...(p.addresses ?? []).map((value): GeneralName => ({ kind: 'ip', value: Uint8Array.from(value.split('.').map(Number)) })),
      ...(p.hosts ?? []).map((value): GeneralName => ({ kind: 'dns', value: value.toUpperCase() })),
    ],
  }, () => Uint8Array.of(0x30, 0)));
  const facts = { ecuSerial: ecuSerial(p.facts.ecuSerial), partNumber: partNumber(p.facts.partNumber), vin: vin(p.vin) };
  const profile = parseProfile(profileFile(p), 'p.yaml', { statusUrl: STATUS });
  return compileProfile(profile, asIssuer(issuer, p.caEnd)).prepare(facts, request, p.serial, p.signedAt).tbs;
}

/** otherName, which @peculiar/x509 does not write: by hand, from RFC 4108 section 5. */
function hardwareName(serial: string): string {
  const tlv = (tag: string, hex: string) => `${tag}${hex.length > 254 ? '81' : ''}${(hex.length / 2).toString(16).padStart(2, '0')}${hex}`;
  return tlv('a0', `06082b06010505070804${tlv('a0', tlv('30', hwType.der + tlv('04', toHex(Buffer.from(serial)))))}`);
}

function theirAltNames(p: Pair): peculiar.Extension[] {
  const names: peculiar.JsonGeneralName[] = [
    ...(p.hosts ?? []).map((value) => ({ type: 'dns' as const, value })), ...(p.addresses ?? []).map((value) => ({ type: 'ip' as const, value })),
    ...(p.vinUri ? [{ type: 'url' as const, value: `urn:vin:${p.vin}` }] : []),
  ];
  if (!p.hardware) return names.length === 0 ? [] : [new peculiar.SubjectAlternativeNameExtension(names)];
  const other = Buffer.from(hardwareName(p.facts.ecuSerial), 'hex');
  const usual = names.map((name) => new Uint8Array(new peculiar.GeneralNames([name]).rawData).subarray(2));
  return [new peculiar.Extension('2.5.29.17', false, new Uint8Array(der.sequence(...usual, other)))];
}

async function theirsOf(p: Pair, { spki, signingKey, signingAlgorithm }: Issuer): Promise<Uint8Array> {
  const whole = Math.floor(p.signedAt.getTime() / 1000) * 1000;
  const notBefore = new Date(Math.max(whole - p.backdate * 60_000, caBegin.getTime()));
  const wanted = p.days === null ? NO_END.getTime() : notBefore.getTime() + p.days * 86_400_000 - 1000;
  const shard = Number(BigInt(`0x${toHex(p.serial)}`) % 0x100000000n) % p.shards;
  const raw = (oid: string, hex: string) => new peculiar.Extension(oid, false, Buffer.from(hex, 'hex'));
  const extensions: peculiar.Extension[] = [
    await peculiar.AuthorityKeyIdentifierExtension.create(spki, false, crypto),
    await peculiar.SubjectKeyIdentifierExtension.create(p.key, false, crypto),
    new peculiar.BasicConstraintsExtension(false, undefined, true),
    new peculiar.KeyUsagesExtension(p.usages.reduce((all, usage) => all | usageFlags[usage], 0), true),
    new peculiar.ExtendedKeyUsageExtension(p.purposes.map((purpose) => peculiar.ExtendedKeyUsage[purpose])),
    ...theirAltNames(p),
    ...(p.policies.length === 0 ? [] : [new peculiar.CertificatePolicyExtension(p.policies)]),
    ...(p.crl ? [new peculiar.CRLDistributionPointsExtension([`${STATUS}/crl/ecu-issuing${p.shards === 1 ? '' : `/${p.shards}/${shard}`}.crl`])] : []),
    ...(p.access.length === 0 ? [] : [new peculiar.AuthorityInfoAccessExtension({
      ...(p.access.includes('ocsp') ? { ocsp: `${STATUS}/ocsp` } : {}), ...(p.access.includes('caIssuers') ? { caIssuers: `${STATUS}/ca/ecu-issuing.cer` } : {}),
    })]),
    ...(p.access.includes('ocsp') || p.crl || p.days === null || p.days > 31 ? [] : [raw('2.5.29.56', '0500')]),
    ...(p.staple ? [raw('1.3.6.1.5.5.7.1.24', '3003020105')] : []),
    ...p.fixed.map(({ arc, text: value }) => raw(`1.3.6.1.4.1.99999.${arc}`, utf8String(value))),
  ];
  return theirTbs({
    serialNumber: toHex(p.serial), issuer: theirName([{ type: 'commonName', value: 'Issuing CA' }]),
    subject: theirName([
      ...(p.organization === null ? [] : [{ type: 'organizationName' as const, value: p.organization }]), { type: 'organizationalUnitName', value: p.facts.partNumber },
      ...(p.takesLocality && p.locality !== null ? [{ type: 'localityName' as const, value: p.locality }] : []),
      { type: 'commonName', value: p.commonName === 'ecuSerial' ? p.facts.ecuSerial : p.asked },
    ]),
    notBefore, notAfter: new Date(Math.min(wanted, p.caEnd.getTime())), publicKey: p.key, signingKey, signingAlgorithm, extensions,
  });
}

describe('profiles and requests against @peculiar/x509', () => {
  test.each(Object.keys(issuers) as (keyof typeof issuers)[])('%s: 500 pairs, the same TBSCertificate each', async (name) => {
    let compared = 0;
    await fc.assert(fc.asyncProperty(pairs, async (random) => {
      // What an ECU is comes from the ledger: a profile that needs the serial takes the common name from it, too.
      const p: Pair = random.hardware ? { ...random, commonName: 'ecuSerial' } : random;
      expect(toHex(await oursOf(p, issuers[name]))).toBe(toHex(await theirsOf(p, issuers[name])));
      compared++;
    }), { numRuns: 500 });
    expect(compared).toBe(500);
  }, 30_000);
});
