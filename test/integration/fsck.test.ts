import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { hash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CheckName, checks, type HsmRecord, inspect, type InspectionOptions, type InspectionReport, readProfileFolder, statusSite } from '@fleetroot/authority';
import { Secret, toHex } from '@fleetroot/core';
import { openStore, PostgresInspectionLedger } from '@fleetroot/store';
import { createLogger } from '@fleetroot/telemetry';
import { startWorker } from '../../apps/worker/src/start.ts';
import { type IssuedLedger, issueLedger } from '../support/issued-ledger.ts';
import { event } from '../support/ledger.ts';

let ledger: IssuedLedger;
let published: Map<string, Uint8Array>;
let folder: string;
let site: ChildProcess;
/** Where the published CRLs are served. */
let statusUrl: string;

beforeAll(async () => {
  ledger = await issueLedger();
  published = await ledger.published();
  // A template may have no other connection.
  await ledger.store.close();
  admin = new Client({ connectionString: at('postgres', true) });
  await admin.connect();
  // What is copied a hundred times need not outlive a power cut.
  await admin.query('ALTER SYSTEM SET fsync = off');
  await admin.query('SELECT pg_reload_conf()');
  folder = await mkdtemp(join(tmpdir(), 'fleetroot-fsck-'));
  await Promise.all(Array.from(published, ([name, crl]) => writeFile(join(folder, `${name}.crl`), crl)));
  // By a process of its own: this one waits while it runs the command.
  const server = spawn(process.execPath, ['-e', `
    const { readFileSync } = require('node:fs');
    require('node:http').createServer((request, answer) => {
      try { answer.end(readFileSync(${JSON.stringify(folder)} + request.url.replace('/crl', ''))); } catch { answer.writeHead(404).end(); }
    }).listen(0, '127.0.0.1', function () { console.log(this.address().port); });`], { stdio: ['ignore', 'pipe', 'inherit'] });
  site = server;
  statusUrl = `http://127.0.0.1:${await new Promise<string>((resolve) => server.stdout.once('data', (data: Buffer) => resolve(data.toString().trim())))}`;
});
afterAll(async () => {
  site?.kill();
  if (folder) await rm(folder, { recursive: true, force: true });
  await admin?.end();
  await ledger?.postgres.stop();
});

const at = (database: string, admin = false): string => {
  const url = new URL((admin ? ledger.postgres.adminUrl : ledger.postgres.databaseUrl).reveal());
  url.pathname = `/${database}`;
  return url.href;
};

