import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type CeremonyParts, ceremonyRecords, type HeldObjects, heldObjects, holdCeremony, parseCeremonyPlan, readAuthorityProfiles, verifyCeremonies,
} from '@fleetroot/authority';
import { systemClock, systemRandom } from '@fleetroot/core';
import { startTokenProcess, type TokenProcess } from '@fleetroot/hsm';
import {
  assembleCertificate, buildRequest, CertificateTemplate, encodePem, extension, keyIdentifier, lintCertificate, type ParsedCertificate, parseCertificate,
  signatureAlgorithmFor, validatePath,
} from '@fleetroot/x509';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openssl } from '../support/openssl.ts';
import { execFileSync } from 'node:child_process';
import { makeToken, type TestToken } from '../support/softhsm.ts';

// What ceremonies make, in real tokens, judged by OpenSSL, GnuTLS, our linter and our validator.

const profiles = readAuthorityProfiles(fileURLToPath(new URL('../../hsm-config/profiles', import.meta.url)), { statusUrl: 'http://status.example' });

/** A site with a token and a folder of ceremonies of its own. */
class Site {
  readonly folder: string;
  readonly #token: TestToken;
  readonly #process: TokenProcess;
  readonly token: Awaited<ReturnType<TokenProcess['open']>>;

  private constructor(folder: string, token: TestToken, process: TokenProcess, opened: Awaited<ReturnType<TokenProcess['open']>>) {
    this.folder = folder;
    this.#token = token;
    this.#process = process;
    this.token = opened;
  }

  static async make(label: string): Promise<Site> {
    const token = await makeToken(label);
    const process = await startTokenProcess({ softhsmConf: token.softhsmConf });
    return new Site(join(token.dir, 'ceremony'), token, process, await process.open(token));
  }

  /** @param files that the plan names, by their names */
  async hold(plan: object, files: Record<string, Uint8Array> = {}, over: Partial<CeremonyParts> = {}): Promise<HeldObjects> {
    return holdCeremony({
      plan: parseCeremonyPlan(JSON.stringify({ ceremony: 'A test', ...plan }), '/plans/plan.yaml', {
        profiles, readFile: (path) => files[path.replace('/plans/', '')] ?? (() => { throw new Error('ENOENT'); })(),
      }),
      folder: this.folder, token: this.token, statusUrl: 'http://status.example', by: 'tester', clock: systemClock, random: systemRandom, ...over,
    });
  }

  path(file: string): string {
    return join(this.folder, file);
  }

  read(file: string): Promise<Uint8Array> {
    return readFile(this.path(file));
  }

  /** A certificate for a TLS client, by a CA on record. */
  async leaf(name: string, file: string): Promise<string> {
    const held = heldObjects(this.folder).authorities.find((each) => each.name === name);
    const issuer = parseCertificate(held?.certificate ?? new Uint8Array());
    const algorithm = held?.signatureAlgorithm ?? signatureAlgorithmFor(issuer.spkiDer);
    const spkiDer = new Uint8Array(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'der' }));
    const tbs = CertificateTemplate.compile({
      signatureAlgorithm: algorithm, issuerDer: issuer.subjectDer, subject: [{ type: 'commonName', from: { fixed: 'ECU-1' } }],
      extensions: [
        extension.authorityKeyIdentifier(keyIdentifier(issuer.spkiDer)), extension.basicConstraints({ ca: false }), extension.keyUsage(['digitalSignature']),
        extension.extendedKeyUsage(['clientAuth']), { hole: 'subjectKeyIdentifier' },
      ],
    }).build({ serial: systemRandom(16).fill(0x41, 0, 1), notBefore: new Date(Date.now() - 1000), notAfter: new Date(Date.now() + 86_400_000), spkiDer, subject: {} });
    const der = assembleCertificate(tbs, algorithm, await this.token.sign(held?.keyId ?? new Uint8Array(), algorithm, tbs));
    await writeFile(this.path(file), encodePem('CERTIFICATE', der));
    return this.path(file);
  }

  async remove(): Promise<void> {
    await this.#process.close();
    await this.#token.remove();
  }
}

