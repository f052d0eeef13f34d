// Large revocations on a real PostgreSQL: what a query finds, and jobs that are killed, cancelled, approved and tampered with.
import { spawn } from 'node:child_process';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  approvalsNeeded, crlShard, type NewRevocationJob, readApprovalRules, revocationApproved, revocationCancelled, type RevocationJob, type RevocationQuery,
  type RevocationReason, revocationRequested,
} from '@fleetroot/authority';
import { type CaName, caName, type EcuSerial, type PartNumber, PkiError, serialFromBytes, type Vin } from '@fleetroot/core';
import { prefill } from '../bench/prefill.ts';
import { openTestLedger, sha256, someVin, type TestLedger } from '../support/ledger.ts';

const ROWS = 100_000;
const PART = 'REVOKE-1' as PartNumber;
const RULES = readApprovalRules('1000=1,100000=2');

let ledger: TestLedger;
let client: Client;
let admins: number[];
beforeAll(async () => {
  ledger = await openTestLedger();
  client = new Client({ connectionString: ledger.postgres.databaseUrl.reveal() });
  await client.connect();
  await prefill(ledger.postgres.databaseUrl.reveal(), ROWS, () => undefined, ledger.key);
  await sql(`UPDATE ecu SET part_number = $1 WHERE serial LIKE 'PRE-%'`, [PART]);
  admins = [];
  for (const name of ['anna', 'bert', 'cleo']) {
    admins.push((await sql<{ id: number }>(`INSERT INTO principal (name, roles, token_sha256) VALUES ($1, '{admin}', $2) RETURNING id`, [name, sha256(name)]))[0]!.id);
  }
}, 120_000);
afterAll(async () => {
  await client.end();
  await ledger.close();
});

const code = (error: unknown): string => (error instanceof PkiError ? error.code : String(error));
const sql = async <Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> => (await client.query<Row>(text, values)).rows;
const jobs = () => ledger.store.revocationJobs;

function ask(query: RevocationQuery, reason: RevocationReason = 'superseded', more: Partial<NewRevocationJob> = {}): Promise<RevocationJob> {
  return jobs().create({
    id: randomUUID(), principalId: admins[0]!, idempotencyKey: randomUUID(), reason, invalidityDate: undefined, query, approvalsFor: () => 0, ...more,
  }, (job) => revocationRequested(job, 'principal:anna', new Date())).then(({ job }) => job);
}

const approve = (id: string, principalId: number, targetsSha256: Uint8Array) =>
  jobs().approve(id, { principalId, targetsSha256 }, revocationApproved(id, targetsSha256, 'principal:bert', new Date()));

async function run(id: string): Promise<RevocationJob> {
  while (!(await jobs().runPage(id, new Date())).over);
  return jobs().read(id);
}

interface Issued {
  readonly serial: Buffer;
  readonly ecu_serial: string;
  readonly spki_sha256: Buffer;
  readonly issued_at: Date;
}

/** Certificates that no other test has taken. */
let taken = 0;
async function some(count: number): Promise<Issued[]> {
  const rows = await sql<Issued>('SELECT serial, ecu_serial, spki_sha256, issued_at FROM certificate WHERE ecu_serial LIKE $1 ORDER BY id DESC OFFSET $2 LIMIT $3', ['PRE-%', taken, count]);
  taken += count;
  return rows;
}

async function ecusWithPart(count: number): Promise<{ part: PartNumber; issued: Issued[] }> {
  const issued = await some(count);
  const part = `P-${randomUUID().slice(0, 8)}` as PartNumber;
  await sql('UPDATE ecu SET part_number = $1 WHERE serial = ANY($2)', [part, issued.map(({ ecu_serial }) => ecu_serial)]);
  return { part, issued };
}

const inOrder = (issued: readonly Issued[]): string[] => issued.map(({ serial }) => serialFromBytes(serial)).sort();
const found = async (query: RevocationQuery, reason: RevocationReason = 'superseded'): Promise<string[]> =>
  (await jobs().preview(query, reason, 100)).first.map(({ serial }) => serial);

