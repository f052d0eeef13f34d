import { generateKeyPairSync, verify } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CrlEntry, encodePem, parseCrl, signatureAlgorithmFor, writeCrl, writeCrlTbs } from '@fleetroot/x509';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FileSpool } from '../support/file-spool.ts';
import { openssl } from '../support/openssl.ts';
import { certify, named, p256 } from '../support/software-ca.ts';

// A long CRL, written through a file, is judged by OpenSSL.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-crl-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function* revoked(count: number): AsyncGenerator<CrlEntry> {
  for (let place = 0; place < count; place++) {
    const serial = Buffer.alloc(16, 0x40);
    serial.writeUInt32BE(place, 8);
    yield { serial, revokedAt: new Date(Date.UTC(2026, 0, 1) + place * 1000), reason: place % 6 };
  }
}

test.each([
  ['P-256', p256], ['RSA-3072', () => generateKeyPairSync('rsa', { modulusLength: 3072 })],
] as const)('100,000 entries, signed with %s', async (kind, key) => {
  const ca = certify({ subject: named(`Streamed ${kind}`), key: key() });
  const spool = new FileSpool(join(folder, `${kind}.spool`));
  const now = new Date(Math.floor(Date.now() / 1000) * 1000);
  const signatureAlgorithm = signatureAlgorithmFor(ca.spkiDer);
  const tbs = await writeCrlTbs({
    signatureAlgorithm, issuerDer: ca.subjectDer, thisUpdate: now, nextUpdate: new Date(now.getTime() + 86_400_000),
    number: 7n, authorityKeyIdentifier: ca.keyId,
  }, revoked(100_000), spool);
  const parts: Uint8Array[] = [];
  for await (const chunk of tbs.chunks()) parts.push(chunk);
  const path = join(folder, `${kind}.crl`);
  const file = openSync(path, 'w');
  for await (const chunk of writeCrl(tbs, ca.sign(Buffer.concat(parts)))) writeSync(file, chunk);
  closeSync(file);
  spool.close();

  const certificate = join(folder, `${kind}.pem`);
  writeFileSync(certificate, encodePem('CERTIFICATE', ca.certificate));
  const text = openssl(['crl', '-inform', 'DER', '-in', path, '-CAfile', certificate, '-noout', '-crlnumber', '-issuer']);
  expect(text).toContain('crlNumber=0x07');
  const pem = join(folder, `${kind}.crl.pem`);
  openssl(['crl', '-inform', 'DER', '-in', path, '-out', pem]);
  openssl(['verify', '-crl_check', '-CAfile', certificate, '-CRLfile', pem, leafOf(ca)]);
  const parsed = parseCrl(new Uint8Array(readFileSync(path)));
  expect(parsed.entries.size).toBe(100_000);
  const digest = tbs.digest ?? new Uint8Array(0);
  expect(Buffer.from(digest).toString('hex')).toBe(openssl(['dgst', '-sha256', '-r'], parsed.tbsDer).slice(0, 64));
  expect(verify('sha256', parsed.tbsDer, encodePem('PUBLIC KEY', ca.spkiDer), parsed.signature)).toBe(true);
});

function leafOf(ca: ReturnType<typeof certify>): string {
  const path = join(folder, 'leaf.pem');
  writeFileSync(path, encodePem('CERTIFICATE', certify({ subject: named('leaf'), issuer: ca, extensions: [], serial: 0x7fn }).certificate));
  return path;
}