/** OpenSSL's verdict on a path: the anchor, what lies between, the end. */
const verify = (anchor: string, untrusted: readonly string[], end: string, ...more: string[]): string => openssl([
  'verify', '-x509_strict', '-no-CApath', '-no-CAstore', '-CAfile', anchor, ...untrusted.flatMap((file) => ['-untrusted', file]), ...more, end,
]);

const certtool = (...args: string[]): string => execFileSync('certtool', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

const errorsOf = (certificate: ParsedCertificate, issuer: ParsedCertificate | undefined, kind: 'ca' | 'ocsp-signer' = 'ca') =>
  lintCertificate(certificate.tbsDer, { issuer, kind }).filter(({ severity }) => severity === 'error');

const root = { name: 'root', key: 'p-384', profile: 'root-ca', subject: { commonName: 'Example Root' } };
const issuing = { name: 'issuing', parent: 'root', key: 'p-256', profile: 'issuing-ca', subject: { commonName: 'Example Issuing' } };
let offline: Site;
let plant: Site;

beforeAll(async () => {
  [offline, plant] = await Promise.all([Site.make('offline'), Site.make('plant')]);
});

afterAll(() => Promise.all([offline.remove(), plant.remove()]));

describe('a root and its next generation, cross-signed both ways', () => {
  const rollover = {
    authorities: [{ ...root, name: 'root-g2', succeeds: 'root' }, { ...issuing, name: 'issuing-g2', parent: 'root-g2', succeeds: 'issuing' }],
    crossCertificates: [{ subject: 'root-g2', issuer: 'root', years: 10 }, { subject: 'root', issuer: 'root-g2', years: 10 }],
  };

  beforeAll(async () => {
    await offline.hold({ ceremony: 'First', authorities: [root, issuing] });
    await offline.hold({ ceremony: 'Second', ...rollover });
  });

  it('each root alone is enough for what both issue', async () => {
    const [old, next] = [await offline.leaf('issuing', 'leaf-old.pem'), await offline.leaf('issuing-g2', 'leaf-next.pem')];
    const at = (file: string) => offline.path(file);
    expect(verify(at('root.pem'), [at('issuing.pem')], old)).toContain(': OK');
    expect(verify(at('root-g2.pem'), [at('issuing-g2.pem')], next)).toContain(': OK');
    expect(verify(at('root.pem'), [at('root-g2-by-root.pem'), at('issuing-g2.pem')], next)).toContain(': OK');
    expect(verify(at('root-g2.pem'), [at('root-by-root-g2.pem'), at('issuing.pem')], old)).toContain(': OK');
    // Without the cross-certificate, or with the CA below as the anchor.
    expect(() => verify(at('root.pem'), [at('issuing-g2.pem')], next)).toThrow();
    expect(verify(at('issuing.pem'), [], old, '-partial_chain')).toContain(': OK');
    const der = async (file: string) => (await readFile(at(file.replace('.pem', '.cer'))));
    const [leaf] = (await readFile(next, 'utf8')).match(/[A-Za-z0-9+/=\n]{100,}/g) ?? [];
    expect(validatePath({
      leaf: Buffer.from(leaf ?? '', 'base64'), anchors: [await der('root.pem')], time: new Date(),
      intermediates: [await der('issuing-g2.pem'), await der('root-g2-by-root.pem')], purpose: 'clientAuth',
    }).chain).toHaveLength(4);
  });

  it('pass GnuTLS and the linter', async () => {
    const chain = await Promise.all(['issuing-g2.pem', 'root-g2-by-root.pem', 'root.pem'].map((file) => readFile(offline.path(file), 'utf8')));
    await writeFile(offline.path('chain.pem'), chain.join(''));
    expect(certtool('--verify', '--load-ca-certificate', offline.path('root.pem'), '--infile', offline.path('chain.pem'))).toMatch(/Chain verification output: Verified/);
    const { authorities, certificates } = heldObjects(offline.folder);
    const byName = new Map<string, ParsedCertificate>(authorities.map(({ name, certificate }) => [name, parseCertificate(certificate)]));
    for (const { name, parent } of authorities) expect(errorsOf(byName.get(name) as ParsedCertificate, byName.get(parent ?? ''))).toEqual([]);
    for (const { certificate, issuer } of certificates) expect(errorsOf(parseCertificate(certificate), byName.get(issuer ?? ''))).toEqual([]);
    expect(certificates.map(({ file }) => file)).toEqual(['root-g2-by-root.cer', 'root-by-root-g2.cer']);
  });

  it('tell the whole story in transcripts, chained and signed', () => {
    const { transcripts, files } = verifyCeremonies(ceremonyRecords(offline.folder));
    expect(transcripts.map(({ facts }) => [facts.title, facts.out.length])).toEqual([['First', 2], ['Second', 4]]);
    expect(files).toBe(6);
  });
});

describe('the status of an offline root', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = { name: 'status-root', key: 'p-256', subject: { commonName: 'Status Root' }, years: 20, pathLength: 1 };

  it('is told by CRLs that OpenSSL and GnuTLS take', async () => {
    await offline.hold({
      ceremony: 'Status', authorities: [name, { ...issuing, name: 'kept', parent: 'status-root', subject: { commonName: 'Kept' } }, { ...issuing, name: 'gone', parent: 'status-root', subject: { commonName: 'Gone' } }],
      crls: [{ authority: 'status-root', days: 30 }],
    });
    const gone = parseCertificate(heldObjects(offline.folder).authorities.at(-1)?.certificate ?? new Uint8Array());
    const revokedAt = new Date(Math.floor(Date.now() / 1000) * 1000).toISOString();
    const { crls } = await offline.hold({
      ceremony: 'Revoked',
      crls: [{ authority: 'status-root', days: 30, revoked: [{ serial: Buffer.from(gone.serial).toString('hex'), revokedAt, reason: 'cACompromise', invalidityDate: '2026-01-01T00:00:00Z' }] }],
    });
    const [before, after] = crls;
    expect(after?.number).toBeGreaterThan(before?.number ?? 0n);
    const at = (file: string) => offline.path(file);
    const crlFile = at(`status-root-${after?.number}.crl`);
    // OpenSSL says "verify OK" on its error stream, and ends with 1 where it does not.
    openssl(['crl', '-inform', 'DER', '-in', crlFile, '-CAfile', at('status-root.pem'), '-verify', '-out', at('status-root.crl.pem')]);
    expect(() => openssl(['crl', '-inform', 'DER', '-in', crlFile, '-CAfile', at('root.pem'), '-verify', '-noout'])).toThrow();
    expect(openssl(['crl', '-inform', 'DER', '-in', crlFile, '-noout', '-text'])).toMatch(/CA Compromise[^]*Invalidity Date/);
    expect(verify(at('status-root.pem'), [], at('kept.pem'), '-crl_check', '-CRLfile', at('status-root.crl.pem'))).toContain(': OK');
    expect(() => verify(at('status-root.pem'), [], at('gone.pem'), '-crl_check', '-CRLfile', at('status-root.crl.pem'))).toThrow(/certificate revoked/);
    expect(certtool('--verify-crl', '--load-ca-certificate', at('status-root.pem'), '--infile', at('status-root.crl.pem'))).toMatch(/Verified/);
  });

  it('and by a responder whose key it has certified', async () => {
    const spkiDer = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
    const request = await buildRequest({ subject: [], spkiDer, algorithm: 'ecdsa-sha256' }, (info) => sign('sha256', info, privateKey));
    const { certificates } = await offline.hold({ ceremony: 'OCSP', ocspSigners: [{ issuer: 'status-root', request: 'ocsp.csr', days: 30 }] }, { 'ocsp.csr': request });
    const held = certificates.find(({ kind }) => kind === 'ocsp-signer');
    const signer = parseCertificate(held?.certificate ?? new Uint8Array());
    const { authorities } = heldObjects(offline.folder);
    const [issuer, kept] = ['status-root', 'kept'].map((each) => authorities.find((authority) => authority.name === each));
    expect(errorsOf(signer, parseCertificate(issuer?.certificate ?? new Uint8Array()), 'ocsp-signer')).toEqual([]);
    expect(signer).toMatchObject({ extendedKeyUsage: ['OCSPSigning'], keyUsage: ['digitalSignature'], isCa: false });

    const at = (file: string) => offline.path(file);
    await writeFile(at('ocsp.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const serial = Buffer.from(parseCertificate(kept?.certificate ?? new Uint8Array()).serial).toString('hex').toUpperCase();
    await writeFile(at('index.txt'), `V\t400101000000Z\t\t${serial}\tunknown\t/CN=Kept\n`);
    openssl(['ocsp', '-issuer', at('status-root.pem'), '-serial', `0x${serial}`, '-no_nonce', '-reqout', at('ocsp.req')]);
    openssl([
      'ocsp', '-index', at('index.txt'), '-CA', at('status-root.pem'), '-rsigner', at('status-root.ocsp-signer.pem'), '-rkey', at('ocsp.key'),
      '-reqin', at('ocsp.req'), '-respout', at('ocsp.resp'), '-ndays', '1',
    ]);
    expect(openssl(['ocsp', '-respin', at('ocsp.resp'), '-issuer', at('status-root.pem'), '-serial', `0x${serial}`, '-CAfile', at('status-root.pem'), '-no_nonce'])).toContain(': good');
  });
});

describe('a key in the plant, certified by the offline root', () => {
  it('goes out as a request and comes back as a certificate', async () => {
    const { requests } = await plant.hold({ ceremony: 'Key', requests: [{ name: 'plant-1', key: 'rsa-3072', subject: { commonName: 'Plant 1' } }] });
    const csr = plant.path('plant-1.csr');
    openssl(['req', '-in', csr, '-verify', '-noout']);
    expect(certtool('--crq-info', '--infile', csr)).toMatch(/Plant 1[^]*Self signature: verified/);

    const signed = await offline.hold({
      ceremony: 'Plant 1', authorities: [
        { ...root, name: 'plant-root', subject: { commonName: 'Plant Root' } },
        { name: 'plant-1', parent: 'plant-root', request: 'plant-1.csr', profile: 'issuing-ca', subject: { commonName: 'Plant 1' }, labels: { plant: '1' } },
      ],
    }, { 'plant-1.csr': await plant.read('plant-1.csr') });
    expect(signed.authorities.at(-1)).toMatchObject({ name: 'plant-1', keyId: undefined, labels: { plant: '1' } });
    expect(verify(offline.path('plant-root.pem'), [], offline.path('plant-1.pem'))).toContain(': OK');

    const files = { 'plant-root.cer': await offline.read('plant-root.cer'), 'plant-1.pem': await offline.read('plant-1.pem') };
    const back = { ceremony: 'Certificate', authorities: [{ name: 'plant-root', certificate: 'plant-root.cer' }, { name: 'plant-1', parent: 'plant-root', certificate: 'plant-1.pem' }] };
    await expect(plant.hold({ ...back, authorities: [{ name: 'plant-1', certificate: 'plant-1.pem' }] }, files)).rejects.toMatchObject({ message: expect.stringContaining('is not signed by its own key: name the parent') });
    const { authorities } = await plant.hold(back, files);
    expect(authorities).toMatchObject([{ name: 'plant-root', keyId: undefined }, { name: 'plant-1', parent: 'plant-root', keyId: requests[0]?.keyId }]);
    expect(Buffer.from(authorities[1]?.certificate ?? []).equals(Buffer.from(await offline.read('plant-1.cer')))).toBe(true);

    // What stands below it is signed here now; the root's key is not.
    expect(verify(offline.path('plant-root.pem'), [plant.path('plant-1.pem')], await plant.leaf('plant-1', 'leaf.pem'))).toContain(': OK');
    expect((await plant.hold({ ceremony: 'CRL', crls: [{ authority: 'plant-1', days: 1 }] })).crls).toHaveLength(1);
    await expect(plant.hold({ ceremony: 'Root', crls: [{ authority: 'plant-root', days: 1 }] })).rejects.toMatchObject({ code: 'ceremony.invalid', message: expect.stringContaining('is not here') });
    expect(verifyCeremonies(ceremonyRecords(plant.folder)).transcripts).toHaveLength(3);
  });

  it('is cross-certified for another organisation, whose CA is known by its certificate alone', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'fleetroot-foreign-'));
    const at = (file: string) => join(dir, file);
    openssl([
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', at('key'), '-out', at('partner.pem'), '-days', '365', '-utf8',
      '-subj', '/C=DE/O=Zulieferer GmbH/CN=Würzburg Root', '-addext', 'keyUsage=critical,keyCertSign,cRLSign', '-addext', 'basicConstraints=critical,CA:TRUE,pathlen:0',
    ]);
    const { certificates } = await offline.hold(
      { ceremony: 'Partner', authorities: [{ name: 'bridge', key: 'p-256', subject: { commonName: 'Bridge' }, years: 10, pathLength: 2 }], crossCertificates: [{ certificate: 'partner.pem', issuer: 'bridge', years: 1 }] },
      { 'partner.pem': await readFile(at('partner.pem')) },
    );
    expect(certificates.at(-1)).toMatchObject({ file: 'partner-by-bridge.cer', kind: 'cross', subject: undefined, issuer: 'bridge' });
    openssl(['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', at('leaf.key'), '-subj', '/CN=leaf', '-out', at('leaf.csr')]);
    await writeFile(at('ext'), 'authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n');
    openssl(['x509', '-req', '-in', at('leaf.csr'), '-CA', at('partner.pem'), '-CAkey', at('key'), '-CAcreateserial', '-days', '30', '-extfile', at('ext'), '-out', at('leaf.pem')]);
    expect(verify(offline.path('bridge.pem'), [offline.path('partner-by-bridge.pem')], at('leaf.pem'))).toContain(': OK');
    await rm(dir, { recursive: true });
  });
});

