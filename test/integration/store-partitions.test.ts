import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { revocationReasons } from '@fleetroot/authority';
import { serialDay } from '@fleetroot/core';
import { acceptedBatch, day, event, intentFor, issueChunk, openTestLedger, selfSigned, type TestLedger } from '../support/ledger.ts';

let ledger: TestLedger;
let client: Client;
beforeAll(async () => {
  ledger = await openTestLedger();
  client = new Client({ connectionString: ledger.postgres.databaseUrl.reveal() });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await ledger.close();
});

const sql = async <Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> => (await client.query<Row>(text, values)).rows;
const sqlState = (work: Promise<unknown>): Promise<string> => work.then(() => 'done', (error: { code?: string }) => error.code ?? String(error));
const insert = (serial: Uint8Array, { ca = 0, chunk = null as bigint | null, ordinal = 0, notAfter = new Date(Date.now() + day) } = {}) => client.query(
  `INSERT INTO certificate (ca_id, serial, profile_version_id, chunk_id, ordinal, spki_sha256, not_before, not_after, issued_at, der)
   VALUES ($1, $2, 0, $3, $4, '', now(), $5, now(), '')`, [ca, serial, chunk, ordinal, notAfter]);
const of = (at: string, rest = randomBytes(16)): Buffer => Buffer.concat([serialDay(new Date(at)), rest]);
const partitionOf = async (serial: Uint8Array): Promise<string | undefined> =>
  (await sql<{ name: string }>('SELECT tableoid::regclass::text AS name FROM certificate WHERE serial = $1', [serial]))[0]?.name;
const partitions = async (): Promise<string[]> =>
  (await sql<{ name: string }>(`SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'certificate'::regclass ORDER BY 1`)).map(({ name }) => name);

describe('the day of a serial', () => {
  it('is the same to the database and to the key that derives it', async () => {
    for (const at of ['2020-01-01', '2026-11-22', '2027-12-31', '2044-02-29', '2063-12-31']) {
      const [row] = await sql<{ day: Buffer }>('SELECT serial_day($1::date) AS day', [at]);
      expect(row!.day.equals(serialDay(new Date(`${at}T23:59:59.999Z`)))).toBe(true);
    }
  });
});

describe('a certificate', () => {
  it.each([
    ['2026-01-01T00:00:00.000Z', 'certificate_2026'], ['2026-12-31T23:59:59.999Z', 'certificate_2026'], ['2027-01-01T00:00:00.000Z', 'certificate_2027'],
    ['2029-12-31T23:59:59.999Z', 'certificate_2029'], ['2025-12-31T23:59:59.999Z', 'certificate_other'], ['2040-06-01T00:00:00.000Z', 'certificate_other'],
  ])('of %s is in %s', async (at, partition) => {
    const serial = of(at);
    await insert(serial);
    expect(await partitionOf(serial)).toBe(partition);
  });

  it.each(['4000', '40', '7f66', 'ff00'])('of form 1, or no day, %s..., has its partition', async (prefix) => {
    const serial = Buffer.concat([Buffer.from(prefix, 'hex'), randomBytes(12)]);
    await insert(serial);
    expect(await partitionOf(serial)).toBe('certificate_form_1');
  });

  it('has its serial once for its CA, and its item once (I3)', async () => {
    const serial = of('2026-11-22T00:00:00.000Z');
    await insert(serial, { chunk: -5n, ordinal: 1 });
    expect(await sqlState(insert(serial))).toBe('23505');
    expect(await sqlState(insert(serial, { ca: 1 }))).toBe('done');
    expect(await sqlState(insert(of('2026-11-22T00:00:00.000Z'), { chunk: -5n, ordinal: 1 }))).toBe('23505');
  });
});

