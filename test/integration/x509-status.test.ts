import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { caName, toHex } from '@fleetroot/core';
import type { CertificateStatus, CertificationAuthority } from '@fleetroot/authority';
import { decodeOcspGetPath } from '@fleetroot/ocsp';
import { crlBundle, truststorePem } from '@fleetroot/trust';
import {
  assembleCrl, buildCrlTbs, type CrlEntry, encodePem, extension, parseCertificate, parseCrl, parseOcspRequest,
  signatureAlgorithmFor, verifySignature,
} from '@fleetroot/x509';
import { answerOcsp, ocspLedger, ocspSigner } from '../support/ocsp-responder.ts';
import { openssl } from '../support/openssl.ts';
import { caRights, certify, type CertificateFields, named, p256, type SoftwareCa } from '../support/software-ca.ts';

// CRLs and OCSP answers are judged by OpenSSL and GnuTLS, and theirs are read by us. Keys are in memory here.

let folder: string;
const at = (name: string): string => join(folder, name);
const now = new Date(Math.floor(Date.now() / 1000) * 1000);
const days = (n: number): Date => new Date(now.getTime() + n * 86_400_000);
const validity = { notBefore: days(-2), notAfter: days(365) };
const long = (octet: number): Uint8Array => new Uint8Array(16).fill(octet);

interface World {
  readonly root: SoftwareCa;
  readonly issuing: SoftwareCa;
  readonly good: SoftwareCa;
  readonly revoked: SoftwareCa;
  readonly signer: SoftwareCa;
}

const clientRights = [extension.keyUsage(['digitalSignature']), extension.extendedKeyUsage(['clientAuth'])];
const keys: Record<string, () => NonNullable<CertificateFields['key']>> = {
  'P-256': p256,
  'P-384': () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  Ed25519: () => generateKeyPairSync('ed25519'),
  'RSA-3072': () => generateKeyPairSync('rsa', { modulusLength: 3072 }),
};

function world(kind: string): World {
  const key = () => keys[kind]?.() ?? p256();
  const root = certify({ subject: named(`Root ${kind}`), key: key(), ...validity });
  const issuing = certify({ subject: named(`Issuing ${kind}`), issuer: root, key: key(), extensions: caRights, ...validity });
  const leaf = (serial: Uint8Array) => certify({ subject: named('ECU'), issuer: issuing, serial, extensions: clientRights, ...validity });
  return {
    root, issuing, good: leaf(long(0x41)), revoked: leaf(long(0x85)),
    signer: certify({
      subject: named('OCSP'), issuer: issuing, key: key(), ...validity,
      extensions: [extension.keyUsage(['digitalSignature']), extension.extendedKeyUsage(['OCSPSigning']), extension.ocspNoCheck()],
    }),
  };
}

function crlOf(ca: SoftwareCa, entries: Iterable<CrlEntry>, thisUpdate = days(-1), nextUpdate = days(7)): Uint8Array {
  const algorithm = signatureAlgorithmFor(ca.spkiDer);
  const tbs = buildCrlTbs({
    signatureAlgorithm: algorithm, issuerDer: ca.subjectDer, thisUpdate, nextUpdate, number: BigInt(now.getTime()),
    authorityKeyIdentifier: ca.keyId, entries,
  });
  return assembleCrl(tbs, algorithm, ca.sign(tbs));
}

const revokedEntry: CrlEntry = { serial: long(0x85), revokedAt: days(-1), reason: 1, invalidityDate: days(-2) };
const writePem = (name: string, label: string, der: Uint8Array): string => {
  writeFileSync(at(name), encodePem(label, der));
  return at(name);
};
/** Standard output and error of a command, whatever its exit status. */
const run = (command: string, args: readonly string[]): string => {
  const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26 });
  return `${stdout}${stderr}`;
};

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-status-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each(Object.keys(keys))('a CRL signed with %s', (kind) => {
  const { root, issuing, good, revoked } = world(kind);
  const crl = crlOf(issuing, [revokedEntry]);

  it('is verified by openssl, and says what was put in', () => {
    const file = writePem('issuing.crl', 'X509 CRL', crl);
    const ca = writePem('issuing.pem', 'CERTIFICATE', issuing.certificate);
    expect(run('openssl', ['crl', '-in', file, '-CAfile', ca, '-noout', '-verify'])).toContain('verify OK');
    const text = openssl(['crl', '-in', file, '-noout', '-text']);
    expect(text).toContain('Version 2');
    expect(text).toMatch(new RegExp(`X509v3 CRL Number: \\n\\s+${now.getTime()}\\n`));
    expect(text).toMatch(/Serial Number: 85858585858585858585858585858585/);
    expect(text).toContain('Key Compromise');
    expect(text).toContain('Invalidity Date');
    const other = writePem('root.pem', 'CERTIFICATE', root.certificate);
    expect(run('openssl', ['crl', '-in', file, '-CAfile', other, '-noout', '-verify'])).toMatch(/fail|error/i);
  });

  it('lets openssl verify accept the good and refuse the revoked, with every CA checked', () => {
    const anchors = at('anchors.pem');
    writeFileSync(anchors, truststorePem([issuing, root]));
    const crls = at('crls.pem');
    writeFileSync(crls, crlBundle([issuing, root], [crl, crlOf(root, [])], now));
    const verify = (leaf: SoftwareCa) => run('openssl', [
      'verify', '-x509_strict', '-crl_check_all', '-CAfile', anchors, '-CRLfile', crls, writePem('leaf.pem', 'CERTIFICATE', leaf.certificate),
    ]);
    expect(verify(good)).toContain('OK');
    expect(verify(revoked)).toContain('certificate revoked');
  });

  it('is read by certtool', () => {
    const text = run('certtool', ['--crl-info', '--infile', writePem('issuing.crl', 'X509 CRL', crl)]);
    expect(text).toContain('Version: 2');
    expect(text).toMatch(/Revoked certificates \(1\)/);
    expect(text).toContain('Serial Number (hex): 0085858585858585858585858585858585');
    expect(text).toContain(`CRL Number (not critical): ${now.getTime().toString(16).padStart(12, '0')}`);
  });
});

