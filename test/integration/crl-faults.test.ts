import { hash } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { Agent, createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { crlPath, statusSite } from '@fleetroot/authority';
import { type CrashPoint, crashPoints, Secret, toHex } from '@fleetroot/core';
import { createLogger, Metrics, type Running } from '@fleetroot/telemetry';
import { encodePem, parseAnyCrl, verifySignature } from '@fleetroot/x509';
import { crlFigures } from '../../apps/api/src/crl-figures.ts';
import { startStatus } from '../../apps/status/src/start.ts';
import { crlWatchTask } from '../../apps/worker/src/tasks/crl-watch.ts';
import { CrlPlant, type HistoryRow, type Victim } from '../support/crl-plant.ts';
import type { RaceOutcome, VictimOrder } from '../support/crl-victim.ts';
import { event } from '../support/ledger.ts';
import { freePort } from '../support/ports.ts';
import { signCrl } from '../support/published-crls.ts';
import { makeToken, type TestToken } from '../support/softhsm.ts';
import { certify, named } from '../support/software-ca.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

// Publishers in processes of their own, which race and are killed: docs/faults.md has the long form.

/** Runs of a race in two processes: 100 in the long form. */
const RUNS = Number(process.env['FLEETROOT_CRL_RUNS'] ?? 12);
/** How often a process is killed at each point. */
const KILLS = Number(process.env['FLEETROOT_CRL_KILLS'] ?? 1);
/** At least so many reads while they are killed: 10,000 in the long form. */
const READS = Number(process.env['FLEETROOT_READS'] ?? 400);

/** So many CRLs of each test are shown to openssl, at most. */
const JUDGED = Number(process.env['FLEETROOT_CRL_JUDGED'] ?? 50);

const points = crashPoints.filter((point) => /^(?:crl|copy)\./.test(point));

let plant: CrlPlant;
let url: string;

beforeAll(async () => {
  url = `http://127.0.0.1:${await freePort()}`;
  plant = await CrlPlant.open(url, RUNS + points.length * KILLS + 1);
});
afterAll(() => plant?.close());

const placeOf = ({ scope, kind }: Pick<HistoryRow, 'scope' | 'kind'>): string => `${scope} ${kind}`;

/** Each CRL that was ever published, against the one before it at its place. */
async function expectHistory(from: number): Promise<HistoryRow[]> {
  const rows = await plant.history();
  const newest = new Map<string, HistoryRow>();
  for (const row of rows) {
    const before = newest.get(placeOf(row));
    if (before !== undefined) expect([placeOf(row), row.number > before.number, row.this_update >= before.this_update]).toEqual([placeOf(row), true, true]);
    expect(parseAnyCrl(row.der).number).toBe(row.number);
    newest.set(placeOf(row), row);
  }
  const all = rows.slice(from);
  for (const { der } of all) {
    const crl = parseAnyCrl(der);
    expect(verifySignature(plant.hsm.spkiDer, crl.signatureAlgorithm, crl.tbsDer, crl.signature)).toBe(true);
  }
  const fresh = all.filter((_, i) => i % Math.ceil(all.length / JUDGED) === 0);
  for (let at = 0; at < fresh.length; at += 4) {
    expect(await Promise.all(fresh.slice(at, at + 4).map(({ der }) => plant.flaw(der)))).toEqual(fresh.slice(at, at + 4).map(() => undefined));
  }
  return rows;
}

const listed = (der: Uint8Array): Record<string, number> => Object.fromEntries([...parseAnyCrl(der).entries].map(([serial, { reason }]) => [serial, reason]));

describe('publishers in two processes, each of which has the lease', () => {
  it(`make ${RUNS} runs at once: numbers only grow, and no older CRL follows a newer one (I13)`, async () => {
    const serials = plant.serials.slice(0, RUNS);
    const before = (await plant.history()).length;
    const victims = [serials.slice(0, RUNS / 2), serials.slice(RUNS / 2)].map((some) => plant.start({ do: 'race', serials: some.map(toHex) }));
    expect(await Promise.all(victims.map((victim) => victim.said()))).toEqual(['ready', 'ready']);
    for (const { child } of victims) child.stdin?.write('go\n');
    const outcomes = await Promise.all(victims.map((victim) => victim.said<RaceOutcome>()));
    const rows = await expectHistory(before);
    console.log(`${RUNS} runs in two processes: ${rows.length - before} CRLs published, tried again: ${outcomes.flatMap((one) => one?.again ?? []).toSorted().join(', ') || 'none'}`);
    expect(outcomes.map((one) => one?.failed)).toEqual([[], []]);
    // One number is of one run, and of one string of octets.
    const reserved = await plant.sql<{ runs: number }>('SELECT count(*)::int AS runs FROM (SELECT number FROM crl GROUP BY number HAVING count(DISTINCT this_update) > 1) AS twice');
    expect(reserved).toEqual([{ runs: 0 }]);
    await plant.publish('all');
    const served = await plant.served();
    const all = listed(served.get(crlPath({ ca: plant.ca.name, scope: 'all', kind: 'full' })) as Uint8Array);
    expect(Object.keys(all).toSorted()).toEqual(serials.map(toHex).toSorted());
    const shards = Array.from({ length: CrlPlant.SHARDS }, (_, shard) => listed(served.get(crlPath({ ca: plant.ca.name, scope: `${CrlPlant.SHARDS}/${shard}`, kind: 'full' })) as Uint8Array));
    expect(Object.assign({}, ...shards)).toEqual(all);
    expect((await plant.fsck({ fetch: async (ca, scope = 'all', kind = 'full') => served.get(crlPath({ ca, scope, kind })) })).breaches).toEqual([]);
  }, 600_000);
});

describe('a process that is killed while CRLs are published and copied', () => {
  let status: Running | undefined;
  let token: TestToken | undefined;
  let copies: string;
  const enough = new AbortController();
  let reads = 0;
  const failures: unknown[] = [];
  /** The first thing that a reader found. */
  const faults: string[] = [];
  const readers: Promise<void>[] = [];
  const living: Record<'publish' | 'copy', Victim[]> = { publish: [], copy: [] };
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const read: { readonly place: string; readonly number: bigint; readonly sha256: string }[] = [];

  beforeAll(async () => {
    token = await makeToken('fleetroot-ocsp');
    process.env['SOFTHSM2_CONF'] = token.softhsmConf;
    copies = join(plant.folder, 'copies');
    mkdirSync(copies);
    status = await startStatus({
      logger: createLogger({ role: 'test', level: 'silent' }), databaseUrl: plant.postgres.statusDatabaseUrl, pool: 4, enrolmentSecret: new Secret('x'.repeat(32)),
      ocspSignerRefreshPercent: 50, listen: { host: '127.0.0.1', port: Number(new URL(url).port) }, internalListen: { host: '127.0.0.1', port: await freePort() },
      token: { module: token.module, tokenLabel: token.tokenLabel, pin: token.pin, deadlineMs: 3000, sessionCopies: 'try' },
    }, { fail: (error: unknown) => void failures.push(error) });
    await Promise.all([start({ do: 'publish' }), start({ do: 'publish' }), start({ do: 'copy', folder: copies })]);
  });
  afterAll(async () => {
    enough.abort();
    await Promise.all(readers);
    agent.destroy();
    await plant.endVictims();
    await status?.close();
    await token?.remove();
  });

  async function start(order: VictimOrder & { do: 'publish' | 'copy' }): Promise<void> {
    const victim = plant.start(order);
    living[order.do].push(victim);
    void victim.exited.then(() => living[order.do].splice(living[order.do].indexOf(victim), 1));
    expect(await victim.said()).toBe('ready');
  }

  /** Reads one place each 20 ms, and judges each read. */
  async function reader(place: string, get: () => Promise<Uint8Array>): Promise<void> {
    const verified = new Map<string, bigint>();
    for (let last = 0n; !enough.signal.aborted;) {
      try {
        const [der] = await Promise.all([get(), sleep(20)]);
        reads++;
        const sha256 = hash('sha256', der);
        let number = verified.get(sha256);
        if (number === undefined) {
          const crl = parseAnyCrl(der);
          if (!verifySignature(plant.hsm.spkiDer, crl.signatureAlgorithm, crl.tbsDer, crl.signature)) throw new Error('the signature does not verify');
          if (crl.nextUpdate.getTime() <= Date.now()) throw new Error('has expired');
          ({ number } = crl);
          verified.set(sha256, number);
          read.push({ place: place.replace(/^\w+ /, ''), number, sha256 });
        }
        if (number < last) throw new Error(`${number} after ${last}`);
        last = number;
      } catch (error) {
        faults.push(`${place}: ${String(error)}`);
        return;
      }
    }
  }

  const places = (['full', 'delta'] as const).flatMap((kind) => (['all', `${CrlPlant.SHARDS}/1`] as const).map((scope) => ({ scope, kind })));
  const arrived = async (serial: Uint8Array): Promise<boolean> => {
    const path = crlPath({ ca: plant.ca.name, scope: plant.shardOf(serial), kind: 'delta' });
    const each = [await get(agent, `${url}/${path}`), await readFile(join(copies, path))];
    return each.every((der) => listed(der)[toHex(serial)] !== undefined);
  };

  it(`at each of ${points.length} points, ${KILLS} times: who reads each 20 ms finds all whole, valid and never older, and the next one goes on`, async () => {
    for (const place of places) {
      const path = crlPath({ ca: plant.ca.name, ...place });
      readers.push(reader(`HTTP ${placeOf(place)}`, () => get(agent, `${url}/${path}`)), reader(`folder ${placeOf(place)}`, () => readFile(join(copies, path))));
    }
    const before = (await plant.history()).length;
    const left = plant.serials.slice(RUNS, -1);
    const starting: Promise<void>[] = [];
    let kills = 0;
    for (let time = 0; time < KILLS; time++) {
      for (const point of points) {
        const serial = left[kills++] as Uint8Array;
        const fired = arm(point, kills, 1 + time % (point.startsWith('copy.') ? 3 : 2));
        const order: VictimOrder & { do: 'publish' | 'copy' } = point.startsWith('copy.') ? { do: 'copy', folder: copies } : { do: 'publish' };
        const alive = [...living[order.do]];
        await plant.revoke(serial, kills % 2 === 0 ? 'keyCompromise' : 'superseded');
        await expect.poll(fired, { timeout: 20_000, interval: 10, message: point }).toBe(true);
        expect(await Promise.race(alive.map(({ exited }) => exited)), point).toBe('SIGKILL');
        // Of two publishers the other goes on; who copies is alone.
        if (order.do === 'copy') await start(order);
        await expect.poll(() => arrived(serial), { timeout: 20_000, interval: 50, message: point }).toBe(true);
        if (order.do === 'publish') starting.push(start(order));
        expect(faults, point).toEqual([]);
      }
    }
    await expect.poll(() => reads + faults.length * READS, { timeout: 500_000 }).toBeGreaterThanOrEqual(READS);
    enough.abort();
    await Promise.all([...readers, ...starting]);
    expect(faults).toEqual([]);
    await plant.endVictims();
    const rows = await expectHistory(before);
    const published = new Set(rows.map((row) => `${placeOf(row)} ${row.number} ${hash('sha256', row.der)}`));
    expect(read.filter(({ place, number, sha256 }) => !published.has(`${place} ${number} ${sha256}`)), 'read, and never published').toEqual([]);
    console.log(`${kills} kills: ${reads} reads of ${places.length * 2} places, ${read.length} different, ${rows.length - before} CRLs published`);
    expect((await plant.fsck(statusSite(url), 5000)).breaches).toEqual([]);
    expect(failures).toEqual([]);
  }, 1_200_000);

  /** Who arrives so often at the point dies there; true once somebody has. */
  function arm(point: CrashPoint, id: number, count: number): () => boolean {
    writeFileSync(join(plant.orders, `arm.${point}`), `${id} ${count}`);
    return () => existsSync(join(plant.orders, `fired.${id}`));
  }
});

describe('fsck over HTTP', () => {
  const shard = `crl/ecu-issuing/${CrlPlant.SHARDS}/2.crl`;
  const delta = `crl/ecu-issuing/${CrlPlant.SHARDS}/2.delta.crl`;
  const otherShard = `crl/ecu-issuing/${CrlPlant.SHARDS}/3.crl`;
  const wholeDelta = 'crl/ecu-issuing.delta.crl';
  let served: Map<string, Uint8Array>;
  let older: Map<string, Uint8Array>;
  let server: Server;
  let site: string;
  let asked: string[] = [];
  let answer: (path: string) => Uint8Array | undefined;

  beforeAll(async () => {
    await plant.publish('all');
    older = await plant.served();
    await plant.revoke(plant.serials.at(-1) as Uint8Array, 'superseded');
    await plant.publish('all');
    served = await plant.served();
    server = createServer((incoming, outgoing) => {
      const path = (incoming.url ?? '').slice(1);
      asked.push(path);
      const octets = answer(path);
      outgoing.writeHead(octets === undefined ? 404 : 200).end(octets);
    });
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    site = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => void server?.close());

  /** What it finds where one path is answered otherwise. */
  async function found(path: string, other: Uint8Array | undefined): Promise<string[]> {
    asked = [];
    answer = (one) => (one === path ? other : served.get(one));
    return (await plant.fsck(statusSite(site))).breaches.map(({ check, subject, detail }) => `${check}: ${subject} ${detail}`);
  }
  const tampered = (der: Uint8Array | undefined): Uint8Array => {
    const copy = Uint8Array.from(der ?? []);
    copy[copy.length - 1] = (copy.at(-1) ?? 0) ^ 1;
    return copy;
  };

  it('reads each shard and delta, and finds nothing where nothing is wrong', async () => {
    expect(await found('', undefined)).toEqual([]);
    expect([...new Set(asked)].toSorted()).toEqual([...served.keys()].toSorted());
    expect(served.size).toBe(2 * (CrlPlant.SHARDS + 1));
  });
  it.each<[string, string, () => Uint8Array | undefined, RegExp]>([
    ['a shard that is not there', shard, () => undefined, /^crl-current: CRL 4\/2 of ecu-issuing as published is not published$/],
    ['a delta that is not there', delta, () => undefined, /^crl-current: delta CRL 4\/2 of ecu-issuing as published is not published$/],
    ['the delta of the whole CA that is not there', wholeDelta, () => undefined, /^crl-current: delta CRL of ecu-issuing as published is not/],
    ['a shard that was tampered with', shard, () => tampered(served.get(shard)), /^crl-kept: CRL 4\/2 .*its signature does not verify/],
    ['a delta that was tampered with', delta, () => tampered(served.get(delta)), /^crl-kept: delta CRL 4\/2 .*its signature does not verify/],
    ['a shard that is stale', shard, () => older.get(shard), /^crl-served: CRL 4\/2 .*has number \d+, the newest on record is \d+$/],
    ['a delta that is stale', delta, () => older.get(delta), /^crl-served: delta CRL 4\/2 .*has number \d+, the newest on record is \d+$/],
    ['the CRL of another shard', shard, () => served.get(otherShard), /^crl-served: CRL 4\/2 .*is another one: a full CRL of http:.*\/4\/3\.crl$/],
    ['the CRL of the whole CA for a shard', shard, () => served.get('crl/ecu-issuing.crl'), /^crl-served: CRL 4\/2 .*is another one: a full CRL of the whole CA$/],
    ['a full CRL for a delta', delta, () => served.get(shard), /^crl-served: delta CRL 4\/2 .*is another one: a full CRL/],
    ['that of another CA', shard, () => signCrl(certify({ subject: named('Another') }), { url: `${url}/${shard}` }), /^crl-kept: CRL 4\/2 .*is of another CA$/],
    ['what is none', delta, () => Buffer.from('<html>'), /^crl-kept: delta CRL 4\/2 .*cannot be read/],
    ['half of one', shard, () => served.get(shard)?.subarray(0, 300), /^crl-kept: CRL 4\/2 .*cannot be read/],
  ])('names %s', async (_, path, other, finding) => {
    const breaches = await found(path, other());
    expect(breaches[0]).toMatch(finding);
    expect(breaches.filter((one) => !/ (?:delta )?CRL(?: 4\/2)? of ecu-issuing as published /.test(one)), 'and nothing else').toEqual([]);
  });

  it('the watch alarms at half and three quarters of the life of what is served, and /metrics tells of it (I14)', async () => {
    const lines: string[] = [];
    let now = new Date();
    const metrics = new Metrics('api');
    crlFigures(metrics, plant.store.heartbeats);
    const task = crlWatchTask({
      authorities: plant.store.authorities, crls: plant.store.crls, clock: { now: () => now }, everyMs: 1, served: statusSite(site),
      logger: createLogger({ role: 'test', level: 'info', destination: { write: (line: string) => void lines.push(line) } }),
      beat: (figures) => plant.store.heartbeats.beat('crl-watch', 'crl-watch', figures),
    });
    const path = 'crl/ecu-issuing.crl';
    const stale = older.get(path) as Uint8Array;
    const { thisUpdate, nextUpdate } = parseAnyCrl(stale);
    /** What is said, and the gauges of the path, where so much of the life of the stale one is over. */
    const round = async (part: number, octets: Uint8Array | undefined): Promise<readonly [string[], number, number, number]> => {
      lines.length = 0;
      answer = (one) => (one === path ? octets : served.get(one));
      now = new Date(thisUpdate.getTime() + part * (nextUpdate.getTime() - thisUpdate.getTime()));
      await task.run(new AbortController().signal);
      const text = await metrics.render();
      const gauge = (name: string): number => Number(new RegExp(`^fleetroot_crl_served_${name}\\{(?:(?=[^}]*scope="all")(?=[^}]*kind="full")|(?![^}]*scope))[^}]*ca="ecu-issuing"[^}]*\\} (\\S+)$`, 'm').exec(text)?.[1] ?? NaN);
      return [lines.flatMap((line) => /a CRL as it is served ([^:]*):/.exec(line)?.[1] ?? []), gauge('life_ratio'), gauge('age_seconds'), gauge('faults')];
    };
    expect(await round(0.3, stale)).toEqual([['is not the newest'], 0.3, 1080, 1]);
    expect(await round(0.55, stale)).toEqual([['is not the newest, and has half of its life behind it'], 0.55, 1980, 1]);
    expect(await round(0.6, stale), 'said once').toEqual([[], 0.6, 2160, 1]);
    expect(await round(0.8, stale)).toEqual([['is not the newest, and has three quarters of its life behind it'], 0.8, 2880, 1]);
    expect(await round(0.9, undefined), 'what cannot be had grows older still').toEqual([['is not there'], 0.9, 3240, 1]);
    expect(await round(1.1, stale)).toEqual([['has expired'], 1.1, 3960, 1]);
    const [said, life, , faults] = await round(0.3, served.get(path));
    expect([said, life <= 0.3 && life > 0.2, faults]).toEqual([[], true, 0]);
    expect((await metrics.render()).match(/^fleetroot_crl_served_life_ratio\{/gm)).toHaveLength(served.size);
  });
});

describe('while the database is away', () => {
  let database: TcpProxy;
  let token: TestToken | undefined;
  let status: Running | undefined;
  let ahead = 0;
  const at = `http://127.0.0.1:`;
  let port: number;

  beforeAll(async () => {
    await plant.publish('all');
    await plant.store.truststores.publish('fleet', 'all', [plant.ca.id], encodePem('CERTIFICATE', plant.ca.certificate), (version) => event('truststore.published', `truststore:fleet/${version}`));
    token = await makeToken('fleetroot-ocsp');
    process.env['SOFTHSM2_CONF'] = token.softhsmConf;
    const there = new URL(plant.postgres.statusDatabaseUrl.reveal());
    database = new TcpProxy(there.href.replace(/^postgres(ql)?:/, 'http:'));
    there.port = new URL(await database.listen()).port;
    port = await freePort();
    status = await startStatus({
      logger: createLogger({ role: 'test', level: 'silent' }), databaseUrl: new Secret(there.href), pool: 4, enrolmentSecret: new Secret('x'.repeat(32)),
      ocspSignerRefreshPercent: 50, listen: { host: '127.0.0.1', port }, internalListen: { host: '127.0.0.1', port: await freePort() },
      token: { module: token.module, tokenLabel: token.tokenLabel, pin: token.pin, deadlineMs: 3000, sessionCopies: 'try' },
      clock: { now: () => new Date(Date.now() + ahead) },
    }, { fail: () => undefined });
  });
  afterAll(async () => {
    await status?.close();
    database?.close();
    await token?.remove();
  });

  it('status serves CRLs until their nextUpdate, and after it as expired: no cache keeps them, bundles are 503, /readyz says so', async () => {
    const paths = ['crl/ecu-issuing.crl', 'crl/ecu-issuing.delta.crl', `crl/ecu-issuing/${CrlPlant.SHARDS}/1.crl`, `crl/ecu-issuing/${CrlPlant.SHARDS}/1.delta.crl`];
    const ask = async (path: string) => {
      const answer = await fetch(`${at}${port}/${path}`);
      return { path, status: answer.status, caching: answer.headers.get('cache-control')?.split(',')[0], octets: Buffer.from(await answer.arrayBuffer()) };
    };
    const checks = async () => (await (await fetch(`${at}${port}/readyz`)).json() as { checks: Record<string, { ready: boolean; degraded?: boolean; reason?: string }> }).checks;
    const before = await Promise.all(paths.map(ask));
    expect(before.map(({ status: code, caching }) => `${code} ${caching}`)).toEqual(paths.map(() => '200 public'));
    expect((await ask('truststores/fleet.crl.pem')).status).toBe(200);
    database.pass(false);
    await expect.poll(async () => (await checks())['database'], { timeout: 15_000 }).toMatchObject({ ready: true, degraded: true });
    const shown = async () => (await Promise.all(paths.map(ask))).map(({ status: code, caching, octets }, i) => `${code} ${caching}${octets.equals(before[i]?.octets as Buffer) ? '' : ' other octets'}`);
    expect([await shown(), (await checks())['crl']]).toEqual([paths.map(() => '200 public'), { ready: true }]);
    ahead = 11 * 60_000;
    expect([await shown(), (await checks())['crl']]).toEqual([['200 public', '200 no-cache', '200 public', '200 no-cache'], { ready: true }]);
    ahead = 61 * 60_000;
    expect(await shown()).toEqual(paths.map(() => '200 no-cache'));
    // What was found is told for a moment.
    await expect.poll(async () => (await checks())['crl'], { timeout: 10_000 }).toMatchObject({ ready: false, reason: expect.stringContaining('no current CRL of ecu-issuing') });
    expect((await fetch(`${at}${port}/readyz`)).status).toBe(503);
    const bundle = await ask('truststores/fleet.crl.pem');
    expect([bundle.status, JSON.parse(bundle.octets.toString())]).toEqual([503, expect.objectContaining({ code: 'truststore.incomplete' })]);
    ahead = 0;
    database.pass(true);
    await expect.poll(async () => (await checks())['database'], { timeout: 15_000 }).toEqual({ ready: true });
  });
});

it('a reservation that waited for another is not older than that, though its number is higher (I13)', async () => {
  const second = Math.ceil(Date.now() / 1000) * 1000 + 1000;
  const planned = [{ scope: 'all', kind: 'full', nextUpdate: new Date(second + 3_600_000), base: undefined }] as const;
  await plant.sql('BEGIN');
  await plant.sql('SELECT FROM ca WHERE id = $1 FOR UPDATE', [plant.ca.id]);
  const late = expect(plant.store.crls.reserve(plant.ca.id, new Date(second), planned)).rejects.toMatchObject({ code: 'clock.skew' });
  const waits = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'`;
  const looker = new Client({ connectionString: plant.postgres.databaseUrl.reveal() });
  await looker.connect();
  try {
    await expect.poll(async () => (await looker.query(waits)).rowCount, { timeout: 10_000 }).toBe(1);
  } finally {
    await looker.end();
  }
  const [ahead, number] = [new Date(second + 1000), BigInt(second + 1000)];
  await plant.sql('INSERT INTO crl (ca_id, number, this_update, next_update) VALUES ($1, $2, $3, $4)', [plant.ca.id, number, ahead, new Date(second + 3_600_000)]);
  await plant.sql('UPDATE ca SET crl_number = $2 WHERE id = $1', [plant.ca.id, number]);
  await plant.sql('COMMIT');
  await late;
});

function get(agent: Agent, target: string): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    request(target, { agent }, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.on('error', reject);
      answer.on('end', () => (answer.statusCode === 200 ? resolve(Buffer.concat(parts)) : reject(new Error(`answer ${answer.statusCode}`))));
    }).on('error', reject).end();
  });
}
