import { createHash, type Hash } from 'node:crypto';
import type { RevocationTarget, TargetOutcome } from '@fleetroot/authority';
import { type CaName, serialFromBytes } from '@fleetroot/core';
import type { Queryable } from '../database.ts';

/** Rows of a page are gone before memory is looked at for what has lived long. */
const PAGE = 2_000;

interface Place {
  readonly ca_id: number;
  readonly serial: Buffer;
}

/** Names of the CAs, by id. */
export async function caNames(queryable: Queryable): Promise<ReadonlyMap<number, CaName>> {
  return new Map((await queryable.query<{ id: number; name: CaName }>('SELECT id, name FROM ca')).map(({ id, name }) => [id, name]));
}

/** What stands for a target in the hash that approvals are bound to. */
export const targetLine = (names: ReadonlyMap<number, CaName>, { ca_id, serial }: Place): string => `${names.get(ca_id)}/${serialFromBytes(serial)}`;

function add(hash: Hash, names: ReadonlyMap<number, CaName>, rows: readonly Place[]): void {
  hash.update(rows.map((row) => `${targetLine(names, row)}\n`).join(''));
}

/**
 * Counts and hashes what was gathered, in the order of CA and serial, and makes it the targets of `jobId` where one is
 * given; `first` are the first `limit` of them.
 */
export async function fixTargets(
  tx: Queryable, jobId: string | undefined, limit: number,
): Promise<{ readonly targets: number; readonly sha256: Uint8Array; readonly first: readonly Place[] }> {
  const names = await caNames(tx);
  const hash = createHash('sha256');
  const first: Place[] = [];
  let targets = 0;
  for (let after: Place = { ca_id: -1, serial: Buffer.alloc(0) }; ;) {
    const page = `SELECT ca_id, serial FROM revocation_gathered WHERE (ca_id, serial) > ($1, $2) ORDER BY ca_id, serial LIMIT ${PAGE}`;
    const rows = jobId === undefined
      ? await tx.query<Place>(page, [after.ca_id, after.serial])
      : await tx.query<Place>(
        `WITH page AS MATERIALIZED (${page}),
         put AS (INSERT INTO revocation_target (job_id, place, ca_id, serial)
           SELECT $3::uuid, $4::int + row_number() OVER (ORDER BY ca_id, serial) - 1, ca_id, serial FROM page)
         SELECT ca_id, serial FROM page ORDER BY ca_id, serial`, [after.ca_id, after.serial, jobId, targets]);
    add(hash, names, rows);
    for (const row of rows.slice(0, limit - first.length)) first.push(row);
    targets += rows.length;
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) break;
    after = last;
  }
  return { targets, sha256: hash.digest(), first };
}

/** The hash of a job's targets as they are on record now. */
export async function hashOfTargets(tx: Queryable, jobId: string): Promise<Buffer> {
  const names = await caNames(tx);
  const hash = createHash('sha256');
  for (let from = 0; ; from += PAGE) {
    const rows = await tx.query<Place>('SELECT ca_id, serial FROM revocation_target WHERE job_id = $1 AND place >= $2 AND place < $3 ORDER BY place', [jobId, from, from + PAGE]);
    add(hash, names, rows);
    if (rows.length < PAGE) return hash.digest();
  }
}

interface TargetRow extends Place {
  readonly place: number;
  readonly outcome: TargetOutcome | null;
  readonly ca: CaName;
  readonly profile: string | null;
  readonly ecu_serial: string | null;
  readonly not_after: Date | null;
}

const shown = (row: TargetRow): RevocationTarget => ({
  place: row.place, ca: row.ca, serial: serialFromBytes(row.serial), outcome: row.outcome ?? undefined, profile: row.profile ?? undefined,
  ecuSerial: row.ecu_serial ?? undefined, notAfter: row.not_after ?? undefined,
});

/** With what is known of the certificate of a target `t`. */
const WITH_CERTIFICATE = `JOIN ca ON ca.id = t.ca_id LEFT JOIN LATERAL (
  SELECT c.ecu_serial, c.not_after, p.name AS profile FROM certificate c JOIN profile_version p ON p.id = c.profile_version_id
  WHERE c.ca_id = t.ca_id AND c.serial = t.serial LIMIT 1) c ON true`;

/** See RevocationJobLedger.targets. */
export async function targetsOf(queryable: Queryable, jobId: string, from: number, limit: number, outcome: TargetOutcome | undefined): Promise<readonly RevocationTarget[]> {
  return (await queryable.query<TargetRow>(
    `SELECT t.place, t.ca_id, t.serial, t.outcome, ca.name AS ca, c.profile, c.ecu_serial, c.not_after
     FROM (SELECT * FROM revocation_target WHERE job_id = $1 AND place >= $2 AND ($4::text IS NULL OR outcome = $4) ORDER BY place LIMIT $3) t ${WITH_CERTIFICATE} ORDER BY t.place`,
    [jobId, from, limit, outcome ?? null])).map(shown);
}

/** The same of certificates that are no targets yet. */
export async function previewOf(queryable: Queryable, places: readonly Place[]): Promise<readonly RevocationTarget[]> {
  return (await queryable.query<TargetRow>(
    `SELECT (t.n - 1)::int AS place, t.ca_id, t.serial, NULL AS outcome, ca.name AS ca, c.profile, c.ecu_serial, c.not_after
     FROM unnest($1::int[], $2::bytea[]) WITH ORDINALITY AS t (ca_id, serial, n) ${WITH_CERTIFICATE} ORDER BY t.n`,
    [places.map(({ ca_id }) => ca_id), places.map(({ serial }) => serial)])).map(shown);
}
