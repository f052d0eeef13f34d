import { execFileSync, spawnSync } from 'node:child_process';
import { sign } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  buildSignedData, decodeCertsOnly, decodePem, encodeCertsOnly, encodePem, parseCertificate, type ParsedCertificate, type SignatureAlgorithm,
  signatureAlgorithmFor, verifySignedData,
} from '@fleetroot/x509';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { errorCode } from '../support/error-code.ts';
import { openssl } from '../support/openssl.ts';

// CMS of ours before OpenSSL and GnuTLS, and theirs before us.

const CONTENT = Buffer.from('bill of materials of ECU 4711\n');
const kinds: Record<string, readonly string[]> = {
  'P-256': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  'P-384': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384', '-sha384'],
  'P-521': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-521', '-sha512'],
  RSA: ['-newkey', 'rsa:2048'],
  Ed25519: ['-newkey', 'ed25519'],
};

let folder: string;
const at = (name: string) => join(folder, name);
const put = (name: string, octets: Uint8Array | string): string => {
  writeFileSync(at(name), octets);
  return at(name);
};
const certificates: Record<string, ParsedCertificate> = {};
let crl: Uint8Array;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-cms-'));
  for (const [kind, args] of Object.entries(kinds)) {
    openssl([
      'req', '-x509', ...args, '-nodes', '-keyout', at(`${kind}.key`), '-out', at(`${kind}.pem`), '-subj', `/O=Müller/CN=${kind}`, '-utf8',
      '-days', '30', '-addext', 'keyUsage=critical,digitalSignature,keyCertSign,cRLSign', '-addext', 'subjectKeyIdentifier=hash',
    ]);
    const [block] = decodePem(readFileSync(at(`${kind}.pem`), 'utf8'), 'certificate.malformed');
    certificates[kind] = parseCertificate(block!.der);
  }
  put('index.txt', '');
  put('ca.cnf', `[ca]\ndefault_ca=d\n[d]\ndatabase=${at('index.txt')}\ncrlnumber=${put('number', '01\n')}\ndefault_md=sha256\ndefault_crl_days=7\ncrl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n`);
  openssl(['ca', '-config', at('ca.cnf'), '-gencrl', '-keyfile', at('P-256.key'), '-cert', at('P-256.pem'), '-out', at('crl.pem')]);
  crl = decodePem(readFileSync(at('crl.pem'), 'utf8'), 'crl.invalid')[0]!.der;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ders = () => Object.values(certificates).map(({ der }) => Buffer.from(der));
const sorted = (list: readonly Uint8Array[]) => list.map((der) => Buffer.from(der).toString('hex')).sort();

const digestFor = (algorithm: SignatureAlgorithm): string | null => (algorithm === 'ed25519' ? null : algorithm.slice(-6));
function signWith(kind: string, algorithm: SignatureAlgorithm): (message: Uint8Array) => Uint8Array {
  const key = readFileSync(at(`${kind}.key`), 'utf8');
  // 6 and -1: RSA_PKCS1_PSS_PADDING and RSA_PSS_SALTLEN_DIGEST.
  return (message) => sign(digestFor(algorithm), message, algorithm.startsWith('rsa-pss') ? { key, padding: 6, saltLength: -1 } : key);
}

