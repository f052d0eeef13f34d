// Writes a certificate for each lint rule that breaks it alone. Nothing random: the same octets every time. `--check`
// fails on a difference instead. See README.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { der, encodeName, extension, keyIdentifier, type LintKind } from '@fleetroot/x509';
import {
  caSpki, changed, type Fields, good, hardwareModule, leafName, leafSpki, name, noExtensions, raw, secp256k1Spki, tbsOf, throwAwaySignature,
} from './parts.ts';

/** What a golden is linted as. */
export interface GoldenContext {
  readonly rule: string;
  readonly kind: LintKind;
  /** File of the issuer's certificate; absent: self-signed. */
  readonly issuer?: string;
  readonly maxOctets?: number;
  readonly why: string;
}

const ISSUER = 'issuer.der';
const NAMELESS = 'issuer-nameless.der';
const empty = encodeName([]);
const aki = extension.authorityKeyIdentifier(keyIdentifier(caSpki));

const leaf = (rule: string, why: string, change: Partial<Fields>, more: Partial<GoldenContext> = {}): [GoldenContext, Fields] =>
  [{ rule, kind: 'leaf', issuer: ISSUER, why, ...more }, changed('leaf', change)];
const subordinate = (rule: string, why: string, change: Partial<Fields>): [GoldenContext, Fields] =>
  [{ rule, kind: 'ca', issuer: ISSUER, why }, changed('ca', { subject: leafName, ...change, extensions: { aki, ...change.extensions } })];

