import * as fc from 'fast-check';
import { compileLint, der, encodeName, type Extension, extension, keyIdentifier, type LintContext, lintCertificate, type LintKind } from '@fleetroot/x509';
import { describe, expect, test } from 'vitest';
import {
  caName, caSpki, changed, type Fields, good, hardwareModule, issuer, leafName, leafSpki, name, raw, secp256k1Spki, tbsOf,
} from '../../../test/vectors/lint/parts.ts';
import { OpenSubject } from '../src/lint/open-subject.ts';
import { lintSubject } from '../src/lint/lint.ts';
import { rules } from '../src/lint/rules.ts';
import { parseTbs } from '../src/certificate/tbs.ts';

/** Now and then something that is broken; else something that is not. */
const mostly = <T>(sound: readonly T[], broken: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...sound) }, { weight: 1, arbitrary: fc.constantFrom(...broken) });

const time = (iso: string): Uint8Array => der.time(new Date(iso));
const commonName = (value: string): Uint8Array => encodeName([{ type: 'commonName', value }]);
const without = (...octets: number[]): Uint8Array => Uint8Array.from(octets);

const holes: fc.Arbitrary<Partial<Fields>> = fc.record({
  serial: fc.oneof(
    { weight: 6, arbitrary: fc.uint8Array({ minLength: 8, maxLength: 20 }).map((octets) => der.integer(octets)) },
    { weight: 1, arbitrary: fc.constantFrom(der.integer(0), der.integer(7), der.integer(new Uint8Array(21).fill(1)), without(2, 1, 0x80), without(2, 0), without(4, 1, 1)) },
  ),
  notBefore: mostly([time('2026-11-22T12:00:00Z'), time('2027-01-01T00:00:00Z')], [der.generalizedTime(new Date('2026-11-22T12:00:00Z')), time('2050-01-01T00:00:00Z'), without(0x17, 0)]),
  notAfter: mostly([time('2036-11-22T12:00:00Z'), time('2046-11-22T12:00:00Z')], [time('2046-11-22T12:00:01Z'), time('9999-12-31T23:59:59Z'), time('9999-12-31T23:59:58Z'), time('2020-01-01T00:00:00Z')]),
  subject: mostly(
    [leafName, commonName('TCU-26-02'), commonName('Gerät 7'), encodeName([{ type: 'countryName', value: 'DE' }, { type: 'serialNumber', value: '7' }])],
    [encodeName([]), name('2.5.4.3', 0x14, 'TCU'), name('2.5.4.6', 0x0c, 'DE'), name('2.5.4.3', 0x13, 'a_b'), name('2.5.4.3', 0x0c, 'x'.repeat(65)), without(0x30, 1, 0)],
  ),
  spki: mostly([leafSpki, caSpki], [secp256k1Spki, der.sequence(), der.nullValue()]),
});
const fixed: fc.Arbitrary<Partial<Fields>> = fc.record({
  version: mostly([der.explicit(0, der.integer(2))], [new Uint8Array(), der.explicit(0, der.integer(1)), der.explicit(0, der.integer(3))]),
  issuer: mostly([caName], [encodeName([]), leafName]),
  algorithm: mostly([good.leaf.algorithm], [der.sequence(der.oid('1.2.840.10045.4.1'))]),
});

type Choice = Extension | Uint8Array | undefined;
const keep = Symbol('as in the good one');
/** Another value of the extension, or the good one. */
const or = (...others: Choice[]): fc.Arbitrary<Choice | typeof keep> =>
  fc.oneof({ weight: 8, arbitrary: fc.constant(keep) }, { weight: 1, arbitrary: fc.constantFrom<Choice | typeof keep>(keep, ...others) });
const san = (value: string): Extension => extension.subjectAltName([{ kind: 'dns', value }], false);
const extensions = fc.record({
  bc: or(undefined, extension.basicConstraints({ ca: true }), raw('2.5.29.19', true, der.sequence(der.boolean(false)))),
  ku: or(undefined, extension.keyUsage(['keyCertSign']), { ...extension.keyUsage(['digitalSignature']), critical: false }),
  eku: or(undefined, extension.extendedKeyUsage(['OCSPSigning']), extension.extendedKeyUsage(['anyExtendedKeyUsage'], true)),
  san: or(
    undefined, san('b.example'), san('longer.name.example'), { ...san('a.example'), critical: true }, raw('2.5.29.17', false, der.sequence()), raw('2.5.29.17', false, without(0x30, 2)),
    raw('2.5.29.17', false, der.sequence(hardwareModule(new Uint8Array(0)))), raw('2.5.29.17', false, der.sequence(hardwareModule(without(1)))),
    der.sequence(der.oid('2.5.29.17'), der.boolean(false), der.octetString(san('a.example').value)),
    der.sequence(der.oid('2.5.29.17'), der.octetString(san('a.example').value), der.nullValue()),
  ),
  ski: or(undefined, extension.subjectKeyIdentifier(keyIdentifier(caSpki)), { ...extension.subjectKeyIdentifier(keyIdentifier(leafSpki)), critical: true }, raw('2.5.29.14', false, without(4, 5))),
  aki: or(undefined, extension.authorityKeyIdentifier(keyIdentifier(leafSpki)), raw('2.5.29.35', false, der.sequence())),
  cdp: or(undefined, extension.crlDistributionPoints(['http://status.example/7.crl']), extension.crlDistributionPoints(['/7.crl']), raw('2.5.29.31', false, der.sequence())),
  again: or(extension.extendedKeyUsage(['clientAuth']), san('twice.example')),
  other: or(raw('1.2.3.4', true, der.nullValue()), raw('1.2.3.4', false, der.nullValue()), raw('2.5.29.56', false, der.nullValue()), raw('2.5.29.30', true, der.sequence())),
});
/** Bytes turned over in the finished TBS, a few times in many. */
const flips = fc.oneof(
  { weight: 5, arbitrary: fc.constant([]) },
  { weight: 1, arbitrary: fc.array(fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.integer({ min: 1, max: 255 })), { maxLength: 2 }) },
);

