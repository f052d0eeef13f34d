import { execFileSync, spawnSync } from 'node:child_process';
import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  assembleCertificate, buildRequest, CertificateTemplate, encodeName, encodePem, extension, keyIdentifier, lintCertificate, type LintKind,
  parseCertificate, type ParsedCertificate, readRequest, type SignatureAlgorithm, type TemplateExtension, verifyPossession,
} from '@fleetroot/x509';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

// Certificates of our templates, signed by keys in software, before OpenSSL, GnuTLS and Java.

interface Pair { readonly privateKey: KeyObject; readonly spki: Uint8Array }
const pair = ({ publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject }): Pair =>
  ({ privateKey, spki: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })) });

const makers: Record<string, { algorithm: SignatureAlgorithm; digest: string | null; make: () => Pair }> = {
  'P-256': { algorithm: 'ecdsa-sha256', digest: 'sha256', make: () => pair(generateKeyPairSync('ec', { namedCurve: 'P-256' })) },
  'P-384': { algorithm: 'ecdsa-sha384', digest: 'sha384', make: () => pair(generateKeyPairSync('ec', { namedCurve: 'P-384' })) },
  'P-521': { algorithm: 'ecdsa-sha512', digest: 'sha512', make: () => pair(generateKeyPairSync('ec', { namedCurve: 'P-521' })) },
  Ed25519: { algorithm: 'ed25519', digest: null, make: () => pair(generateKeyPairSync('ed25519')) },
  RSA: { algorithm: 'rsa-sha256', digest: 'sha256', make: () => pair(generateKeyPairSync('rsa', { modulusLength: 2048 })) },
  'RSA-PSS': { algorithm: 'rsa-pss-sha256', digest: 'sha256', make: () => pair(generateKeyPairSync('rsa', { modulusLength: 2048 })) },
};

function signBy(maker: keyof typeof makers, { privateKey: key }: Pick<Pair, 'privateKey'>, message: Uint8Array): Uint8Array {
  const { algorithm, digest } = makers[maker]!;
  return sign(digest, message, algorithm.startsWith('rsa-pss') ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST } : key);
}

const nameParts = (commonName: string) => [
  { type: 'countryName', value: 'DE' }, { type: 'organizationName', value: 'Müller Fahrzeuge' }, { type: 'commonName', value: commonName },
] as const;
const subjectOf = (commonName: string) => nameParts(commonName).map(({ type, value }) => ({ type, from: { fixed: value } }));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-x509-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
function file(name: string, ...ders: Uint8Array[]): string {
  const path = join(folder, name);
  writeFileSync(path, ders.map((der) => encodePem('CERTIFICATE', der)).join(''));
  return path;
}

interface Wanted { kind: LintKind; commonName: string; subjectKey: Uint8Array; extensions: readonly TemplateExtension[]; years: number }

function issue(maker: keyof typeof makers, by: Pair, issuer: ParsedCertificate | undefined, wanted: Wanted): ParsedCertificate {
  const { algorithm } = makers[maker]!;
  const fields = {
    signatureAlgorithm: algorithm, issuerDer: issuer?.subjectDer ?? encodeName(nameParts(wanted.commonName)),
    subject: subjectOf(wanted.commonName), extensions: wanted.extensions,
  };
  const template = wanted.kind === 'ca' ? CertificateTemplate.compileAuthority(fields) : CertificateTemplate.compile(fields);
  const notBefore = new Date(Date.now() - 60_000);
  const tbs = template.build({
    serial: Uint8Array.from({ length: 16 }, (_, i) => 0x40 + i), notBefore, subject: {}, spkiDer: wanted.subjectKey,
    notAfter: new Date(notBefore.getTime() + wanted.years * 365 * 86_400_000),
    subjectAltNames: [{ kind: 'dns', value: 'tcu.vehicle.example' }, { kind: 'uri', value: 'urn:vin:WVWZZZ1JZXW000026' }, { kind: 'ip', value: Uint8Array.of(10, 0, 0, 7) }],
  });
  expect(lintCertificate(tbs, { issuer, kind: wanted.kind })).toEqual([]);
  return parseCertificate(assembleCertificate(tbs, algorithm, signBy(maker, by, tbs)));
}

function hierarchy(maker: keyof typeof makers) {
  const { make } = makers[maker]!;
  const rootKey = make();
  const caKey = make();
  const aki = (key: Pair) => extension.authorityKeyIdentifier(keyIdentifier(key.spki));
  const ca = (pathLength: number, ...more: TemplateExtension[]): TemplateExtension[] => [
    extension.basicConstraints({ ca: true, pathLength }), extension.keyUsage(['keyCertSign', 'cRLSign']), { hole: 'subjectKeyIdentifier' }, ...more,
  ];
  const root = issue(maker, rootKey, undefined, { kind: 'ca', commonName: 'Fleet Root', subjectKey: rootKey.spki, extensions: ca(1), years: 40 });
  const issuing = issue(maker, rootKey, root, { kind: 'ca', commonName: 'ECU Issuing 1', subjectKey: caKey.spki, extensions: ca(0, aki(rootKey)), years: 20 });
  const leaf = issue(maker, caKey, issuing, {
    kind: 'leaf', commonName: 'TCU_26-01', subjectKey: make().spki, years: 15,
    extensions: [
      extension.basicConstraints({ ca: false }), extension.keyUsage(['digitalSignature']), extension.extendedKeyUsage(['clientAuth']),
      { hole: 'subjectAltName', critical: false }, { hole: 'subjectKeyIdentifier' }, aki(caKey),
      extension.authorityInformationAccess({ ocsp: 'http://status.example/ocsp', caIssuers: 'http://status.example/ca/ecu.cer' }),
      extension.crlDistributionPoints(['http://status.example/crl/ecu.crl']), extension.certificatePolicies(['1.3.6.1.4.1.99999.1']),
    ],
  });
  const responder = issue(maker, caKey, issuing, {
    kind: 'ocsp-signer', commonName: 'OCSP', subjectKey: make().spki, years: 0.1,
    extensions: [
      extension.keyUsage(['digitalSignature']), extension.extendedKeyUsage(['OCSPSigning']), extension.ocspNoCheck(), { hole: 'subjectKeyIdentifier' }, aki(caKey),
    ],
  });
  return { root, issuing, leaf, responder };
}

