import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { verifyChain } from '@fleetroot/audit';
import type { IssuedItem } from '@fleetroot/authority';
import { PkiError, serialFromBytes } from '@fleetroot/core';
import type { ArchiveRun } from '@fleetroot/store';
import { acceptedBatch, day, event, intentFor, issuedFor, openTestLedger, type TestLedger } from '../support/ledger.ts';

let ledger: TestLedger;
let client: Client;
let folder: string;
beforeAll(async () => {
  ledger = await openTestLedger();
  client = new Client({ connectionString: ledger.postgres.databaseUrl.reveal() });
  await client.connect();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-archive-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});
afterAll(async () => {
  await client.end();
  await ledger.close();
});

const code = (error: unknown): string => (error instanceof PkiError ? error.code : String(error));
const sql = async <Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> => (await client.query<Row>(text, values)).rows;
const DAYS = 30;
const run = (given: Partial<ArchiveRun> = {}) => {
  const now = new Date();
  return ledger.store.archive.run({ folder, before: new Date(now.getTime() - DAYS * day), now, actor: 'system:test', ...given });
};
const TABLES = ['certificate', 'revocation', 'burned_serial', 'intent', 'failure', 'chunk', 'batch', 'registration'] as const;
const counts = async (): Promise<Record<string, number>> =>
  (await sql<Record<string, number>>(`SELECT ${TABLES.map((table) => `(SELECT count(*)::int FROM ${table}) AS ${table}`).join(', ')}`))[0]!;
const lines = (into = folder): { table: string; row: Record<string, unknown> }[] => readdirSync(into).filter((name) => name.endsWith('.gz'))
  .flatMap((name) => gunzipSync(readFileSync(join(into, name))).toString().trim().split('\n').map((line) => JSON.parse(line)));

/** A batch whose certificates end `endsIn` days from now, done `doneBefore` days ago. */
async function old(sizes: readonly number[], endsIn = -60, doneBefore = 90): Promise<{ batchId: string; items: IssuedItem[] }> {
  const { batchId, chunkIds } = await acceptedBatch(ledger, sizes);
  const items: IssuedItem[] = [];
  for (const id of chunkIds) {
    const chunk = (await ledger.store.issuance.claim(id, 30_000))!;
    const intent = { ...intentFor(chunk), notAfter: new Date(Date.now() + endsIn * day) };
    const { intentId } = await ledger.store.issuance.recordIntent(chunk, intent);
    const issued = issuedFor(ledger.key, chunk, intent);
    await ledger.store.issuance.complete(chunk, intentId, issued, [], event('chunk.issued', `batch:${batchId}`));
    items.push(...issued);
  }
  await age(batchId, doneBefore);
  return { batchId, items };
}

const age = async (batchId: string, days: number): Promise<void> => {
  await sql(`UPDATE batch SET completed_at = now() - $2 * interval '1 day' WHERE id = $1`, [batchId, days]);
  await sql(`UPDATE chunk SET done_at = now() - $2 * interval '1 day' WHERE batch_id = $1`, [batchId, days]);
};
const there = async (batchId: string): Promise<boolean> => (await sql('SELECT FROM batch WHERE id = $1', [batchId])).length > 0;
const revoke = (item: IssuedItem) => ledger.store.revocations.revoke({
  serial: serialFromBytes(item.serial), ca: ledger.ca.name, reason: 'superseded', revokedAt: new Date(), principalId: ledger.batch.principalId,
}, event('certificate.revoked', 'x'));
let number = 0;
const publish = () => sql(`INSERT INTO crl (ca_id, number, this_update, next_update, der, published_at) VALUES ($1, $2, now(), now(), '', now())`, [ledger.ca.id, ++number]);

