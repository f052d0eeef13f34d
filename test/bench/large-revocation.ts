// One revocation of very many certificates, from the dry run to the CRLs, with the worker killed in the middle.
import { createHash, randomBytes } from 'node:crypto';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { newToken, tokenSha256 } from '@fleetroot/access';
import { systemRandom } from '@fleetroot/core';
import { parseAnyCrl } from '@fleetroot/x509';
import { ocspRequest } from '../support/ocsp-request.ts';
import type { Product } from '../support/product.ts';
import { showing } from './bar.ts';
import { readResults, sendBatch } from './client.ts';
import { componentsOf } from './components.ts';
import { databaseUrl, installationOf, start } from './installation.ts';
import { type MemoryFigures, MemoryWatch } from './memory.ts';
import { prefill } from './prefill.ts';
import { readProcesses, TICKS_A_SECOND } from './processes.ts';
import { percentile, print, type Result } from './report.ts';
import { makeRequests } from './request-file.ts';
import type { Scratch } from './scratch.ts';

const SHARDS = 64;
const PROFILE = 'ecu-client';
const CA = 'ecu-issuing';
/** Beside the targets, so many of a hundred are in the ledger and not meant. */
const OTHERS = 20;
/** Serials that OCSP is asked about all the time. */
const ASKED = 200;
const ASK_EVERY_MS = 20;
/** An OCSPResponse that is an error has nothing but its code (RFC 6960 section 4.2.1). */
const ERROR_OCTETS = 5;
const CRL_EVERY_MS = 1_000;
const LOOK_EVERY_MS = 20;
const MEMORY_GOAL_MIB = 400;
/** At which part of the job the worker is killed. */
const KILLED_AT = 0.4;
const VISIBLE_WITHIN_MS = 120_000;
const LISTED_WITHIN_MS = 600_000;

interface Job {
  readonly id: string;
  readonly state: string;
  readonly targets: number;
  readonly targetsSha256: string;
  readonly approvalsNeeded: number;
  readonly done: number;
  readonly changed: number;
  readonly outcomes: Readonly<Record<string, number>>;
}

interface Window {
  readonly issuedFrom: string;
  readonly issuedUntil: string;
}

/**
 * `bench revoke`: `targets` certificates of a ledger that has a fifth more are found by CA, profile and time of issuance,
 * and revoked by one job that two others approve. Throws where one of them is revoked twice, not at all, or another is.
 */
export async function benchLargeRevocation(scratch: Scratch, targets: number): Promise<void> {
  const requests = await makeRequests(scratch, 50);
  const { product } = await start(scratch, { issuers: 1, settings: [`FLEETROOT_PROFILES_DIR=${shardedProfiles(scratch)}`] });
  await readResults(product, await sendBatch(product, requests));
  const rows = targets + Math.ceil((targets * OTHERS) / 100);
  let before = 0;
  await showing(rows, 'certificates put into the ledger', (onDone) => prefill(databaseUrl(product), rows, (done) => {
    onDone(done - before);
    before = done;
  }));
  const client = new Client({ connectionString: databaseUrl(product) });
  await client.connect();
  scratch.defer(() => client.end());
  const results = await revokeAll(scratch, product, client, targets);
  print('revoke', results, { targets });
}