test('an empty CRL and one of 50,000 entries are verified by openssl', () => {
  const { issuing } = world('P-256');
  const ca = writePem('issuing.pem', 'CERTIFICATE', issuing.certificate);
  const many = Array.from({ length: 50_000 }, (_, place): CrlEntry => {
    const serial = Buffer.alloc(16, 0x40);
    serial.writeUInt32BE(place, 8);
    return { serial, revokedAt: days(-1), reason: place % 6 };
  });
  for (const entries of [[], many]) {
    const file = writePem('many.crl', 'X509 CRL', crlOf(issuing, entries));
    expect(run('openssl', ['crl', '-in', file, '-CAfile', ca, '-noout', '-verify'])).toContain('verify OK');
    const text = run('openssl', ['crl', '-in', file, '-noout', '-text']);
    expect(text.match(/Serial Number:/g) ?? []).toHaveLength(entries.length);
    if (entries.length === 0) expect(text).toContain('No Revoked Certificates');
  }
});

describe('a CRL that openssl made', () => {
  /** `openssl ca -gencrl` over a database that revokes serial 85.., with these CRL extensions. */
  const opensslCrl = (crlExtensions: readonly string[]): { der: Uint8Array; ca: SoftwareCa } => {
    const ca = certify({ subject: named('OpenSSL'), ...validity });
    writePem('ca.pem', 'CERTIFICATE', ca.certificate);
    writeFileSync(at('ca.key'), ca.keyPem);
    writeFileSync(at('index.txt'), `R\t361231235959Z\t261101000000Z,keyCompromise\t85858585858585858585858585858585\tunknown\t/CN=ECU\n`);
    writeFileSync(at('crlnumber'), '0A0B\n');
    writeFileSync(at('ca.cnf'), [
      '[ca]', 'default_ca = this', '[this]', `database = ${at('index.txt')}`, `crlnumber = ${at('crlnumber')}`, 'default_md = sha256',
      `certificate = ${at('ca.pem')}`, `private_key = ${at('ca.key')}`, 'crl_extensions = ext', '[ext]', ...crlExtensions, '',
    ].join('\n'));
    openssl(['ca', '-config', at('ca.cnf'), '-gencrl', '-crldays', '7', '-out', at('theirs.crl')]);
    openssl(['crl', '-in', at('theirs.crl'), '-outform', 'DER', '-out', at('theirs.der')]);
    return { der: new Uint8Array(readFileSync(at('theirs.der'))), ca };
  };

  it('is read, and its signature verifies', () => {
    const { der, ca } = opensslCrl(['authorityKeyIdentifier = keyid:always']);
    const crl = parseCrl(der);
    expect(crl.number).toBe(0x0a0bn);
    expect(toHex(crl.authorityKeyIdentifier)).toBe(toHex(ca.keyId));
    expect([...crl.entries]).toMatchObject([['0085858585858585858585858585858585', { reason: 1, revokedAt: new Date('2026-11-01T00:00:00Z') }]]);
    expect(verifySignature(ca.spkiDer, crl.signatureAlgorithm, crl.tbsDer, crl.signature)).toBe(true);
  });

  it('is refused where it covers a part only', () => {
    const { der } = opensslCrl(['authorityKeyIdentifier = keyid:always', 'issuingDistributionPoint = critical, @idp', '[idp]', 'onlyuser = TRUE']);
    expect(() => parseCrl(der)).toThrow(expect.objectContaining({ code: 'crl.invalid' }));
  });
});