describe('a query finds', () => {
  it('a vehicle, an ECU, a part, a key, a CA in a time: that, in order, and nothing else', async () => {
    const { part, issued } = await ecusWithPart(7);
    const [one] = issued as [Issued];
    const vin: Vin = someVin();
    const [vehicle] = await sql<{ id: string }>('INSERT INTO vehicle (vin_index, vin_sealed) VALUES ($1, $2) RETURNING id', [ledger.key.blindIndex(vin, 'vin'), '']);
    await sql('UPDATE ecu SET vehicle_id = $1 WHERE serial = ANY($2)', [vehicle!.id, issued.slice(0, 3).map(({ ecu_serial }) => ecu_serial)]);
    expect(await found({ vin })).toEqual(inOrder(issued.slice(0, 3)));
    expect(await found({ vin, partNumber: part, ecuSerial: one.ecu_serial as EcuSerial })).toEqual(inOrder([one]));
    expect(await found({ vin: someVin() })).toEqual([]);
    expect(await found({ partNumber: part })).toEqual(inOrder(issued));
    expect(await found({ partNumber: part, profile: 'ecu-client', ca: ledger.ca.name })).toEqual(inOrder(issued));
    expect(await found({ ecuSerial: one.ecu_serial as EcuSerial })).toEqual(inOrder([one]));
    expect(await found({ publicKeySha256: one.spki_sha256 })).toEqual(inOrder([one]));
    expect(await found({ publicKeySha256: sha256('none') })).toEqual([]);
    const [{ from, until }] = (await sql<{ from: Date; until: Date }>(
      `SELECT min(issued_at) AS from, max(issued_at) + interval '1 ms' AS until FROM certificate WHERE ecu_serial = ANY($1)`, [issued.map(({ ecu_serial }) => ecu_serial)])) as [{ from: Date; until: Date }];
    expect(await found({ partNumber: part, issuedFrom: from, issuedUntil: until })).toEqual(inOrder(issued));
    expect(await found({ partNumber: part, issuedUntil: from })).toEqual([]);
    const byTime = await sql<Issued>('SELECT serial FROM certificate WHERE ca_id = $1 AND issued_at >= $2 AND issued_at < $3', [ledger.ca.id, from, until]);
    const preview = await jobs().preview({ ca: ledger.ca.name, issuedFrom: from, issuedUntil: until }, 'superseded', 100);
    expect(preview.targets).toBe(byTime.length);
    expect((await jobs().preview({ issuedFrom: from, issuedUntil: until }, 'superseded', 1)).targets).toBe(byTime.length);
    expect(preview.targetsSha256).toEqual(createHash('sha256').update(inOrder(byTime).map((serial) => `${ledger.ca.name}/${serial}\n`).join('')).digest());
  });

  it('the ECUs of a supplier', async () => {
    const issued = await some(3);
    const [supplier] = await sql<{ id: number }>(`INSERT INTO supplier (name, certificate, spki_sha256) VALUES ('tier-one', '', '\\x01') RETURNING id`);
    await sql('UPDATE ecu SET supplier_id = $1 WHERE serial = ANY($2)', [supplier!.id, issued.map(({ ecu_serial }) => ecu_serial)]);
    expect(await found({ supplier: 'tier-one' })).toEqual(inOrder(issued));
  });

  it('nothing that has expired, and to release nothing but what is on hold', async () => {
    const { part, issued } = await ecusWithPart(3);
    await sql('ALTER TABLE certificate DISABLE TRIGGER certificate_keep_expiry');
    await sql(`UPDATE certificate SET not_after = now() - interval '2 s' WHERE serial = $1`, [issued[0]!.serial]);
    await sql('ALTER TABLE certificate ENABLE TRIGGER certificate_keep_expiry');
    expect(await found({ partNumber: part })).toEqual(inOrder(issued.slice(1)));
    expect(await found({ partNumber: part }, 'removeFromCRL')).toEqual([]);
    await run((await ask({ ecuSerial: issued[1]!.ecu_serial as EcuSerial }, 'certificateHold')).id);
    expect(await found({ partNumber: part }, 'removeFromCRL')).toEqual(inOrder([issued[1]!]));
  });

  it.each<[string, RevocationQuery, string]>([
    ['nothing', {}, 'revocation.query-refused'],
    ['a profile alone', { profile: 'ecu-client' }, 'revocation.query-refused'],
    ['an end alone', { issuedUntil: new Date() }, 'revocation.query-refused'],
    ['an unknown CA', { ca: caName('none') }, 'ca.not-found'],
    ['an unknown profile', { ca: 'ecu-issuing' as CaName, profile: 'none' }, 'profile.not-found'],
    ['an unknown supplier', { supplier: 'none' }, 'supplier.not-found'],
  ])('not %s: refused', async (_, query, expected) => {
    expect(await jobs().preview(query, 'superseded', 1).catch(code)).toBe(expected);
  });

  it('and a revocation of nothing is none', async () => {
    expect(await ask({ vin: someVin() }).catch(code)).toBe('certificate.not-found');
    expect(await sql('SELECT FROM revocation_job WHERE targets = 0')).toEqual([]);
  });

  it('by indexes: no statement reads a large table whole', async () => {
    const { part, issued } = await ecusWithPart(2);
    const scans = async () => (await sql<{ relname: string; seq_scan: string }>(
      `SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname IN ('certificate_2026', 'certificate_2025', 'ecu', 'subject_key') ORDER BY 1`));
    const settled = async () => {
      await sql('SELECT pg_stat_force_next_flush()');
      await new Promise((resolve) => setTimeout(resolve, 1100));
      await sql('SELECT pg_stat_clear_snapshot()');
      return scans();
    };
    const before = await settled();
    for (let i = 0; i < 8; i++) {
      await found({ partNumber: part });
      await found({ ecuSerial: issued[0]!.ecu_serial as EcuSerial });
      await found({ vin: someVin() });
      await found({ publicKeySha256: issued[0]!.spki_sha256 });
      await found({ supplier: 'tier-one' });
      await found({ ca: ledger.ca.name, issuedFrom: issued[0]!.issued_at, issuedUntil: new Date(issued[0]!.issued_at.getTime() + 1) });
    }
    expect(await settled()).toEqual(before);
  });
});

