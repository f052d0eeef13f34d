import { randomBytes, randomUUID } from 'node:crypto';
import { chmod, cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CaName, LedgerKey, PkiError, Secret } from '@fleetroot/core';
import { type EmbeddedPostgres, migrate, openStatusStore, openStore, provision, type Provisioned, startEmbeddedPostgres } from '@fleetroot/store';
import { keyIdentifier, parseCertificate, spkiSha256 } from '@fleetroot/x509';
import { sealRequests } from '../../libs/store/src/batches/sealed-requests.ts';
import { day, event, intentFor, issuedFor, randomSerial, requests, sha256 } from '../support/ledger.ts';
import { migrationsFolder } from '../support/postgres.ts';
import { certify, named, type SoftwareCa } from '../support/software-ca.ts';

const HIERARCHY = '20261122100000_hierarchy';
/** All from here on are about what those before made. */
const FROM_REVOCATION = (await readdir(migrationsFolder)).filter((name) => name >= '20261125' && !name.endsWith('.toml')).sort();
const key = new LedgerKey(randomBytes(32));

let dataDir: string;
let oldFolder: string;
let postgres: EmbeddedPostgres;
let urls: Provisioned;
let client: Client;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'fleetroot-pg-'));
  await chmod(dataDir, 0o755);
  oldFolder = await mkdtemp(join(tmpdir(), 'fleetroot-migrations-'));
  await cp(migrationsFolder, oldFolder, { recursive: true });
  for (const later of [HIERARCHY, ...FROM_REVOCATION]) await rm(join(oldFolder, later), { recursive: true });
  postgres = await startEmbeddedPostgres({ dataDir, onNotice: () => undefined });
  const password = (): Secret => new Secret(randomBytes(16).toString('hex'));
  urls = await provision({ adminUrl: postgres.adminUrl, password: password(), statusPassword: password() });
  await migrate({ databaseUrl: urls.databaseUrl, folder: oldFolder });
  client = new Client({ connectionString: urls.databaseUrl.reveal() });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await postgres.stop();
  for (const folder of [dataDir, oldFolder]) await rm(folder, { recursive: true, force: true });
});

const code = (error: unknown): string => (error instanceof PkiError ? error.code : String(error));
const sql = async <Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> => (await client.query<Row>(text, values)).rows;

/** As the release before recorded it. */
async function oldCa(name: string, made: SoftwareCa, parentId: number | null): Promise<number> {
  const { spkiDer, notBefore, notAfter } = parseCertificate(made.certificate);
  const [row] = await sql<{ id: number }>(
    `INSERT INTO ca (name, parent_id, state, certificate, spki_sha256, key_id, not_before, not_after) VALUES ($1, $2, 'active', $3, $4, $5, $6, $7) RETURNING id`,
    [name, parentId, made.certificate, spkiSha256(spkiDer), keyIdentifier(spkiDer), notBefore, notAfter]);
  return row!.id;
}

