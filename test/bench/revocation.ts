// What relying parties wait for: OCSP from the cache and with nonces, and how soon a revocation is seen.
import { randomBytes, X509Certificate } from 'node:crypto';
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { serialFromHex, serialToBytes } from '@fleetroot/core';
import { der } from '@fleetroot/x509';
import { ocspRequest } from '../support/ocsp-request.ts';
import { openssl } from '../support/openssl.ts';
import { freePort } from '../support/ports.ts';
import type { Product } from '../support/product.ts';
import { makeToken } from '../support/softhsm.ts';
import { showing } from './bar.ts';
import { type ReadyAnswer, startBareResponder } from './bare-responder.ts';
import { readResults, sendBatch } from './client.ts';
import { copyIn, encodeRow } from './copy-in.ts';
import { type Load, load, type LoadFigures } from './http-load.ts';
import { databaseUrl, settle, start } from './installation.ts';
import { rawProcesses } from './raw-signatures.ts';
import { beside, percentile, print, type Result } from './report.ts';
import { makeRequests } from './request-file.ts';
import type { Scratch } from './scratch.ts';

const CERTIFICATES = 500;
const REVOKED = 50;
const CONNECTIONS = 32;
const NONCES = 2_000;
const CACHED_GOAL = 0.7;
const NONCE_GOAL = 0.5;
const P99_GOAL_MS = 5;
const VISIBLE_GOAL_MS = 1_000;
/** Revocations that are watched. */
const WATCHED = 20;

interface Issued {
  readonly serial: string;
  readonly certificate: Buffer;
}

interface Site {
  readonly product: Product;
  readonly port: number;
  /** Certificate of the issuing CA, DER. */
  readonly issuer: Buffer;
  readonly issued: readonly Issued[];
}

/** `bench revocation`: `revoked` entries are put beside the real ones for the second look at how soon a revocation is seen. */
export async function benchRevocation(scratch: Scratch, seconds: number, revoked: number): Promise<void> {
  const requests = await makeRequests(scratch, CERTIFICATES);
  const { product, stop } = await start(scratch, { issuers: 1 });
  const batch = await sendBatch(product, requests);
  await showing(CERTIFICATES, 'certificates received', (onDone) => readResults(product, batch, onDone));
  const site: Site = {
    product, port: Number(new URL(product.status).port),
    issuer: Buffer.from(await (await fetch(`${product.status}/ca/ecu-issuing.cer`)).arrayBuffer()),
    issued: await issuedIn(product, batch),
  };
  for (const { serial } of site.issued.slice(0, REVOKED)) await revoke(product, serial);
  await settle();
  const results = [
    ...await fromTheCache(scratch, site, seconds),
    ...await withNonces(scratch, site, seconds),
    ...await opensslResponder(scratch, site, seconds),
    ...await visible(site, REVOKED, 'with few revoked'),
  ];
  await putRevoked(product, revoked);
  results.push(...await visible(site, REVOKED + WATCHED, `with ${revoked} revoked`));
  await stop();
  print('revocation', results, { seconds, revoked, connections: CONNECTIONS });
}

async function issuedIn(product: Product, batch: string): Promise<Issued[]> {
  const answer = await product.fetch('GET', `/v1/batches/${batch}/certificates`, 'line');
  return (await answer.text()).trim().split('\n').map((line) => {
    const { serial, certificate } = JSON.parse(line) as { serial: string; certificate: string };
    return { serial, certificate: Buffer.from(certificate, 'base64') };
  });
}

async function revoke(product: Product, serial: string): Promise<void> {
  const { status } = await product.json('POST', `/v1/certificates/${serial}/revocation`, 'security', { reason: 'superseded' });
  if (status !== 200) throw new Error(`the revocation of ${serial} answered ${status}`);
}

const pathOf = ({ issuer }: Site, { serial }: Issued): string =>
  `/ocsp/${encodeURIComponent(Buffer.from(ocspRequest([{ issuer, serial: serialToBytes(serialFromHex(serial)) }])).toString('base64'))}`;

const getOf = (path: string): Buffer => Buffer.from(`GET ${path} HTTP/1.1\r\nHost: bench\r\n\r\n`);

const postOf = (body: Uint8Array, close = false): Buffer => Buffer.concat([
  Buffer.from(`POST /ocsp HTTP/1.1\r\nHost: bench\r\nContent-Type: application/ocsp-request\r\nContent-Length: ${body.length}\r\n${close ? 'Connection: close\r\n' : ''}\r\n`), body,
]);

