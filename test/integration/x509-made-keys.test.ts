import { execFileSync, spawnSync } from 'node:child_process';
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  decodePem, encodePfx, encryptPrivateKey, envelopPrivateKey, extension, openPrivateKey, parseCertificate, type ParsedCertificate, passwordKey,
  recipientFault,
} from '@fleetroot/x509';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { errorCode } from '../support/error-code.ts';
import { openssl } from '../support/openssl.ts';
import { certify, named } from '../support/software-ca.ts';

// Private keys as they are handed out, before OpenSSL, GnuTLS and Java.

const run = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const PASSWORD = 'correct horse "battery" \\staple';
/** What is tested does not depend on it. */
const ROUNDS = 2_000;

const makers: Record<string, () => { privateKey: KeyObject; publicKey: KeyObject }> = {
  'P-256': () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'P-384': () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  'P-521': () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  Ed25519: () => generateKeyPairSync('ed25519'),
  'RSA 3072': () => generateKeyPairSync('rsa', { modulusLength: 3072 }),
};
const recipients: Record<string, readonly string[]> = {
  'RSA 2048': ['-newkey', 'rsa:2048', '-addext', 'keyUsage=keyEncipherment'],
  'RSA 4096': ['-newkey', 'rsa:4096'],
  'P-256': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-addext', 'keyUsage=digitalSignature,keyAgreement'],
  'P-384': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384', '-addext', 'keyUsage=keyAgreement'],
  'P-521': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-521'],
  'RSA to sign': ['-newkey', 'rsa:2048', '-addext', 'keyUsage=digitalSignature'],
  'P-256 to sign': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-addext', 'keyUsage=digitalSignature,keyEncipherment'],
  'RSA 1024': ['-newkey', 'rsa:1024'],
  'RSA-PSS': ['-newkey', 'rsa-pss', '-pkeyopt', 'rsa_keygen_bits:2048', '-sha256', '-sigopt', 'rsa_pss_saltlen:32', '-sigopt', 'rsa_mgf1_md:sha256'],
  Ed25519: ['-newkey', 'ed25519'],
  'secp256k1': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp256k1'],
};