describe('a ledger of the release before the hierarchies', () => {
  const notAfter = new Date(Date.now() + 3000 * day);
  const root = certify({ subject: named('old root'), serial: randomSerial(), notAfter });
  const sub = certify({ subject: named('old sub'), issuer: root, serial: Buffer.concat([Buffer.of(0, 0x9f), randomBytes(14)]), notAfter });
  const leafSerial = randomSerial();
  const batchId = randomUUID();
  const items = requests(0, 3);
  let rootId = 0;
  let subId = 0;
  let chunkId = 0n;

  it('with CAs, a principal, a batch in work, an open intent and a heartbeat', async () => {
    rootId = await oldCa('old-root', root, null);
    subId = await oldCa('old-sub', sub, rootId);
    const [principal] = await sql<{ id: number }>(`INSERT INTO principal (name, roles, token_sha256) VALUES ('line-1', '{line}', $1) RETURNING id`, [sha256('token')]);
    const [profile] = await sql<{ id: number }>(`INSERT INTO profile_version (name, sha256, document) VALUES ('ecu-client', $1, '{}') RETURNING id`, [sha256('p')]);
    await sql(`INSERT INTO batch (id, principal_id, body_sha256, ca_id, profile_version_id, state, items, accepted_at) VALUES ($1, $2, $3, $4, $5, 'accepted', 3, now())`,
      [batchId, principal!.id, sha256('body'), subId, profile!.id]);
    const [chunk] = await sql<{ id: string }>(`INSERT INTO chunk (batch_id, first, items, state, fence, claimed_at, sealed) VALUES ($1, 0, 3, 'signing', 1, now() - interval '1 hour', $2) RETURNING id`,
      [batchId, sealRequests(key, batchId, 0, items)]);
    chunkId = BigInt(chunk!.id);
    await sql(`INSERT INTO intent (chunk_id, fence, ca_id, profile_version_id, seed, signed_at, not_after, first, items) VALUES ($1, 1, $2, $3, $4, now(), $5, 0, 3)`,
      [chunk!.id, subId, profile!.id, randomBytes(32), new Date(Date.now() + 300 * day)]);
    await sql(`INSERT INTO certificate (ca_id, serial, profile_version_id, ordinal, spki_sha256, not_before, not_after, issued_at, der) VALUES ($1, $2, $3, 0, '', now(), now() + interval '1 day', now(), '')`,
      [subId, leafSerial, profile!.id]);
    await sql(`INSERT INTO heartbeat (instance, role, at) VALUES ('issuer-1', 'issuer', now())`);
    const store = await openStore({ databaseUrl: urls.databaseUrl, ledgerKey: key, pool: 1 });
    expect(await store.authorities.all().catch(code)).toBe('store.migration');
    await store.close();
  });

  it('is migrated by one of four processes, and lists what its ceremonies signed', async () => {
    const outcomes = await Promise.all(Array.from({ length: 4 }, () => migrate({ databaseUrl: urls.databaseUrl, folder: migrationsFolder })));
    expect(outcomes.flatMap(({ applied }) => applied)).toEqual([HIERARCHY, ...FROM_REVOCATION]);
    const rows = await sql('SELECT kind, subject_id, issuer_id, serial, der, sha256, not_after FROM ceremony_certificate ORDER BY id');
    expect(rows).toEqual([[root, rootId], [sub, subId]].map(([made, id]) => {
      const { certificate } = made as SoftwareCa;
      return {
        kind: 'ca', subject_id: id, issuer_id: rootId, serial: Buffer.from(parseCertificate(certificate).serial), der: Buffer.from(certificate),
        sha256: Buffer.from(sha256(certificate)), not_after: parseCertificate(certificate).notAfter,
      };
    }));
  });

  it('answers for its CAs and its leaves as before', async () => {
    const status = await openStatusStore({ databaseUrl: urls.statusDatabaseUrl, pool: 1 });
    try {
      expect(await status.authorities()).toMatchObject([
        { name: 'old-root', parentId: undefined, labels: {}, signatureAlgorithm: undefined, successorId: undefined, switchAt: undefined, revocation: undefined },
        { name: 'old-sub', parentId: rootId, state: 'active' },
      ]);
      const answers = await status.statuses(rootId, [parseCertificate(root.certificate).serial, parseCertificate(sub.certificate).serial, leafSerial]);
      expect(answers.map((answer) => answer.status)).toEqual(['good', 'good', 'unknown']);
      expect(await status.statuses(subId, [leafSerial])).toEqual([{ status: 'good' }]);
      expect(await status.ceremonyCertificates(subId, new Date())).toHaveLength(1);
    } finally {
      await status.close();
    }
  });

  it('goes on with the batch that was in work: line work, all of the attempt before it burned', async () => {
    const store = await openStore({ databaseUrl: urls.databaseUrl, ledgerKey: key, pool: 4 });
    try {
      expect(await store.issuance.backlog()).toEqual([{ purpose: 'line', items: 3 }]);
      expect(await store.heartbeats.figures('issuer')).toMatchObject([{ instance: 'issuer-1', figures: {} }]);
      expect(await store.principals.byTokenSha256(sha256('token'))).toMatchObject({ name: 'line-1', authorities: [] });
      const chunk = await store.issuance.claim(chunkId, 30_000);
      expect(chunk).toMatchObject({ fence: 2, purpose: 'line', caId: subId });
      expect(chunk?.requests.map(({ ecuSerial }) => ecuSerial)).toEqual(items.map(({ ecuSerial }) => ecuSerial));
      expect(await sql('SELECT FROM burned_serial WHERE ca_id = $1', [subId])).toHaveLength(3);
      expect(await sql('SELECT state, untouched FROM intent')).toEqual([{ state: 'abandoned', untouched: [] }]);
      const intent = intentFor(chunk!);
      const { intentId } = await store.issuance.recordIntent(chunk!, intent);
      await store.issuance.complete(chunk!, intentId, issuedFor(key, chunk!, intent), [], event('chunk.issued', `batch:${batchId}`));
      expect(await store.batches.progress(batchId)).toMatchObject({ state: 'done', issued: 3 });
      expect(await store.authorities.lastDependant(subId)).toEqual(intent.notAfter);
      expect(await store.authorities.lastDependant(rootId)).toEqual(parseCertificate(sub.certificate).notAfter);
    } finally {
      await store.close();
    }
  });

  it('migrated again has nothing to do but for a CA that a process of the release before added meanwhile', async () => {
    expect(await migrate({ databaseUrl: urls.databaseUrl, folder: migrationsFolder })).toEqual({ applied: [] });
    expect(await sql('SELECT FROM ceremony_certificate')).toHaveLength(2);
    const late = certify({ subject: named('late'), issuer: root, serial: randomSerial(), notAfter });
    const lateId = await oldCa('late', late, rootId);
    await migrate({ databaseUrl: urls.databaseUrl, folder: migrationsFolder });
    expect(await sql('SELECT issuer_id FROM ceremony_certificate WHERE subject_id = $1', [lateId])).toEqual([{ issuer_id: rootId }]);
  });

  it('revokes the subordinate that it had before, at its issuer', async () => {
    const store = await openStore({ databaseUrl: urls.databaseUrl, ledgerKey: key, pool: 2 });
    try {
      const { id } = await store.authorities.byName('old-sub' as CaName);
      await store.authorities.revoke({ caId: id, reason: 1, revokedAt: new Date(), principalId: (await store.principals.all())[0]!.id }, event('ca.revoked', 'ca:old-sub'));
      expect(await sql('SELECT serial FROM revocation WHERE ca_id = $1', [rootId])).toEqual([{ serial: Buffer.from(parseCertificate(sub.certificate).serial) }]);
    } finally {
      await store.close();
    }
  });
});

