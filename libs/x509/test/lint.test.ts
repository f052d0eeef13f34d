import { generateKeyPairSync } from 'node:crypto';
import {
  algorithmIdentifier, assembleCertificate, der, encodeExtension, encodeName, type Extension, extension, keyIdentifier, lintCertificate,
  type LintKind, parseCertificate, type ParsedCertificate,
} from '@fleetroot/x509';
import { describe, expect, test } from 'vitest';
import { rules } from '../src/lint/rules.ts';

const newSpki = (): Uint8Array =>
  new Uint8Array(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'der', type: 'spki' }));
const caSpki = newSpki();
const leafSpki = newSpki();
const caName = encodeName([{ type: 'commonName', value: 'ECU Issuing 1' }]);
const leafName = encodeName([{ type: 'commonName', value: 'TCU-26-01' }]);

interface Fields {
  readonly version: Uint8Array;
  readonly serial: Uint8Array;
  readonly algorithm: Uint8Array;
  readonly issuer: Uint8Array;
  readonly notBefore: Uint8Array;
  readonly notAfter: Uint8Array;
  readonly subject: Uint8Array;
  readonly spki: Uint8Array;
  /** By the name of the table below; undefined leaves one out. */
  readonly extensions: Record<string, Extension | Uint8Array | undefined>;
}

const common = {
  version: der.explicit(0, der.integer(2)),
  serial: der.integer(new Uint8Array(16).fill(0x41)),
  algorithm: algorithmIdentifier('ecdsa-sha256'),
  issuer: caName,
  notBefore: der.time(new Date('2026-11-22T12:00:00Z')),
  notAfter: der.time(new Date('2036-11-22T12:00:00Z')),
};
const names = extension.subjectAltName([{ kind: 'dns', value: 'tcu.example' }], false);

const good: Record<LintKind, Fields> = {
  leaf: {
    ...common, subject: leafName, spki: leafSpki,
    extensions: {
      bc: extension.basicConstraints({ ca: false }), ku: extension.keyUsage(['digitalSignature']), eku: extension.extendedKeyUsage(['clientAuth']),
      san: names, ski: extension.subjectKeyIdentifier(keyIdentifier(leafSpki)), aki: extension.authorityKeyIdentifier(keyIdentifier(caSpki)),
      aia: extension.authorityInformationAccess({ ocsp: 'http://status.example/ocsp' }), cdp: extension.crlDistributionPoints(['http://status.example/a.crl']),
    },
  },
  'ocsp-signer': {
    ...common, subject: leafName, spki: leafSpki,
    extensions: {
      ku: extension.keyUsage(['digitalSignature']), eku: extension.extendedKeyUsage(['OCSPSigning']), nocheck: extension.ocspNoCheck(),
      aki: extension.authorityKeyIdentifier(keyIdentifier(caSpki)),
    },
  },
  ca: {
    ...common, subject: caName, spki: caSpki, notAfter: der.time(new Date('2046-11-22T12:00:00Z')),
    extensions: {
      bc: extension.basicConstraints({ ca: true, pathLength: 0 }), ku: extension.keyUsage(['keyCertSign', 'cRLSign']),
      ski: extension.subjectKeyIdentifier(keyIdentifier(caSpki)),
    },
  },
};

function tbsOf(fields: Fields): Uint8Array {
  const encoded = Object.values(fields.extensions).flatMap((one) =>
    one === undefined ? [] : [one instanceof Uint8Array ? one : encodeExtension(one)]);
  return der.sequence(
    fields.version, fields.serial, fields.algorithm, fields.issuer, der.sequence(fields.notBefore, fields.notAfter), fields.subject, fields.spki,
    ...(encoded.length === 0 ? [] : [der.explicit(3, der.sequence(...encoded))]),
  );
}

const issuer = parseCertificate(assembleCertificate(tbsOf(good.ca), 'ecdsa-sha256', Uint8Array.of(1)));

