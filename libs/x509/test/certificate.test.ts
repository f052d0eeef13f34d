import { generateKeyPairSync, sign } from 'node:crypto';
import { toHex } from '@fleetroot/core';
import {
  algorithmIdentifier, assembleCertificate, CertificateTemplate, der, encodeExtension, encodeName, type Extension, extension, keyIdentifier,
  type NamePart, parseCertificate, type TemplateExtension, type TemplateFields, type TemplateHoles, verifySignature,
} from '@fleetroot/x509';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const spkiDer = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
const keyId = keyIdentifier(spkiDer);
const issuerDer = encodeName([{ type: 'organizationName', value: 'Fleetroot' }, { type: 'commonName', value: 'ECU Issuing 1' }]);

const fields: TemplateFields = {
  signatureAlgorithm: 'ecdsa-sha256',
  issuerDer,
  subject: [
    { type: 'organizationName', from: { fixed: 'Fleetroot' } }, { type: 'organizationalUnitName', from: { hole: 'partNumber' } },
    { type: 'commonName', from: { hole: 'ecuSerial' } },
  ],
  extensions: [
    extension.basicConstraints({ ca: false }), extension.keyUsage(['digitalSignature']), extension.extendedKeyUsage(['clientAuth']),
    { hole: 'subjectAltName', critical: false }, { hole: 'subjectKeyIdentifier' }, extension.authorityKeyIdentifier(keyId),
    extension.authorityInformationAccess({ ocsp: 'http://status.example/ocsp', caIssuers: 'http://status.example/ca/ecu.cer' }),
    extension.crlDistributionPoints(['http://status.example/crl/ecu.crl']), extension.certificatePolicies(['2.23.140.1.2.1']),
  ],
};
const holes: TemplateHoles = {
  serial: Uint8Array.of(0x40, 1, 2, 3, 4, 5, 6, 7, 8),
  notBefore: new Date('2026-11-22T12:00:00.987Z'), notAfter: new Date('2051-11-22T12:00:00Z'),
  subject: { partNumber: '8V0-907-115', ecuSerial: 'TCU_26' }, spkiDer, subjectAltNames: [{ kind: 'uri', value: 'urn:vin:WVWZZZ1JZXW000026' }],
};

const signed = (tbs: Uint8Array): Uint8Array => assembleCertificate(tbs, 'ecdsa-sha256', sign('sha256', tbs, privateKey));
const build = (some: Partial<TemplateFields> = {}, other: Partial<TemplateHoles> = {}): Uint8Array =>
  CertificateTemplate.compile({ ...fields, ...some }).build({ ...holes, ...other });
const parsed = (some?: Partial<TemplateFields>, other?: Partial<TemplateHoles>) => parseCertificate(signed(build(some, other)));