/** Answers that are ready, beside Fastify and one handler that gives back the same octets; each twice, in turns. */
async function fromTheCache(scratch: Scratch, site: Site, seconds: number): Promise<Result[]> {
  const ready: ReadyAnswer[] = [];
  for (const one of site.issued) {
    const path = pathOf(site, one);
    const answer = await fetch(`${site.product.status}${path}`);
    const names = ['cache-control', 'etag', 'expires', 'last-modified'];
    ready.push({ path, body: Buffer.from(await answer.arrayBuffer()), headers: Object.fromEntries(names.flatMap((name) => [[name, answer.headers.get(name) ?? '']].filter(([, value]) => value !== ''))) });
  }
  const bare = await startBareResponder(scratch, ready);
  const gets = ready.map(({ path }) => getOf(path));
  const posts = site.issued.map(({ serial }) => postOf(ocspRequest([{ issuer: site.issuer, serial: serialToBytes(serialFromHex(serial)) }])));
  const results: Result[] = [];
  for (const [what, requests] of [['GET', gets], ['POST', posts]] as const) {
    const task = (port: number): Load => ({ port, requests, connections: CONNECTIONS, seconds });
    await load(scratch, { ...task(site.port), seconds: 1 });
    await load(scratch, { ...task(bare), seconds: 1 });
    const [floor, ours] = await inTurns(() => load(scratch, task(bare)), () => load(scratch, task(site.port)));
    const half = good(await load(scratch, { ...task(site.port), rate: ours / 2 }));
    results.push(
      beside(`OCSP from the cache, ${what}`, ours, '1/s', floor, CACHED_GOAL),
      { name: `OCSP from the cache, ${what}, p50 at half of that`, value: percentile(half.latencies, 50), unit: 'ms' },
      { name: `OCSP from the cache, ${what}, p99 at half of that`, value: percentile(half.latencies, 99), unit: 'ms', goal: P99_GOAL_MS },
    );
  }
  return results;
}

/** Each with a nonce of its own, so each signed; beside bare signatures of one process. */
async function withNonces(scratch: Scratch, site: Site, seconds: number): Promise<Result[]> {
  const token = await makeToken();
  scratch.defer(() => token.remove());
  process.env['SOFTHSM2_CONF'] = token.softhsmConf;
  const key = await token.generateKey('p-256');
  const raw = await rawProcesses(1, { module: token.module, tokenLabel: token.tokenLabel, pin: token.pin.reveal(), keyId: key.keyId, rsa: false, sessionCopy: true });
  const requests = Array.from({ length: NONCES }, (_, i) => postOf(ocspRequest(
    [{ issuer: site.issuer, serial: serialToBytes(serialFromHex(site.issued[i % site.issued.length]!.serial)) }], randomBytes(32))));
  try {
    const task: Load = { port: site.port, requests, connections: CONNECTIONS, seconds };
    await load(scratch, { ...task, seconds: 1 });
    await raw.sign(5_000);
    const [floor, ours] = await inTurns(async () => ({ perSecond: await raw.sign(20_000), failed: 0 }), () => load(scratch, task));
    const half = good(await load(scratch, { ...task, rate: ours / 2 }));
    return [
      beside('OCSP with a nonce, beside bare signatures', ours, '1/s', floor, NONCE_GOAL),
      { name: 'OCSP with a nonce, p99 at half of that', value: percentile(half.latencies, 99), unit: 'ms' },
    ];
  } finally {
    raw.close();
  }
}

/** `openssl ocsp` as a responder for the same certificates, with a software key. It answers once a connection. */
async function opensslResponder(scratch: Scratch, site: Site, seconds: number): Promise<Result[]> {
  const folder = scratch.folder();
  const file = (name: string): string => join(folder, name);
  writeFileSync(file('index.txt'), site.issued.map(({ serial, certificate }, i) => {
    const end = new Date(new X509Certificate(certificate).validTo).toISOString().replace(/[-:T]|\.\d+/g, '').slice(2);
    return `${i < REVOKED ? 'R' : 'V'}\t${end}\t${i < REVOKED ? '261101000000Z,superseded' : ''}\t${serial.toUpperCase()}\tunknown\t/CN=${i}\n`;
  }).join(''));
  writeFileSync(file('index.txt.attr'), 'unique_subject = no\n');
  writeFileSync(file('ca.pem'), new X509Certificate(site.issuer).toString());
  openssl(['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file('signer.key'), '-out', file('signer.pem'), '-subj', '/CN=responder', '-days', '2']);
  const port = await freePort();
  const child = spawn('openssl', ['ocsp', '-port', String(port), '-index', file('index.txt'), '-CA', file('ca.pem'), '-rsigner', file('signer.pem'), '-rkey', file('signer.key'), '-ndays', '1'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const stop = scratch.defer(() => void child.kill());
  await listening(child);
  const requests = site.issued.map(({ serial }) => postOf(ocspRequest([{ issuer: site.issuer, serial: serialToBytes(serialFromHex(serial)) }]), true));
  const { perSecond } = good(await load(scratch, { port, requests, connections: 4, seconds, oneEach: true }));
  await stop();
  return [{ name: '`openssl ocsp` as the responder, POST, a connection each', value: perSecond, unit: '1/s' }];
}

/** It is asked nothing to find out: a connection without a request keeps it from all others. */
function listening(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (data: Buffer) => {
        if (data.includes('waiting for OCSP client connections')) resolve();
      });
    }
    child.once('exit', (status) => reject(new Error(`openssl ocsp ended with ${status}`)));
  });
}