describe('what is archived', () => {
  it('is each batch of which all has expired, whole, and nothing else', async () => {
    const gone = [await old([3, 2]), await old([4])];
    const kept = {
      valid: await old([2], 1), 'expired of late': await old([2], -DAYS + 1), 'done of late': await old([2], -60, 1),
      'in part valid': await old([2, 2]),
    };
    await sql(`UPDATE intent SET not_after = now() + interval '1 day' WHERE chunk_id = (SELECT max(id) FROM chunk WHERE batch_id = $1)`, [kept['in part valid'].batchId]);
    const { batchId: open } = await acceptedBatch(ledger, [2]);
    const before = await counts();
    const seq = (await ledger.store.audit.head()).seq;
    const wanted = await sql(`SELECT to_jsonb(c) AS row FROM certificate c JOIN chunk k ON k.id = c.chunk_id WHERE k.batch_id = ANY($1) ORDER BY c.id`, [gone.map(({ batchId }) => batchId)]);
    const report = await run();
    expect(report.counts).toEqual({ certificate: 9, intent: 3, chunk: 3, batch: 2 });
    for (const { batchId } of gone) expect(await there(batchId)).toBe(false);
    for (const [why, { batchId }] of Object.entries(kept)) expect([why, await there(batchId)]).toEqual([why, true]);
    expect(await there(open)).toBe(true);
    const after = await counts();
    expect(TABLES.map((table) => before[table]! - after[table]!)).toEqual([9, 0, 0, 3, 0, 3, 2, 0]);
    expect(lines().filter(({ table }) => table === 'certificate').map(({ row }) => ({ row }))).toEqual(wanted);
    // What others may rely on for ever stays.
    for (const { items } of gone) for (const item of items) {
      expect(await sql('SELECT FROM subject_key WHERE spki_sha256 = $1', [item.spkiSha256])).toHaveLength(1);
      expect(await sql('SELECT FROM ecu WHERE serial = $1', [item.ecuSerial])).toHaveLength(1);
    }
    // The file is fixed by the ledger, the audit log and the manifest.
    const [file] = report.files as [string];
    const hash = createHash('sha256').update(readFileSync(join(folder, file))).digest('hex');
    expect(readFileSync(join(folder, 'SHA256SUMS'), 'utf8')).toBe(`${hash}  ${file}\n`);
    expect(await sql(`SELECT encode(sha256, 'hex') AS sha256, counts, deleted_at IS NOT NULL AS deleted FROM archive WHERE file = $1`, [file]))
      .toEqual([{ sha256: hash, counts: report.counts, deleted: true }]);
    const events = await sql<{ payload: string }>('SELECT payload FROM audit_event WHERE seq > $1', [String(seq)]);
    expect(events.map(({ payload }) => JSON.parse(payload))).toMatchObject([{ action: 'ledger.archived', subject: `archive:${file}`, data: { sha256: hash, rows: report.counts } }]);
    expect((await verifyChain(ledger.store.audit.events(), await ledger.store.audit.head())).breach).toBeUndefined();
    expect(await run()).toEqual({ files: [], counts: {}, resumed: [], partitionsDropped: 0 });
  });

  it('can be put back: a row is what PostgreSQL makes a row of', async () => {
    const { batchId, items } = await old([2]);
    const [before] = await sql('SELECT * FROM certificate WHERE serial = $1', [items[0]!.serial]);
    await run();
    expect(await there(batchId)).toBe(false);
    for (const table of ['batch', 'chunk', 'intent', 'certificate']) {
      for (const { row } of lines().filter((line) => line.table === table)) {
        await sql(`INSERT INTO ${table} SELECT * FROM jsonb_populate_record(NULL::${table}, $1)`, [JSON.stringify(row)]);
      }
    }
    expect(await sql('SELECT * FROM certificate WHERE serial = $1', [items[0]!.serial])).toEqual([before]);
    await run();
  });

  it('waits until what is revoked or burned of it has been on a CRL after its end', async () => {
    const { batchId, items } = await old([2, 2]);
    await revoke(items[1]!);
    const { batchId: burnedBatch, chunkIds: [id] } = await acceptedBatch(ledger, [3]);
    for (const lost of [true, false]) {
      const chunk = (await ledger.store.issuance.claim(id!, 30_000))!;
      const intent = { ...intentFor(chunk), notAfter: new Date(Date.now() - 60 * day) };
      const { intentId } = await ledger.store.issuance.recordIntent(chunk, intent);
      if (lost) await ledger.store.issuance.release(chunk, undefined);
      else await ledger.store.issuance.complete(chunk, intentId, issuedFor(ledger.key, chunk, intent), [], event('chunk.issued', 'x'));
    }
    await age(burnedBatch, 90);
    for (let crls = 0; crls < 2; crls++) {
      expect((await run()).counts).toEqual({});
      await publish();
    }
    expect((await run()).counts).toEqual({ certificate: 7, revocation: 1, burned_serial: 3, intent: 4, chunk: 3, batch: 2 });
    expect([await there(batchId), await there(burnedBatch)]).toEqual([false, false]);
    expect((await counts())['burned_serial']).toBe(0);
  });

  it('waits for keys that were made and not delivered', async () => {
    const { batchId } = await old([1]);
    await sql(`INSERT INTO made_key (batch_id, ordinal, kind, envelope, expires_at) VALUES ($1, 0, 'cms', 'x', now())`, [batchId]);
    expect((await run()).counts).toEqual({});
    await sql('UPDATE made_key SET envelope = NULL, deleted_at = now() WHERE batch_id = $1', [batchId]);
    expect((await run()).counts).toMatchObject({ made_key: 1, certificate: 1 });
  });

  it('holds batches of which nothing was issued, and first connections, by their own age', async () => {
    const begun = await ledger.store.batches.begin(ledger.batch);
    if (begun.kind !== 'new') throw new Error('known');
    await ledger.store.batches.append(begun.batchId, [], [{ ordinal: 0, code: 'request.malformed', detail: 'x' }]);
    await ledger.store.batches.accept(begun.batchId, Buffer.alloc(32), event('batch.accepted', 'x'));
    await sql(`INSERT INTO registration (at, outcome, code) SELECT now() - n * interval '20 days', 'refused', 'x' FROM generate_series(1, 3) AS n`);
    expect((await run()).counts).toEqual({ registration: 2 });
    await age(begun.batchId, 31);
    expect((await run()).counts).toEqual({ failure: 1, chunk: 1, batch: 1 });
    expect((await counts())['registration']).toBe(1);
  });
});