async function sql(database: string, ...statements: string[]): Promise<void> {
  const client = new Client({ connectionString: at(database, true) });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

let copies = 0;


/** One connection for all copies: making one, and dropping it, takes a third of a case. */
let admin: Client;

/** Looks at a copy of the ledger, where somebody has been who may do anything. */
async function look(tamper = 'SELECT', options: InspectionOptions = {}, served: ReadonlyMap<string, Uint8Array> | undefined = published): Promise<InspectionReport> {
  const copy = `copy_${++copies}`;
  await admin.query(`CREATE DATABASE ${copy} TEMPLATE fleetroot STRATEGY wal_log`);
  try {
    await sql(copy, 'SET session_replication_role = replica', tamper);
    return await inspect(
      { ledger: new PostgresInspectionLedger(new Secret(at(copy))), ledgerKey: ledger.key, published: served === undefined ? undefined : { fetch: async (name, _scope, kind) => served.get(kind === 'delta' ? `${name}.delta` : name) } },
      { crlWithinMs: 0, full: true, ...options });
  } finally {
    await admin.query(`DROP DATABASE ${copy} WITH (FORCE)`);
  }
}

/** The certificate of one ECU, in SQL. */
const ECU = (number: number): string => `ecu_serial = 'ECU-${number}'`;
const G1 = `(SELECT id FROM ca WHERE name = 'g1')`;
const G2 = `(SELECT id FROM ca WHERE name = 'g2')`;
/** Rewrites the log after a change as somebody would who knows how: the chain holds again. */
const CHAINED = `DO $$ DECLARE e record; p bytea := decode(repeat('00', 32), 'hex'); h bytea; BEGIN
  FOR e IN SELECT seq, payload FROM audit_event ORDER BY seq LOOP
    h := sha256(p || int8send(e.seq) || convert_to(e.payload, 'UTF8'));
    UPDATE audit_event SET prev_hash = p, hash = h WHERE seq = e.seq; p := h;
  END LOOP; UPDATE audit_head SET hash = p; END $$`;
const retold = (where: string, from: string, to: string): string => `UPDATE audit_event SET payload = replace(payload, '${from}', '${to}') WHERE payload LIKE '${where}'; ${CHAINED}`;

/** What somebody did, and the check that is to see it. */
const tampers: readonly (readonly [CheckName, string])[] = [
  ['intent-stored', `UPDATE intent SET state = 'abandoned' WHERE id = (SELECT intent_id FROM certificate WHERE ${ECU(0)})`],
  ['intent-stored', `DELETE FROM intent WHERE state = 'stored' AND id = (SELECT intent_id FROM certificate WHERE ${ECU(0)})`],
  ['intent-stored', `UPDATE certificate SET ca_id = ${G2} WHERE ${ECU(0)}`],
  ['intent-stored', `UPDATE certificate SET chunk_id = NULL WHERE ${ECU(0)}`],
  ['intent-stored', `UPDATE certificate SET issued_at = issued_at - interval '1 minute' WHERE ${ECU(0)}`],
  ['intent-stored', `UPDATE intent SET profile_version_id = 99 WHERE state = 'stored'`],
  ['serial-unique', `ALTER TABLE certificate DROP CONSTRAINT IF EXISTS certificate_pkey; DROP INDEX IF EXISTS certificate_ca_id_serial_key;
    UPDATE certificate SET serial = (SELECT serial FROM certificate WHERE ${ECU(0)}) WHERE ${ECU(1)}`],
  ['unique-indexes', 'ALTER TABLE revocation DROP CONSTRAINT revocation_pkey'],
  ['unique-indexes', `UPDATE pg_index SET indisvalid = false WHERE indrelid = 'batch'::regclass AND NOT indisprimary`],
  ['seed-unique', `UPDATE intent SET seed = (SELECT seed FROM intent ORDER BY id LIMIT 1) WHERE id = (SELECT max(id) FROM intent)`],
  ['serial-derived', `UPDATE intent SET seed = decode(repeat('00', 32), 'hex') WHERE id = (SELECT intent_id FROM certificate WHERE ${ECU(0)})`],
  ['serial-derived', `UPDATE intent SET serial_form = 1 WHERE state = 'stored'`],
  ['serial-derived', `UPDATE intent SET signed_at = signed_at - interval '1 day' WHERE state = 'stored'`],
  ['burned-unissued', `INSERT INTO burned_serial SELECT ca_id, serial, intent_id, not_after, now() FROM certificate WHERE ${ECU(0)}`],
  ['ceremony-serial', `UPDATE ceremony_certificate SET issuer_id = ${G1}, serial = (SELECT serial FROM certificate WHERE ${ECU(0)}) WHERE kind = 'ocsp-signer'`],
  ['body-once', `DELETE FROM certificate WHERE ${ECU(0)}`],
  ['body-once', `INSERT INTO failure SELECT chunk_id, ordinal, 'internal', '' FROM certificate WHERE ${ECU(0)}`],
  ['body-once', `UPDATE failure SET ordinal = 900`],
  ['certificate-row', `UPDATE certificate SET der = (SELECT der FROM certificate WHERE ${ECU(1)}) WHERE ${ECU(0)}`],
  ['certificate-row', `UPDATE certificate SET spki_sha256 = sha256('') WHERE ${ECU(0)}`],
  ['certificate-row', `UPDATE certificate SET not_after = not_after + interval '1 second' WHERE ${ECU(0)}`],
  ['certificate-row', `UPDATE certificate SET ecu_serial = 'ECU-X' WHERE ${ECU(0)}`],
  ['certificate-row', `UPDATE certificate SET der = '\\x00' WHERE ${ECU(0)}`],
  ['certificate-row', `DELETE FROM ca WHERE name = 'g1'`],
  ['certificate-signature', `UPDATE certificate SET der = set_byte(der, length(der) - 1, get_byte(der, length(der) - 1) # 1) WHERE ${ECU(0)}`],
  ['certificate-validity', `UPDATE certificate SET issued_at = not_before - interval '1 minute' WHERE ${ECU(0)}`],
  ['certificate-validity', `UPDATE certificate SET ca_id = 1, der = (SELECT der FROM ceremony_certificate WHERE kind = 'cross') WHERE ${ECU(0)}; UPDATE certificate SET issued_at = '2020-01-01'`],
  ['certificate-leaf', `UPDATE certificate SET der = (SELECT certificate FROM ca WHERE name = 'g1') WHERE ${ECU(0)}`],
  ['certificate-profile', `UPDATE certificate SET der = (SELECT certificate FROM ca WHERE name = 'g1') WHERE ${ECU(0)}`],
  ['certificate-profile', `UPDATE profile_version SET document = replace(document, '"crl":', '"caIssuers":') WHERE name = 'ecu-client'`],
  ['certificate-profile', `UPDATE profile_version SET document = '{}' WHERE name = 'ecu-client'`],
  ['filter-kept', `UPDATE revocation_filter SET content = set_byte(content, length(content) - 1, get_byte(content, length(content) - 1) # 1)`],
  ['filter-kept', `UPDATE revocation_filter SET sha256 = sha256('x')`],
  ['filter-kept', `UPDATE revocation_filter SET version = version + 1`],
  ['filter-kept', `UPDATE revocation_filter SET content = '\\x46525246'`],
  ['ocsp-signer', `UPDATE certificate SET profile_version_id = (SELECT id FROM profile_version WHERE name = 'ecu-client') WHERE ecu_serial IS NULL`],
  ['ocsp-signer', `UPDATE certificate SET profile_version_id = (SELECT id FROM profile_version WHERE name = 'ocsp-signer') WHERE ${ECU(0)}`],
  ['ocsp-signer', `UPDATE certificate SET der = (SELECT der FROM ceremony_certificate WHERE kind = 'ocsp-signer') WHERE ${ECU(0)}`],
  ['ceremony-row', `UPDATE ceremony_certificate SET serial = '\\x01' WHERE kind = 'cross'`],
  ['ceremony-row', `UPDATE ceremony_certificate SET not_after = now() WHERE kind = 'cross'`],
  ['ceremony-row', `UPDATE ceremony_certificate SET sha256 = '\\x01' WHERE kind = 'cross'`],
  ['ceremony-row', `UPDATE ceremony_certificate SET issuer_id = (SELECT id FROM ca WHERE name = 'root') WHERE kind = 'cross'`],
  ['ceremony-row', `UPDATE ceremony_certificate SET subject_id = ${G2} WHERE kind = 'cross'`],
  ['ceremony-row', `UPDATE ceremony_certificate SET der = set_byte(der, length(der) - 1, get_byte(der, length(der) - 1) # 1) WHERE kind = 'cross'`],
  ['intent-burned', `DELETE FROM burned_serial WHERE serial = (SELECT max(serial) FROM burned_serial)`],
  ['intent-burned', `UPDATE intent SET untouched = '{}' WHERE state = 'abandoned'`],
  ['intent-burned', `UPDATE intent SET untouched = untouched || first WHERE state = 'abandoned'`],
  ['intent-burned', `UPDATE failure SET code = 'issuance.abandoned'`],
  ['intent-burned', `UPDATE burned_serial SET intent_id = 900`],
  ['intent-ca', `UPDATE ca SET not_after = now() + interval '1 day' WHERE name = 'g1'`],
  ['intent-ca', `UPDATE intent SET signed_at = '2020-01-01' WHERE state = 'stored'`],
  ['intent-ca', `UPDATE intent SET ca_id = (SELECT id FROM ca WHERE name = 'lost'), signed_at = now() + interval '1 minute' WHERE state = 'stored'`],
  ['last-signed', `UPDATE ca SET last_signed_at = last_signed_at - interval '1 minute'`],
  ['last-signed', `UPDATE ca SET last_signed_at = now() + interval '1 hour' WHERE name = 'root'`],
  ['ca-newest', `DELETE FROM ceremony_certificate WHERE kind = 'ca' AND subject_id = ${G1}`],
  ['ca-newest', `UPDATE ca SET not_after = not_after - interval '1 day' WHERE name = 'g1'`],
  ['ca-revoked', `DELETE FROM revocation WHERE ca_id = (SELECT id FROM ca WHERE name = 'root')`],
  ['ca-revoked', `ALTER TABLE ca DROP CONSTRAINT ca_revocation; UPDATE ca SET state = 'active' WHERE name = 'lost'`],
  ['ca-revoked', `UPDATE ca SET revoked_at = NULL, revocation_reason = NULL WHERE name = 'lost'`],
  ['ca-succession', `UPDATE ca SET successor_id = ${G1}, switch_at = now() WHERE name = 'g2'`],
  ['key-owner', `UPDATE subject_key SET owner = 'ecu:X' WHERE spki_sha256 = (SELECT spki_sha256 FROM certificate WHERE ${ECU(0)})`],
  ['key-owner', `DELETE FROM subject_key WHERE spki_sha256 = (SELECT spki_sha256 FROM certificate WHERE ${ECU(0)})`],
  ['key-blocked', `UPDATE subject_key SET blocked = false WHERE owner = 'ecu:ECU-2'`],
  ['key-blocked', `UPDATE subject_key SET blocked = false WHERE owner LIKE 'ca:%'`],
  ['blocked-key-issued', `UPDATE intent SET signed_at = now() + interval '1 minute' WHERE state = 'stored'`],
  ['revocation-event', `DELETE FROM revocation WHERE ca_id = ${G1} AND reason = 4`],
  ['revocation-event', `UPDATE revocation SET reason = 5 WHERE ca_id = ${G1} AND reason = 4`],
  ['revocation-event', `INSERT INTO revocation SELECT ca_id, serial, 4, now(), NULL, not_after, 1 FROM certificate WHERE ${ECU(3)}`],
  ['revocation-event', 'UPDATE revocation SET released_at = NULL WHERE released_at IS NOT NULL'],
  ['revocation-event', `DELETE FROM revocation WHERE ca_id = ${G2} AND reason = 5`],
  ['revocation-event', `UPDATE revocation SET reason = 4 WHERE ca_id = ${G2} AND reason = 5`],
  ['revocation-job', `UPDATE revocation_target SET outcome = 'same'`],
  ['revocation-job', `UPDATE revocation_target SET serial = '\\x01'`],
  ['revocation-job', 'UPDATE revocation_job SET done = done + 1'],
  ['revocation-job', 'UPDATE revocation_job SET approvals = 1'],
  ['revocation-event', `UPDATE revocation SET released_at = NULL WHERE serial = (SELECT serial FROM certificate WHERE ${ECU(1)})`],
  ['revoked-certificate', `UPDATE revocation SET not_after = not_after - interval '1 day' WHERE ca_id = ${G1}`],
  ['revoked-certificate', `INSERT INTO revocation VALUES (${G1}, '\\x01020304', 4, now(), NULL, now() + interval '1 day', 1)`],
  ['crl-lists', `INSERT INTO revocation SELECT ca_id, serial, 4, now(), NULL, not_after, 1 FROM certificate WHERE ${ECU(3)}`],
  ['crl-lists', `UPDATE revocation SET reason = 5 WHERE ca_id = ${G1} AND reason = 4`],
  ['crl-known', `DELETE FROM revocation WHERE ca_id = ${G1} AND reason = 4`],
  ['crl-known', `DELETE FROM burned_serial`],
  ['crl-number', `UPDATE ca SET crl_number = crl_number - 1 WHERE name = 'g1'`],
  ['crl-number', `UPDATE crl SET this_update = this_update - interval '1 day' WHERE id = (SELECT max(id) FROM crl WHERE ca_id = ${G1})`],
  ['crl-number', `UPDATE crl SET published_at = published_at - interval '1 day' WHERE id = (SELECT max(id) FROM crl WHERE ca_id = ${G1})`],
  ['crl-number', `UPDATE crl SET number = 5 WHERE id = (SELECT min(id) FROM crl WHERE ca_id = ${G1})`],
  ['crl-event', `UPDATE crl SET der = set_byte(der, length(der) - 1, get_byte(der, length(der) - 1) # 1) WHERE ca_id = ${G1}`],
  ['crl-event', `DELETE FROM crl WHERE id = (SELECT min(id) FROM crl WHERE ca_id = ${G1})`],
  ['crl-event', retold('{"action":"crl.published"%', '"crl.published"', '"renewal.due"')],
  ['crl-kept', `UPDATE crl SET der = set_byte(der, length(der) - 1, get_byte(der, length(der) - 1) # 1) WHERE ca_id = ${G1}`],
  ['crl-kept', `UPDATE crl SET der = (SELECT der FROM crl WHERE ca_id = ${G2} AND der IS NOT NULL LIMIT 1) WHERE ca_id = ${G1}`],
  ['crl-kept', `UPDATE crl SET entries = 9 WHERE ca_id = ${G1}`],
  ['crl-kept', `UPDATE crl SET der = '\\x00' WHERE ca_id = ${G1}`],
  // The two CRLs of g1 change places: what the later one revoked has left.
  ['crl-succession', `UPDATE crl SET published_at = NULL WHERE ca_id = ${G1};
    UPDATE crl SET number = 9000000000000000000 - number, published_at = now() WHERE ca_id = ${G1}`],
  ['chunk-requests', `ALTER TABLE chunk DROP CONSTRAINT chunk_sum; UPDATE chunk SET sealed = NULL WHERE state <> 'done'`],
  ['chunk-requests', `ALTER TABLE chunk DROP CONSTRAINT chunk_sum; UPDATE chunk SET sealed = '\\x00' WHERE state = 'done'`],
  ['intent-single', `UPDATE intent SET state = 'stored', untouched = '{}' WHERE state = 'abandoned'`],
  ['intent-single', `UPDATE intent SET fence = 9 WHERE state = 'open'`],
  ['intent-single', `UPDATE chunk SET state = 'pending' WHERE state = 'signing'`],
  ['intent-single', `DELETE FROM chunk WHERE state = 'signing'`],
  ['batch-done', `UPDATE batch SET state = 'done' WHERE state = 'accepted'`],
  ['batch-done', `UPDATE batch SET state = 'accepted', completed_at = NULL WHERE state = 'done'`],
  ['batch-sum', `UPDATE batch SET items = items + 1`],
  ['chunks-whole', `ALTER TABLE chunk DROP CONSTRAINT chunk_sum; UPDATE chunk SET items = items - 1 WHERE first = 0`],
  ['chunk-sum', `ALTER TABLE chunk DROP CONSTRAINT chunk_sum; UPDATE chunk SET issued = issued - 1 WHERE issued > 1`],
  ['chunk-sum', `DELETE FROM certificate WHERE ${ECU(0)}`],
  ['chunk-sum', `DELETE FROM failure`],
  ['chunk-sum', `INSERT INTO failure SELECT id, first, 'internal', '' FROM chunk WHERE state = 'signing'`],
  ['batch-events', `UPDATE batch SET state = 'receiving', completed_at = NULL WHERE state = 'done'`],
  ['batch-events', `INSERT INTO batch (id, principal_id, ca_id, profile_version_id, state, body_sha256) VALUES (gen_random_uuid(), 1, 1, 1, 'accepted', '\\x00')`],
  ['chunk-event', `UPDATE certificate SET der = der || '\\x00' WHERE ${ECU(0)}`],
  ['chunk-event', retold('{"action":"chunk.issued"%', '"chunk.issued"', '"renewal.due"')],
  ['chunk-event', retold('{"action":"intent.abandoned"%', '"intent.abandoned"', '"renewal.due"')],
  ['chunk-event', `INSERT INTO audit_event SELECT seq + 100, at, payload, prev_hash, hash FROM audit_event WHERE payload LIKE '{"action":"chunk.issued"%'`],
  ['audit-chain', `UPDATE audit_event SET payload = replace(payload, 'system:test', 'system:tent') WHERE seq = 5`],
  ['audit-chain', 'DELETE FROM audit_event WHERE seq = 5'],
  ['audit-chain', 'DELETE FROM audit_event WHERE seq = (SELECT seq FROM audit_head)'],
  ['audit-guard', 'ALTER TABLE audit_event DISABLE TRIGGER audit_event_append_only'],
  ['audit-seen', `INSERT INTO inspection (began_at, ended_at, breaches, report) SELECT now(), now(), 0, jsonb_build_object('auditHead', jsonb_build_object('seq', seq::text, 'hash', encode(hash, 'hex'))) FROM audit_head;
    ${retold('%', 'system:test', 'system:tent')}`],
  ['audit-seen', `INSERT INTO inspection (began_at, ended_at, breaches, report) VALUES (now(), now(), 0, '{"auditHead": {"seq": "900", "hash": "00"}}')`],
  ['ledger-older', `UPDATE ca SET crl_number = 1 WHERE name = 'g1'`],
  ['made-key', `INSERT INTO made_key SELECT id, 0, 'cms', '\\x00', now() - interval '3 days', now() - interval '2 hours' FROM batch LIMIT 1`],
  ['made-key', `INSERT INTO made_key SELECT id, 0, 'cms', '\\x00', now() - interval '3 days', now() + interval '2 hours', now() - interval '2 hours' FROM batch LIMIT 1`],
  ['made-key', `ALTER TABLE made_key DROP CONSTRAINT made_key_gone; INSERT INTO made_key SELECT id, 0, 'cms', NULL, now(), now() + interval '1 hour' FROM batch LIMIT 1`],
];

describe('a ledger in which all holds', () => {
  it('is found to hold, and looked at whole', async () => {
    const report = await look();
    expect(report.breaches).toEqual([]);
    expect(report.checked).toMatchObject({ certificates: 9, certificatesInFull: 9, chunks: 4, intents: 5, ceremonyCertificates: 7, crls: 11, filters: 1, publishedCrls: 7, setChecks: 22 });
    expect(report.checked['auditEvents']).toBe(Number(report.auditHead.seq));
  });

  it.each([
    // What was cancelled before it was begun: its items have no row.
    [`UPDATE chunk SET state = 'done', sealed = NULL, failed = items, refusal = 'batch.cancelled' WHERE id = (SELECT max(id) FROM chunk);
      DELETE FROM intent WHERE state = 'open'; UPDATE batch SET state = 'done', cancelled_at = now()`],
    // A batch that is being received, its chunks with it.
    [`INSERT INTO batch (id, principal_id, ca_id, profile_version_id, state, items) VALUES ('00000000-0000-4000-8000-000000000000', 1, 1, 1, 'receiving', 2);
      INSERT INTO chunk (batch_id, first, items, sealed) VALUES ('00000000-0000-4000-8000-000000000000', 0, 2, '\\x00')`],
    // A CRL number that was given out, and a signer who died with it.
    [`UPDATE ca SET crl_number = extract(epoch FROM now()) * 1000 + 5; INSERT INTO crl (ca_id, number, this_update, next_update) SELECT id, crl_number, now(), now() + interval '1 day' FROM ca WHERE name = 'g1'`],
    [`INSERT INTO made_key SELECT id, 0, 'cms', '\\x00', now(), now() + interval '1 hour' FROM batch LIMIT 1`],
    [`INSERT INTO inspection (began_at, ended_at, breaches, report) SELECT now(), now(), 0, jsonb_build_object('auditHead', jsonb_build_object('seq', seq::text, 'hash', encode(hash, 'hex'))) FROM audit_event WHERE seq = 3`],
  ])('holds still after %s', async (change) => expect((await look(change)).breaches).toEqual([]));
});

describe('a ledger that somebody changed', () => {
  it.each(tampers)('%s sees %s', async (check, tamper) => {
    const report = await look(tamper);
    expect(report.breaches.map((breach) => breach.check)).toContain(check);
  });

  it('has a case for each check', () => {
    const elsewhere: CheckName[] = ['signature-once', 'signature-made', 'signature-known', 'crl-current', 'crl-served'];
    expect(new Set<string>([...tampers.map(([check]) => check), ...elsewhere])).toEqual(new Set(Object.keys(checks)));
  });

  it('is told of without end in bounded space', async () => {
    const report = await look(`INSERT INTO burned_serial SELECT 1, sha256(n::text::bytea), 0, now(), now() FROM generate_series(1, 1000) AS n`);
    expect(report.breaches.filter(({ check }) => check === 'intent-burned')).toHaveLength(20);
    expect(report.more).toBeGreaterThan(900);
  });
});

describe('what is published', () => {
  const checksOf = async (served: ReadonlyMap<string, Uint8Array> | undefined, options: InspectionOptions = {}, tamper?: string): Promise<string[]> =>
    [...new Set((await look(tamper, options, served)).breaches.map(({ check }) => check))];
  const without = (name: string): Map<string, Uint8Array> => new Map([...published].filter(([ca]) => ca !== name));

  it.each(['g1', 'offline'])('is missed where the CRL of %s is not there', async (ca) => expect(await checksOf(without(ca))).toEqual(['crl-current']));
  it('is not asked for where nothing is published now', async () => expect(await checksOf(undefined)).toEqual([]));
  it('is seen to be of another CA, and altered', async () => {
    expect(await checksOf(new Map([...published, ['g1', published.get('g2') as Uint8Array]]))).toEqual(expect.arrayContaining(['crl-kept', 'crl-known']));
    const forged = Uint8Array.from(published.get('g1') as Uint8Array);
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
    expect(await checksOf(new Map([...published, ['g1', forged]]))).toEqual(expect.arrayContaining(['crl-kept', 'crl-served']));
  });
  it('is seen to be an older CRL; its delta has what was revoked since', async () => {
    expect(await checksOf(new Map([...published, ['g1', ledger.earlierCrl]]))).toEqual(['crl-served']);
  });
  it('is seen to have half of its last part behind it', async () => {
    expect(await checksOf(published, { crlRefreshPercent: -100 })).toEqual(['crl-current']);
  });
  it('may come late, and is waited for', async () => {
    let asked = 0;
    const late = { get: (name: string) => (name === 'g1' && asked++ < 2 ? ledger.earlierCrl : published.get(name)) } as unknown as ReadonlyMap<string, Uint8Array>;
    expect(await checksOf(late, { crlWithinMs: 20_000 })).toEqual([]);
    expect(asked).toBe(3);
  });
  it('names who does not answer', async () => {
    const report = await inspect(
      { ledger: new PostgresInspectionLedger(ledger.postgres.databaseUrl), ledgerKey: ledger.key, published: statusSite('http://127.0.0.1:9') }, { crlWithinMs: 0 });
    expect(report.breaches.map(({ check, detail }) => `${check} ${detail}`)).toEqual(Array(4).fill('crl-current cannot be had: http://127.0.0.1:9 does not answer'));
  });
});

describe('what the HSM signed', () => {
  const record = (change: (signed: Map<string, number>) => void = () => undefined): HsmRecord => {
    const signed = new Map(ledger.signed.map((tbs): [string, number] => [hash('sha256', tbs), 1]));
    change(signed);
    return { signed, selfTests: new Set(), logins: 0 };
  };
  const found = async (hsmRecord: HsmRecord): Promise<string[]> => (await look(undefined, { hsmRecord })).breaches.map(({ check }) => check);

  it('is all on record', async () => expect(await found(record())).toEqual([]));
  it.each<[CheckName, (signed: Map<string, number>) => void]>([
    ['signature-once', (signed) => void signed.set([...signed.keys()][0] ?? '', 2)],
    ['signature-made', (signed) => void signed.delete([...signed.keys()].at(-1) ?? '')],
    ['signature-known', (signed) => Array.from({ length: 40 }, (_, i) => signed.set(hash('sha256', `unknown ${i}`), 1))],
  ])('%s', async (check, change) => expect(await found(record(change))).toEqual([check]));
});

describe('an inspection', () => {
  it('needs no more than a role that may SELECT, and leaves no connection', async () => {
    await admin.query(`CREATE ROLE reader LOGIN PASSWORD 'reader' IN ROLE pg_read_all_data`);
    await admin.query('GRANT CONNECT ON DATABASE fleetroot TO reader');
    const url = new URL(at('fleetroot'));
    [url.username, url.password] = ['reader', 'reader'];
    const report = await inspect({ ledger: new PostgresInspectionLedger(new Secret(url.href)), ledgerKey: ledger.key, published: undefined });
    expect(report.breaches).toEqual([]);
    expect((await admin.query(`SELECT FROM pg_stat_activity WHERE usename = 'reader'`)).rowCount).toBe(0);
  });

  it('can be broken off anywhere, and lets go at once', async () => {
    const stop = new AbortController();
    const running = inspect({ ledger: new PostgresInspectionLedger(ledger.postgres.databaseUrl), ledgerKey: ledger.key, published: undefined },
      { signal: stop.signal, progress: { begin: () => stop.abort(), add: () => undefined } });
    await expect(running).rejects.toMatchObject({ name: 'AbortError' });
    expect((await admin.query(`SELECT FROM pg_stat_activity WHERE application_name = 'fleetroot fsck' AND state <> 'idle' AND query_start < now() - interval '5 seconds'`)).rowCount).toBe(0);
  });

  it('says that the database is away', async () => {
    const url = new URL(at('fleetroot'));
    url.port = '9';
    await expect(inspect({ ledger: new PostgresInspectionLedger(new Secret(url.href)), ledgerKey: ledger.key, published: undefined })).rejects.toMatchObject({ code: 'store.unavailable' });
  });

  it('looks at one certificate in a thousand, and at all of the newest day', async () => {
    expect((await look(undefined, { full: false })).checked).toMatchObject({ certificates: 9, certificatesInFull: 9 });
    const old = await look(`UPDATE certificate SET issued_at = issued_at - interval '2 days'`, { full: false });
    expect(old.checked['certificatesInFull'] ?? 0).toBeLessThan(9);
  });

  it('is put on record once, whoever made it', async () => {
    const store = await openStore({ databaseUrl: ledger.postgres.databaseUrl, ledgerKey: ledger.key, pool: 2 });
    try {
      const now = new Date();
      const run = { beganAt: now, endedAt: now, breaches: 2, report: {} };
      const record = (): Promise<boolean> => store.inspections.record(run, now, event('ledger.inspected', 'schedule:fsck'));
      expect((await Promise.all([record(), record(), record()])).filter(Boolean)).toHaveLength(1);
      expect(await store.inspections.latest()).toEqual({ beganAt: now, endedAt: now, breaches: 2 });
      expect((await store.audit.head()).seq).toBeGreaterThan(0n);
    } finally {
      await store.close();
    }
  });
});

describe('the worker', () => {
  it('makes the inspection of the night once, however many there are, and puts it on record', async () => {
    const before = new Date(Date.now() - 3 * 86_400_000);
    await sql('fleetroot', `INSERT INTO inspection (began_at, ended_at, breaches, report) VALUES ('${before.toISOString()}', now(), 0, '{}')`);
    await sql('fleetroot', `DELETE FROM inspection WHERE began_at > now() - interval '2 days'`);
    const client = new Client({ connectionString: at('fleetroot') });
    await client.connect();
    const began = new Date();
    const lines: string[] = [];
    const workers = await Promise.all([1, 2].map(async () => startWorker({
      logger: createLogger({ role: 'worker', level: 'info', destination: { write: (line: string) => void lines.push(line) } }),
      store: await openStore({ databaseUrl: ledger.postgres.databaseUrl, ledgerKey: ledger.key, pool: 4 }), queue: { kind: 'postgres', databaseUrl: ledger.postgres.databaseUrl },
      profiles: readProfileFolder('hsm-config/profiles', { statusUrl: 'http://127.0.0.1:9' }), statusInternalUrl: 'http://127.0.0.1:9', enrolmentSecret: new Secret('none'),
      staleAfterMs: 3_600_000, crlRefreshPercent: 50, renewalWindowDays: 1, scheduleSeconds: 1, fsck: { ledgerKey: ledger.key, statusUrl, hour: 0 },
    })));
    try {
      const runs = async (): Promise<{ breaches: number; events: number }[]> => (await client.query<{ breaches: number; events: number }>(`
        SELECT breaches, (SELECT count(*)::int FROM audit_event WHERE payload LIKE '{"action":"ledger.inspected"%' AND at >= $1) AS events FROM inspection WHERE began_at >= $1`, [began])).rows;
      await expect.poll(runs, { timeout: 30_000 }).toEqual([{ breaches: 0, events: 1 }]);
      expect(lines.filter((line) => line.includes('fsck found nothing'))).toHaveLength(1);
    } finally {
      await Promise.all(workers.map((worker) => worker.close()));
      await client.end();
    }
  });
});

describe('fleetroot fsck', () => {
  const cli = (args: readonly string[], environment: Record<string, string> = {}) =>
    spawnSync(process.execPath, ['apps/cli/dist/main.js', 'fsck', ...args], { encoding: 'utf8', timeout: 60_000, env: { PATH: process.env['PATH'] ?? '', ...environment } });
  let arguments_: string[];
  let environment: Record<string, string>;

  beforeAll(async () => {
    await writeFile(join(folder, 'url'), ledger.postgres.databaseUrl.reveal());
    await writeFile(join(folder, 'key'), toHex(ledger.ledgerKey));
    environment = { FLEETROOT_DATABASE_URL_FILE: join(folder, 'url'), FLEETROOT_LEDGER_KEY_FILE: join(folder, 'key') };
    arguments_ = ['--environment', '--status-url', statusUrl, '--crl-within', '0'];
  });

  it('ends with 0 where nothing is found, and says what it looked at', () => {
    const { status, stdout, stderr } = cli([...arguments_, '--json'], environment);
    expect([status, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout)).toMatchObject({ breaches: [], more: 0, checked: { certificates: 9, publishedCrls: 7 }, beganAt: expect.any(String), endedAt: expect.any(String) });
    const told = cli(arguments_, environment).stdout;
    expect(told).toContain('Looked at 9 certificates in 4 chunks');
    expect(told).toContain('Nothing was found');
  });

  it('ends with 1 where something is, and says what to do', async () => {
    await sql('fleetroot', 'SET session_replication_role = replica', `UPDATE subject_key SET blocked = false WHERE owner = 'ecu:ECU-2'`);
    try {
      const { status, stdout } = cli([...arguments_, '--json'], environment);
      expect(status).toBe(1);
      expect((JSON.parse(stdout) as { breaches: unknown[] }).breaches).toEqual([{ invariant: 'I11', check: 'key-blocked', subject: expect.stringMatching(/^serial [0-9a-f]{36}$/), detail: expect.any(String) }]);
      const told = cli(arguments_, environment);
      expect(told.status).toBe(1);
      expect(told.stdout).toContain(`What to do: ${checks['key-blocked'].remedy}`);
    } finally {
      await sql('fleetroot', 'SET session_replication_role = replica', `UPDATE subject_key SET blocked = true WHERE owner = 'ecu:ECU-2'`);
    }
  });

  it('holds the log against a head that was kept elsewhere', () => {
    const head = /ends at (\S+)/.exec(cli(arguments_, environment).stdout)?.[1] ?? '';
    expect(cli([...arguments_, '--audit-head', head], environment).status).toBe(0);
    expect(cli([...arguments_, '--audit-head', head.replace(/:.*/, `:${'0'.repeat(64)}`)], environment).status).toBe(1);
  });

  it('reads the record of an HSM', async () => {
    const rows = ledger.signed.map((tbs, i) => {
      const digest = hash('sha256', tbs).toUpperCase().match(/../g) ?? [];
      const row = (place: number): string => `    ${place.toString(16).toUpperCase().padStart(8, '0')}  ${digest.slice(place, place + 16).join(' ')}  ................`;
      return `\n${i}: C_Sign\n2026-11-22 02:00:00.000\n[in] hSession = 0x1\n[in] pData[ulDataLen] 00007f0000000000 / 32\n${row(0)}\n${row(16)}\nReturned:  0 CKR_OK\n`;
    });
    await writeFile(join(folder, 'ca-1.log'), rows.join(''));
    expect(cli([...arguments_, '--hsm-record', folder], environment).status).toBe(0);
    await writeFile(join(folder, 'ca-1.log'), rows.slice(1).join(''));
    const { status, stdout } = cli([...arguments_, '--json', '--hsm-record', folder], environment);
    expect([status, (JSON.parse(stdout) as { breaches: { check: string }[] }).breaches.map(({ check }) => check)]).toEqual([1, ['signature-made']]);
  });

  it.each<[string, number, string[], Record<string, string>]>([
    ['an option that is none', 2, ['--fast'], {}],
    ['a head that is none', 2, ['--audit-head', '7'], {}],
    ['no settings', 2, ['--environment'], {}],
    ['a folder without a record', 2, ['--environment', '--hsm-record', '/nonexistent'], {}],
    ['no installation', 3, ['--data-dir', '/nonexistent'], {}],
  ])('ends with its own status for %s', (_, status, args, env) => {
    const answer = cli(args, env);
    expect([answer.status, answer.stdout]).toEqual([status, '']);
    expect(answer.stderr).not.toBe('');
  });

  it('ends with 3 where the database is away', async () => {
    const url = new URL(ledger.postgres.databaseUrl.reveal());
    url.port = '9';
    await writeFile(join(folder, 'away'), url.href);
    expect(cli(arguments_, { ...environment, FLEETROOT_DATABASE_URL_FILE: join(folder, 'away') }).status).toBe(3);
  });
});
