import { execFile } from 'node:child_process';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { toHex } from '@fleetroot/core';
import { encodePem } from '@fleetroot/x509';
import { startStatus } from '../../apps/status/src/start.ts';
import { ceremonyCertificate, event, type RealCa } from '../support/ledger.ts';
import { newSerial, type OcspPlant, startOcspPlant } from '../support/ocsp-plant.ts';
import { until } from '../support/product.ts';
import { certId, ocspRequest } from '../support/ocsp-request.ts';
import { caRights, certify, named, type SoftwareCa } from '../support/software-ca.ts';

// A CA is its name and its key, whatever certificates it has: one with two of them has one answer, and two of one name
// have each their own. What is answered around and after a certificate's end. Judged by OpenSSL and GnuTLS.

let plant: OcspPlant;
let folder: string;
const pem = (name: string): string => join(folder, `${name}.pem`);
const put = (name: string, ...certificates: readonly Uint8Array[]): Promise<void> => writeFile(pem(name), certificates.map((certificate) => encodePem('CERTIFICATE', certificate)).join(''));
const soon = { timeout: 10_000, interval: 20 };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fleetroot-ocsp-issuers-'));
  plant = await startOcspPlant(startStatus, { unknownPerSecond: 1000 });
  await put('issuing', plant.ca.made.certificate);
});
afterAll(async () => {
  await plant?.close();
  await rm(folder, { recursive: true, force: true });
});

/** Not synchronous: the responder lives in this process. */
async function run(program: string, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(program, args, { timeout: 20_000 }).catch((error: unknown) => error as { stdout: string; stderr: string });
  return stdout + stderr;
}

/** What OpenSSL says of a certificate, with this one for its issuer's and that one to trust. */
async function judged(leaf: string, issuer: string, trusted: string, ...how: string[]): Promise<string> {
  const said = await run('openssl', 'ocsp', ...how, '-issuer', pem(issuer), '-cert', pem(leaf), '-url', `${plant.url}/ocsp`, '-CAfile', pem(trusted));
  const status = new RegExp(`${leaf}\\.pem: (\\w+)`).exec(said)?.[1];
  return status === undefined || !said.includes('Response verify OK') ? said : `${status}${/Reason: (\w+)/.exec(said)?.[1] ?? ''}`;
}

async function post(request: Uint8Array): Promise<string> {
  const answer = await fetch(`${plant.url}/ocsp`, { method: 'POST', body: request as Uint8Array<ArrayBuffer>, headers: { 'content-type': 'application/ocsp-request' } });
  return toHex(new Uint8Array(await answer.arrayBuffer()));
}

const nonces = ['-nonce', '-no_nonce'] as const;

describe('one key with two certificates', () => {
  let root: RealCa;
  let cross: SoftwareCa;
  let leaf: SoftwareCa & { readonly serial: Uint8Array };

  beforeAll(async () => {
    root = await plant.add('other-root');
    const { made, ca } = plant.ca;
    cross = certify({ subject: named(ca.name), issuer: root.made, key: keyOf(made), serial: newSerial(), extensions: caRights });
    await plant.store.authorities.addCertificate(ceremonyCertificate('cross', cross.certificate, ca.id, root.ca.id), event('ca.certificate-imported', `ca:${ca.name}`));
    await put('cross', cross.certificate);
    await put('cross-store', cross.certificate, root.made.certificate);
    await put('other-root', root.made.certificate);
    leaf = await plant.issue();
    await put('leaf', leaf.certificate);
    const ready = async (): Promise<boolean> => (await Promise.all([judged('cross', 'other-root', 'other-root'), judged('leaf', 'issuing', 'issuing')])).every((said) => said === 'good');
    await until(ready, 10_000, () => plant.lines.join(''));
  });

  const everywhere = async (): Promise<string[]> => {
    const asked = [['issuing', 'issuing'], ['cross', 'cross-store'], ['cross', 'issuing'], ['issuing', 'cross-store']].flatMap(([issuer = '', trusted = '']) =>
      [['-sha1', '-no_nonce'], ['-sha256', '-no_nonce'], ['-sha1', '-nonce']].map((how) => judged('leaf', issuer, trusted, ...how)));
    return [...new Set(await Promise.all(asked))];
  };

  it('is named by the same octets, whichever of them the client holds', () => {
    const { certificate } = plant.ca.made;
    for (const hash of ['sha1', 'sha256'] as const) {
      expect(certId({ issuer: cross.certificate, serial: leaf.serial, hash })).toEqual(certId({ issuer: certificate, serial: leaf.serial, hash }));
    }
  });

  it('has one answer: good, held, good again, revoked; from memory, from the table, and by a signature', async () => {
    expect(await everywhere()).toEqual(['good']);
    await plant.restart();
    expect(await everywhere(), 'from the table').toEqual(['good']);
    await plant.revoke(leaf.serial, 6);
    await expect.poll(everywhere, soon).toEqual(['revokedcertificateHold']);
    await plant.release(leaf.serial);
    await expect.poll(everywhere, soon).toEqual(['good']);
    await plant.revoke(leaf.serial, 4);
    await expect.poll(everywhere, soon).toEqual(['revokedsuperseded']);
    await plant.revoke(leaf.serial, 1);
    await expect.poll(everywhere, soon).toEqual(['revokedkeyCompromise']);
    await plant.restart();
    expect(await everywhere(), 'from the table').toEqual(['revokedkeyCompromise']);
  });

  it('of its certificates one may be revoked, by the one that issued it, and what it issued stays good', async () => {
    const other = await plant.issue();
    await put('other', other.certificate);
    expect(await judged('other', 'cross', 'issuing')).toBe('good');
    const [row] = await plant.sql<{ serial: Buffer }>(`SELECT serial FROM ceremony_certificate WHERE kind = 'cross'`);
    await plant.revoke(row?.serial ?? newSerial(), 5, root);
    await expect.poll(() => judged('cross', 'other-root', 'other-root'), soon).toBe('revokedcessationOfOperation');
    expect(await judged('other', 'issuing', 'issuing')).toBe('good');
  });

  it('the same serial number at two CAs is two certificates', async () => {
    const { serial, certificate } = await plant.issue();
    const twin = await plant.issue({ of: root, serial });
    await put('one', certificate);
    await put('twin', twin.certificate);
    const both = async (): Promise<string[]> => [await judged('one', 'issuing', 'issuing', '-no_nonce'), await judged('twin', 'other-root', 'other-root', '-no_nonce')];
    expect(await both()).toEqual(['good', 'good']);
    await plant.revoke(serial, 1, root);
    await expect.poll(both, soon).toEqual(['good', 'revokedkeyCompromise']);
    await plant.restart();
    expect(await both(), 'from the table').toEqual(['good', 'revokedkeyCompromise']);
  });
});