function findings(kind: LintKind, change: Partial<Fields>, by: ParsedCertificate | undefined): string[] {
  const fields = { ...good[kind], ...change, extensions: { ...good[kind].extensions, ...change.extensions } };
  return lintCertificate(tbsOf(fields), { kind, issuer: by }).map(({ rule }) => rule);
}

const raw = (oid: string, critical: boolean, value: Uint8Array): Extension => ({ oid, critical, value });
const name = (dotted: string, tagOctet: number, value: string): Uint8Array =>
  der.sequence(der.tlv(der.tag.set, der.sequence(der.oid(dotted), der.tlv(tagOctet, Buffer.from(value)))));

type Case = [rule: string, kind: LintKind, why: string, change: Partial<Fields>];
const cases: Case[] = [
  ['well-formed', 'leaf', 'critical FALSE written out', { extensions: { san: der.sequence(der.oid('2.5.29.17'), der.boolean(false), der.octetString(names.value)) } }],
  ['well-formed', 'leaf', 'cA FALSE written out', { extensions: { bc: raw('2.5.29.19', true, der.sequence(der.boolean(false))) } }],
  ['well-formed', 'leaf', 'a negative serial number', { serial: Uint8Array.of(2, 1, 0xff) }],
  ['well-formed', 'leaf', 'no purpose', { extensions: { eku: raw('2.5.29.37', false, der.sequence()) } }],
  ['well-formed', 'leaf', 'extensions without version 3', { version: new Uint8Array() }],
  ['version', 'leaf', 'version 1', { version: new Uint8Array(), extensions: none('leaf') }],
  ['serial-number', 'leaf', 'zero', { serial: der.integer(0) }],
  ['serial-number', 'leaf', '21 octets', { serial: der.integer(new Uint8Array(21).fill(0x41)) }],
  ['serial-length', 'leaf', '7 octets', { serial: der.integer(new Uint8Array(7).fill(0x41)) }],
  ['signature-algorithm', 'leaf', 'another kind than the key of the issuer', { algorithm: algorithmIdentifier('rsa-sha256') }],
  ['signature-algorithm', 'leaf', 'SHA-1', { algorithm: der.sequence(der.oid('1.2.840.10045.4.1')) }],
  ['issuer-name-not-empty', 'leaf', 'empty', { issuer: encodeName([]) }],
  ['name-chaining', 'leaf', 'another name', { issuer: leafName }],
  ['name-chaining', 'leaf', 'the same name in another string type', { issuer: name('2.5.4.3', der.tag.utf8String, 'ECU Issuing 1') }],
  ['name-chaining', 'ca', 'a root that another name issues', { issuer: leafName }],
  ['validity-encoding', 'leaf', 'GeneralizedTime before 2050', { notBefore: der.generalizedTime(new Date('2026-11-22T12:00:00Z')) }],
  ['validity-order', 'leaf', 'ends before it begins', { notBefore: der.time(new Date('2036-11-22T12:00:01Z')) }],
  ['validity-within-issuer', 'leaf', 'one second longer', { notAfter: der.time(new Date('2046-11-22T12:00:01Z')) }],
  ['ca-subject', 'ca', 'empty', { subject: encodeName([]) }],
  ['empty-subject', 'leaf', 'names not critical', { subject: encodeName([]) }],
  ['empty-subject', 'leaf', 'no names', { subject: encodeName([]), extensions: { san: undefined } }],
  ['subject-strings', 'leaf', 'a TeletexString', { subject: name('2.5.4.3', 0x14, 'TCU') }],
  ['subject-strings', 'leaf', 'a wrong character in a PrintableString', { subject: name('2.5.4.3', der.tag.printableString, 'TCU_26') }],
  ['subject-strings', 'leaf', 'a country in UTF-8', { subject: name('2.5.4.6', der.tag.utf8String, 'DE') }],
  ['subject-strings', 'leaf', 'a serial number in UTF-8', { subject: name('2.5.4.5', der.tag.utf8String, 'TCU') }],
  ['subject-strings', 'leaf', '65 characters', { subject: name('2.5.4.3', der.tag.utf8String, 'x'.repeat(65)) }],
  ['subject-strings', 'leaf', 'not a string', { subject: name('2.5.4.3', der.tag.octetString, 'x') }],
  ['subject-public-key', 'leaf', 'a curve that is refused', { spki: otherCurve(), extensions: { ski: undefined } }],
  ['extensions-unique', 'leaf', 'twice', { extensions: { again: extension.extendedKeyUsage(['clientAuth']) } }],
  ['critical-extensions-known', 'leaf', 'unknown', { extensions: { other: raw('1.2.3.4', true, der.nullValue()) } }],
  ['extensions-non-critical', 'leaf', 'SKI', { extensions: { ski: { ...extension.subjectKeyIdentifier(keyIdentifier(leafSpki)), critical: true } } }],
  ['extensions-non-critical', 'leaf', 'AKI', { extensions: { aki: { ...extension.authorityKeyIdentifier(keyIdentifier(caSpki)), critical: true } } }],
  ['extensions-non-critical', 'leaf', 'CDP', { extensions: { cdp: { ...extension.crlDistributionPoints(['http://a.example/']), critical: true } } }],
  ['authority-key-identifier', 'leaf', 'missing', { extensions: { aki: undefined } }],
  ['authority-key-identifier', 'leaf', 'empty', { extensions: { aki: raw('2.5.29.35', false, der.sequence()) } }],
  ['authority-key-identifier', 'leaf', 'of another key', { extensions: { aki: extension.authorityKeyIdentifier(keyIdentifier(leafSpki)) } }],
  ['subject-key-identifier', 'leaf', 'of another key', { extensions: { ski: extension.subjectKeyIdentifier(keyIdentifier(caSpki)) } }],
  ['subject-key-identifier', 'ca', 'missing', { extensions: { ski: undefined } }],
  ['key-usage', 'leaf', 'missing', { extensions: { ku: undefined } }],
  ['key-usage', 'leaf', 'not critical', { extensions: { ku: { ...extension.keyUsage(['digitalSignature']), critical: false } } }],
  ['key-usage', 'leaf', 'no bit', { extensions: { ku: raw('2.5.29.15', true, Uint8Array.of(3, 1, 0)) } }],
  ['key-usage', 'ca', 'no keyCertSign', { extensions: { bc: extension.basicConstraints({ ca: true }), ku: extension.keyUsage(['cRLSign']) } }],
  ['key-cert-sign', 'leaf', 'without cA', { extensions: { ku: extension.keyUsage(['keyCertSign']) } }],
  ['ca-basic-constraints', 'ca', 'not critical', { extensions: { bc: { ...extension.basicConstraints({ ca: true }), critical: false } } }],
  ['path-length', 'leaf', 'without cA', { extensions: { bc: raw('2.5.29.19', true, der.sequence(der.integer(0))) } }],
  ['subject-alt-names', 'leaf', 'no entry', { extensions: { san: raw('2.5.29.17', false, der.sequence()) } }],
  ['subject-alt-names', 'leaf', 'an empty entry', { extensions: { san: raw('2.5.29.17', false, der.sequence(der.tlv(0x82))) } }],
  ['any-extended-key-usage', 'leaf', 'critical', { extensions: { eku: extension.extendedKeyUsage(['anyExtendedKeyUsage'], true) } }],
  ['ocsp-signing', 'leaf', 'on a leaf', { extensions: { eku: extension.extendedKeyUsage(['clientAuth', 'OCSPSigning']) } }],
  ['ocsp-signing', 'ca', 'on a CA', { extensions: { eku: extension.extendedKeyUsage(['OCSPSigning']) } }],
  ['ocsp-signing', 'ocsp-signer', 'missing', { extensions: { eku: undefined } }],
  ['ocsp-signing', 'ocsp-signer', 'with another purpose', { extensions: { eku: extension.extendedKeyUsage(['OCSPSigning', 'clientAuth']) } }],
  ['ocsp-nocheck', 'ocsp-signer', 'missing', { extensions: { nocheck: undefined } }],
  ['ocsp-nocheck', 'ocsp-signer', 'critical', { extensions: { nocheck: { ...extension.ocspNoCheck(), critical: true } } }],
  ['ocsp-nocheck', 'ocsp-signer', 'not NULL', { extensions: { nocheck: raw('1.3.6.1.5.5.7.48.1.5', false, der.sequence()) } }],
  ['ocsp-nocheck', 'leaf', 'on a leaf', { extensions: { nocheck: extension.ocspNoCheck() } }],
  ['end-entity', 'leaf', 'cA TRUE', { extensions: { bc: extension.basicConstraints({ ca: true }) } }],
  ['end-entity', 'ocsp-signer', 'cRLSign', { extensions: { ku: extension.keyUsage(['digitalSignature', 'cRLSign']) } }],
  ['status-urls', 'leaf', 'a path', { extensions: { cdp: extension.crlDistributionPoints(['/crl/a.crl']) } }],
];