async function revokeAll(scratch: Scratch, product: Product, client: Client, targets: number): Promise<Result[]> {
  const { window, meant } = await windowOf(client, targets);
  const admins = await Promise.all(['first', 'second'].map((name) => admin(client, name)));
  const memory = new MemoryWatch(await installationOf(product));
  const statements = watchStatements(scratch, databaseUrl(product));
  const readers = await startReaders(product, client, window);
  const results: Result[] = [];
  const timed = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const [began, cpu] = [performance.now(), cpuOf(product)];
    const done = await work();
    results.push({ name, value: (performance.now() - began) / 1000, unit: 's' }, ...cpuSince(name, cpu, cpuOf(product)));
    console.log(`${name}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
    return done;
  };
  const query = { ca: CA, profile: PROFILE, ...window };
  const dry = await timed('dry run', () => post(product, '/v1/revocations', 'security', { query, reason: 'superseded', dryRun: true }));
  if (dry.targets !== meant) throw new Error(`the dry run finds ${dry.targets} of ${meant}`);
  const made = await timed('created', () => post(product, '/v1/revocations', 'security', { query, reason: 'superseded' }));
  if (made.targets !== meant || made.targetsSha256 !== dry.targetsSha256) throw new Error('what is to be revoked is not what the dry run found');
  for (const token of admins.slice(0, made.approvalsNeeded)) {
    await timed('approved', () => request(product, `/v1/revocations/${made.id}/approvals`, token, { targetsSha256: made.targetsSha256 }));
  }
  const job = await timed('revoked', () => showing(meant, 'revoked', (onDone) => followed(product, made.id, onDone)));
  await timed('in OCSP, all that are asked about', () => readers.allRevoked());
  await timed('in the CRLs or their deltas, all', () => listed(client));
  const read = await readers.stop();
  const longest = await statements.stop();
  await checkLedger(client, job, meant);
  const resident = memory.stop();
  for (const [component, { most, growth }] of resident) console.log(`${component}: at most ${most.toFixed(0)} MiB, growth ${growth.toFixed(2)}`);
  return [...results, ...read, ...longest, ...memoryResults(resident)];
}

function memoryResults(resident: ReadonlyMap<string, MemoryFigures>): Result[] {
  return [...resident].map(([component, { most }]) => (
    { name: `memory of ${component}, at most`, value: most, unit: 'MiB', ...(component === 'api' || component === 'worker' ? { goal: MEMORY_GOAL_MIB } : {}) }
  ));
}

/** As shipped, with the certificates of ECUs in shards. */
function shardedProfiles(scratch: Scratch): string {
  const folder = scratch.folder();
  cpSync(fileURLToPath(new URL('../../hsm-config/profiles', import.meta.url)), folder, { recursive: true });
  const file = join(folder, `${PROFILE}.yaml`);
  writeFileSync(file, `${readFileSync(file, 'utf8')}crlShards: ${SHARDS}\n`);
  return folder;
}

/** Of the oldest certificates but one in twenty, at the edges of whole milliseconds. */
async function windowOf(client: Client, targets: number): Promise<{ readonly window: Window; readonly meant: number }> {
  const { rows: [edge] } = await client.query<Window>(
    `SELECT min(issued_at) AS "issuedFrom", max(issued_at) AS "issuedUntil" FROM (
       SELECT issued_at FROM certificate WHERE ecu_serial LIKE 'PRE-%' ORDER BY issued_at OFFSET $1 LIMIT $2) AS edges`, [Math.floor(targets / 20), targets]);
  if (edge === undefined) throw new Error('no row');
  const window = { issuedFrom: new Date(edge.issuedFrom).toISOString(), issuedUntil: new Date(edge.issuedUntil).toISOString() };
  const { rows: [found] } = await client.query<{ n: number }>(
    'SELECT count(*)::int AS n FROM certificate WHERE issued_at >= $1 AND issued_at < $2 AND not_after > now()', [window.issuedFrom, window.issuedUntil]);
  return { window, meant: found?.n ?? 0 };
}

async function admin(client: Client, name: string): Promise<string> {
  const token = newToken(systemRandom);
  await client.query(`INSERT INTO principal (name, roles, token_sha256) VALUES ($1, '{admin}', $2)`, [`bench-${name}`, tokenSha256(token)]);
  return token;
}

const post = (product: Product, path: string, name: 'security', body: unknown): Promise<Job> => request(product, path, product.token(name), body);

async function request(product: Product, path: string, token: string, body?: unknown): Promise<Job> {
  const answer = await fetch(`${product.api}${path}`, {
    method: body === undefined ? 'GET' : 'POST', headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json', 'idempotency-key': createHash('sha256').update(JSON.stringify(body)).digest('hex') }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`);
  return await answer.json() as Job;
}

/** Until it is done; the worker is killed once on the way. */
async function followed(product: Product, id: string, onDone: (more: number) => void): Promise<Job> {
  let [seen, killed] = [0, false];
  for (;;) {
    const job = await request(product, `/v1/revocations/${id}`, product.token('security'));
    onDone(job.done - seen);
    seen = job.done;
    if (job.state === 'done') return job;
    if (job.state !== 'running') throw new Error(`the revocation is ${job.state}`);
    if (!killed && job.done >= KILLED_AT * job.targets) {
      killed = true;
      process.kill(await workerOf(product), 'SIGKILL');
    }
    await sleep(200);
  }
}

async function workerOf(product: Product): Promise<number> {
  const [pid] = [...componentsOf(readProcesses(), await installationOf(product))].find(([, component]) => component === 'worker') ?? [];
  if (pid === undefined) throw new Error('there is no worker');
  return pid;
}

/** Processor seconds of the installation's parts so far. One that was killed has taken its own with it. */
function cpuOf(product: Product): ReadonlyMap<string, number> {
  const processes = readProcesses();
  const components = componentsOf(processes, { bench: process.pid, up: product.pid, queueBackends: new Set() });
  const seconds = new Map<string, number>();
  for (const { pid, ticks } of processes) {
    const component = components.get(pid);
    if (component !== undefined) seconds.set(component, (seconds.get(component) ?? 0) + ticks / TICKS_A_SECOND);
  }
  return seconds;
}