describe('the tables themselves refuse', () => {
  const certificate = (kind: string, subject: string, issuer: string, serial = "'\\x01'") =>
    `INSERT INTO ceremony_certificate (kind, subject_id, issuer_id, serial, der, sha256, not_before, not_after) VALUES ('${kind}', ${subject}, ${issuer}, ${serial}, '', '\\x01', now(), now())`;
  it.each([
    ['a successor without a time', `UPDATE ca SET successor_id = (SELECT id FROM ca WHERE name = 'late') WHERE name = 'old-root'`],
    ['a time without a successor', `UPDATE ca SET switch_at = now() WHERE name = 'old-root'`],
    ['a CA that follows itself', `UPDATE ca SET successor_id = id, switch_at = now() WHERE name = 'old-root'`],
    ['a reason without a date', `UPDATE ca SET state = 'retired', revocation_reason = 1 WHERE name = 'old-root'`],
    ['a date without a reason', `UPDATE ca SET state = 'retired', revoked_at = now() WHERE name = 'old-root'`],
    ['a hold', `UPDATE ca SET state = 'retired', revoked_at = now(), revocation_reason = 6 WHERE name = 'old-root'`],
    ['the reason 8', `UPDATE ca SET state = 'retired', revoked_at = now(), revocation_reason = 8 WHERE name = 'old-root'`],
    ['a revoked CA that is active', `UPDATE ca SET revoked_at = now(), revocation_reason = 4 WHERE name = 'old-root'`],
    ['an unknown purpose', `UPDATE batch SET purpose = 'other'`],
    ['an unknown kind', certificate('leaf', '1', '1')],
    ['a CA certificate of nobody', certificate('ca', 'NULL', '1')],
    ['a cross-certificate of nobody by nobody', certificate('cross', 'NULL', 'NULL')],
    ['an OCSP signer of nobody on record', certificate('ocsp-signer', 'NULL', 'NULL')],
    ['an OCSP signer that is a CA', certificate('ocsp-signer', '1', '1')],
    ['a serial of 21 octets', certificate('ca', '1', '1', `decode(repeat('01', 21), 'hex')`)],
    ['places that a stored intent left out', `UPDATE intent SET untouched = '{1}' WHERE state = 'stored'`],
  ])('%s', async (_, statement) => {
    await expect(sql(statement)).rejects.toMatchObject({ code: '23514' });
  });
});

