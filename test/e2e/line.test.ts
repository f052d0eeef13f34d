// The line's commands against the whole product: nothing sent twice, nothing issued twice, no result missing or doubled,
// whatever ends the command or its connection.
import { createHash, X509Certificate } from 'node:crypto';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ecuRequest } from '../../apps/cli/src/line/ecu-request.ts';
import { planVehicles } from '../../apps/cli/src/line/vehicles.ts';
import { systemRandom } from '../../libs/core/src/index.ts';
import { openFolder } from '../support/folder.ts';
import { events, killedAfter, line, resultsIn, startLine } from '../support/line-cli.ts';
import { type Product, startProduct } from '../support/product.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

let product: Product;
let folder: string;
let flags: string[];
beforeAll(async () => {
  product = await startProduct();
  folder = openFolder('fleetroot-line-');
  flags = ['--data-dir', product.dataDir, '--api', product.api];
}, 300_000);
afterAll(async () => {
  await product?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

interface Shift {
  readonly file: string;
  readonly output: string;
  readonly items: number;
  readonly ecus: readonly string[];
  /** SHA-256 of each public key. */
  readonly keys: readonly string[];
}

async function shift(name: string, items: number): Promise<Shift> {
  const file = join(folder, `${name}.ndjson`);
  const requests = await Promise.all(planVehicles(items, systemRandom).flatMap(({ ecus }) => ecus).map((ecu) => ecuRequest(ecu)));
  writeFileSync(file, requests.map((request) => `${request.line}\n`).join(''));
  const hash = (der: Uint8Array): string => createHash('sha256').update(der).digest('hex');
  return { file, output: `${file}.certificates.ndjson`, items, ecus: requests.map(({ ecu }) => ecu.serial), keys: requests.map(({ spkiDer }) => hash(spkiDer)) };
}

const submit = ({ file }: Shift, ...more: string[]): string[] => ['submit', file, '--profile', 'ecu-client', '--follow', '--json', ...flags, ...more];

/** Each ECU has one certificate, for its key, in the order of the file; each serial is there once. */
function expectIssued({ output, items, ecus, keys }: Shift): void {
  const results = resultsIn(output);
  expect(results.map(({ ordinal }) => ordinal)).toEqual(Array.from({ length: items }, (_, i) => i));
  expect(results.map(({ ecuSerial }) => ecuSerial)).toEqual(ecus);
  expect(new Set(results.map(({ serial }) => serial)).size).toBe(items);
  const held = results.map(({ certificate }) => createHash('sha256').update(new X509Certificate(Buffer.from(certificate ?? '', 'base64')).publicKey.export({ format: 'der', type: 'spki' })).digest('hex'));
  expect(held).toEqual(keys);
}

/** As the ledger counts, over all batches. */
async function certificatesOf(ecuSerial: string): Promise<number> {
  const { body } = await product.json('GET', `/v1/certificates?ecuSerial=${ecuSerial}`, 'admin') as { body: { items: unknown[] } };
  return body.items.length;
}

it('kill -9 at random moments while it sends and takes results: all of it once', async () => {
  const sent = await shift('killed', 6_000);
  let kills = 0;
  const batches = new Set<unknown>();
  for (let last: number | null = null; last !== 0;) {
    const running = startLine(submit(sent));
    const { status, stdout, stderr } = await (kills < 5 ? killedAfter(running, Math.random() * 400) : running.ended);
    for (const text of stdout.split('\n').slice(0, -1)) {
      const { batch } = JSON.parse(text) as { batch?: string };
      if (batch !== undefined) batches.add(batch);
    }
    if (status === null) kills += 1;
    else expect([status, stderr]).toEqual([0, '']);
    last = status;
  }
  expect(kills).toBeGreaterThan(0);
  expect(batches.size).toBe(1);
  expectIssued(sent);
  for (const i of [0, 2_999, 5_999]) expect(await certificatesOf(sent.ecus[i] ?? '')).toBe(1);
});

it('a connection that is cut again and again: it goes on by itself', async () => {
  const sent = await shift('cut', 4_000);
  const proxy = new TcpProxy(product.api);
  proxy.cutEach(600_000, 8);
  const running = startLine(submit(sent, '--api', await proxy.listen()));
  try {
    const { status, stdout, stderr } = await running.ended;
    expect([status, stderr]).toEqual([0, '']);
    expect(proxy.cuts).toBeGreaterThan(3);
    expect(events(stdout).at(-1)).toMatchObject({ event: 'done', items: 4_000, issued: 4_000, failed: 0 });
    expectIssued(sent);
  } finally {
    proxy.close();
  }
});

it('items that fail are told by code and line; sent again alone, they are a batch that names the first', async () => {
  const sent = await shift('faulty', 60);
  const lines = readFileSync(sent.file, 'utf8').trim().split('\n').map((text) => JSON.parse(text) as Record<string, string>);
  lines[7]!['csr'] = 'AAAA';
  lines[11]!['vin'] = 'NOT-A-VIN';
  lines[20]!['csr'] = 'AAAA';
  writeFileSync(sent.file, lines.map((item) => `${JSON.stringify(item)}\n`).join(''));
  const { status, stdout } = await line(submit(sent));
  expect(status).toBe(1);
  const done = events(stdout).at(-1)!;
  expect(done).toMatchObject({ event: 'done', items: 60, issued: 57, failed: 3, failures: { 'request.malformed': 2, 'vin.invalid': 1 } });
  const batch = String(done['batch']);
  const failed = await line(['results', batch, '--failed', ...flags]);
  expect([failed.status, failed.stdout.trim().split('\n').map((text) => text.trim().split(/ +/).slice(0, 3).join(' '))]).toEqual([
    1, ['7 failed request.malformed', '11 failed vin.invalid', '20 failed request.malformed']]);

  const other = join(folder, 'other.ndjson');
  copyFileSync(sent.file, other);
  writeFileSync(other, `${readFileSync(other, 'utf8').trim().split('\n').toReversed().join('\n')}\n`);
  expect(await line(['resend', other, '--of', batch, ...flags])).toMatchObject({ status: 2, stderr: expect.stringContaining(`is not the file of batch ${batch}`) as string });

  const resent = await line(['resend', sent.file, '--of', batch, '--follow', '--json', ...flags]);
  const again = events(resent.stdout).at(-1)!;
  expect([resent.status, again]).toEqual([1, expect.objectContaining({ items: 3, issued: 0, failed: 3, failures: { 'request.malformed': 2, 'vin.invalid': 1 } })]);
  const shown = await line(['status', String(again['batch']), '--json', ...flags]);
  expect(JSON.parse(shown.stdout)).toMatchObject({ state: 'done', items: 3, failed: 3, resendOf: batch });
});

it('a batch that is cancelled: what was not issued is told, and can be sent again; together each has one', async () => {
  const sent = await shift('cancelled', 5_000);
  const accepted = await line(submit(sent).filter((flag) => flag !== '--follow'));
  expect(accepted.status).toBe(0);
  const batch = String(events(accepted.stdout).at(-1)!['batch']);
  const cancelled = await line(['cancel', batch, '--json', ...flags]);
  expect([cancelled.status, JSON.parse(cancelled.stdout)]).toEqual([0, expect.objectContaining({ id: batch, cancelledAt: expect.any(String) as string })]);
  const first = await line(submit(sent));
  expect(first.status).toBe(1);
  const { issued, failures } = events(first.stdout).at(-1) as { issued: number; failures: Record<string, number> };
  expect(failures).toEqual({ 'batch.cancelled': 5_000 - issued });

  const resent = await line(['resend', sent.file, '--of', batch, '--follow', '--format', 'pem', '--json', ...flags]);
  expect([resent.status, resent.stderr]).toEqual([0, '']);
  expect(events(resent.stdout).at(-1)).toMatchObject({ items: 5_000 - issued, issued: 5_000 - issued });
  const rest = resultsIn(`${sent.file}.resend-${batch.slice(0, 8)}.ndjson.certificates.ndjson`);
  expect(rest[0]?.certificate).toMatch(/^-----BEGIN CERTIFICATE-----/);
  const ecus = [...resultsIn(sent.output), ...rest].filter(({ outcome }) => outcome === 'issued').map(({ ecuSerial }) => ecuSerial);
  expect(ecus.sort()).toEqual([...sent.ecus].sort());
});

it.each(['single', 'batch'])('simulates a line by mode %s, and holds it to a limit', async (mode) => {
  const simulation = ['simulate', '--stations', '3', '--takt', '2s', '--ecus', '4..8', '--burst', '4', '--duration', '4s', '--warm-up', '2s', '--speed', '2', '--mode', mode, '--json', ...flags];
  const { status, stdout, stderr } = await line([...simulation, '--p99-limit', '60000']);
  expect([status, stderr]).toEqual([0, '']);
  const { all, stations } = JSON.parse(stdout) as { all: Record<string, unknown>; stations: { certificates: number; cars: number; latency: { p50: number; max: number } }[] };
  // The seed fixes what the cars have: two that count at each station.
  expect(all).toMatchObject({ cars: 6, errors: {} });
  expect(stations.map(({ cars }) => cars)).toEqual([2, 2, 2]);
  expect(all['certificates']).toBe(stations.reduce((sum, { certificates }) => sum + certificates, 0));
  expect(stations.every(({ latency }) => latency.p50 > 0 && latency.p50 <= latency.max)).toBe(true);
  const tight = await line([...simulation, '--p99-limit', '1']);
  expect([tight.status, (JSON.parse(tight.stdout) as { withinLimit: boolean }).withinLimit]).toEqual([1, false]);
});