describe('a template', () => {
  test('makes what a parser reads', () => {
    const certificate = parsed();
    expect(certificate).toMatchObject({
      version: 3, serial: holes.serial, issuerDer, spkiDer, signatureAlgorithm: 'ecdsa-sha256', isCa: false,
      notBefore: new Date('2026-11-22T12:00:00Z'), notAfter: holes.notAfter,
      keyUsage: ['digitalSignature'], extendedKeyUsage: ['clientAuth'], subjectAltNames: holes.subjectAltNames,
      ocspUrls: ['http://status.example/ocsp'], caIssuersUrls: ['http://status.example/ca/ecu.cer'], crlUrls: ['http://status.example/crl/ecu.crl'],
    });
    expect(toHex(certificate.subjectKeyIdentifier!)).toBe(toHex(keyId));
    expect(toHex(certificate.authorityKeyIdentifier!)).toBe(toHex(keyId));
    expect(verifySignature(spkiDer, 'ecdsa-sha256', certificate.tbsDer, certificate.signature)).toBe(true);
  });

  test('built twice, and after another, gives the same bytes', () => {
    const template = CertificateTemplate.compile(fields);
    const first = template.build(holes);
    const kept = toHex(first);
    template.build({ ...holes, subject: { ecuSerial: 'x'.repeat(64) }, subjectAltNames: [] });
    expect(toHex(template.build(holes))).toBe(kept);
    expect(toHex(first)).toBe(kept);
  });

  const name = (...parts: NamePart[]) => encodeName(parts);
  const bare = { extensions: [{ hole: 'subjectAltName', critical: true }] as TemplateExtension[] };
  test.each([
    ['a part without a value is left out', {}, { subject: { ecuSerial: 'A' } }, name({ type: 'organizationName', value: 'Fleetroot' }, { type: 'commonName', value: 'A' })],
    ['all parts left out', { ...bare, subject: fields.subject.slice(1) }, { subject: {} }, name()],
    ['UTF-8 where it must be', {}, { subject: { ecuSerial: 'Steuergerät', partNumber: 'a' } },
      name({ type: 'organizationName', value: 'Fleetroot' }, { type: 'organizationalUnitName', value: 'a' }, { type: 'commonName', value: 'Steuergerät' })],
  ] as [string, Partial<TemplateFields>, Partial<TemplateHoles>, Uint8Array][])('subject: %s', (_, some, other, expected) => {
    expect(toHex(parsed(some, other).subjectDer)).toBe(toHex(expected));
  });

  test('without names the extension is left out, and without any the field', () => {
    expect(parsed({}, { subjectAltNames: [] }).extensions.length).toBe(8);
    expect(parsed({ extensions: [{ hole: 'subjectAltName', critical: true }] }, { subjectAltNames: [] }).extensions).toEqual([]);
  });

  test('critical names', () => {
    const [extension] = parsed({ extensions: [{ hole: 'subjectAltName', critical: true }] }).extensions;
    expect(extension).toMatchObject({ oid: '2.5.29.17', critical: true });
  });

  test('names of every kind are written as the extension writes them', () => {
    const subjectAltNames = [
      { kind: 'dns', value: 'a.example' }, { kind: 'ip', value: new Uint8Array(16) }, { kind: 'email', value: 'a@b.example' },
      { kind: 'other', value: Uint8Array.of(0x88, 1, 0x2a) }, { kind: 'uri', value: `urn:${'x'.repeat(300)}` },
    ] as const;
    const [extension_] = parsed({ extensions: [{ hole: 'subjectAltName', critical: true }] }, { subjectAltNames }).extensions;
    expect(toHex(extension_!.value)).toBe(toHex(extension.subjectAltName(subjectAltNames, true).value));
  });

  test.each([
    ['00ff', '00ff'], ['ff', '00ff'], ['0000000001', '01'], ['7f'.repeat(20), '7f'.repeat(20)],
  ])('serial %s is written as %s', (serial, content) => {
    expect(toHex(parsed({}, { serial: new Uint8Array(Buffer.from(serial, 'hex')) }).serial)).toBe(content);
  });

  test.each([['00'], [''], ['ff'.repeat(20)], ['01'.repeat(21)]])('serial %s is refused', (serial) => {
    expect(() => build({}, { serial: new Uint8Array(Buffer.from(serial, 'hex')) })).toThrow(expect.objectContaining({ code: 'certificate.serial-invalid' }));
  });

  test.each([
    ['a value that is too long', { subject: { ecuSerial: 'x'.repeat(65) } }],
    ['a name outside ASCII', { subjectAltNames: [{ kind: 'dns', value: 'ü' }] }],
  ] as [string, Partial<TemplateHoles>][])('refused: %s', (_, other) => {
    expect(() => build({}, other)).toThrow(expect.objectContaining({ code: 'request.name-refused' }));
    // The shared writer is left in no state that the next certificate would show.
    expect(parsed().subjectAltNames).toEqual(holes.subjectAltNames);
  });

  test('a time that no certificate can express is refused', () => {
    for (const notAfter of [new Date('1949-01-01'), new Date(Number.NaN), new Date('+010000-01-01T00:00:00Z')]) {
      expect(() => build({}, { notAfter })).toThrow(RangeError);
    }
  });
});

describe('a template of end entities grants no CA rights (I9)', () => {
  test.each([
    ['cA TRUE', extension.basicConstraints({ ca: true })],
    ['cA TRUE and a path length', extension.basicConstraints({ ca: true, pathLength: 0 })],
    ['keyCertSign', extension.keyUsage(['digitalSignature', 'keyCertSign'])],
    ['cRLSign', extension.keyUsage(['cRLSign'])],
    ['basic constraints that cannot be read', { oid: '2.5.29.19', critical: true, value: Uint8Array.of(0x30, 3, 1, 1, 1) }],
  ] as [string, Extension][])('%s', (_, one) => {
    expect(() => CertificateTemplate.compile({ ...fields, extensions: [one] })).toThrow(expect.objectContaining({ code: 'certificate.lint' }));
  });

  test('only the template of a ceremony does', () => {
    const template = CertificateTemplate.compileAuthority({ ...fields, extensions: [extension.basicConstraints({ ca: true, pathLength: 1 })] });
    expect(parseCertificate(signed(template.build(holes)))).toMatchObject({ isCa: true, pathLength: 1 });
  });

  test('whatever the holes hold, no certificate of a leaf template is one of a CA', () => {
    const template = CertificateTemplate.compile(fields);
    fc.assert(fc.property(
      fc.stringMatching(/^[ -~]{1,64}$/), fc.array(fc.webUrl(), { maxLength: 3 }), fc.uint8Array({ minLength: 1, maxLength: 19 }),
      (ecuSerial, urls, serial) => {
        fc.pre(serial.some((octet) => octet !== 0));
        const subjectAltNames = urls.map((value) => ({ kind: 'uri', value }) as const);
        const certificate = parseCertificate(signed(template.build({ ...holes, serial, subject: { ecuSerial }, subjectAltNames })));
        expect(certificate.isCa).toBe(false);
        expect(certificate.keyUsage).toEqual(['digitalSignature']);
      },
    ), { numRuns: 60 });
  });

  test('an extension twice is refused', () => {
    const twice = [extension.keyUsage(['digitalSignature']), extension.keyUsage(['digitalSignature'])];
    expect(() => CertificateTemplate.compileAuthority({ ...fields, extensions: twice })).toThrow(expect.objectContaining({ code: 'certificate.lint' }));
    const both = [extension.subjectKeyIdentifier(keyId), { hole: 'subjectKeyIdentifier' } as const];
    expect(() => CertificateTemplate.compile({ ...fields, extensions: both })).toThrow(expect.objectContaining({ code: 'certificate.lint' }));
  });
});

