import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it, test } from 'vitest';
import { pkiError } from '../../../test/support/error-code.ts';
import { caRights, certify, type CertificateFields, named, notAfter, notBefore, p256, type SoftwareCa } from '../../../test/support/software-ca.ts';
import {
  checkTrustAnchor, der, encodeGeneralName, encodeName, extension, type Extension, LeafIssuer, parseCertificate, type PathInput, validatePath,
} from '../src/index.ts';

const time = new Date('2026-11-22T12:00:00Z');
const clientRights = [extension.keyUsage(['digitalSignature']), extension.extendedKeyUsage(['clientAuth'])];
const leafOf = (issuer: SoftwareCa, fields: Partial<CertificateFields> = {}) =>
  certify({ subject: named('leaf'), issuer, extensions: clientRights, ...fields });
const caOf = (issuer: SoftwareCa | undefined, name: string, extensions: readonly Extension[] = caRights, fields: Partial<CertificateFields> = {}) =>
  certify({ subject: named(name), issuer, extensions, ...fields });
const root = caOf(undefined, 'Root');
const middle = caOf(root, 'Middle');
const leaf = leafOf(middle);

interface Certified { readonly certificate: Uint8Array }
const ders = (all: readonly Certified[]) => all.map(({ certificate }) => certificate);
const validate = (path: Certified, above: readonly Certified[], anchors: readonly Certified[] = [root], more: Partial<PathInput> = {}) =>
  validatePath({ leaf: path.certificate, intermediates: ders(above), anchors: ders(anchors), time, purpose: 'clientAuth', ...more });
/** The reason of the refusal, or 'valid'. */
const verdict = (...args: Parameters<typeof validate>) => {
  const error = pkiError(() => validate(...args));
  if (error !== undefined && error.code !== 'certificate.path-invalid') throw error;
  const found = error?.data['reason'] ?? 'valid';
  expect(byLeafIssuer(...args) ?? found).toBe(found);
  return found;
};
/** What a LeafIssuer says of a path that it can judge; of every other, undefined. */
const byLeafIssuer = (path: Certified, above: readonly Certified[], [anchor, ...others]: readonly Certified[] = [root], more: Partial<PathInput> = {}): string | undefined => {
  if (above.length > 0 || anchor === undefined || others.length > 0 || more.crls !== undefined || more.policies !== undefined) return undefined;
  const { purpose, time: at } = { time, purpose: 'clientAuth' as const, ...more };
  const issuer = new LeafIssuer(parseCertificate(anchor.certificate));
  const [first, second] = [1, 2].map(() => issuer.failure(parseCertificate(path.certificate), at, purpose) ?? 'valid');
  expect(second).toBe(first);
  return first;
};