describe.each(Object.keys(makers))('%s', (maker) => {
  const { root, issuing, leaf, responder } = hierarchy(maker);

  test('openssl verifies the path, strictly', () => {
    const verify = (certificate: ParsedCertificate, purpose: string) => run(
      'openssl', 'verify', '-x509_strict', '-purpose', purpose, '-CAfile', file('root.pem', root.der),
      '-untrusted', file('ca.pem', issuing.der), file('leaf.pem', certificate.der),
    );
    expect(verify(leaf, 'sslclient')).toContain('OK');
    expect(verify(responder, 'ocsphelper')).toContain('OK');
    expect(() => verify(leaf, 'sslserver')).toThrow(/unsuitable certificate purpose|unsupported certificate purpose/);
  });

  test('openssl reads every extension', () => {
    const text = run('openssl', 'x509', '-noout', '-text', '-nameopt', 'utf8,sep_comma_plus_space', '-in', file('leaf.pem', leaf.der));
    for (const expected of [
      'Version: 3', '40:41:42:43', 'Müller Fahrzeuge', 'CN=TCU_26-01', 'CA:FALSE', 'Digital Signature', 'TLS Web Client Authentication',
      'DNS:tcu.vehicle.example, URI:urn:vin:WVWZZZ1JZXW000026, IP Address:10.0.0.7', 'OCSP - URI:http://status.example/ocsp',
      'CA Issuers - URI:http://status.example/ca/ecu.cer', 'URI:http://status.example/crl/ecu.crl', 'Policy: 1.3.6.1.4.1.99999.1',
    ]) expect(text).toContain(expected);
    expect(run('openssl', 'x509', '-noout', '-text', '-in', file('ocsp.pem', responder.der))).toContain('OCSP No Check');
    expect(run('openssl', 'x509', '-noout', '-text', '-in', file('ca.pem', issuing.der))).toMatch(/critical\s+CA:TRUE, pathlen:0/);
  });

  test('openssl finds nothing odd inside any extension', () => {
    for (const { der } of [root, issuing, leaf, responder]) {
      const path = join(folder, 'odd.der');
      writeFileSync(path, der);
      const parse = (...more: string[]): string => run('openssl', 'asn1parse', '-inform', 'DER', '-in', path, ...more);
      const whole = parse();
      // Extensions lie under [3]: each value is an OCTET STRING that holds DER.
      const values = [...whole.slice(whole.indexOf('cont [ 3 ]')).matchAll(/^ *(\d+):d=5 .*OCTET STRING/gm)].map((match) => match[1]!);
      expect(values.length).toBeGreaterThan(2);
      for (const inside of [whole, ...values.map((at) => parse('-strparse', at))]) expect(inside).not.toMatch(/[Ee]rror|BAD |l=inf|length is greater/);
    }
  });

  test('openssl finds the key identifier by itself', () => {
    const ours = Buffer.from(leaf.subjectKeyIdentifier!).toString('hex').toUpperCase().match(/../g)!.join(':');
    expect(run('openssl', 'x509', '-noout', '-ext', 'subjectKeyIdentifier', '-in', file('leaf.pem', leaf.der))).toContain(ours);
  });

  test('certtool reads and verifies', () => {
    const text = run('certtool', '-i', '--infile', file('leaf.pem', leaf.der));
    for (const expected of ['CN=TCU_26-01', 'tcu.vehicle.example', 'urn:vin:WVWZZZ1JZXW000026', 'TLS WWW Client', '10.0.0.7']) expect(text).toContain(expected);
    const verified = run('certtool', '--verify', '--load-ca-certificate', file('root.pem', root.der), '--infile', file('chain.pem', leaf.der, issuing.der));
    expect(verified).toContain('Verified. The certificate is trusted');
  });

  test('keytool reads', () => {
    const text = run('keytool', '-printcert', '-file', file('leaf.pem', leaf.der));
    for (const expected of ['CN=TCU_26-01', 'clientAuth', 'DNSName: tcu.vehicle.example', 'SubjectKeyIdentifier', 'AuthorityKeyIdentifier']) expect(text).toContain(expected);
  });

  test('openssl verifies a request that we build', async () => {
    const { algorithm, make } = makers[maker]!;
    const { privateKey, spki } = make();
    const csr = await buildRequest(
      { subject: nameParts('TCU-26-01'), spkiDer: spki, algorithm, subjectAltNames: [{ kind: 'dns', value: 'tcu.example' }] },
      (info) => signBy(maker, { privateKey }, info),
    );
    verifyPossession(readRequest(csr));
    const path = join(folder, `${maker}.csr`);
    writeFileSync(path, encodePem('CERTIFICATE REQUEST', csr));
    // It says so on stderr, and ends with 0 either way.
    const { stdout, stderr } = spawnSync('openssl', ['req', '-verify', '-noout', '-text', '-in', path], { encoding: 'utf8' });
    expect(stdout).toContain('DNS:tcu.example');
    expect(stderr).toMatch(/verify OK/);
  });
});