function cpuSince(name: string, before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): Result[] {
  return [...after].flatMap(([component, seconds]) => {
    const value = seconds - (before.get(component) ?? 0);
    return value < 0.5 ? [] : [{ name: `${name}: processor time of ${component}`, value, unit: 's' }];
  });
}

/** The longest transactions of each part, as they are seen from outside. */
function watchStatements(scratch: Scratch, url: string): { stop(): Promise<Result[]> } {
  const longest = new Map<string, { readonly ms: number; readonly query: string }>();
  const stopping = new AbortController();
  const watching = (async () => {
    const client = new Client({ connectionString: url });
    await client.connect();
    while (!stopping.signal.aborted) {
      const { rows } = await client.query<{ who: string; ms: number; query: string }>(
        `SELECT coalesce(nullif(application_name, ''), usename) || CASE WHEN wait_event_type = 'Lock' THEN ', waiting for a lock' ELSE '' END AS who,
           1000 * extract(epoch FROM clock_timestamp() - CASE WHEN wait_event_type = 'Lock' THEN state_change ELSE xact_start END)::float8 AS ms, state || ': ' || left(query, 200) AS query
         FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'`);
      for (const { who, ms, query } of rows) if (ms > (longest.get(who)?.ms ?? 0)) longest.set(who, { ms, query });
      await sleep(LOOK_EVERY_MS);
    }
    await client.end();
  })();
  const stop = async (): Promise<Result[]> => {
    stopping.abort();
    await watching;
    for (const [who, { ms, query }] of longest) console.log(`longest transaction of ${who}: ${ms.toFixed(0)} ms, in: ${query.replace(/\s+/g, ' ')}`);
    return [...longest].map(([who, { ms }]) => ({ name: `longest transaction, ${who}`, value: ms, unit: 'ms' }));
  };
  scratch.defer(() => stopping.abort());
  return { stop };
}

interface Readers {
  /** Until OCSP says of each that it is revoked. */
  allRevoked(): Promise<void>;
  stop(): Promise<Result[]>;
}

/** Relying parties: OCSP and CRLs are asked for all the time, and never in vain. */
async function startReaders(product: Product, client: Client, { issuedFrom, issuedUntil }: Window): Promise<Readers> {
  const issuer = Buffer.from(await (await fetch(`${product.status}/ca/${CA}.cer`)).arrayBuffer());
  const { rows } = await client.query<{ serial: Buffer }>(
    `(SELECT serial FROM certificate WHERE issued_at >= $1 AND issued_at < $2 ORDER BY serial LIMIT 100)
     UNION ALL (SELECT serial FROM certificate WHERE issued_at >= $1 AND issued_at < $2 ORDER BY serial DESC LIMIT 100)`, [issuedFrom, issuedUntil]);
  const asked = rows.slice(0, ASKED).map(({ serial }) => ({ body: ocspRequest([{ issuer, serial }]), nonced: () => ocspRequest([{ issuer, serial }], randomBytes(16)), revoked: false }));
  const took = { ocsp: [] as number[], nonce: [] as number[], crl: [] as number[] };
  const stopping = new AbortController();
  let failed = 0;
  const ask = async (kind: keyof typeof took, path: string, body?: Uint8Array): Promise<Buffer | undefined> => {
    const began = performance.now();
    const answer = await fetch(`${product.status}${path}`, body === undefined ? {} : { method: 'POST', headers: { 'content-type': 'application/ocsp-request' }, body: Buffer.from(body) }).catch(() => undefined);
    const octets = answer?.ok === true ? Buffer.from(await answer.arrayBuffer()) : undefined;
    took[kind].push(performance.now() - began);
    if (octets === undefined || (kind !== 'crl' && octets.length === ERROR_OCTETS)) failed++;
    return octets;
  };
  const isRevoked = (octets: Buffer | undefined): boolean => octets !== undefined && octets.includes(Buffer.from('a116180f', 'hex'));
  const loops = [(async () => {
    for (let i = 0; !stopping.signal.aborted; i++) {
      const one = asked[i % asked.length];
      if (one === undefined) return;
      const nonce = i % 4 === 0;
      const revoked = isRevoked(await ask(nonce ? 'nonce' : 'ocsp', '/ocsp', nonce ? one.nonced() : one.body));
      if (one.revoked && !revoked) throw new Error('OCSP says of a revoked certificate that it is not');
      one.revoked = revoked;
      await sleep(ASK_EVERY_MS);
    }
  })(), (async () => {
    const numbers = new Map<string, bigint>();
    for (let i = 0; !stopping.signal.aborted; i++) {
      for (const path of [`/crl/${CA}`, `/crl/${CA}/${SHARDS}/${i % SHARDS}`].flatMap((base) => [`${base}.crl`, `${base}.delta.crl`])) {
        const der = await ask('crl', path);
        if (der === undefined) continue;
        const crl = parseAnyCrl(der);
        if (crl.nextUpdate.getTime() < Date.now() || crl.number < (numbers.get(path) ?? 0n)) throw new Error(`${path} has expired, or went back`);
        numbers.set(path, crl.number);
      }
      await sleep(CRL_EVERY_MS);
    }
  })()];
  const all = Promise.all(loops);
  all.catch((error: unknown) => console.error(error));
  return {
    async allRevoked() {
      const until = performance.now() + VISIBLE_WITHIN_MS;
      for (const one of asked) {
        while (!isRevoked(await ask('ocsp', '/ocsp', one.body))) {
          if (performance.now() > until) throw new Error('OCSP does not say of all that they are revoked');
        }
      }
    },
    async stop() {
      stopping.abort();
      await all;
      return [
        { name: 'questions that had no answer', value: failed, unit: '', goal: 0 },
        ...Object.entries(took).flatMap(([kind, times]): Result[] => {
          const sorted = times.toSorted((a, b) => a - b);
          return [50, 99, 100].map((p) => ({ name: `${kind} meanwhile (${sorted.length}), p${p}`, value: percentile(sorted, p), unit: 'ms' }));
        }),
      ];
    },
  };
}