describe('partitions', () => {
  it('are there for this year and the three after it, and made ahead by any number of workers at once', async () => {
    const year = new Date().getUTCFullYear();
    for (let ahead = 0; ahead <= 3; ahead++) expect(await partitions()).toContain(`certificate_${year + ahead}`);
    expect(await ledger.store.archive.addPartitions(new Date())).toBe(0);
    const later = new Date(Date.UTC(year + 2, 5, 1));
    const made = await Promise.all([1, 2, 3, 4].map(() => ledger.store.archive.addPartitions(later)));
    expect(made.sort()).toEqual([0, 0, 0, 2]);
    const serial = of(`${year + 5}-03-01T00:00:00.000Z`);
    await insert(serial, { chunk: -6n });
    expect(await partitionOf(serial)).toBe(`certificate_${year + 5}`);
    expect(await sqlState(insert(serial))).toBe('23505');
    expect(await sqlState(insert(of(`${year + 5}-03-01T00:00:00.000Z`), { chunk: -6n }))).toBe('23505');
    expect(await sqlState(client.query(`TRUNCATE certificate_${year + 5}`))).toBe('42501');
    // Indexes of the whole are in it.
    const [indexes] = await sql<{ n: number }>('SELECT count(*)::int AS n FROM pg_index WHERE indrelid = $1::regclass', [`certificate_${year + 5}`]);
    const [older] = await sql<{ n: number }>('SELECT count(*)::int AS n FROM pg_index WHERE indrelid = $1::regclass', [`certificate_${year}`]);
    expect(indexes).toEqual(older);
  });

  it('of a year whose rows came too early stay with the others: nothing fails', async () => {
    await insert(of('2050-01-01T00:00:00.000Z'));
    expect(await sql('SELECT add_certificate_partitions(2049, 2051) AS made')).toEqual([{ made: 2 }]);
    expect(await partitions()).not.toContain('certificate_2050');
    const serial = of('2050-12-31T00:00:00.000Z');
    await insert(serial);
    expect(await partitionOf(serial)).toBe('certificate_other');
  });

  it('end where form 1 begins', async () => {
    expect(await sql('SELECT add_certificate_partitions(2063, 2090) AS made')).toEqual([{ made: 2 }]);
    expect(await sqlState(insert(Buffer.from('3fff01', 'hex')))).toBe('done');
    expect(await partitionOf(Buffer.from('3fff01', 'hex'))).toBe('certificate_2064');
  });

  it('of years that are over are dropped when they are empty, and only then', async () => {
    await sql('SELECT add_certificate_partitions(2022, 2024)');
    await insert(of('2023-05-01T00:00:00.000Z'));
    expect(await sql('SELECT drop_certificate_partitions(2100) AS dropped')).toEqual([{ dropped: 2 }]);
    const left = await partitions();
    expect(left).toContain('certificate_2023');
    expect(left).toContain(`certificate_${new Date().getUTCFullYear()}`);
    for (const gone of ['certificate_2022', 'certificate_2024']) expect(left).not.toContain(gone);
  });
});