describe('a ledger of before the partitions', () => {
  // The others are about what the first makes.
  const LATER = ['20261123000001_partitions', '20261124000000_statistics', ...FROM_REVOCATION];
  let folder: string;
  let before: Provisioned;
  let old: Client;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fleetroot-migrations-'));
    await cp(migrationsFolder, folder, { recursive: true });
    for (const later of LATER) await rm(join(folder, later), { recursive: true });
    await client.end();
    const admin = new Client({ connectionString: postgres.adminUrl.reveal() });
    await admin.connect();
    await admin.query('DROP DATABASE fleetroot');
    await admin.end();
    before = await provision({ adminUrl: postgres.adminUrl, password: new Secret('one'), statusPassword: new Secret('two') });
    await migrate({ databaseUrl: before.databaseUrl, folder });
    old = new Client({ connectionString: before.databaseUrl.reveal() });
    await old.connect();
  });
  afterAll(async () => {
    await old.end();
    await rm(folder, { recursive: true });
    // The file's own afterAll ends it again.
    client = new Client({ connectionString: before.databaseUrl.reveal() });
    await client.connect();
  });

  it('keeps every certificate, each in its partition, and counts on', async () => {
    const serials = [randomSerial(), key.deriveSerial({ seed: randomBytes(32), signedAt: new Date('2026-11-22T10:00:00Z'), form: 2 }, 1)];
    for (const [i, serial] of serials.entries()) {
      await old.query(`INSERT INTO certificate (ca_id, serial, profile_version_id, chunk_id, ordinal, ecu_serial, spki_sha256, not_before, not_after, issued_at, renewal_due_at, der)
        VALUES (7, $1, 1, 5, $2, 'ECU', '', now(), now() + interval '1 day', now(), now(), $3)`, [serial, i, randomBytes(700)]);
    }
    const columns = 'id, ca_id, serial, profile_version_id, chunk_id, ordinal, intent_id, ecu_serial, subject_name, spki_sha256, not_before, not_after, issued_at, renewal_due_at, der';
    const { rows: had } = await old.query(`SELECT ${columns} FROM certificate ORDER BY id`);
    expect((await migrate({ databaseUrl: before.databaseUrl, folder: migrationsFolder })).applied).toEqual(LATER);
    expect((await old.query(`SELECT ${columns} FROM certificate ORDER BY id`)).rows).toEqual(had);
    const { rows: targets } = await old.query(`SELECT DISTINCT attrelid::regclass::text AS name, attstattarget AS target FROM pg_attribute
      WHERE attrelid IN ('certificate_2026'::regclass, 'certificate_other'::regclass, 'subject_key'::regclass) AND attnum > 0 ORDER BY 1`);
    expect(targets).toEqual([{ name: 'certificate_2026', target: 10 }, { name: 'certificate_other', target: 10 }, { name: 'subject_key', target: 10 }]);
    expect((await old.query('SELECT tableoid::regclass::text AS name FROM certificate ORDER BY id')).rows).toEqual([{ name: 'certificate_form_1' }, { name: 'certificate_2026' }]);
    const { rows: [next] } = await old.query(`INSERT INTO certificate (ca_id, serial, profile_version_id, ordinal, spki_sha256, not_before, not_after, issued_at, der)
      VALUES (7, $1, 1, 0, '', now(), now(), now(), '') RETURNING id`, [randomSerial()]);
    expect(BigInt(next.id)).toBe(BigInt(had.at(-1)!.id) + 1n);
    const status = await openStatusStore({ databaseUrl: before.statusDatabaseUrl, pool: 1 });
    expect(await status.statuses(7, serials)).toEqual([{ status: 'good' }, { status: 'good' }]);
    await status.close();
  });
});