describe.each(Object.keys(keys))('an OCSP answer signed with %s', (kind) => {
  const { root, issuing, good, revoked, signer } = world(kind);
  const unknown = certify({ subject: named('ECU'), issuer: issuing, serial: long(0x33), extensions: clientRights, ...validity });
  const authority = (id: number, ca: SoftwareCa): CertificationAuthority => ({
    id, name: caName(`ca-${id}`), parentId: undefined, state: 'active', certificate: ca.certificate, keyId: ca.keyId, signatureAlgorithm: undefined,
    labels: {}, successorId: undefined, switchAt: undefined, revocation: undefined, ...validity,
  });
  const recorded = new Map<string, CertificateStatus>([
    [toHex(parseCertificate(good.certificate).serial), { status: 'good' }],
    [toHex(parseCertificate(revoked.certificate).serial), { status: 'revoked', revokedAt: days(-1), reason: 1 }],
  ]);
  const answer = (request: Uint8Array, by: SoftwareCa = signer) => answerOcsp(request, {
    ledger: ocspLedger([authority(1, root), authority(2, issuing)], (_caId, serial) => recorded.get(serial)), signerFor: async () => ocspSigner(by),
  });
  const files = () => {
    writeFileSync(at('anchors.pem'), truststorePem([root]));
    return { issuer: writePem('issuing.pem', 'CERTIFICATE', issuing.certificate), anchors: at('anchors.pem') };
  };
  /** openssl asks about these, we answer, openssl judges the answer. */
  async function ask(leaves: readonly SoftwareCa[], options: readonly string[] = [], by?: SoftwareCa): Promise<string> {
    const { issuer, anchors } = files();
    const certs = leaves.flatMap((leaf, place) => ['-cert', writePem(`leaf-${place}.pem`, 'CERTIFICATE', leaf.certificate)]);
    const question = ['ocsp', ...options, '-issuer', issuer, ...certs];
    openssl([...question, '-reqout', at('request.der')]);
    const request = readFileSync(at('request.der'));
    writeFileSync(at('response.der'), await answer(request, by));
    // By GET the same octets arrive.
    expect(Buffer.from(decodeOcspGetPath(`/${encodeURIComponent(request.toString('base64'))}`))).toEqual(request);
    // -no_nonce: the nonce to be met is that of the request as it was, not a new one.
    return run('openssl', [
      'ocsp', ...options, '-no_nonce', '-reqin', at('request.der'), '-respin', at('response.der'), '-CAfile', anchors, '-verify_other', issuer, '-issuer', issuer, ...certs,
    ]);
  }

  test.each([['with a nonce', []], ['without', ['-no_nonce']], ['by SHA-256', ['-sha256']]] as const)('is verified by openssl, asked %s', async (_, options) => {
    const said = await ask([good, revoked, unknown], options);
    expect(said).toContain('Response verify OK');
    expect(said).not.toMatch(/WARNING|error/i);
    expect(said).toMatch(/leaf-0\.pem: good/);
    expect(said).toMatch(/leaf-1\.pem: revoked\n.*\n.*\n\s*Reason: keyCompromise/);
    expect(said).toMatch(/leaf-2\.pem: unknown/);
    expect(parseOcspRequest(readFileSync(at('request.der'))).nonce?.length).toBe(options[0] === '-no_nonce' ? undefined : 16);
  });

  it('is refused by openssl where the signer is not the CA\'s', async () => {
    const impostor = certify({
      subject: named('OCSP'), ...validity, issuer: certify({ subject: named(`Issuing ${kind}`), ...validity }),
      extensions: [extension.extendedKeyUsage(['OCSPSigning'])],
    });
    expect(await ask([good], [], impostor)).toMatch(/Response Verify Failure/i);
  });

  it('is verified by ocsptool', async () => {
    await ask([revoked]);
    const { issuer } = files();
    const verified = run('ocsptool', ['--verify-response', '--load-response', at('response.der'), '--load-trust', issuer]);
    expect(verified).toContain('Success');
    const text = run('ocsptool', ['--response-info', '--load-response', at('response.der')]);
    expect(text).toMatch(/Response Status: Successful/);
    expect(text).toMatch(/Certificate Status: revoked/);
  });

  it('is asked by ocsptool too', async () => {
    const { issuer } = files();
    const leaf = writePem('leaf.pem', 'CERTIFICATE', good.certificate);
    run('ocsptool', ['--generate-request', '--load-issuer', issuer, '--load-cert', leaf, '--outfile', at('gnutls.der')]);
    writeFileSync(at('response.der'), await answer(readFileSync(at('gnutls.der'))));
    expect(run('ocsptool', ['--response-info', '--load-response', at('response.der')])).toMatch(/Certificate Status: good/);
  });
});

test.each([
  ['malformedRequest', 'malformedrequest'], ['unauthorized', 'unauthorized'],
])('openssl and ocsptool read the error %s', async (kind, said) => {
  const { issuing, good } = world('P-256');
  const request = kind === 'malformedRequest' ? new Uint8Array(0) : (openssl([
    'ocsp', '-issuer', writePem('issuing.pem', 'CERTIFICATE', issuing.certificate), '-cert', writePem('leaf.pem', 'CERTIFICATE', good.certificate), '-reqout', at('request.der'),
  ]), readFileSync(at('request.der')));
  writeFileSync(at('response.der'), await answerOcsp(request, {
    ledger: ocspLedger([], () => undefined), signerFor: async () => undefined, clock: { now: () => now },
  }));
  expect(run('openssl', ['ocsp', '-respin', at('response.der')])).toContain(said);
  expect(run('ocsptool', ['--response-info', '--load-response', at('response.der')]).toLowerCase()).toContain(said);
});