/** Every extension of that kind left out. */
function none(kind: LintKind): Fields['extensions'] {
  return Object.fromEntries(Object.keys(good[kind].extensions).map((key) => [key, undefined]));
}

function otherCurve(): Uint8Array {
  return new Uint8Array(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({ format: 'der', type: 'spki' }));
}

/** Rules that cannot be broken without these. */
const together: Record<string, string[]> = {
  // Without version 3 there are no extensions, hence none that must be there.
  version: ['authority-key-identifier', 'key-usage'],
  // Zero and seven octets are short, and an empty issuer is another than the CA.
  'serial-number': ['serial-length'],
  'issuer-name-not-empty': ['name-chaining'],
  // The issuer is the CA itself; an empty subject without critical names breaks both.
  'ca-subject': ['empty-subject', 'name-chaining'],
};

describe('every rule', () => {
  test.each(['leaf', 'ca', 'ocsp-signer'] as const)('is content with a good certificate: %s', (kind) => {
    expect(findings(kind, {}, kind === 'ca' ? undefined : issuer)).toEqual([]);
  });

  test.each(cases)('%s: %s: %s', (rule, kind, _why, change) => {
    const found = findings(kind, change, kind === 'ca' ? undefined : issuer);
    expect(found).toContain(rule);
    expect(found.filter((other) => other !== rule && !(together[rule] ?? []).includes(other))).toEqual([]);
  });

  test('has a case, and a name of its own', () => {
    const tested = new Set(cases.map(([rule]) => rule));
    expect(rules.map(({ name }) => name).filter((rule) => !tested.has(rule))).toEqual([]);
    expect(new Set(rules.map(({ name }) => name)).size).toBe(rules.length);
  });

  test('says where it is asked for', () => {
    for (const { citation } of rules) expect(citation).toMatch(/^(?:RFC \d+ (?:section|appendix)|Fleetroot: )/);
  });
});

describe('a subordinate CA', () => {
  test('without its basic constraints is told of it', () => {
    const change = { extensions: { bc: undefined, aki: extension.authorityKeyIdentifier(keyIdentifier(caSpki)) } };
    expect(findings('ca', change, issuer)).toEqual(['ca-basic-constraints', 'key-cert-sign']);
  });
});

test.each([
  ['a key on another curve', otherCurve()],
  ['a key that is no key', der.sequence(der.nullValue())],
  ['an empty key', der.sequence()],
])('a root with %s is told of it, and nothing is thrown', (_, spki) => {
  expect(findings('ca', { spki }, undefined)).toEqual(expect.arrayContaining(['subject-public-key', 'signature-algorithm']));
});

test('an empty subject with critical names is good', () => {
  const change = { subject: encodeName([]), extensions: { san: { ...names, critical: true } } };
  expect(findings('leaf', change, issuer)).toEqual([]);
});