describe('certs-only', () => {
  test.each([['without', 0], ['with', 1]])('ours, %s a CRL, is read by OpenSSL and GnuTLS', (_, crls) => {
    const bundle = encodeCertsOnly({ certificates: ders(), crls: crls === 1 ? [crl] : [] });
    const file = put('ours.p7', bundle);
    const printed = openssl(['pkcs7', '-inform', 'DER', '-in', file, '-print_certs']);
    expect(sorted(decodePem(printed, 'certificate.malformed').filter(({ label }) => label === 'CERTIFICATE').map(({ der }) => der))).toEqual(sorted(ders()));
    expect(printed.match(/BEGIN X509 CRL/g)?.length ?? 0).toBe(crls);
    const info = execFileSync('certtool', ['--p7-info', '--inder', '--infile', file], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    expect(info).toContain(`Number of certificates: ${ders().length}`);
    // DER, so that what OpenSSL writes again is the same.
    expect(openssl(['asn1parse', '-inform', 'DER', '-in', file])).not.toContain('inf');
    openssl(['cms', '-cmsout', '-inform', 'DER', '-outform', 'DER', '-in', file, '-out', at('again.p7')]);
    expect(readFileSync(at('again.p7')).equals(bundle)).toBe(true);
    const back = decodeCertsOnly(bundle);
    expect([sorted(back.certificates), sorted(back.crls)]).toEqual([sorted(ders()), crls === 1 ? sorted([crl]) : []]);
  });

  test("OpenSSL's and GnuTLS's are read by us, byte for byte", () => {
    put('all.pem', ders().map((der) => encodePem('CERTIFICATE', der)).join(''));
    openssl(['crl2pkcs7', '-in', at('crl.pem'), '-certfile', at('all.pem'), '-outform', 'DER', '-out', at('openssl.p7')]);
    const theirs = decodeCertsOnly(readFileSync(at('openssl.p7')));
    expect([sorted(theirs.certificates), sorted(theirs.crls)]).toEqual([sorted(ders()), sorted([crl])]);
    execFileSync('certtool', ['--p7-generate', '--load-certificate', at('all.pem'), '--outder', '--outfile', at('gnutls.p7')], { stdio: 'pipe' });
    expect(sorted(decodeCertsOnly(readFileSync(at('gnutls.p7'))).certificates)).toEqual(sorted(ders()));
  });

  test('an empty one has neither set', () => {
    expect(decodeCertsOnly(encodeCertsOnly({ certificates: [] }))).toEqual({ certificates: [], crls: [] });
  });

  test.each<[string, () => Uint8Array]>([
    ['a signed message', () => readFileSync(at('signed.p7'))],
    ['a certificate', () => certificates['RSA']!.der],
    ['nothing', () => new Uint8Array(0)],
    ['a message cut off', () => encodeCertsOnly({ certificates: ders() }).subarray(0, -1)],
    ['a message of 2 MiB', () => new Uint8Array(2 * 1024 * 1024)],
    ['10,000 SEQUENCEs in one another', () => readFileSync('test/corpus/csr/bad/nested-sequences-10k.der')],
    ['bytes after the message', () => Buffer.concat([encodeCertsOnly({ certificates: ders() }), Buffer.of(0)])],
  ])('%s is refused', (_, make) => {
    openssl(['cms', '-sign', '-in', put('content', CONTENT), '-binary', '-signer', at('P-256.pem'), '-inkey', at('P-256.key'), '-outform', 'DER', '-nodetach', '-out', at('signed.p7')]);
    expect(errorCode(() => decodeCertsOnly(make()))).toBe('cms.malformed');
  });

  test('what is no certificate is not put in', () => {
    expect(errorCode(() => encodeCertsOnly({ certificates: [CONTENT] }))).toBe('certificate.malformed');
    expect(errorCode(() => encodeCertsOnly({ certificates: [], crls: [CONTENT] }))).toBe('crl.invalid');
  });
});

const cases: [kind: string, algorithm: SignatureAlgorithm, namedBy: 'issuerAndSerialNumber' | 'subjectKeyIdentifier', detached: boolean][] = [
  ['P-256', 'ecdsa-sha256', 'issuerAndSerialNumber', false],
  ['P-256', 'ecdsa-sha256', 'subjectKeyIdentifier', true],
  ['P-384', 'ecdsa-sha384', 'subjectKeyIdentifier', false],
  ['P-521', 'ecdsa-sha512', 'issuerAndSerialNumber', false],
  ['RSA', 'rsa-sha256', 'issuerAndSerialNumber', true],
  ['RSA', 'rsa-pss-sha384', 'subjectKeyIdentifier', false],
];

describe('signed-data', () => {
  const signingTime = new Date('2026-11-22T08:00:00Z');
  const ours = (kind: string, algorithm: SignatureAlgorithm, more: Partial<Parameters<typeof buildSignedData>[0]> = {}) => buildSignedData({
    content: CONTENT, signer: certificates[kind]!, algorithm, signingTime, certificates: [certificates[kind]!.der], ...more,
  }, signWith(kind, algorithm));

  test.each(cases)('ours by %s, %s, %s, detached: %s, is verified by OpenSSL', async (kind, algorithm, namedBy, detached) => {
    const message = await ours(kind, algorithm, { namedBy, detached });
    const verified = openssl([
      'cms', '-verify', '-inform', 'DER', '-in', put('message', message), '-CAfile', at(`${kind}.pem`), '-purpose', 'any', '-binary',
      ...(detached ? ['-content', put('content', CONTENT)] : []),
    ]);
    expect(verified).toBe(CONTENT.toString());
    expect(openssl(['cms', '-cmsout', '-print', '-inform', 'DER', '-in', at('message')])).toContain('Nov 22 08:00:00 2026 GMT');
    const { content, signers } = verifySignedData(message, detached ? { content: CONTENT } : {});
    expect(Buffer.from(content)).toEqual(CONTENT);
    expect(signers).toMatchObject([{ algorithm, signingTime }]);
  });

  // OpenSSL 3.0 does not sign CMS with Ed25519; GnuTLS verifies it.
  test('ours by Ed25519 is verified by GnuTLS', async () => {
    const message = await ours('Ed25519', 'ed25519');
    const { status, stdout, stderr } = spawnSync('certtool', ['--p7-verify', '--inder', '--infile', put('message', message), '--load-ca-certificate', at('Ed25519.pem')], { encoding: 'utf8' });
    expect(`${status} ${stdout}${stderr}`).toContain('Signature status: ok');
    expect(verifySignedData(message).signers).toMatchObject([{ algorithm: 'ed25519', signingTime }]);
  });

  test.each<[string, string, readonly string[]]>([
    ['P-256', 'in the message', ['-nodetach']],
    ['P-256', 'detached', []],
    ['P-384', 'named by key', ['-nodetach', '-keyid', '-md', 'sha384']],
    ['RSA', 'with rsaEncryption', ['-nodetach']],
    ['RSA', 'with PSS', ['-nodetach', '-keyopt', 'rsa_padding_mode:pss', '-keyopt', 'rsa_pss_saltlen:digest']],
    ['P-256', 'as a stream, in BER', ['-nodetach', '-stream']],
    ['RSA', 'without the certificate', ['-nodetach', '-nocerts']],
  ])("OpenSSL's by %s, %s, is verified by us", (kind, how, args) => {
    openssl(['cms', '-sign', '-binary', '-in', put('content', CONTENT), '-signer', at(`${kind}.pem`), '-inkey', at(`${kind}.key`), '-outform', 'DER', '-out', at('theirs'), ...args]);
    const outside = {
      ...(how === 'detached' ? { content: CONTENT } : {}), ...(args.includes('-nocerts') ? { certificates: [certificates[kind]!.der] } : {}),
    };
    const { content, signers, contentType } = verifySignedData(readFileSync(at('theirs')), outside);
    expect([Buffer.from(content), contentType]).toEqual([CONTENT, '1.2.840.113549.1.7.1']);
    expect(signers.map(({ certificate }) => Buffer.from(certificate.der))).toEqual([Buffer.from(certificates[kind]!.der)]);
    expect(Math.abs(signers[0]!.signingTime!.getTime() - Date.now())).toBeLessThan(120_000);
  });

  test('two signers of OpenSSL are both verified', () => {
    openssl(['cms', '-sign', '-binary', '-nodetach', '-in', put('content', CONTENT), '-signer', at('P-256.pem'), '-inkey', at('P-256.key'), '-signer', at('RSA.pem'), '-inkey', at('RSA.key'), '-outform', 'DER', '-out', at('two')]);
    expect(verifySignedData(readFileSync(at('two'))).signers.map(({ algorithm }) => algorithm).sort()).toEqual(['ecdsa-sha256', 'rsa-sha256']);
  });

  test('no bit of the last 220 octets (of the SignerInfo) can be turned without it being seen', async () => {
    const message = await ours('P-256', 'ecdsa-sha256');
    const from = message.length - 220;
    for (let bit = from * 8; bit < message.length * 8; bit += 3) {
      const bad = Uint8Array.from(message);
      bad[bit >> 3]! ^= 1 << (bit & 7);
      expect(errorCode(() => verifySignedData(bad)), `bit ${bit}`).toMatch(/^cms\./);
    }
    const content = Buffer.from(message).indexOf(CONTENT);
    const bad = Uint8Array.from(message);
    bad[content]! ^= 1;
    expect(errorCode(() => verifySignedData(bad))).toBe('cms.signature-invalid');
  });

  test.each<[string, string, () => Uint8Array | Promise<Uint8Array>, Parameters<typeof verifySignedData>[1]]>([
    ['no content anywhere', 'cms.malformed', () => ours('P-256', 'ecdsa-sha256', { detached: true }), {}],
    ['other content', 'cms.signature-invalid', () => ours('P-256', 'ecdsa-sha256', { detached: true }), { content: Buffer.from('x') }],
    ['other content beside its own', 'cms.signature-invalid', () => ours('P-256', 'ecdsa-sha256'), { content: Buffer.from('x') }],
    ['no certificate', 'cms.signature-invalid', () => ours('P-256', 'ecdsa-sha256', { certificates: [] }), {}],
    ['no signer', 'cms.signature-invalid', () => encodeCertsOnly({ certificates: ders() }), { content: CONTENT }],
    ['no signed attributes', 'cms.malformed', () => theirs(['-noattr']), {}],
    ['SHA-1', 'cms.malformed', () => theirs(['-md', 'sha1']), {}],
  ])('%s: %s', async (_, code, make, outside) => {
    const message = await make();
    expect(errorCode(() => verifySignedData(message, outside))).toBe(code);
  });
  const theirs = (args: readonly string[]): Uint8Array => {
    openssl(['cms', '-sign', '-binary', '-nodetach', '-in', put('content', CONTENT), '-signer', at('P-256.pem'), '-inkey', at('P-256.key'), '-outform', 'DER', '-out', at('theirs'), ...args]);
    return readFileSync(at('theirs'));
  };

  test('a signature of another key is not put in', async () => {
    const signer = certificates['P-256']!;
    const attempt = buildSignedData({ content: CONTENT, signer }, signWith('P-384', signatureAlgorithmFor(signer.spkiDer)));
    await expect(attempt).rejects.toMatchObject({ code: 'hsm.signature-invalid' });
  });
});
