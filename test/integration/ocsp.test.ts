import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { toHex } from '@fleetroot/core';
import { encodePem } from '@fleetroot/x509';
import { startStatus } from '../../apps/status/src/start.ts';
import { newSerial, type OcspPlant, startOcspPlant } from '../support/ocsp-plant.ts';
import { until } from '../support/product.ts';
import { ocspRequest, type OcspQuestion } from '../support/ocsp-request.ts';

// The OCSP responder as it runs: real ledger, real token, HTTP; judged by OpenSSL and GnuTLS.

const UNKNOWN_PER_SECOND = 20;
let plant: OcspPlant;
let folder: string;
const pem = (name: string): string => join(folder, `${name}.pem`);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fleetroot-ocsp-'));
  plant = await startOcspPlant(startStatus, { unknownPerSecond: UNKNOWN_PER_SECOND });
  await writeFile(pem('ca'), encodePem('CERTIFICATE', plant.ca.made.certificate));
  await until(async () => statusOf(await post(newSerial())) === 'unknown', 10_000, () => plant.lines.join(''));
});
afterAll(async () => {
  await plant?.close();
  await rm(folder, { recursive: true, force: true });
});

const question = (serial: Uint8Array, hash: OcspQuestion['hash'] = 'sha1'): OcspQuestion => ({ issuer: plant.ca.made.certificate, serial, hash });
const body = (serial: Uint8Array, nonce?: Uint8Array): Uint8Array => ocspRequest([question(serial)], nonce);
const octets = async (answer: Response): Promise<Buffer> => Buffer.from(await answer.arrayBuffer());
const send = async (request: Uint8Array): Promise<Buffer> => octets(await fetch(`${plant.url}/ocsp`, {
  method: 'POST', body: request as Uint8Array<ArrayBuffer>, headers: { 'content-type': 'application/ocsp-request' },
}));
const post = (serial: Uint8Array, nonce?: Uint8Array): Promise<Buffer> => send(body(serial, nonce));
const get = (serial: Uint8Array, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${plant.url}/ocsp/${encodeURIComponent(Buffer.from(body(serial)).toString('base64'))}`, { headers });

const errors: Record<string, string> = { '30030a0101': 'malformedRequest', '30030a0102': 'internalError', '30030a0103': 'tryLater', '30030a0106': 'unauthorized' };
/** Of the one SingleResponse: its certStatus stands before its thisUpdate. */
function statusOf(response: Uint8Array): string {
  const hex = toHex(response);
  if (errors[hex] !== undefined) return errors[hex];
  const found = /(?:(8000)|(8200)|a1(?:11|16)180f(?:[0-9a-f]{30})(?:a0030a01(..))?)180f(?:3\d){14}5aa011180f/.exec(hex);
  if (found?.[1] !== undefined) return 'good';
  if (found?.[2] !== undefined) return 'unknown';
  return found === null ? '?' : `revoked ${Number.parseInt(found[3] ?? '0', 16)}`;
}

/** Not synchronous: the responder lives in this process. */
async function run(program: string, ...args: string[]): Promise<string> {
  try {
    const { stdout, stderr } = await promisify(execFile)(program, args, { timeout: 20_000 });
    return stdout + stderr;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return stdout + stderr;
  }
}

const soon = { timeout: 10_000, interval: 20 };
const signed = (): Promise<number> => plant.metric('fleetroot_ocsp_response_sources_total{source="signed"');

describe('judged by others', () => {
  const kinds = ['good', 'revoked', 'held', 'unknown', 'expired'] as const;
  beforeAll(async () => {
    for (const kind of kinds) {
      const made = await plant.issue(
        kind === 'expired' ? { notBefore: new Date(Date.now() - 7_200_000), notAfter: new Date(Date.now() - 3_600_000) } : kind === 'unknown' ? { unrecorded: true } : {});
      if (kind === 'revoked') await plant.revoke(made.serial, 1);
      if (kind === 'held') await plant.revoke(made.serial, 6);
      await writeFile(pem(kind), encodePem('CERTIFICATE', made.certificate));
    }
  });
  const said = { good: 'good', revoked: 'revoked', held: 'revoked', unknown: 'unknown', expired: 'good' } as const;
  const reasons: Partial<Record<string, string>> = { revoked: 'keyCompromise', held: 'certificateHold' };

  test.each(kinds.flatMap((kind) => [[kind, '-sha1', []], [kind, '-sha256', []], [kind, '-sha1', ['-no_nonce']], [kind, '-sha256', ['-no_nonce']]] as const))(
    'openssl ocsp hears of %s by POST, %s %j', async (kind, hash, options) => {
      const output = await run('openssl', 'ocsp', ...options, '-issuer', pem('ca'), hash, '-cert', pem(kind), '-url', `${plant.url}/ocsp`, '-CAfile', pem('ca'));
      expect(output).toContain('Response verify OK');
      expect(output).not.toMatch(/WARNING|error/i);
      expect(output).toContain(`${kind}.pem: ${said[kind]}`);
      if (reasons[kind] !== undefined) expect(output).toContain(`Reason: ${reasons[kind]}`);
    });

  test.each(kinds)('curl fetches for openssl by GET: %s', async (kind) => {
    const [request, response] = [join(folder, 'request.der'), join(folder, 'response.der')];
    await run('openssl', 'ocsp', '-no_nonce', '-issuer', pem('ca'), '-cert', pem(kind), '-reqout', request);
    const base64 = (await run('openssl', 'base64', '-A', '-in', request)).trim();
    await run('curl', '-sf', '-o', response, `${plant.url}/ocsp/${encodeURIComponent(base64)}`);
    const output = await run('openssl', 'ocsp', '-respin', response, '-issuer', pem('ca'), '-cert', pem(kind), '-CAfile', pem('ca'));
    expect(output).toContain('Response verify OK');
    expect(output).toContain(`${kind}.pem: ${said[kind]}`);
  });

  test.each(kinds.flatMap((kind) => [[kind, '--nonce'], [kind, '--no-nonce']] as const))('ocsptool hears of %s, %s', async (kind, nonce) => {
    const output = await run('ocsptool', `--ask=${plant.url}/ocsp`, nonce, '--load-cert', pem(kind), '--load-issuer', pem('ca'), '--load-trust', pem('ca'));
    expect(output).toContain(`Certificate Status: ${said[kind]}`);
    expect(output).toMatch(/Verifying OCSP Response: Success/);
  });

  it('openssl asks about several at once', async () => {
    const output = await run('openssl', 'ocsp', '-issuer', pem('ca'), ...kinds.flatMap((kind) => ['-cert', pem(kind)]), '-url', `${plant.url}/ocsp`, '-CAfile', pem('ca'));
    expect(output).toContain('Response verify OK');
    for (const kind of kinds) expect(output).toContain(`${kind}.pem: ${said[kind]}`);
  });
});

describe('an answer without a nonce', () => {
  it('is signed once, whoever asks at once, and the same over GET, POST and a restart', async () => {
    const { serial } = await plant.issue();
    const before = await signed();
    const answers = await Promise.all([...Array.from({ length: 20 }, () => post(serial)), get(serial).then(octets)]);
    expect(new Set(answers.map(toHex)).size).toBe(1);
    // Who waits for the same signature is counted with it: the token gave one.
    expect((await signed()) - before).toBeGreaterThan(0);
    await expect.poll(() => plant.sql('SELECT FROM status_cache.ocsp_answer WHERE serial = $1', [serial]), soon).toHaveLength(1);
    await plant.restart();
    expect(toHex(await post(serial))).toBe(toHex(answers[0] as Buffer));
    expect(await plant.metric('fleetroot_ocsp_response_sources_total{source="table"')).toBe(1);
  });

  it('tells caches until when it holds, and of 304', async () => {
    const { serial } = await plant.issue();
    const answer = await get(serial);
    const age = Number(/^public, max-age=(\d+), must-revalidate, no-transform$/.exec(answer.headers.get('cache-control') ?? '')?.[1]);
    // As long as a CRL: a cache on the way does not hear of a revocation.
    expect(age).toBe(300);
    const sinceMade = Date.parse(answer.headers.get('expires') ?? '') - Date.parse(answer.headers.get('last-modified') ?? '');
    expect([sinceMade >= 299_000, sinceMade < 360_000]).toEqual([true, true]);
    for (const headers of [{ 'if-none-match': answer.headers.get('etag') ?? '' }, { 'if-modified-since': answer.headers.get('last-modified') ?? '' }]) {
      const again = await get(serial, headers);
      expect([again.status, await again.text()]).toEqual([304, '']);
    }
    expect((await get(serial, { 'if-none-match': '"other"' })).status).toBe(200);
  });

  test.each<[string, () => Promise<Response>]>([
    ['a POST', async () => fetch(`${plant.url}/ocsp`, { method: 'POST', body: body((await plant.issue()).serial) as Uint8Array<ArrayBuffer>, headers: { 'content-type': 'application/ocsp-request' } })],
    ['an error', () => fetch(`${plant.url}/ocsp/MAA=`)],
    ['a serial that is not on record', () => get(newSerial())],
  ])('is kept by no cache where it is the answer to %s', async (_, ask) => {
    expect((await ask()).headers.get('cache-control')).toBe('no-store');
  });
});

describe('a change is told at once', () => {
  const path = async (serial: Uint8Array): Promise<void> => {
    const both = async (): Promise<string[]> => [statusOf(await post(serial)), statusOf(await post(serial, randomBytes(32)))];
    expect(await both()).toEqual(['good', 'good']);
    await plant.revoke(serial, 6);
    await expect.poll(both, soon).toEqual(['revoked 6', 'revoked 6']);
    await plant.release(serial);
    await expect.poll(both, soon).toEqual(['good', 'good']);
    await plant.revoke(serial, 4);
    await expect.poll(both, soon).toEqual(['revoked 4', 'revoked 4']);
    await plant.revoke(serial, 1);
    await expect.poll(both, soon).toEqual(['revoked 1', 'revoked 1']);
  };
  it('by the ledger: held, released, revoked, for a stronger reason', async () => path((await plant.issue()).serial));

  it('by a look, where nothing is heard', async () => {
    await plant.sql('ALTER TABLE revocation DISABLE TRIGGER revocation_told; ALTER TABLE revocation DISABLE TRIGGER revocation_told_update');
    await path((await plant.issue()).serial);
    await plant.sql('ALTER TABLE revocation ENABLE TRIGGER revocation_told; ALTER TABLE revocation ENABLE TRIGGER revocation_told_update');
  });

  it('of many in one statement, without signing the others anew', async () => {
    const [one, ...others] = Array.from({ length: 150 }, newSerial) as [Uint8Array, ...Uint8Array[]];
    await plant.record([one, ...others]);
    const { serial: left } = await plant.issue();
    const [before] = [await post(left), await post(one)];
    await plant.sql(
      `INSERT INTO revocation (ca_id, serial, reason, revoked_at, not_after, principal_id)
       SELECT $1, serial, 4, now(), now() + interval '1 day', (SELECT min(id) FROM principal) FROM unnest($2::bytea[]) AS serial`, [plant.ca.ca.id, [one, ...others]]);
    await expect.poll(async () => statusOf(await post(one)), soon).toBe('revoked 4');
    expect(toHex(await post(left))).toBe(toHex(before));
  });

  it('makes the answers of the revoked ahead, by each hash', async () => {
    const { serial } = await plant.issue();
    await plant.revoke(serial, 1);
    await expect.poll(() => plant.sql('SELECT FROM status_cache.ocsp_answer WHERE serial = $1', [serial]), soon).toHaveLength(2);
    const before = await signed();
    expect(statusOf(await post(serial))).toBe('revoked 1');
    expect(statusOf(await send(ocspRequest([question(serial, 'sha256')])))).toBe('revoked 1');
    expect(await signed()).toBe(before);
  });

  it('takes no answer from the table that says something else by now', async () => {
    const { serial } = await plant.issue();
    const good = await post(serial);
    await expect.poll(() => plant.sql('SELECT FROM status_cache.ocsp_answer WHERE serial = $1', [serial]), soon).toHaveLength(1);
    await plant.revoke(serial, 1);
    await plant.restart();
    expect(statusOf(good)).toBe('good');
    expect(statusOf(await post(serial))).toBe('revoked 1');
  });
});

it('a revoked CA takes all of its answers with it, also those in memory', async () => {
  const { serial } = await plant.issue();
  expect(statusOf(await post(serial))).toBe('good');
  await plant.sql('UPDATE ca SET revoked_at = now(), revocation_reason = 2, state = \'compromised\' WHERE id = $1', [plant.ca.ca.id]);
  await expect.poll(async () => [statusOf(await post(serial)), statusOf(await post(serial, randomBytes(8))), statusOf(await post(newSerial()))], soon).toEqual(['revoked 2', 'revoked 2', 'revoked 2']);
  await plant.sql('UPDATE ca SET revoked_at = NULL, revocation_reason = NULL, state = \'active\' WHERE id = $1', [plant.ca.ca.id]);
  await expect.poll(async () => statusOf(await post(serial)), soon).toBe('good');
});

describe('serials that were never issued', () => {
  it('are signed for within a budget, and one that is issued then is good at once (I17)', async () => {
    const serials = Array.from({ length: 300 }, newSerial);
    const heard = new Map<string, number>();
    for (const one of await Promise.all(serials.map((serial) => post(serial)))) heard.set(statusOf(one), (heard.get(statusOf(one)) ?? 0) + 1);
    expect([...heard.keys()].toSorted()).toEqual(['tryLater', 'unknown']);
    expect(heard.get('unknown')).toBeLessThan(150);
    expect(await plant.sql('SELECT FROM status_cache.ocsp_answer WHERE serial = ANY($1)', [serials])).toEqual([]);
    await plant.record(serials.slice(0, 20));
    for (const serial of serials.slice(0, 20)) expect(statusOf(await post(serial))).toBe('good');
  });
});

describe('while the database is away', () => {
  it('says what it knows, also to a nonce, and tryLater to the rest; and goes on by itself after', async () => {
    const [known, unseen] = [(await plant.issue()).serial, (await plant.issue()).serial];
    const before = await post(known);
    plant.database.pass(false);
    try {
      expect(toHex(await post(known))).toBe(toHex(before));
      expect(statusOf(await post(known, randomBytes(16)))).toBe('good');
      expect(statusOf(await post(unseen))).toBe('tryLater');
      expect(statusOf(await post(unseen, randomBytes(16)))).toBe('tryLater');
    } finally {
      plant.database.pass(true);
    }
    await plant.revoke(known, 1);
    await expect.poll(async () => [statusOf(await post(known)), statusOf(await post(unseen))], { timeout: 20_000 }).toEqual(['revoked 1', 'good']);
  });
});

describe('what is not a request', () => {
  const good = (): Uint8Array => ocspRequest([question(newSerial())]);
  test.each<[string, () => Uint8Array]>([
    ['noise', () => randomBytes(400)],
    ['a nonce of no octets', () => ocspRequest([question(newSerial())], new Uint8Array(0))],
    ['a nonce of 129 octets', () => ocspRequest([question(newSerial())], new Uint8Array(129))],
    ['101 CertIDs', () => ocspRequest(Array.from({ length: 101 }, () => question(newSerial())))],
    ['octets after it', () => Buffer.concat([good(), Buffer.of(0)])],
    ['the most that is read, of zeros', () => new Uint8Array(65_536)],
  ])('is malformed: %s', async (_, make) => {
    expect(statusOf(await send(make()))).toBe('malformedRequest');
    // A path ends where HTTP has an end for it.
    if (make().length < 8000) expect(statusOf(await octets(await fetch(`${plant.url}/ocsp/${encodeURIComponent(Buffer.from(make()).toString('base64'))}`)))).toBe('malformedRequest');
  });
  it('is refused by HTTP where it is giant', async () => {
    const giant = await fetch(`${plant.url}/ocsp`, { method: 'POST', body: new Uint8Array(70_000), headers: { 'content-type': 'application/ocsp-request' } });
    expect(giant.status).toBe(413);
    expect((await fetch(`${plant.url}/ocsp/${'M'.repeat(70_000)}`)).status).toBe(431);
  });
  it('a body without a length is read as any other', async () => {
    const stream = new ReadableStream({ start(controller) { controller.enqueue(good()); controller.close(); } });
    const answer = await fetch(`${plant.url}/ocsp`, { method: 'POST', body: stream, duplex: 'half', headers: { 'content-type': 'application/ocsp-request' } } as RequestInit);
    expect(['unknown', 'tryLater']).toContain(statusOf(await octets(answer)));
  });
});