describe('a job', () => {
  it('tells the outcome of each: new, the same, stronger; and never weakens', async () => {
    const { part, issued } = await ecusWithPart(4);
    const each = (i: number): RevocationQuery => ({ ecuSerial: issued[i]!.ecu_serial as EcuSerial });
    await run((await ask(each(1), 'superseded')).id);
    await run((await ask(each(2), 'certificateHold')).id);
    await run((await ask(each(3), 'keyCompromise')).id);
    const job = await run((await ask({ partNumber: part }, 'superseded')).id);
    expect(job).toMatchObject({ state: 'done', targets: 4, done: 4, changed: 2, outcomes: { new: 1, same: 1, upgrade: 1, conflict: 1 } });
    const reasons = await Promise.all(issued.map(async ({ serial }) => (await ledger.store.certificates.find(serialFromBytes(serial))).revocation?.reason));
    expect(reasons).toEqual(['superseded', 'superseded', 'superseded', 'keyCompromise']);
    expect((await jobs().targets(job.id, 0, 10, 'conflict')).map(({ serial }) => serial)).toEqual([serialFromBytes(issued[3]!.serial)]);
    expect(await sql('SELECT blocked FROM subject_key WHERE spki_sha256 = ANY($1) ORDER BY blocked', [issued.map(({ spki_sha256 }) => spki_sha256)]))
      .toEqual([{ blocked: false }, { blocked: false }, { blocked: false }, { blocked: true }]);
    expect(await run((await ask({ partNumber: part }, 'removeFromCRL').catch(code)) === 'certificate.not-found' ? job.id : '')).toMatchObject({ changed: 2 });
  });

  it('holds and releases', async () => {
    const { part, issued } = await ecusWithPart(3);
    await run((await ask({ partNumber: part }, 'certificateHold')).id);
    expect(await run((await ask({ partNumber: part }, 'removeFromCRL')).id)).toMatchObject({ changed: 3, outcomes: { released: 3 } });
    expect((await sql('SELECT FROM revocation WHERE released_at IS NOT NULL AND serial = ANY($1)', [issued.map(({ serial }) => serial)]))).toHaveLength(3);
    expect(await run((await ask({ partNumber: part }, 'cessationOfOperation')).id)).toMatchObject({ changed: 3, outcomes: { new: 3 } });
  });

  it('is one, however often it is asked for under one key; another query under it is refused', async () => {
    const { part } = await ecusWithPart(2);
    const vin = someVin();
    const key = randomUUID();
    const asked = await Promise.all([1, 2, 3, 4].map(() => ask({ partNumber: part }, 'superseded', { idempotencyKey: key })));
    expect(new Set(asked.map(({ id }) => id)).size).toBe(1);
    expect(await ask({ partNumber: part }, 'keyCompromise', { idempotencyKey: key }).catch(code)).toBe('idempotency.conflict');
    expect(await ask({ partNumber: part, vin }, 'superseded', { idempotencyKey: key }).catch(code)).toBe('idempotency.conflict');
  });

  it('keeps no VIN in clear, and no hash of it that could be guessed', async () => {
    const { issued } = await ecusWithPart(1);
    const vin = someVin();
    const [vehicle] = await sql<{ id: string }>('INSERT INTO vehicle (vin_index, vin_sealed) VALUES ($1, $2) RETURNING id', [ledger.key.blindIndex(vin, 'vin'), '']);
    await sql('UPDATE ecu SET vehicle_id = $1 WHERE serial = $2', [vehicle!.id, issued[0]!.ecu_serial]);
    const job = await ask({ vin });
    const rows = JSON.stringify([await sql('SELECT * FROM revocation_job WHERE id = $1', [job.id]), await sql(`SELECT payload FROM audit_event WHERE payload LIKE '%revocation%'`)]);
    expect(rows).not.toContain(vin);
    expect(job.query).toEqual({ vinIndex: Buffer.from(ledger.key.blindIndex(vin, 'vin')).toString('hex') });
  });

  it('waits for as many others as its size asks for; nobody approves their own, or other targets (I30)', async () => {
    const { part } = await ecusWithPart(3);
    const job = await ask({ partNumber: part }, 'superseded', { approvalsFor: () => 2 });
    expect(job).toMatchObject({ state: 'waiting', approvalsNeeded: 2 });
    expect(await jobs().running(10)).not.toContain(job.id);
    expect(await jobs().runPage(job.id, new Date())).toEqual({ over: true, revoked: 0 });
    expect(await approve(job.id, admins[0]!, job.targetsSha256).catch(code)).toBe('revocation.approval-refused');
    expect(await approve(job.id, admins[1]!, sha256('other')).catch(code)).toBe('revocation.approval-refused');
    for (let i = 0; i < 3; i++) expect(await approve(job.id, admins[1]!, job.targetsSha256)).toMatchObject({ state: 'waiting', approvals: [{ principal: 'bert' }] });
    expect(await approve(job.id, admins[2]!, job.targetsSha256)).toMatchObject({ state: 'running' });
    expect(await run(job.id)).toMatchObject({ state: 'done', changed: 3 });
    expect(await approve(randomUUID(), admins[1]!, job.targetsSha256).catch(code)).toBe('revocation.not-found');
  });

  it('whose targets somebody has changed revokes nothing, and fails', async () => {
    const { part } = await ecusWithPart(3);
    const [other] = await some(1);
    const job = await ask({ partNumber: part });
    await expect(sql('UPDATE revocation_target SET serial = $2 WHERE job_id = $1 AND place = 1', [job.id, other!.serial])).rejects.toMatchObject({ code: '42501' });
    await sql('ALTER TABLE revocation_target DISABLE TRIGGER revocation_target_keep');
    await sql('UPDATE revocation_target SET serial = $2 WHERE job_id = $1 AND place = 1', [job.id, other!.serial]);
    await sql('ALTER TABLE revocation_target ENABLE TRIGGER revocation_target_keep');
    expect(await run(job.id)).toMatchObject({ state: 'failed', done: 0, changed: 0, failure: expect.stringContaining('not those') });
    expect(await sql('SELECT FROM revocation WHERE serial = $1', [other!.serial])).toEqual([]);
  });

  it('that is cancelled goes no further, and takes nothing back', async () => {
    const { part } = await ecusWithPart(1_200);
    const job = await ask({ partNumber: part });
    await jobs().runPage(job.id, new Date());
    const cancelled = await jobs().cancel(job.id, revocationCancelled(job.id, 'principal:anna', new Date()));
    expect(cancelled).toMatchObject({ state: 'cancelled', done: 500, changed: 500 });
    expect(await run(job.id)).toMatchObject({ state: 'cancelled', done: 500 });
    expect(await jobs().cancel(job.id, revocationCancelled(job.id, 'principal:anna', new Date()))).toEqual({ ...cancelled, now: expect.any(Date) });
  });

  it('that is killed again and again goes on where its last commit was, each target once', async () => {
    const { part, issued } = await ecusWithPart(4_000);
    const job = await ask({ partNumber: part });
    const victim = fileURLToPath(new URL('../support/revocation-victim.ts', import.meta.url));
    const life = (pages: number): Promise<string | null> => new Promise((resolve) => {
      const child = spawn(process.execPath, ['--conditions=fleetroot-source', victim], { stdio: ['pipe', 'pipe', 'inherit'] });
      let seen = 0;
      child.stdout.on('data', (data: Buffer) => {
        seen += data.toString().split('\n').length - 1;
        if (seen >= pages) child.kill('SIGKILL');
      });
      child.once('close', (_status, signal) => resolve(signal));
      child.stdin.end(JSON.stringify({ databaseUrl: ledger.postgres.databaseUrl.reveal(), ledgerKey: randomBytes(32).toString('hex') }));
    });
    for (let i = 0; i < 3; i++) expect(await life(2)).toBe('SIGKILL');
    expect((await jobs().read(job.id)).state).toBe('running');
    expect(await life(Infinity)).toBeNull();
    expect(await jobs().read(job.id)).toMatchObject({ state: 'done', done: 4_000, changed: 4_000, outcomes: { new: 4_000 } });
    expect(await sql('SELECT FROM revocation WHERE serial = ANY($1)', [issued.map(({ serial }) => serial)])).toHaveLength(4_000);
    // A page is told of once, and the pages are all of it (I26).
    const pages = (await sql<{ data: { from: number; targets: number } }>(
      `SELECT payload::json -> 'data' AS data FROM audit_event WHERE payload LIKE '{"action":"revocation.page",%' AND payload LIKE $1 ORDER BY seq`, [`%${job.id}%`])).map(({ data }) => data);
    expect(pages.map(({ from }) => from)).toEqual(pages.map((_, i) => i * 500));
    expect(pages.reduce((sum, { targets }) => sum + targets, 0)).toBe(4_000);
  }, 60_000);

  it('of 100,000, by two workers at once: in pages, with memory that stays, two approvals, and each entry in its shard', async () => {
    const [{ id: sharded }] = (await sql<{ id: number }>(`INSERT INTO profile_version (name, sha256, document) VALUES ('ecu-sharded', '\\x02', '{"crlShards":64}') RETURNING id`)) as [{ id: number }];
    await sql('UPDATE certificate SET profile_version_id = $1 WHERE ecu_serial = ANY($2)', [sharded, (await some(100)).map(({ ecu_serial }) => ecu_serial)]);
    await sql(`UPDATE ecu SET part_number = $1 WHERE serial LIKE 'PRE-%'`, [PART]);
    await sql(`UPDATE certificate SET not_after = now() + interval '1 day' WHERE not_after < now()`);
    const heap = (): number => {
      globalThis.gc?.();
      return process.memoryUsage().heapUsed;
    };
    const before = heap();
    const began = performance.now();
    const job = await ask({ partNumber: PART }, 'superseded', { approvalsFor: (targets) => approvalsNeeded(RULES, targets) });
    expect(job).toMatchObject({ targets: ROWS, approvalsNeeded: 2, state: 'waiting' });
    for (const admin of admins.slice(1)) await approve(job.id, admin, job.targetsSha256);
    await Promise.all([run(job.id), run(job.id)]);
    const seconds = (performance.now() - began) / 1000;
    const done = await jobs().read(job.id);
    expect(done).toMatchObject({ state: 'done', done: ROWS });
    expect(Object.values(done.outcomes).reduce((sum, n) => sum + n, 0)).toBe(ROWS);
    expect(await sql('SELECT FROM revocation_target WHERE job_id = $1 AND outcome IS NULL', [job.id])).toEqual([]);
    expect(await sql<{ n: number }>('SELECT count(*)::int AS n FROM certificate c LEFT JOIN revocation r ON r.ca_id = c.ca_id AND r.serial = c.serial AND r.released_at IS NULL WHERE c.ecu_serial LIKE $1 AND r.serial IS NULL', ['PRE-%'])).toEqual([{ n: 0 }]);
    const shards = await sql<{ serial: Buffer; shards: number; shard: number }>('SELECT r.serial, r.shards, r.shard FROM revocation r JOIN certificate c ON c.ca_id = r.ca_id AND c.serial = r.serial WHERE c.profile_version_id = $1', [sharded]);
    expect(shards).toHaveLength(100);
    for (const { serial, ...scope } of shards) expect(scope).toEqual({ shards: 64, shard: crlShard(serial, 64) });
    process.stdout.write(`100,000 targets: ${seconds.toFixed(1)} s, heap +${((heap() - before) / 1e6).toFixed(0)} MB\n`);
    expect(seconds).toBeLessThan(120);
    expect(heap() - before).toBeLessThan(100e6);
  }, 180_000);
});