describe('a path is found and valid', () => {
  it('leaf first, anchor last, and the anchor named by its place', () => {
    const path = validate(leaf, [middle], [caOf(undefined, 'Else'), root]);
    expect(path.anchor).toBe(1);
    expect(path.chain.map(({ der: bytes }) => Buffer.from(bytes))).toEqual(ders([leaf, middle, root]).map((bytes) => Buffer.from(bytes)));
  });
  const crossed = p256();
  const old = certify({ subject: named('Cross'), key: crossed });
  test.each<[string, string, () => Parameters<typeof validate>]>([
    ['straight below the anchor', 'valid', () => [leafOf(root), []]],
    ['with an intermediate as the anchor', 'valid', () => [leaf, [], [middle]]],
    ['with the intermediates in any order, and others among them', 'valid', () => {
      const lower = caOf(middle, 'Lower');
      return [leafOf(lower), [caOf(undefined, 'Noise'), lower, root, middle]];
    }],
    ['by another way where an intermediate has expired', 'valid', () => {
      const key = p256();
      const expired = caOf(root, 'Twice', caRights, { key, notAfter: new Date('2026-02-01T00:00:00Z') });
      const renewed = caOf(root, 'Twice', caRights, { key });
      return [leafOf(renewed), [expired, renewed]];
    }],
    ['through a cross-certificate', 'valid', () => [leafOf(old), [caOf(root, 'Cross', caRights, { key: crossed })]]],
    ['where names differ in case and spaces only', 'valid', () => {
      const key = p256();
      const upper = certify({ subject: named('Some  CA'), issuer: root, key });
      const lower = certify({ subject: named('some CA '), key });
      return [leafOf(lower), [upper]];
    }],
    ['in ten certificates', 'valid', () => chain(10)],
    ['not in eleven', 'no-anchor', () => chain(11)],
    ['not from a list of more than ten', 'too-many', () => [leaf, Array.from({ length: 11 }, () => middle)]],
    ['not without the intermediate', 'no-anchor', () => [leaf, []]],
    ['not under an anchor of the same name with another key', 'no-anchor', () => [leaf, [middle], [caOf(undefined, 'Root')]]],
    ['not where the leaf itself is the anchor', 'no-anchor', () => [leaf, [], [leaf]]],
    ['not round in a circle', 'no-anchor', () => {
      const key = p256();
      const a = certify({ subject: named('A'), key });
      const b = caOf(a, 'B');
      const back = certify({ subject: named('A'), key, issuer: b });
      return [leafOf(b), [a, b, back]];
    }],
  ])('%s: %s', (_, expected, input) => expect(verdict(...input())).toBe(expected));

  it('without trying for long among many CAs of one name', () => {
    const keys = Array.from({ length: 10 }, () => p256());
    const same = keys.map((key, place) => certify({ subject: named('Same'), key, issuer: certify({ subject: named('Same'), key: keys[(place + 1) % 10] ?? key }), extensions: caRights }));
    const started = performance.now();
    expect(verdict(leafOf(same[0] ?? root), same)).toBe('no-anchor');
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

/** A path of so many certificates, leaf and anchor among them. */
function chain(length: number): [SoftwareCa, SoftwareCa[]] {
  const above: SoftwareCa[] = [];
  let issuer = root;
  for (let depth = 0; depth < length - 2; depth++) above.push(issuer = caOf(issuer, `CA ${depth}`));
  return [leafOf(issuer), above];
}

test.each<[string, string, () => Parameters<typeof validate>]>([
  ['a leaf that another key signed', 'signature', () => [leafOf(root, { forged: true }), []]],
  ['an intermediate that another key signed', 'signature', () => {
    const forged = caOf(root, 'Forged', caRights, { forged: true });
    return [leafOf(forged), [forged]];
  }],
  ['a leaf that is no CA as issuer', 'not-a-ca', () => [leafOf(leaf), [leaf, middle]]],
  ['an issuer that says cA FALSE', 'not-a-ca', () => {
    const no = caOf(root, 'No', [extension.basicConstraints({ ca: false })]);
    return [leafOf(no), [no]];
  }],
  ['an issuer that may sign CRLs only', 'key-usage', () => {
    const crl = caOf(root, 'CRL', [extension.basicConstraints({ ca: true }), extension.keyUsage(['cRLSign'])]);
    return [leafOf(crl), [crl]];
  }],
  ['an issuer without key usage', 'valid', () => {
    const bare = caOf(root, 'Bare', [extension.basicConstraints({ ca: true })]);
    return [leafOf(bare), [bare]];
  }],
  ['an anchor that is no CA', 'not-a-ca', () => {
    const bare = caOf(undefined, 'Bare', []);
    return [leafOf(bare), [], [bare]];
  }],
  ['pathLen 0 and no CA below', 'valid', () => {
    const zero = caOf(root, 'Zero', withLength(0));
    return [leafOf(zero), [zero]];
  }],
  ['pathLen 0 and a CA below', 'path-length', () => {
    const zero = caOf(root, 'Zero', withLength(0));
    const below = caOf(zero, 'Below');
    return [leafOf(below), [zero, below]];
  }],
  ['pathLen 0 in the anchor and a CA below', 'path-length', () => {
    const zero = caOf(undefined, 'Zero', withLength(0));
    const below = caOf(zero, 'Below');
    return [leafOf(below), [below], [zero]];
  }],
  ['pathLen 0 and a self-issued CA below', 'valid', () => {
    const zero = caOf(root, 'Zero', withLength(0));
    const rolled = caOf(zero, 'Zero');
    return [leafOf(rolled), [zero, rolled]];
  }],
  ['pathLen that a CA below would widen', 'path-length', () => {
    const one = caOf(root, 'One', withLength(1));
    const nine = caOf(one, 'Nine', withLength(9));
    const below = caOf(nine, 'Below');
    return [leafOf(below), [one, nine, below]];
  }],
  ['a leaf for servers', 'eku', () => [leafOf(root, { extensions: [extension.extendedKeyUsage(['serverAuth'])] }), []]],
  ['a leaf for anything', 'valid', () => [leafOf(root, { extensions: [extension.extendedKeyUsage(['anyExtendedKeyUsage'])] }), []]],
  ['a leaf of no stated use', 'valid', () => [leafOf(root, { extensions: [] }), []]],
  ['a CA for servers', 'eku', () => {
    const servers = caOf(root, 'Servers', [...caRights, extension.extendedKeyUsage(['serverAuth'])]);
    return [leafOf(servers), [servers]];
  }],
  ['a leaf that may only encipher', 'key-usage', () => [leafOf(root, { extensions: [extension.keyUsage(['keyEncipherment'])] }), []]],
  ['the same as a server', 'valid', () => [leafOf(root, { extensions: [extension.keyUsage(['keyEncipherment'])] }), [], [root], { purpose: 'serverAuth' }]],
  ['a leaf that claims keyCertSign', 'key-usage', () => [leafOf(root, { extensions: [extension.keyUsage(['digitalSignature', 'keyCertSign'])] }), []]],
  ['a CA as leaf', 'ca-as-leaf', () => [middle, []]],
  ['a CA as leaf, for no purpose', 'valid', () => [middle, [], [root], { purpose: undefined }]],
  ['an unknown critical extension in the leaf', 'critical-extension', () => [leafOf(root, { extensions: [unknown(true)] }), []]],
  ['an unknown extension in the leaf', 'valid', () => [leafOf(root, { extensions: [unknown(false)] }), []]],
  ['an unknown critical extension in a CA', 'critical-extension', () => {
    const odd = caOf(root, 'Odd', [...caRights, unknown(true)]);
    return [leafOf(odd), [odd]];
  }],
  ['policy constraints that are not critical', 'policy', () => {
    const policy = caOf(root, 'Policy', [...caRights, { oid: '2.5.29.36', critical: false, value: der.sequence(der.tlv(0x80, Uint8Array.of(0))) }]);
    return [leafOf(policy), [policy]];
  }],
  ['a leaf that is named in a critical SAN alone', 'valid', () => [leafOf(root, { subject: [], extensions: [...clientRights, extension.subjectAltName([{ kind: 'dns', value: 'ecu.example' }], true)] }), []]],
  ['a leaf that is named in a SAN that is not critical', 'name', () => [leafOf(root, { subject: [], extensions: [...clientRights, extension.subjectAltName([{ kind: 'dns', value: 'ecu.example' }], false)] }), []]],
  ['a leaf that is not named at all', 'name', () => [leafOf(root, { subject: [] }), []]],
  ['a weak key', 'key', () => [leafOf(root, { key: generateKeyPairSync('rsa', { modulusLength: 1024 }) }), []]],
  ['a curve we do not know', 'key', () => [leafOf(root, { key: generateKeyPairSync('ec', { namedCurve: 'secp256k1' }) }), []]],
  ['an RSA leaf', 'valid', () => [leafOf(root, { key: generateKeyPairSync('rsa', { modulusLength: 2048 }) }), []]],
])('%s: %s', (_, expected, input) => expect(verdict(...input())).toBe(expected));

function withLength(pathLength: number): Extension[] {
  return [extension.basicConstraints({ ca: true, pathLength }), extension.keyUsage(['keyCertSign'])];
}

function unknown(critical: boolean): Extension {
  return { oid: '1.3.6.1.4.1.99999.1', critical, value: der.nullValue() };
}

describe('validity counts whole seconds, both ends included (RFC 5280 section 4.1.2.5)', () => {
  const at = (date: Date, ms: number) => new Date(date.getTime() + ms);
  const long = caOf(undefined, 'Long', caRights, { notBefore: new Date(0), notAfter: new Date('2049-01-01T00:00:00Z') });
  const ends = leafOf(long);
  test.each<[string, Date, string]>([
    ['its first second', notBefore, 'valid'],
    ['a millisecond before', at(notBefore, -1), 'not-yet-valid'],
    ['its last second', notAfter, 'valid'],
    ['the last millisecond of it', at(notAfter, 999), 'valid'],
    ['a second later', at(notAfter, 1000), 'expired'],
  ])('%s', (_, moment, expected) => expect(verdict(ends, [], [long], { time: moment })).toBe(expected));
  test('also for the anchor', () => {
    const old = caOf(undefined, 'Old', caRights, { notAfter: new Date('2026-02-01T00:00:00Z') });
    expect(verdict(leafOf(old), [], [old])).toBe('expired');
    expect(pkiError(() => validate(leafOf(old), [], [old]))?.data).toEqual({ reason: 'expired', depth: 1 });
  });
});

describe('name constraints (RFC 5280 section 4.2.1.10)', () => {
  const name = (tagOctet: number, value: string | Uint8Array) => der.tlv(tagOctet, typeof value === 'string' ? Buffer.from(value) : value);
  const dns = (value: string) => name(0x82, value);
  const directory = (...values: string[]) => name(0xa4, encodeName(values.map((value) => ({ type: 'organizationName', value }))));
  const tree = (n: number, bases: Uint8Array[]) => bases.length === 0 ? [] : [der.tlv(0xa0 | n, ...bases.map((base) => der.sequence(base)))];
  const constraints = (permitted: Uint8Array[], excluded: Uint8Array[] = [], critical = true): Extension =>
    ({ oid: '2.5.29.30', critical, value: der.sequence(...tree(0, permitted), ...tree(1, excluded)) });
  const san = (...names: Uint8Array[]): Extension => ({ oid: '2.5.29.17', critical: false, value: der.sequence(...names) });
  const under = (constraint: Extension, names: Uint8Array[], subject: CertificateFields['subject'] = named('leaf')) => {
    const bound = caOf(root, 'Bound', [...caRights, constraint]);
    return verdict(leafOf(bound, { subject, extensions: names.length === 0 ? clientRights : [...clientRights, san(...names)] }), [bound]);
  };
  const ip = (...octets: number[]) => name(0x87, Uint8Array.from(octets));
  const uri = (value: string) => encodeGeneralName({ kind: 'uri', value });
  const mail = (value: string) => encodeGeneralName({ kind: 'email', value });

  test.each<[string, Extension, Uint8Array[], string]>([
    ['a DNS name within', constraints([dns('example.com')]), [dns('a.b.example.com')], 'valid'],
    ['the name itself', constraints([dns('example.com')]), [dns('EXAMPLE.com')], 'valid'],
    ['a name that only ends alike', constraints([dns('example.com')]), [dns('badexample.com')], 'name'],
    ['one name within, one not', constraints([dns('example.com')]), [dns('example.com'), dns('example.org')], 'name'],
    ['another form', constraints([dns('example.com')]), [mail('a@example.org')], 'valid'],
    ['constraints that are not critical', constraints([dns('example.com')], [], false), [dns('example.org')], 'name'],
    ['excluded', constraints([], [dns('example.com')]), [dns('a.example.com')], 'name'],
    ['excluded though permitted', constraints([dns('example.com')], [dns('a.example.com')]), [dns('a.example.com')], 'name'],
    ['a wildcard over what is excluded', constraints([], [dns('a.example.com')]), [dns('*.example.com')], 'name'],
    ['a wildcard within', constraints([dns('example.com')]), [dns('*.example.com')], 'valid'],
    ['an invalid DNS name', constraints([dns('example.com')]), [dns('a..example.com')], 'name'],
    ['an invalid base', constraints([dns('.example.com')]), [dns('a.example.com')], 'name'],
    ['an address within', constraints([ip(10, 1, 0, 0, 255, 255, 0, 0)]), [ip(10, 1, 2, 3)], 'valid'],
    ['an address outside', constraints([ip(10, 1, 0, 0, 255, 255, 0, 0)]), [ip(10, 2, 2, 3)], 'name'],
    ['IPv6 where IPv4 is permitted', constraints([ip(10, 1, 0, 0, 255, 255, 0, 0)]), [ip(...Array.from({ length: 16 }, () => 1))], 'name'],
    ['a mask with holes', constraints([ip(10, 1, 0, 0, 255, 0, 255, 0)]), [ip(10, 1, 0, 3)], 'name'],
    ['a URI on the host', constraints([name(0x86, 'host.example.com')]), [uri('https://HOST.example.com:8443/x?y')], 'valid'],
    ['a URI in the domain', constraints([name(0x86, '.example.com')]), [uri('https://user@a.example.com')], 'valid'],
    ['a URI on the domain itself', constraints([name(0x86, '.example.com')]), [uri('https://example.com/')], 'name'],
    ['a URI without host', constraints([name(0x86, '.example.com')]), [uri('urn:vin:1')], 'name'],
    ['a URI on an address', constraints([], [name(0x86, '.example.com')]), [uri('https://10.0.0.1/')], 'name'],
    ['a mailbox', constraints([mail('root@example.com')]), [mail('root@EXAMPLE.com')], 'valid'],
    ['another mailbox', constraints([mail('root@example.com')]), [mail('Root@example.com')], 'name'],
    ['a mail host', constraints([mail('example.com')]), [mail('a@example.com')], 'valid'],
    ['a mail host below', constraints([mail('example.com')]), [mail('a@b.example.com')], 'name'],
    ['a mail domain', constraints([mail('.example.com')]), [mail('a@b.example.com')], 'valid'],
    ['a directory name in the SAN', constraints([directory('Maker')]), [directory('Maker', 'Line')], 'name'],
    ['otherName, which we cannot compare', constraints([], [name(0xa0, Buffer.concat([der.oid('1.2.3'), der.explicit(0, der.nullValue())]))]), [name(0xa0, Buffer.concat([der.oid('1.2.4'), der.explicit(0, der.nullValue())]))], 'name'],
    ['no constraints in the extension', constraints([]), [], 'name'],
    ['a subtree with a maximum', { oid: '2.5.29.30', critical: true, value: der.sequence(der.tlv(0xa0, der.sequence(dns('example.com'), der.tlv(0x81, Uint8Array.of(1))))) }, [dns('example.com')], 'name'],
  ])('%s', (_, constraint, names, expected) => expect(under(constraint, names)).toBe(expected));

  const organisation = (value: string): CertificateFields['subject'] => [{ type: 'organizationName', value }, { type: 'commonName', value: 'x' }];
  test.each<[string, CertificateFields['subject'], string]>([
    ['the subject within', organisation('Maker'), 'valid'],
    ['the subject within, in other letters', organisation('  MAKER'), 'valid'],
    ['the subject outside', organisation('Other'), 'name'],
  ])('%s', (_, subject, expected) => expect(under(constraints([directory('Maker')]), [], subject)).toBe(expected));

  it('hold for a mail address in the subject where there is no SAN', () => {
    const subject: CertificateFields['subject'] = [{ type: 'emailAddress', value: 'a@example.org' }];
    expect(under(constraints([mail('example.com')]), [], subject)).toBe('name');
    expect(under(constraints([mail('example.com')]), [dns('example.org')], subject)).toBe('valid');
  });

  it('of two CAs both hold', () => {
    const wide = caOf(root, 'Wide', [...caRights, constraints([dns('example.com')])]);
    const narrow = caOf(wide, 'Narrow', [...caRights, constraints([dns('a.example.com'), dns('example.org')])]);
    const below = (value: string) => verdict(leafOf(narrow, { extensions: [...clientRights, san(dns(value))] }), [wide, narrow]);
    expect([below('x.a.example.com'), below('example.com'), below('example.org')]).toEqual(['valid', 'name', 'name']);
  });

  it('of an anchor hold too', () => {
    const bound = caOf(undefined, 'Bound', [...caRights, constraints([dns('example.com')])]);
    expect(verdict(leafOf(bound, { extensions: [san(dns('example.org'))] }), [], [bound])).toBe('name');
  });

  it('that are not well-formed make a certificate malformed', () => {
    const broken = caOf(root, 'Broken', [...caRights, { oid: '2.5.29.30', critical: true, value: der.sequence(der.integer(1)) }]);
    expect(pkiError(() => validate(leafOf(broken), [broken]))?.code).toBe('certificate.malformed');
  });

  it('do not belong in a leaf', () => expect(verdict(leafOf(root, { extensions: [constraints([dns('example.com')])] }), [])).toBe('name'));

  it('in masses are refused, and quickly', () => {
    const many = (n: number, make: (i: number) => Uint8Array) => Array.from({ length: n }, (_, i) => make(i));
    const started = performance.now();
    expect(under(constraints([], many(1000, (i) => dns(`x${i}.example`))), many(1000, (i) => dns(`y${i}.example`)))).toBe('name');
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

describe('an anchor to be', () => {
  test.each<[string, () => SoftwareCa, string | undefined]>([
    ['a root', () => root, undefined],
    ['an intermediate', () => middle, undefined],
    ['a leaf', () => leaf, 'not-a-ca'],
    ['an expired root', () => caOf(undefined, 'Old', caRights, { notAfter: new Date('2026-02-01T00:00:00Z') }), 'expired'],
    ['a root that another key signed', () => caOf(undefined, 'Forged', caRights, { forged: true }), 'signature'],
    ['a nameless root', () => certify({ subject: [] }), 'name'],
    ['a weak root', () => certify({ subject: named('Weak'), key: generateKeyPairSync('rsa', { modulusLength: 1024 }) }), 'key'],
  ])('%s', (_, make, expected) => {
    expect(pkiError(() => checkTrustAnchor(make().certificate, time, 'clientAuth'))?.data['reason']).toBe(expected);
  });
});