describe('certificates that are refused', () => {
  const tbs = build();
  const withExtensions = (...extensions: Uint8Array[]): Uint8Array => {
    const head = CertificateTemplate.compile({ ...fields, extensions: [] }).build(holes);
    const content = head.subarray(head[1] === 0x82 ? 4 : head[1] === 0x81 ? 3 : 2);
    return signed(der.sequence(content, der.explicit(3, der.sequence(...extensions))));
  };
  const ku = encodeExtension(extension.keyUsage(['digitalSignature']));
  test.each([
    ['nothing', new Uint8Array()],
    ['bytes after it', Uint8Array.from([...signed(tbs), 0])],
    ['a cut', signed(tbs).subarray(0, -1)],
    ['another algorithm outside than inside', der.sequence(tbs, algorithmIdentifier('ecdsa-sha384'), der.bitString(Uint8Array.of(1)))],
    ['an algorithm that is not accepted', signed(build({ signatureAlgorithm: 'ecdsa-sha256' })).map((octet, i, all) => (isSha256Arc(all, i) ? 1 : octet))],
    ['an extension twice', withExtensions(ku, ku)],
    ['no extension where there must be one', withExtensions()],
    ['more than 64 KiB', new Uint8Array(65_537).fill(0x30)],
  ])('%s', (_, bytes) => {
    expect(() => parseCertificate(bytes)).toThrow(expect.objectContaining({ code: 'certificate.malformed' }));
  });

  /** The last arc of ecdsa-with-SHA256: 1 makes it ecdsa-with-SHA224. */
  function isSha256Arc(all: Uint8Array, i: number): boolean {
    return all[i] === 2 && toHex(all.subarray(i - 7, i)) === '2a8648ce3d0403';
  }

  test('FALSE written out is read as what it means', () => {
    const explicit = der.sequence(der.oid('2.5.29.19'), der.boolean(false), der.octetString(der.sequence(der.boolean(false))));
    expect(parseCertificate(withExtensions(explicit)).isCa).toBe(false);
  });

  test('any change of any octet: refused, or another certificate', () => {
    const good = signed(tbs);
    fc.assert(fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const mutated = Uint8Array.from(good);
      mutated[at] = mutated[at]! ^ change;
      try {
        expect(toHex(parseCertificate(mutated).der)).not.toBe(toHex(good));
      } catch (error) {
        expect((error as { code: string }).code).toBe('certificate.malformed');
      }
    }), { numRuns: 500 });
  });
});

describe('times that are read', () => {
  const utc = (text: string) => der.tlv(der.tag.utcTime, Buffer.from(text));
  const generalized = (text: string) => der.tlv(der.tag.generalizedTime, Buffer.from(text));
  const withValidity = (notBefore: Uint8Array): Uint8Array => signed(der.sequence(
    der.explicit(0, der.integer(2)), der.integer(1), algorithmIdentifier('ecdsa-sha256'), issuerDer,
    der.sequence(notBefore, generalized('99991231235959Z')), issuerDer, spkiDer,
  ));
  test.each([
    [utc('490101000000Z'), '2049-01-01T00:00:00.000Z'], [utc('500101000000Z'), '1950-01-01T00:00:00.000Z'],
    [utc('280229235959Z'), '2028-02-29T23:59:59.000Z'], [generalized('20500101000000Z'), '2050-01-01T00:00:00.000Z'],
  ])('case %#: %s', (time, iso) => expect(parseCertificate(withValidity(time)).notBefore.toISOString()).toBe(iso));

  test.each([
    ['no seconds', utc('4901010000Z')], ['an offset', utc('490101000000+0100')], ['a fraction', generalized('20260101000000.5Z')],
    ['the 30th of February', utc('260230000000Z')], ['the 13th month', utc('261301000000Z')], ['hour 24', utc('260101240000Z')],
    ['second 60', utc('260101000060Z')], ['letters', utc('26O101000000Z')], ['no Z', utc('2601010000000')],
  ])('refused: %s', (_, time) => {
    expect(() => parseCertificate(withValidity(time))).toThrow(expect.objectContaining({ code: 'certificate.malformed' }));
  });
});