function keyOf({ keyPem }: SoftwareCa) {
  return { privateKey: createPrivateKey(keyPem), publicKey: createPublicKey(keyPem) };
}

describe('the next generation, of the same name and another key', () => {
  it('is a CA of its own, with both caches warm', async () => {
    const next = await plant.add('ecu-issuing-g2', { subject: named('ecu-issuing') });
    await put('next', next.made.certificate);
    const old = await plant.issue();
    const young = await plant.issue({ of: next, serial: old.serial });
    await put('old', old.certificate);
    await put('young', young.certificate);
    const all = async (): Promise<string[]> => [
      ...await Promise.all(nonces.map((nonce) => judged('old', 'issuing', 'issuing', nonce))), ...await Promise.all(nonces.map((nonce) => judged('young', 'next', 'next', nonce))),
    ];
    await expect.poll(all, soon).toEqual(['good', 'good', 'good', 'good']);
    await plant.revoke(old.serial, 4);
    await expect.poll(all, soon).toEqual(['revokedsuperseded', 'revokedsuperseded', 'good', 'good']);
    await plant.restart();
    expect(await all(), 'from the table').toEqual(['revokedsuperseded', 'revokedsuperseded', 'good', 'good']);
    // An answer by one is no answer about the other: names are the same, keys are not.
    const only = await plant.issue({ of: next });
    const ask = (issuer: RealCa): Promise<string> => post(ocspRequest([{ issuer: issuer.made.certificate, serial: only.serial }]));
    expect([(await ask(next)).includes('8000180f'), (await ask(plant.ca)).includes('8200180f')]).toEqual([true, true]);
    // Two CAs in one request: no answer of one signer is for both.
    expect(await post(ocspRequest([{ issuer: plant.ca.made.certificate, serial: old.serial }, { issuer: next.made.certificate, serial: old.serial }]))).toBe('30030a0106');
  });
});

describe('the end of a certificate', () => {
  const second = (n: number): Date => new Date(Math.floor(Date.now() / 1000) * 1000 + n * 1000);

  test.each<[string, Date, number | undefined, string]>([
    ['good, just before it', second(600), undefined, 'good'],
    ['good, just after it', second(-1), undefined, 'good'],
    ['good, a year after it', second(-365 * 86_400), undefined, 'good'],
    ['revoked, just before it', second(600), 1, 'revokedkeyCompromise'],
    ['revoked, just after it', second(-1), 1, 'revokedkeyCompromise'],
    ['revoked, a year after it', second(-365 * 86_400), 1, 'revokedkeyCompromise'],
  ])('%s', async (name, notAfter, reason, expected) => {
    const file = `end-${name.replaceAll(/\W+/g, '-')}`;
    const made = await plant.issue({ notBefore: new Date(notAfter.getTime() - 86_400_000), notAfter });
    await put(file, made.certificate);
    if (reason !== undefined) await plant.revoke(made.serial, reason);
    for (const nonce of nonces) await expect.poll(() => judged(file, 'issuing', 'issuing', nonce), soon).toBe(expected);
    const said = await run('ocsptool', `--ask=${plant.url}/ocsp`, '--load-cert', pem(file), '--load-issuer', pem('issuing'), '--load-trust', pem('issuing'));
    expect(said).toContain(`Certificate Status: ${reason === undefined ? 'good' : 'revoked'}`);
    expect(said).toMatch(/Verifying OCSP Response: Success/);
  });

  it('passes while the answer is in memory, and changes nothing in it', async () => {
    const made = await plant.issue({ notAfter: second(2) });
    await put('ending', made.certificate);
    const request = ocspRequest([{ issuer: plant.ca.made.certificate, serial: made.serial }]);
    const before = await post(request);
    await sleep(3000);
    expect(await post(request)).toBe(before);
    expect(await judged('ending', 'issuing', 'issuing', '-nonce')).toBe('good');
  });

  it('and of its row, in the archive: it is unknown, once the answers before it have ended', async () => {
    const made = await plant.issue({ notBefore: second(-800 * 86_400), notAfter: second(-400 * 86_400) });
    await put('archived', made.certificate);
    expect(await judged('archived', 'issuing', 'issuing')).toBe('good');
    // As archiving does: the row is in a file, and not in the ledger any more.
    await plant.sql('DELETE FROM certificate WHERE serial = $1', [made.serial]);
    await plant.restart();
    for (const nonce of nonces) expect(await judged('archived', 'issuing', 'issuing', nonce)).toBe('unknown');
  });
});
