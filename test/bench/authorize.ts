import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Product } from '../support/product.ts';
import { showing } from './bar.ts';
import { CLIENT, POSTGRES } from './components.ts';
import { type CpuUse, cpuUse, takeSnapshot } from './cpu-accounting.ts';
import { installationOf, settle, start } from './installation.ts';
import { readProcesses, TICKS_A_SECOND } from './processes.ts';
import { RawHttp } from './raw-http.ts';
import { beside, percentile, print, type Result } from './report.ts';
import { ecuRequest, ecuSerialOf } from './requests.ts';
import type { Scratch } from './scratch.ts';

const CONNECTIONS = 4;
/** For latencies: far from what any of them can do, so that no request waits for another. */
const PER_SECOND = 500;
const COLD_PER_SECOND = 200;
/** Of one second at most; compiled, connected, planned. */
const WARM_UP_MS = 1_500;
/** Microseconds of processor time, of api and PostgreSQL, and of the api: both well under a millisecond. */
const COLD_GOAL = 500;
const WARM_GOAL = 100;
/** For so long it is measured what the installation does while nobody asks. */
const QUIET_MS = 5_000;

const addresses = { nginx: '127.0.0.2', envoy: '127.0.0.3' };

interface Target {
  readonly port: number;
  readonly from: string;
  readonly requests: readonly Buffer[];
  readonly status: number;
  /** Ticks so far of the processes that answer. */
  readonly ticks: () => number;
}

/** `bench authorize`: what a gateway's question costs, certificates that are known and such that are not, beside a bare Fastify handler. */
export async function benchAuthorize(scratch: Scratch, certificates: number, seconds: number): Promise<void> {
  const { product, stop } = await start(scratch, {
    issuers: 1, settings: [`FLEETROOT_AUTHORIZE_PROXIES=escaped-pem=${addresses.nginx} xfcc=${addresses.envoy}`, `FLEETROOT_AUTHORIZE_MEMORY=${certificates}`],
  });
  const pems = await issue(product, certificates);
  const installation = await installationOf(product);
  const apiPort = Number(new URL(product.api).port);
  const component = (name: string) => () => takeSnapshot(installation).ticks.get(name) ?? 0;
  const nginx = { port: apiPort, from: addresses.nginx, status: 204, requests: pems.map((pem) => get('/v1/authorize/nginx', 'X-SSL-Client-Cert', encodeURIComponent(pem))), ticks: component('api') };
  const envoy = { ...nginx, from: addresses.envoy, status: 200, requests: pems.map((pem) => get('/v1/authorize/envoy/a', 'X-Forwarded-Client-Cert', `By=spiffe://edge;Cert="${encodeURIComponent(pem)}";Subject="CN=ecu";DNS=edge`)) };
  const token = product.token('gateway');
  const body = { ...nginx, from: '127.0.0.1', status: 200, requests: pems.map((certificate) => post(token, JSON.stringify({ certificate }))) };
  const { port, pid } = await bareFastify(scratch);
  const bare = { ...nginx, port, from: '127.0.0.1', ticks: () => readProcesses().find((one) => one.pid === pid)?.ticks ?? 0 };
  await settle();

  // The functions are compiled with other certificates than those that count.
  const few = Math.ceil(pems.length / 2);
  await paced({ ...nginx, requests: nginx.requests.slice(0, few) }, COLD_PER_SECOND, few);
  const begun = takeSnapshot(installation);
  await sleep(QUIET_MS);
  const quiet = cpuUse(begun, takeSnapshot(installation), 1);
  const firstTime = async (from: number, to: number, perSecond: number) => {
    const before = takeSnapshot(installation);
    const cold = await paced({ ...nginx, requests: nginx.requests.slice(from, to) }, perSecond, to - from);
    const costs = microsBeyond(quiet, cpuUse(before, takeSnapshot(installation), 1), cold.answered);
    return { ...cold, api: costs.get('api') ?? Number.NaN, postgres: costs.get(POSTGRES) ?? Number.NaN };
  };
  const half = Math.ceil((few + pems.length) / 2);
  const cold = await firstTime(few, half, COLD_PER_SECOND);
  const rush = await firstTime(half, pems.length, Infinity);

  const rows: Result[] = [
    // Nobody else takes part: what others did more or less meanwhile is chance.
    { name: 'known to nobody, 200 a second: processor time of api and PostgreSQL, beyond what they do anyway', value: cold.api + cold.postgres, unit: 'us', goal: COLD_GOAL },
    { name: '... of the api', value: cold.api, unit: 'us' }, { name: '... of PostgreSQL', value: cold.postgres, unit: 'us' },
    { name: '... of the api, with what it does anyway', value: cold.micros, unit: 'us' },
    { name: '... as fast as it goes: processor time of api and PostgreSQL', value: rush.api + rush.postgres, unit: 'us' }, { name: '... of the api', value: rush.api, unit: 'us' },
    { name: '... p50', value: percentile(cold.latencies, 50), unit: 'ms' }, { name: '... p99', value: percentile(cold.latencies, 99), unit: 'ms' },
  ];
  const floor = await figures(bare, seconds);
  rows.push({ name: 'bare handler: processor time', value: floor.micros, unit: 'us' }, ...latencyRows('bare handler', floor.latencies));
  for (const [name, target, goal] of [['nginx', nginx, WARM_GOAL], ['Envoy', envoy, WARM_GOAL], ['POST', body, undefined]] as const) {
    const warm = await figures(target, seconds);
    rows.push(
      beside(`${name}: answers a second`, warm.perSecond, '1/s', floor.perSecond),
      { name: '... processor time of the api', value: warm.micros, unit: 'us', floor: floor.micros, ...(goal === undefined ? {} : { goal }) }, ...latencyRows('...', warm.latencies),
    );
  }
  await stop();
  print('authorize', rows, { certificates, seconds, connections: CONNECTIONS, perSecond: PER_SECOND });
}