describe('a run that is cut off', () => {
  it('before its file is on record: nothing is gone, and the next run removes what is left of it and does it again', async () => {
    const { batchId } = await old([5]);
    await sql(`ALTER TABLE archive ADD CONSTRAINT killed CHECK (false) NOT VALID`);
    expect(await run().then(() => 'done', code)).toBe('internal');
    await sql('ALTER TABLE archive DROP CONSTRAINT killed');
    expect(await there(batchId)).toBe(true);
    expect((await sql('SELECT FROM certificate c JOIN chunk k ON k.id = c.chunk_id WHERE k.batch_id = $1', [batchId]))).toHaveLength(5);
    const [orphan] = readdirSync(folder).filter((name) => name.endsWith('.gz')) as [string];
    writeFileSync(join(folder, `${orphan}.partial`), 'half');
    writeFileSync(join(folder, 'notes.txt'), 'of the operator');
    // Another second, another name.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const report = await run();
    expect(report.counts).toMatchObject({ certificate: 5 });
    expect(readdirSync(folder).sort()).toEqual(['SHA256SUMS', report.files[0], 'notes.txt'].sort());
  });

  it('in the midst of its deletions: the next run checks the file and deletes the rest', async () => {
    const { batchId } = await old([3, 3]);
    await sql(`CREATE FUNCTION killed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'killed'; END $$`);
    await sql('CREATE TRIGGER killed BEFORE DELETE ON chunk FOR EACH ROW EXECUTE FUNCTION killed()');
    expect(await run().then(() => 'done', code)).toBe('internal');
    expect(await sql('SELECT FROM certificate c JOIN chunk k ON k.id = c.chunk_id WHERE k.batch_id = $1', [batchId])).toHaveLength(0);
    expect(await sql('SELECT FROM archive WHERE deleted_at IS NULL')).toHaveLength(1);
    const [file] = readdirSync(folder).filter((name) => name.endsWith('.gz')) as [string];
    const octets = readFileSync(join(folder, file));
    for (const [damage, undo] of [
      [() => writeFileSync(join(folder, file), Buffer.concat([octets, Buffer.from('x')])), () => writeFileSync(join(folder, file), octets)],
      [() => rmSync(join(folder, file)), () => writeFileSync(join(folder, file), octets)],
    ] as const) {
      damage();
      expect(await run().then(() => 'done', code)).toBe('archive.damaged');
      undo();
    }
    await sql('DROP TRIGGER killed ON chunk');
    expect(await run()).toMatchObject({ resumed: [file], files: [], counts: {} });
    expect(await there(batchId)).toBe(false);
    expect(await sql('SELECT FROM archive WHERE deleted_at IS NULL')).toHaveLength(0);
    await sql('DROP FUNCTION killed');
  });

  it('by its own signal: ends after the step it is at', async () => {
    await old([2]);
    expect(await run({ signal: AbortSignal.abort() })).toMatchObject({ files: [] });
    expect((await run()).counts).toMatchObject({ certificate: 2 });
  });
});

describe('archiving', () => {
  it('is one process\'s at a time', async () => {
    const other = new Client({ connectionString: ledger.postgres.databaseUrl.reveal() });
    await other.connect();
    await other.query(`SELECT pg_advisory_lock(x'61726368697665'::bigint)`);
    expect(await run().then(() => 'done', code)).toBe('archive.busy');
    await other.end();
    expect(await run().then(() => 'done', code)).toBe('done');
  });

  it('takes nothing that has not expired', async () => {
    const now = new Date();
    expect(await ledger.store.archive.run({ folder, before: now, now, actor: 'system:test' }).then(() => 'done', code)).toBe('config.invalid');
  });

  it('divides what is much into files, a batch never', async () => {
    const big = await old([40, 20]);
    const small = await old([5]);
    const report = await run({ fileRows: 50 });
    expect(report.files).toHaveLength(2);
    expect(report.counts).toMatchObject({ certificate: 65, batch: 2 });
    expect([await there(big.batchId), await there(small.batchId)]).toEqual([false, false]);
  });
});