let folder: string;
const at = (name: string): string => join(folder, name);
function put(name: string, octets: Uint8Array | string): string {
  writeFileSync(at(name), octets);
  return at(name);
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-keys-'));
  put('password', PASSWORD);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function recipient(kind: string): ParsedCertificate {
  openssl(['req', '-x509', ...recipients[kind]!, '-nodes', '-keyout', at(`${kind}.key`), '-out', at(`${kind}.pem`), '-utf8', '-subj', `/O=Müller/CN=${kind}`, '-days', '30']);
  return parseCertificate(decodePem(readFileSync(at(`${kind}.pem`), 'utf8'), 'certificate.malformed')[0]!.der);
}

const spki = (key: KeyObject): Buffer => (key.type === 'private' ? createPublicKey(key) : key).export({ type: 'spki', format: 'der' });
const pkcs8 = (key: KeyObject): Buffer => key.export({ type: 'pkcs8', format: 'der' });

/** The one key of an AsymmetricKeyPackage: what the SEQUENCE holds. */
function unpack(keyPackage: Buffer): Buffer {
  const length = keyPackage[1]!;
  return keyPackage.subarray(length < 0x80 ? 2 : 2 + (length & 0x7f));
}

describe('an EnvelopedData with a private key', () => {
  const able = ['RSA 2048', 'RSA 4096', 'P-256', 'P-384', 'P-521'];
  test.each(able.flatMap((to, i) => [[to, Object.keys(makers)[i]!], [to, 'P-256']] as const))('for a recipient with %s opens in OpenSSL and gives the %s key', (to, kind) => {
    const certificate = recipient(to);
    const { privateKey } = makers[kind]!();
    const sealed = envelopPrivateKey(pkcs8(privateKey), certificate);
    openssl(['cms', '-decrypt', '-inform', 'DER', '-in', put('key.cms', sealed), '-recip', at(`${to}.pem`), '-inkey', at(`${to}.key`), '-out', at('package')]);
    const opened = createPrivateKey({ key: unpack(readFileSync(at('package'))), format: 'der', type: 'pkcs8' });
    expect(pkcs8(opened).equals(pkcs8(privateKey))).toBe(true);
    // DER, so that what OpenSSL writes again is the same.
    openssl(['cms', '-cmsout', '-inform', 'DER', '-outform', 'DER', '-in', at('key.cms'), '-out', at('again')]);
    expect(readFileSync(at('again')).equals(sealed)).toBe(true);
    const printed = openssl(['cms', '-cmsout', '-print', '-inform', 'DER', '-in', at('key.cms')]);
    expect(printed).toContain(to.startsWith('RSA') ? 'rsaesOaep' : 'id-aes256-wrap');
    expect(printed).toContain('aes-256-cbc');
    expect(printed).toMatch(/contentType: .*2\.16\.840\.1\.101\.2\.1\.2\.78\.5/);
    expect(printed).toMatch(to.startsWith('RSA') ? /envelopedData:\s+version: 0/ : /envelopedData:\s+version: 2/);
    expect(Buffer.from(sealed).includes(pkcs8(privateKey).subarray(-32))).toBe(false);
  });

  test('is another each time, and opens for its recipient alone', () => {
    const key = pkcs8(makers['P-256']!().privateKey);
    const certificate = recipient('P-256');
    const [one, other] = [envelopPrivateKey(key, certificate), envelopPrivateKey(key, certificate)];
    expect(Buffer.from(one).equals(other)).toBe(false);
    recipient('P-384');
    const wrong = spawnSync('openssl', ['cms', '-decrypt', '-inform', 'DER', '-in', put('key.cms', one), '-inkey', at('P-384.key'), '-out', at('package')]);
    expect(wrong.status).not.toBe(0);
  });

  test.each([
    ['RSA to sign', /keyEncipherment/], ['P-256 to sign', /keyAgreement/], ['RSA 1024', /2048/], ['RSA-PSS', /RSASSA-PSS/], ['Ed25519', /Ed25519/],
    ['secp256k1', /curve/],
  ])('is not made for %s', (kind, why) => {
    const certificate = recipient(kind);
    expect(recipientFault(certificate)).toMatch(why);
    expect(errorCode(() => envelopPrivateKey(pkcs8(makers['P-256']!().privateKey), certificate))).toBe('key.recipient-refused');
  });
});

describe('a key under a password', () => {
  test.each(Object.keys(makers))('%s opens in OpenSSL and here, and with no other password', async (kind) => {
    const { privateKey } = makers[kind]!();
    const encrypted = encryptPrivateKey(pkcs8(privateKey), await passwordKey(PASSWORD, ROUNDS));
    openssl(['pkey', '-inform', 'DER', '-in', put('key.p8', encrypted), '-passin', `file:${at('password')}`, '-out', at('key.pem')]);
    expect(spki(createPrivateKey(readFileSync(at('key.pem')))).equals(spki(privateKey))).toBe(true);
    expect(spki((await openPrivateKey(encrypted, PASSWORD))!).equals(spki(privateKey))).toBe(true);
    for (const wrong of ['', `${PASSWORD} `, PASSWORD.slice(1)]) expect(await openPrivateKey(encrypted, wrong)).toBeUndefined();
  });

  test('costs who guesses 600,000 rounds of PBKDF2', async () => {
    const encrypted = encryptPrivateKey(pkcs8(makers['P-256']!().privateKey), await passwordKey(PASSWORD));
    const printed = openssl(['asn1parse', '-inform', 'DER', '-in', put('key.p8', encrypted)]);
    expect(printed).toMatch(/INTEGER\s+:0927C0/);
    expect(printed).toContain('hmacWithSHA256');
  });
});

describe('a PFX', () => {
  const root = certify({ subject: named('Root') });
  const issuing = certify({ subject: named('Issuing'), issuer: root });
  const chain = [issuing.certificate, root.certificate];

  async function pfx(kind: string, macRounds = ROUNDS): Promise<{ file: string; key: KeyObject }> {
    const key = makers[kind]!();
    const { certificate } = certify({ subject: named('ECU-1'), issuer: issuing, key, extensions: [extension.keyUsage(['digitalSignature'])] });
    const encryptedKey = encryptPrivateKey(pkcs8(key.privateKey), await passwordKey(PASSWORD, ROUNDS));
    return { file: put('key.p12', await encodePfx({ encryptedKey, certificate, chain, name: 'ECU-1', password: PASSWORD, macRounds })), key: key.privateKey };
  }

  test.each(Object.keys(makers))('with a %s key is read by OpenSSL', async (kind) => {
    const { file, key } = await pfx(kind);
    const info = spawnSync('openssl', ['pkcs12', '-info', '-in', file, '-passin', `file:${at('password')}`, '-nodes'], { encoding: 'utf8' });
    expect(info.status, info.stderr).toBe(0);
    expect(info.stderr).toMatch(/MAC: sha256, Iteration 2000/);
    expect(info.stderr).toMatch(/PBES2, PBKDF2, AES-256-CBC, Iteration 2000, PRF hmacWithSHA256/);
    expect(info.stdout).toContain('friendlyName: ECU-1');
    expect(info.stdout.match(/BEGIN CERTIFICATE/g)).toHaveLength(3);
    expect(spki(createPrivateKey(/-----BEGIN PRIVATE KEY[\s\S]*?END PRIVATE KEY-----/.exec(info.stdout)![0])).equals(spki(key))).toBe(true);
    const leaf = openssl(['pkcs12', '-in', file, '-passin', `file:${at('password')}`, '-clcerts', '-nokeys']);
    expect(spki(createPublicKey(/-----BEGIN CERTIFICATE[\s\S]*?END CERTIFICATE-----/.exec(leaf)![0])).equals(spki(key))).toBe(true);
    const wrong = spawnSync('openssl', ['pkcs12', '-in', file, '-passin', 'pass:another', '-nokeys'], { encoding: 'utf8' });
    expect(wrong.stderr).toContain('invalid password');
  });

  test('is read by GnuTLS', async () => {
    const { file } = await pfx('P-256');
    const info = run('certtool', '--p12-info', '--inder', '--infile', file, '--password', PASSWORD);
    expect(info).toContain('ECU-1');
    expect(info.match(/BEGIN CERTIFICATE/g)).toHaveLength(3);
    expect(spawnSync('certtool', ['--p12-info', '--inder', '--infile', file, '--password', 'another'], { encoding: 'utf8' }).stderr).toMatch(/MAC|pkcs12/i);
  });

  test('is a key entry with its chain to Java', async () => {
    const { file } = await pfx('P-256');
    const list = run('keytool', '-list', '-v', '-keystore', file, '-storetype', 'PKCS12', '-storepass:file', at('password'), '-J-Duser.language=en');
    expect(list).toContain('PrivateKeyEntry');
    expect(list).toContain('Certificate chain length: 3');
  });

  test('has a MAC that costs who guesses as much as the key', async () => {
    const { file } = await pfx('P-256', 600_000);
    const info = spawnSync('openssl', ['pkcs12', '-info', '-in', file, '-passin', `file:${at('password')}`, '-noout'], { encoding: 'utf8' });
    expect(info.stderr).toMatch(/MAC: sha256, Iteration 600000/);
  });
});