/** How long after its revocation was answered OCSP says so, for as many certificates as are watched. */
async function visible(site: Site, from: number, when: string): Promise<Result[]> {
  const seen: number[] = [];
  const took: number[] = [];
  for (const one of site.issued.slice(from, from + WATCHED)) {
    const path = pathOf(site, one);
    if (await isRevoked(site, path, one)) throw new Error(`${one.serial} is revoked already`);
    const asked = performance.now();
    await revoke(site.product, one.serial);
    const answered = performance.now();
    took.push(answered - asked);
    while (!await isRevoked(site, path, one)) {
      if (performance.now() - answered > 30_000) throw new Error(`OCSP does not say that ${one.serial} is revoked`);
      await sleep(2);
    }
    seen.push(performance.now() - answered);
  }
  const sorted = seen.toSorted((a, b) => a - b);
  return [
    { name: `a revocation, ${when}: answered after, median`, value: percentile(took.toSorted((a, b) => a - b), 50), unit: 'ms' },
    { name: `a revocation, ${when}: in OCSP after that, median`, value: percentile(sorted, 50), unit: 'ms' },
    { name: `a revocation, ${when}: in OCSP after that, longest`, value: sorted.at(-1) ?? Number.NaN, unit: 'ms', goal: VISIBLE_GOAL_MS },
  ];
}

/** By the octets that follow the serial number: good is [0] without content, revoked is [1] (RFC 6960 section 4.2.1). */
async function isRevoked(site: Site, path: string, { serial }: Issued): Promise<boolean> {
  const body = Buffer.from(await (await fetch(`${site.product.status}${path}`)).arrayBuffer());
  const integer = Buffer.from(der.integer(serialToBytes(serialFromHex(serial))));
  const at = body.indexOf(integer);
  if (at === -1) throw new Error(`an OCSP answer without the serial number ${serial}`);
  const status = body[at + integer.length];
  if (status !== 0x80 && status !== 0xa1) throw new Error(`a status of ${status} for ${serial}`);
  return status === 0xa1;
}

const COLUMNS = {
  ca_id: 'int4', serial: 'bytea', reason: 'int4', revoked_at: 'timestamptz', not_after: 'timestamptz', principal_id: 'int4', shards: 'int4', shard: 'int4',
} as const;

/** Entries of certificates that nobody has. */
async function putRevoked(product: Product, count: number): Promise<void> {
  const client = new Client({ connectionString: databaseUrl(product) });
  await client.connect();
  try {
    const { rows: [ground] } = await client.query<{ ca: number; principal: number }>("SELECT (SELECT id FROM ca WHERE name = 'ecu-issuing') AS ca, (SELECT min(id) FROM principal) AS principal");
    await showing(count, 'revocations put into the ledger', (onDone) => copyIn(client, 'revocation', COLUMNS, revokedRows(ground!, count, onDone)));
    await client.query('VACUUM ANALYZE revocation');
  } finally {
    await client.end();
  }
}

function* revokedRows({ ca, principal }: { ca: number; principal: number }, count: number, onDone: (more: number) => void): Generator<Buffer> {
  const now = Date.now();
  const serial = Buffer.alloc(18, 0x41);
  const row = encodeRow(COLUMNS, [ca, serial, 4, new Date(now - 3_600_000), new Date(now + 300 * 86_400_000), principal, 1, 0]);
  for (let i = 0; i < count; i++) {
    randomBytes(16).copy(row.octets, row.at['serial']! + 2);
    yield row.octets;
    if (i % 10_000 === 9_999) onDone(10_000);
  }
}

type Rate = Pick<LoadFigures, 'perSecond' | 'failed'>;

function good<T extends Rate>(figures: T): T {
  if (figures.failed > 0) throw new Error(`${figures.failed} answers were errors`);
  return figures;
}

/** Mean rates of both, measured as one, two, two, one: a machine that grows slower favours neither. */
async function inTurns(one: () => Promise<Rate>, two: () => Promise<Rate>): Promise<[number, number]> {
  const [first, second, third, fourth] = [good(await one()), good(await two()), good(await two()), good(await one())];
  return [(first.perSecond + fourth.perSecond) / 2, (second.perSecond + third.perSecond) / 2];
}