const goldens: readonly [GoldenContext, Fields][] = [
  leaf('well-formed', 'critical FALSE is written out', { extensions: { san: der.sequence(der.oid('2.5.29.17'), der.boolean(false), der.octetString(der.sequence(der.tlv(0x82, Buffer.from('a.example'))))) } }),
  leaf('any-extended-key-usage', 'anyExtendedKeyUsage in a critical extension', { extensions: { eku: extension.extendedKeyUsage(['anyExtendedKeyUsage'], true) } }),
  leaf('authority-key-identifier', 'of another key', { extensions: { aki: extension.authorityKeyIdentifier(keyIdentifier(leafSpki)) } }),
  subordinate('ca-basic-constraints', 'not critical', { extensions: { bc: { ...extension.basicConstraints({ ca: true, pathLength: 0 }), critical: false } } }),
  subordinate('ca-subject', 'empty', { subject: empty, extensions: { san: extension.subjectAltName([{ kind: 'dns', value: 'ca.example' }], true) } }),
  leaf('critical-extensions-known', 'an unknown one', { extensions: { other: raw('1.2.3.4', true, der.nullValue()) } }),
  leaf('empty-subject', 'empty, and the names are not critical', { subject: empty }),
  leaf('extensions-non-critical', 'a critical subject key identifier', { extensions: { ski: { ...extension.subjectKeyIdentifier(keyIdentifier(leafSpki)), critical: true } } }),
  leaf('extensions-unique', 'extendedKeyUsage twice', { extensions: { again: extension.extendedKeyUsage(['clientAuth']) } }),
  leaf('issuer-name-not-empty', 'empty, as is the subject of whoever signs', { issuer: empty }, { issuer: NAMELESS }),
  leaf('key-cert-sign', 'keyCertSign without cA', { extensions: { ku: extension.keyUsage(['keyCertSign']) } }),
  leaf('key-usage', 'missing', { extensions: { ku: undefined } }),
  leaf('name-chaining', 'the issuer is somebody else', { issuer: leafName }),
  leaf('name-constraints', 'in an end entity', { extensions: { nc: raw('2.5.29.30', true, der.sequence(der.tlv(0xa0, der.sequence(der.tlv(0x82, Buffer.from('example')))))) } }),
  leaf('path-length', 'without cA', { extensions: { bc: raw('2.5.29.19', true, der.sequence(der.integer(0))) } }),
  leaf('serial-number', '21 octets', { serial: der.integer(new Uint8Array(21).fill(0x41)) }),
  leaf('signature-algorithm', 'ECDSA with SHA-1', { algorithm: der.sequence(der.oid('1.2.840.10045.4.1')) }),
  leaf('subject-alt-names', 'an empty dNSName', { extensions: { san: raw('2.5.29.17', false, der.sequence(der.tlv(0x82))) } }),
  leaf('subject-key-identifier', 'of another key', { extensions: { ski: extension.subjectKeyIdentifier(keyIdentifier(caSpki)) } }),
  leaf('subject-public-key', 'on the curve secp256k1', { spki: secp256k1Spki, extensions: { ski: undefined } }),
  leaf('subject-strings', 'a country in UTF8String', { subject: name('2.5.4.6', der.tag.utf8String, 'DE') }),
  leaf('validity-encoding', 'GeneralizedTime before 2050', { notBefore: der.generalizedTime(new Date('2026-11-22T12:00:00Z')) }),
  leaf('validity-order', 'ends a second before it begins', { notBefore: der.time(new Date('2036-11-22T12:00:01Z')) }),
  leaf('version', '1, hence without extensions', { version: new Uint8Array(), extensions: noExtensions('leaf') }),
  [{ rule: 'ocsp-nocheck', kind: 'ocsp-signer', issuer: ISSUER, why: 'missing' }, changed('ocsp-signer', { extensions: { nocheck: undefined } })],
  leaf('ocsp-signing', 'on a leaf', { extensions: { eku: extension.extendedKeyUsage(['clientAuth', 'OCSPSigning']) } }),
  leaf('no-rev-avail', 'beside a CRL distribution point', { extensions: { no: raw('2.5.29.56', false, der.nullValue()), aia: undefined } }),
  leaf('hardware-module-name', 'an empty hwSerialNum', { extensions: { san: extension.subjectAltName([{ kind: 'other', value: hardwareModule(new Uint8Array(0)) }], false) } }),
  [
    { rule: 'no-expiration', kind: 'ca', why: 'the year 9999, but not its last second' },
    changed('ca', { notAfter: der.generalizedTime(new Date('9999-12-31T23:59:58Z')) }),
  ],
  leaf('certificate-size', 'one octet over the budget', {}, { maxOctets: certificateOctets(good.leaf) - 1 }),
  leaf('end-entity', 'may sign CRLs', { extensions: { ku: extension.keyUsage(['digitalSignature', 'cRLSign']) } }),
  leaf('serial-length', '7 octets', { serial: der.integer(new Uint8Array(7).fill(0x41)) }),
  leaf('status-urls', 'the CRL is at a path', { extensions: { cdp: extension.crlDistributionPoints(['/crl/a.crl']) } }),
  leaf('validity-within-issuer', 'a second longer', { notAfter: der.time(new Date('2046-11-22T12:00:01Z')) }),
];

/** With the longest ECDSA signature on P-256: 72 octets, in a BIT STRING of 75. */
function certificateOctets(fields: Fields): number {
  return der.sequence(tbsOf(fields), fields.algorithm, der.bitString(new Uint8Array(72))).length;
}

const certificate = (fields: Fields): Uint8Array => der.sequence(tbsOf(fields), fields.algorithm, der.bitString(throwAwaySignature));

/** Every file, by its name. */
export function files(): Map<string, Uint8Array> {
  const all = new Map<string, Uint8Array>([
    [ISSUER, certificate(good.ca)], [NAMELESS, certificate(changed('ca', { subject: empty, issuer: empty }))],
    ['good.der', certificate(good.leaf)],
    ['goldens.json', Buffer.from(`[\n${goldens.map(([context]) => `  ${JSON.stringify(context)}`).join(',\n')}\n]\n`)],
  ]);
  for (const [{ rule }, fields] of goldens) all.set(`${rule}.der`, certificate(fields));
  return all;
}

if (import.meta.main) {
  for (const [file, octets] of files()) {
    const path = new URL(file, import.meta.url);
    if (!process.argv.includes('--check')) writeFileSync(path, octets);
    else if (!readFileSync(path).equals(octets)) throw new Error(`${file} is not what make.ts makes: run node test/vectors/lint/make.ts`);
  }
}