/** Until `all`, and the shards together, list as many as are revoked: each full CRL with its delta, which has some of it again. */
async function listed(client: Client): Promise<void> {
  const { rows: [revoked] } = await client.query<{ n: number }>('SELECT count(*)::int AS n FROM revocation WHERE ca_id = (SELECT id FROM ca WHERE name = $1)', [CA]);
  const until = performance.now() + LISTED_WITHIN_MS;
  for (;;) {
    const { rows } = await client.query<{ whole: boolean; n: number }>(
      `SELECT scope = 'all' AS whole, sum(entries)::int AS n FROM (
         SELECT DISTINCT ON (scope, kind) * FROM crl WHERE ca_id = (SELECT id FROM ca WHERE name = $1) AND published_at IS NOT NULL ORDER BY scope, kind, number DESC) AS newest
       WHERE this_update >= (SELECT max(completed_at) - interval '1 second' FROM revocation_job) OR kind = 'full'
       GROUP BY 1`, [CA]);
    const of = (whole: boolean): number => rows.find((row) => row.whole === whole)?.n ?? 0;
    if (Math.min(of(true), of(false)) >= (revoked?.n ?? 0)) return;
    if (performance.now() > until) throw new Error(`CRLs and deltas list ${of(true)} (all) and ${of(false)} (shards) of ${revoked?.n}`);
    await sleep(200);
  }
}

/** Each target is revoked, once, and nothing else is; pages in the audit log are all of it and none twice. */
async function checkLedger(client: Client, job: Job, meant: number): Promise<void> {
  const { rows: [found] } = await client.query<Record<'revoked' | 'outcomes' | 'both', number>>(
    `SELECT (SELECT count(*)::int FROM revocation) AS revoked, (SELECT count(*)::int FROM revocation_target WHERE job_id = $1 AND outcome = 'new') AS outcomes,
       (SELECT count(*)::int FROM revocation r JOIN revocation_target t ON t.job_id = $1 AND t.ca_id = r.ca_id AND t.serial = r.serial) AS both`, [job.id]);
  const { rows: pages } = await client.query<{ from: number; targets: number }>(
    `SELECT (payload::json -> 'data' ->> 'from')::int AS from, (payload::json -> 'data' ->> 'targets')::int AS targets FROM audit_event
     WHERE payload LIKE '{"action":"revocation.page",%' AND payload LIKE $1 ORDER BY seq`, [`%${job.id}%`]);
  let next = 0;
  for (const { from, targets } of pages) {
    if (from !== next) throw new Error(`a page of the audit log begins at ${from}, and not at ${next}`);
    next += targets;
  }
  const hash = createHash('sha256');
  for (let at = 0; at < meant; at += 100_000) {
    const { rows } = await client.query<{ line: string }>(
      `SELECT ca.name || '/' || encode(t.serial, 'hex') AS line FROM revocation_target t JOIN ca ON ca.id = t.ca_id WHERE t.job_id = $1 AND place >= $2 AND place < $3 ORDER BY place`, [job.id, at, at + 100_000]);
    for (const { line } of rows) hash.update(`${line}\n`);
  }
  const counts = { ...found, done: job.done, changed: job.changed, new: job.outcomes['new'], inAudit: next };
  if (Object.values(counts).some((count) => count !== meant)) throw new Error(`of ${meant}: ${JSON.stringify(counts)}`);
  if (hash.digest('hex') !== job.targetsSha256) throw new Error('the targets are not those that were approved');
}
