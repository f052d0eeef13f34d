import { der, encodeName, type Extension, extension, keyIdentifier, lintCertificate, type LintKind, type ParsedCertificate, algorithmIdentifier } from '@fleetroot/x509';
import { describe, expect, test } from 'vitest';
import {
  caSpki, changed, type Fields, good, hardwareModule, issuer, leafName, leafSpki, name, noExtensions, raw, secp256k1Spki, tbsOf,
} from '../../../test/vectors/lint/parts.ts';
import { rules } from '../src/lint/rules.ts';

function findings(kind: LintKind, change: Partial<Fields>, by: ParsedCertificate | undefined): string[] {
  return lintCertificate(tbsOf(changed(kind, change)), { kind, issuer: by }).map(({ rule }) => rule);
}

const names = good.leaf.extensions['san'] as Extension;

const noRevAvail = raw('2.5.29.56', false, der.nullValue());
const quiet = { aia: undefined, cdp: undefined };
const module = (value: Uint8Array): Extension => extension.subjectAltName([{ kind: 'other', value }], false);

type Case = [rule: string, kind: LintKind, why: string, change: Partial<Fields>];
const cases: Case[] = [
  ['well-formed', 'leaf', 'critical FALSE written out', { extensions: { san: der.sequence(der.oid('2.5.29.17'), der.boolean(false), der.octetString(names.value)) } }],
  ['well-formed', 'leaf', 'cA FALSE written out', { extensions: { bc: raw('2.5.29.19', true, der.sequence(der.boolean(false))) } }],
  ['well-formed', 'leaf', 'a negative serial number', { serial: Uint8Array.of(2, 1, 0xff) }],
  ['well-formed', 'leaf', 'no purpose', { extensions: { eku: raw('2.5.29.37', false, der.sequence()) } }],
  ['well-formed', 'leaf', 'extensions without version 3', { version: new Uint8Array() }],
  ['version', 'leaf', 'version 1', { version: new Uint8Array(), extensions: noExtensions('leaf') }],
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
  ['subject-public-key', 'leaf', 'a curve that is refused', { spki: secp256k1Spki, extensions: { ski: undefined } }],
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
  ['name-constraints', 'leaf', 'in an end entity', { extensions: { nc: raw('2.5.29.30', true, der.sequence()) } }],
  ['name-constraints', 'ca', 'not critical', { extensions: { nc: raw('2.5.29.30', false, der.sequence()) } }],
  ['no-rev-avail', 'leaf', 'beside a CRL', { extensions: { aia: undefined, no: noRevAvail } }],
  ['no-rev-avail', 'leaf', 'beside OCSP', { extensions: { cdp: undefined, no: noRevAvail } }],
  ['no-rev-avail', 'leaf', 'beside a freshest CRL', { extensions: { ...quiet, fresh: raw('2.5.29.46', false, der.sequence()), no: noRevAvail } }],
  ['no-rev-avail', 'leaf', 'critical', { extensions: { ...quiet, no: { ...noRevAvail, critical: true } } }],
  ['no-rev-avail', 'leaf', 'not NULL', { extensions: { ...quiet, no: raw('2.5.29.56', false, der.sequence()) } }],
  ['no-rev-avail', 'ca', 'in a CA', { extensions: { no: noRevAvail } }],
  ['no-expiration', 'ca', 'the first second of 9999', { notAfter: der.time(new Date('9999-01-01T00:00:00Z')) }],
  ['hardware-module-name', 'leaf', 'no serial number', { extensions: { san: module(hardwareModule(new Uint8Array(0))) } }],
  ['hardware-module-name', 'leaf', 'text in its place', { extensions: { san: module(der.tlv(0xa0, der.oid('1.3.6.1.5.5.7.8.4'), der.explicit(0, der.tlv(0x0c, Buffer.from('1'))))) } }],
  ['status-urls', 'leaf', 'a path', { extensions: { cdp: extension.crlDistributionPoints(['/crl/a.crl']) } }],
];

/** Rules that cannot be broken without these. */
const together: Record<string, string[]> = {
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
    const tested = new Set([...cases.map(([rule]) => rule), 'certificate-size']);
    expect(rules.map(({ name }) => name).filter((rule) => !tested.has(rule))).toEqual([]);
    expect(new Set(rules.map(({ name }) => name)).size).toBe(rules.length);
  });

  test('says where it is asked for', () => {
    for (const { citation } of rules) expect(citation).toMatch(/^(?:RFC \d+ (?:section|appendix)|IEEE 802.1AR|Fleetroot: )/);
  });
});

describe('a subordinate CA', () => {
  test('without its basic constraints is told of it', () => {
    const change = { extensions: { bc: undefined, aki: extension.authorityKeyIdentifier(keyIdentifier(caSpki)) } };
    expect(findings('ca', change, issuer)).toEqual(['ca-basic-constraints', 'key-cert-sign']);
  });
});

test.each([
  ['a key on another curve', secp256k1Spki],
  ['a key that is no key', der.sequence(der.nullValue())],
  ['an empty key', der.sequence()],
])('a root with %s is told of it, and nothing is thrown', (_, spki) => {
  expect(findings('ca', { spki }, undefined)).toEqual(expect.arrayContaining(['subject-public-key', 'signature-algorithm']));
});

test('an empty subject with critical names is good', () => {
  const change = { subject: encodeName([]), extensions: { san: { ...names, critical: true } } };
  expect(findings('leaf', change, issuer)).toEqual([]);
});

test.each<[string, Partial<Fields>]>([
  ['noRevAvail and no pointers', { extensions: { ...quiet, no: noRevAvail } }],
  ['a hardwareModuleName', { extensions: { san: module(hardwareModule(Buffer.from('SN-1'))) } }],
  ['an otherName of another type', { extensions: { san: module(der.tlv(0xa0, der.oid('1.2.3'), der.explicit(0, der.nullValue()))) } }],
])('good: %s', (_, change) => expect(findings('leaf', change, issuer)).toEqual([]));

test('a root without an end is good', () => {
  expect(findings('ca', { notAfter: der.time(new Date('9999-12-31T23:59:59Z')) }, undefined)).toEqual([]);
});

test('the size budget counts the longest signature and every header', () => {
  const tbs = tbsOf(good.leaf);
  const octets = der.sequence(tbs, algorithmIdentifier('ecdsa-sha256'), der.bitString(new Uint8Array(72))).length;
  const rulesAt = (maxOctets: number) => lintCertificate(tbs, { kind: 'leaf', issuer, maxOctets }).map(({ rule }) => rule);
  expect(rulesAt(octets)).toEqual([]);
  expect(rulesAt(octets - 1)).toEqual(['certificate-size']);
});