describe('nobody deletes', () => {
  const serial = of('2026-11-22T00:00:00.000Z');
  const ended = of('2026-11-22T00:00:00.000Z');
  const past = new Date(Date.now() - 10 * day);

  it('a certificate that is valid, nor shortens it; one that has expired goes', async () => {
    await insert(serial);
    await insert(ended, { notAfter: new Date(Date.now() - 5000) });
    for (const change of ['DELETE FROM certificate', 'DELETE FROM certificate_2026', 'TRUNCATE certificate', 'TRUNCATE certificate_2026', 'TRUNCATE certificate_other']) {
      expect(await sqlState(client.query(change))).toBe('42501');
    }
    expect(await sqlState(sql('DELETE FROM certificate WHERE serial = $1', [serial]))).toBe('42501');
    expect(await sqlState(sql('UPDATE certificate SET not_after = $2 WHERE serial = $1', [serial, past]))).toBe('42501');
    // To another partition: a deletion there.
    expect(await sqlState(sql('UPDATE certificate SET serial = $2 WHERE serial = $1', [serial, of('2027-01-01T00:00:00.000Z')]))).toBe('42501');
    expect(await sqlState(sql('DELETE FROM certificate WHERE serial = $1', [ended]))).toBe('done');
  });

  const rows: [string, (serial: Uint8Array, caId: number, notAfter: Date) => Promise<unknown>][] = [
    ['revocation', (each, caId, notAfter) => sql(
      'INSERT INTO revocation (ca_id, serial, reason, revoked_at, not_after, principal_id) VALUES ($1, $2, 1, now(), $3, $4)', [caId, each, notAfter, ledger.batch.principalId])],
    ['burned_serial', (each, caId, notAfter) => sql('INSERT INTO burned_serial (ca_id, serial, intent_id, not_after, burned_at) VALUES ($1, $2, 0, $3, now())', [caId, each, notAfter])],
  ];
  it.each(rows)('a row of %s before it was on a CRL after its end, and another without it', async (table, add) => {
    const ca = await ledger.store.authorities.add(selfSigned(`crl-${table.replace('_', '-')}`), event('ca.imported', 'ca:x'));
    const [valid, over] = [randomBytes(16), randomBytes(16)];
    await add(valid, ca.id, new Date(Date.now() + day));
    await add(over, ca.id, past);
    const remove = (each: Uint8Array) => sqlState(sql(`DELETE FROM ${table} WHERE serial = $1 RETURNING 1`, [each]));
    const publish = (number: number, thisUpdate: Date) => sql(
      `INSERT INTO crl (ca_id, number, this_update, next_update, der, published_at) VALUES ($1, $2, $3, now(), '', now())`, [ca.id, number, thisUpdate]);
    expect(await remove(valid)).toBe('42501');
    expect(await remove(over)).toBe('42501');
    await publish(1, new Date(past.getTime() - day));
    await publish(2, new Date(past.getTime() + 1));
    expect(await remove(over)).toBe('42501');
    await sql('INSERT INTO crl (ca_id, number, this_update, next_update) VALUES ($1, 3, now(), now())', [ca.id]);
    expect(await remove(over)).toBe('42501');
    await publish(4, new Date());
    expect(await sqlState(client.query(`TRUNCATE ${table}`))).toBe('42501');
    for (const change of ['not_after = now() - interval \'1 day\'', `serial = '\\x01'`, 'ca_id = ca_id + 1', ...(table === 'revocation' ? ['reason = 6'] : [])]) {
      expect(await sqlState(sql(`UPDATE ${table} SET ${change} WHERE serial = $1`, [valid])), change).toBe('42501');
    }
    expect(await remove(valid)).toBe('42501');
    expect(await remove(over)).toBe('done');
    expect(await sql(`SELECT FROM ${table} WHERE serial = $1`, [over])).toHaveLength(0);
  });

  it('but a hold is released (I12)', async () => {
    const { chunkIds: [id] } = await acceptedBatch(ledger, [1]);
    const [item] = await issueChunk(ledger, id!);
    const row = [ledger.ca.id, item!.serial, revocationReasons.certificateHold, item!.notAfter, ledger.batch.principalId];
    await sql('INSERT INTO revocation (ca_id, serial, reason, revoked_at, not_after, principal_id) VALUES ($1, $2, $3, now(), $4, $5)', row);
    const remove = () => sqlState(sql('DELETE FROM revocation WHERE serial = $1', [item!.serial]));
    expect(await remove()).toBe('42501');
    await sql('UPDATE revocation SET released_at = now() WHERE serial = $1', [item!.serial]);
    expect(await remove()).toBe('done');
  });

  it('what issuance itself burns: it goes on working', async () => {
    const { chunkIds: [id] } = await acceptedBatch(ledger, [3]);
    const chunk = await ledger.store.issuance.claim(id!, 30_000);
    await ledger.store.issuance.recordIntent(chunk!, intentFor(chunk!));
    await ledger.store.issuance.release(chunk!, undefined);
    expect(await issueChunk(ledger, id!)).toHaveLength(3);
  });
});
