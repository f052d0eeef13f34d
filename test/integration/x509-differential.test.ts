import 'reflect-metadata';
import { createHash, generateKeyPairSync, type KeyObject, webcrypto } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { toHex } from '@fleetroot/core';
import {
  CertificateTemplate, der, DerReader, encodeName, extension, type GeneralName, keyIdentifier, type KeyUsage, keyUsages, type NamePart,
  type SignatureAlgorithm,
} from '@fleetroot/x509';
import * as peculiar from '@peculiar/x509';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

// Our template against @peculiar/x509, the second opinion: from the same fields the same TBSCertificate, octet for octet.

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
  countryName: '2.5.4.6', domainComponent: '0.9.2342.19200300.100.1.25',
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
  const certificate = await peculiar.X509CertificateGenerator.create({
    serialNumber: toHex(f.serial), issuer: theirName(f.issuerName), subject: theirName(f.subject.map(({ part }) => part)),
    notBefore: f.notBefore, notAfter: f.notAfter, publicKey: f.key, signingKey, signingAlgorithm, extensions,
  }, crypto);
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