/** Component -> microseconds of each of `count` answers, without what was used as fast in a quiet time. */
function microsBeyond(quiet: CpuUse, busy: CpuUse, count: number): Map<string, number> {
  return new Map([...busy.components].filter(([name]) => name !== CLIENT).map(([name, seconds]) =>
    [name, ((seconds - (quiet.components.get(name) ?? 0) * (busy.seconds / quiet.seconds)) * 1e6) / count]));
}

const latencyRows = (name: string, latencies: readonly number[]): Result[] =>
  [50, 99].map((p) => ({ name: `${name} p${p} at ${PER_SECOND} a second`, value: percentile(latencies, p), unit: 'ms' }));

const get = (path: string, name: string, value: string): Buffer => Buffer.from(`GET ${path} HTTP/1.1\r\nHost: api\r\n${name}: ${value}\r\n\r\n`);
const post = (token: string, json: string): Buffer => Buffer.from(
  `POST /v1/authorize HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`);

async function issue(product: Product, count: number): Promise<string[]> {
  const run = `A${Date.now().toString(36).toUpperCase()}`;
  const lines: string[] = [];
  await showing(count, 'requests made', async (onDone) => {
    for (let i = 0; i < count; i++) {
      const { ecuSerial, partNumber, csr } = await ecuRequest(ecuSerialOf(run, i));
      lines.push(`${JSON.stringify({ ecuSerial, partNumber, csr: Buffer.from(csr).toString('base64') })}\n`);
      onDone(1);
    }
  });
  const headers = { 'content-type': 'application/x-ndjson', 'idempotency-key': run };
  const sent = await product.fetch('POST', '/v1/batches?profile=ecu-client', 'line', headers, lines.join(''));
  if (sent.status !== 202) throw new Error(`POST /v1/batches answered ${sent.status}: ${await sent.text()}`);
  const { id } = await sent.json() as { id: string };
  const results = await (await product.fetch('GET', `/v1/batches/${id}/certificates?format=pem`, 'line')).text();
  const pems = results.trimEnd().split('\n').map((line) => (JSON.parse(line) as { certificate: string }).certificate);
  if (pems.length !== count) throw new Error(`${count} requests, ${pems.length} certificates`);
  return pems;
}

async function bareFastify(scratch: Scratch): Promise<{ port: number; pid: number }> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./bare-fastify.ts', import.meta.url))], { stdio: ['ignore', 'pipe', 'inherit'] });
  scratch.defer(() => void child.kill('SIGTERM'));
  const [line] = await once(child.stdout, 'data') as [Buffer];
  return { port: Number(line.toString()), pid: child.pid ?? 0 };
}

/** As fast as it goes over a few connections, then at a steady rate. */
async function figures(target: Target, seconds: number): Promise<{ perSecond: number; micros: number; latencies: readonly number[] }> {
  await paced(target, Infinity, target.requests.length);
  await asFastAsItGoes(target, WARM_UP_MS);
  const { answered, micros, took } = await asFastAsItGoes(target, seconds * 1000);
  const { latencies } = await paced(target, PER_SECOND, PER_SECOND * seconds);
  return { perSecond: answered / took, micros, latencies };
}

async function asFastAsItGoes({ port, from, requests, status, ticks }: Target, ms: number): Promise<{ answered: number; micros: number; took: number }> {
  const [before, began] = [ticks(), performance.now()];
  let answered = 0;
  await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
    const connection = await RawHttp.open(port, from);
    while (performance.now() - began < ms) expectStatus(await connection.ask(requests[answered++ % requests.length]!), status);
    connection.close();
  }));
  const took = (performance.now() - began) / 1000;
  return { answered, took, micros: ((ticks() - before) / TICKS_A_SECOND) * 1e6 / answered };
}

/** Latencies in milliseconds, sorted, each from the moment when its request was due. */
async function paced({ port, from, requests, status, ticks }: Target, perSecond: number, count: number): Promise<{ latencies: readonly number[]; answered: number; micros: number }> {
  const connections = await Promise.all(Array.from({ length: CONNECTIONS * 4 }, () => RawHttp.open(port, from)));
  const [before, began] = [ticks(), performance.now()];
  const latencies: number[] = [];
  const due = (place: number): number => began + (place * 1000) / perSecond;
  await Promise.all(connections.map(async (connection, first) => {
    for (let place = first; place < count; place += connections.length) {
      const wait = due(place) - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      // A timer of this process may be late: that is not the other's time.
      const sent = Math.max(due(place), performance.now());
      expectStatus(await connection.ask(requests[place % requests.length]!), status);
      latencies.push(performance.now() - sent);
    }
    connection.close();
  }));
  return { latencies: latencies.toSorted((a, b) => a - b), answered: count, micros: ((ticks() - before) / TICKS_A_SECOND) * 1e6 / count };
}

function expectStatus(status: number, expected: number): void {
  if (status !== expected) throw new Error(`answered ${status}, not ${expected}`);
}
