// Other responders, for the same certificates.
import { X509Certificate } from 'node:crypto';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openssl } from '../support/openssl.ts';
import { freePort } from '../support/ports.ts';
import { load } from './http-load.ts';
import { postOf, questionOf, type Site } from './ocsp-site.ts';
import type { Scratch } from './scratch.ts';

/** `openssl ocsp`, with a software key; the first `revoked` are. It answers once a connection. Answers a second. */
export async function opensslResponder(scratch: Scratch, site: Site, revoked: number, seconds: number): Promise<number> {
  const folder = scratch.folder();
  const file = (name: string): string => join(folder, name);
  writeFileSync(file('index.txt'), site.issued.map(({ serial, certificate }, i) => {
    const end = new Date(new X509Certificate(certificate).validTo).toISOString().replace(/[-:T]|\.\d+/g, '').slice(2);
    return `${i < revoked ? 'R' : 'V'}\t${end}\t${i < revoked ? '261101000000Z,superseded' : ''}\t${serial.toUpperCase()}\tunknown\t/CN=${i}\n`;
  }).join(''));
  writeFileSync(file('index.txt.attr'), 'unique_subject = no\n');
  writeFileSync(file('ca.pem'), new X509Certificate(site.issuer).toString());
  openssl(['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file('signer.key'), '-out', file('signer.pem'), '-subj', '/CN=responder', '-days', '2']);
  const port = await freePort();
  const child = spawn('openssl', ['ocsp', '-port', String(port), '-index', file('index.txt'), '-CA', file('ca.pem'), '-rsigner', file('signer.pem'), '-rkey', file('signer.key'), '-ndays', '1'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const stop = scratch.defer(() => void child.kill());
  // It is asked nothing to find out: a connection without a request keeps it from all others.
  await saying(child, 'waiting for OCSP client connections');
  const requests = site.issued.map((one) => postOf(questionOf(site, one), true));
  const { perSecond, failed } = await load(scratch, { port, requests, connections: 4, seconds, oneEach: true });
  await stop();
  if (failed > 0) throw new Error(`openssl ocsp: ${failed} answers were errors`);
  return perSecond;
}

/**
 * cfssl's responder, which serves answers that were signed beforehand: `answers`, the product's own. By POST, since the one
 * that Debian has refuses each GET. Answers a second; undefined where there is no `cfssl` on the PATH.
 */
export async function cfsslResponder(
  scratch: Scratch, answers: readonly Uint8Array[], requests: readonly Uint8Array[], connections: number, seconds: number,
): Promise<number | undefined> {
  if (spawnSync('cfssl', ['version']).error !== undefined) {
    console.log('no `cfssl` on the PATH (Debian: golang-cfssl): its row is left out');
    return undefined;
  }
  const file = join(scratch.folder(), 'responses.txt');
  writeFileSync(file, answers.map((answer) => `${Buffer.from(answer).toString('base64')}\n`).join(''));
  const port = await freePort();
  const child = spawn('cfssl', ['ocspserve', '-address', '127.0.0.1', '-port', String(port), '-responses', file], { stdio: ['ignore', 'pipe', 'pipe'] });
  const stop = scratch.defer(() => void child.kill());
  await saying(child, 'Now listening');
  const { perSecond, failed } = await load(scratch, { port, requests, connections, seconds });
  await stop();
  if (failed > 0) throw new Error(`cfssl ocspserve: ${failed} answers were errors`);
  return perSecond;
}

function saying(child: ChildProcess, words: string): Promise<void> {
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (data: Buffer) => {
        if (data.includes(words)) resolve();
      });
    }
    child.once('error', reject);
    child.once('exit', (status) => reject(new Error(`${child.spawnfile} ended with ${status} and did not say "${words}"`)));
  });
}