describe('CAs of every key', () => {
  it.each([
    ['p-256', undefined, 'ecdsa-with-SHA256'], ['p-384', undefined, 'ecdsa-with-SHA384'], ['p-521', undefined, 'ecdsa-with-SHA512'], ['p-384', 'ecdsa-sha256', 'ecdsa-with-SHA256'],
    ['ed25519', undefined, 'ED25519'], ['rsa-2048', undefined, 'sha256WithRSAEncryption'], ['rsa-3072', 'rsa-pss-sha256', 'rsassaPss'], ['rsa-3072', 'rsa-pss-sha512', 'rsassaPss'],
    ['rsa-4096', 'rsa-sha512', 'sha512WithRSAEncryption'],
  ])('%s that signs with %s', async (key, signatureAlgorithm, says) => {
    const name = `root-${key}-${signatureAlgorithm ?? 'default'}`;
    const held = await offline.hold({
      ceremony: name, authorities: [
        { name, key, signatureAlgorithm, subject: { commonName: name }, years: 20, pathLength: 1 },
        { name: `${name}-sub`, parent: name, key: 'p-256', subject: { commonName: `${name} sub` }, years: 10, pathLength: 0 },
      ], crls: [{ authority: name, days: 30 }],
    });
    const [ca, below] = held.authorities.slice(-2);
    expect(ca).toMatchObject({ name, signatureAlgorithm });
    expect(openssl(['x509', '-in', offline.path(`${below?.name ?? ''}.pem`), '-noout', '-text'])).toContain(`Signature Algorithm: ${says}`);
    expect(verify(offline.path(`${name}.pem`), [], offline.path(`${name}-sub.pem`), '-check_ss_sig')).toContain(': OK');
    openssl(['crl', '-inform', 'DER', '-in', offline.path(`${name}-${held.crls.at(-1)?.number}.crl`), '-CAfile', offline.path(`${name}.pem`), '-verify', '-noout']);
    await writeFile(offline.path('pair.pem'), [await readFile(offline.path(`${name}-sub.pem`), 'utf8'), await readFile(offline.path(`${name}.pem`), 'utf8')].join(''));
    expect(certtool('--verify', '--load-ca-certificate', offline.path(`${name}.pem`), '--infile', offline.path('pair.pem'))).toMatch(/Chain verification output: Verified/);
  });
});