const anyTbs = (kind: LintKind): fc.Arbitrary<Uint8Array> =>
  fc.record({ holes, fixed: fc.option(fixed, { freq: 3, nil: {} }), extensions, flips, ski: fc.boolean() }).map((drawn) => {
    const chosen = Object.fromEntries(Object.entries(drawn.extensions).filter(([, choice]) => choice !== keep)) as Record<string, Choice>;
    const fields = changed(kind, { ...drawn.holes, ...drawn.fixed, extensions: { aki: good.leaf.extensions['aki'], ...chosen } });
    const right = raw('2.5.29.14', false, der.octetString(hashOf(fields.spki)));
    const tbs = tbsOf(drawn.ski && !('ski' in chosen) ? { ...fields, extensions: { ...fields.extensions, ski: right } } : fields);
    for (const [place, mask] of drawn.flips) {
      const at = Math.floor(place * tbs.length);
      tbs[at] = (tbs[at] ?? 0) ^ mask;
    }
    return tbs;
  });

function hashOf(spki: Uint8Array): Uint8Array {
  try {
    return keyIdentifier(spki);
  } catch {
    return new Uint8Array(20);
  }
}

/** Holds the good leaf, and none with a longer name. */
const budget = tbsOf(good.leaf).length + 100;
const contexts: [string, LintContext][] = [
  ['leaf', { kind: 'leaf', issuer }], ['leaf with a budget', { kind: 'leaf', issuer, maxOctets: budget }],
  ['ocsp-signer', { kind: 'ocsp-signer', issuer }], ['ca', { kind: 'ca', issuer }], ['root', { kind: 'ca', issuer: undefined }],
];

describe('a compiled lint finds what the full lint finds', () => {
  test.each(contexts)('%s', (_, context) => {
    let clean = 0;
    fc.assert(fc.property(fc.array(anyTbs(context.kind), { minLength: 5, maxLength: 40 }), (sequence) => {
      const lint = compileLint(context);
      for (const tbs of sequence) {
        const full = lintCertificate(tbs, context);
        clean += full.length === 0 ? 1 : 0;
        expect(lint(tbs)).toEqual(full);
      }
    }), { numRuns: 60 });
    // Else the fast path was hardly taken, and this shows nothing.
    if (context.issuer !== undefined) expect(clean).toBeGreaterThan(10);
  });

  test.each([['an array', (octets: Uint8Array) => new Uint8Array(octets)], ['a Buffer', (octets: Uint8Array) => Buffer.from(octets)]])('though what it was compiled from is overwritten: %s', (_, copy) => {
    const lint = compileLint({ kind: 'leaf', issuer });
    const tbs = copy(tbsOf(good.leaf));
    const kept = new Uint8Array(tbs);
    expect(lint(tbs)).toEqual([]);
    tbs.fill(0);
    expect(lint(kept)).toEqual([]);
    expect(lint(tbs)).not.toEqual([]);
  });
});

describe('which rules look at what differs', () => {
  const open = (kind: LintKind): string[] => {
    const tbs = tbsOf(good[kind]);
    const subject = new OpenSubject(lintSubject(tbs, parseTbs(tbs, 'certificate.malformed', 'refuse-defaults'), { kind, issuer }));
    return rules.filter(({ check }) => subject.isLookedInto(check)).map((rule) => rule.name);
  };
  test('of a leaf: these, and no other', () => {
    expect(open('leaf')).toEqual([
      'empty-subject', 'serial-number', 'subject-alt-names', 'subject-key-identifier', 'subject-public-key', 'subject-strings',
      'validity-encoding', 'validity-order', 'hardware-module-name', 'no-expiration', 'serial-length', 'status-urls', 'validity-within-issuer',
    ]);
  });
  test('of an OCSP signer none that reads names', () => expect(open('ocsp-signer')).not.toContain('subject-alt-names'));
});
