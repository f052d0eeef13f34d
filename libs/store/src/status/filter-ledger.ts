import type { AuditEvent } from '@fleetroot/audit';
import { type CaState, type FilterLedger, type KnownSerial, type KnownSerials, may, type StoredFilter } from '@fleetroot/authority';
import { PkiError, type Secret } from '@fleetroot/core';
import { appendEvent } from '../audit-log.ts';
import type { Database, Queryable } from '../database.ts';
import { addToOutbox } from '../outbox.ts';
import { column, type Shape } from '../inspection/binary-row.ts';
import { Snapshot } from '../inspection/snapshot.ts';
import { advances, requireSaneTime } from '../signing-time.ts';

/** Filters are made before certificates, after CRLs. */
const FILTER_PRIORITY = 2;
/** Between the time that an attempt is signed for and its commit lies less than this: clocks (I24) and transactions are bounded. */
const RECORDED_WITHIN_S = 300;
/** No profile lets a certificate begin earlier before its signature than this (`backdateMinutes`). */
const BACKDATED_S = 86_400;
/** A vehicle's clock may be behind: what has expired is known for some days more. */
const KEPT_DAYS = 7;
/** Content is kept of so many full filters, and of so many deltas of the newest. */
const KEPT_FULL = 2;
const KEPT_DELTAS = 4;

interface FilterRow {
  readonly ca_id: number;
  readonly version: bigint;
  readonly base_version: bigint;
  readonly made_at: Date;
  readonly known: bigint;
  readonly revoked: bigint;
  readonly sha256: Buffer;
  readonly content: Buffer;
}

const COLUMNS = 'ca_id, version, base_version, made_at, known, revoked, sha256, content';
const shape: Shape<KnownSerial> = {
  serial: column.bytes,
  notBefore: (row, at) => Number(row.readBigInt64BE(at)),
  revoked: column.bool,
};

export class PostgresFilterLedger implements FilterLedger {
  readonly #database: Database;
  readonly #databaseUrl: Secret;

  constructor(database: Database, databaseUrl: Secret) {
    this.#database = database;
    this.#databaseUrl = databaseUrl;
  }

  newestFull(caId: number): Promise<StoredFilter | undefined> {
    return newestFullFilter(this.#database, caId);
  }

  async nextVersion(caId: number, now: Date): Promise<bigint> {
    const [row] = await this.#database.query<{ version: bigint }>(
      'SELECT GREATEST(coalesce(max(version), 0) + 1, $2::bigint) AS version FROM revocation_filter WHERE ca_id = $1', [caId, now.getTime()]);
    return row?.version ?? BigInt(now.getTime());
  }

  async read<T>(caId: number, work: (known: KnownSerials) => Promise<T>): Promise<T> {
    const snapshot = await Snapshot.open(this.#databaseUrl);
    try {
      const [moment] = await snapshot.query<{ at: Date; covered_until: number }>(`
        SELECT clock_timestamp() AS at, floor(extract(epoch FROM LEAST(
          clock_timestamp() - interval '${RECORDED_WITHIN_S} seconds',
          (SELECT min(signed_at) FROM intent WHERE state = 'open' AND ca_id = ${Math.trunc(caId)}))))::float8 - ${BACKDATED_S + 1} AS covered_until`);
      if (moment === undefined) throw new PkiError('internal', 'the database does not tell the time');
      return await work({ at: moment.at, coveredUntil: Math.max(0, moment.covered_until), pages: () => snapshot.rows(knownSerials(Math.trunc(caId)), shape) });
    } finally {
      await snapshot.close();
    }
  }

  reserve({ caId, version, baseVersion, madeAt, known, revoked, signedSha256 }: StoredFilter): Promise<boolean> {
    return this.#database.transaction(async (tx) => {
      const [ca] = await tx.query<{ name: string; state: CaState; key_here: boolean; last_signed_at: Date | null; now: Date }>(
        'SELECT name, state, key_id IS NOT NULL AS key_here, last_signed_at, clock_timestamp() AS now FROM ca WHERE id = $1 FOR NO KEY UPDATE', [caId]);
      if (ca === undefined) throw new PkiError('ca.not-found');
      if (!may(ca.state, 'status') || !ca.key_here) throw new PkiError('ca.not-active', `the CA ${ca.name} signs nothing here any more: it has no filter`);
      requireSaneTime(madeAt, ca.now, ca.last_signed_at);
      const [later] = await tx.query('SELECT FROM revocation_filter WHERE ca_id = $1 AND version >= $2 LIMIT 1', [caId, version]);
      if (later !== undefined) return false;
      await tx.query(
        'INSERT INTO revocation_filter (ca_id, version, base_version, made_at, known, revoked, octets, sha256) VALUES ($1, $2, $3, $4, $5, $6, 0, $7)',
        [caId, version, baseVersion, madeAt, known, revoked, signedSha256]);
      if (advances(madeAt, ca.last_signed_at)) await tx.query('UPDATE ca SET last_signed_at = GREATEST(last_signed_at, $2) WHERE id = $1', [caId, madeAt]);
      return true;
    });
  }

  publish({ caId, version, baseVersion, signedSha256, content }: StoredFilter, event: AuditEvent): Promise<boolean> {
    return this.#database.transaction(async (tx) => {
      await tx.query('SELECT FROM ca WHERE id = $1 FOR NO KEY UPDATE', [caId]);
      const [later] = await tx.query('SELECT FROM revocation_filter WHERE ca_id = $1 AND version > $2 AND content IS NOT NULL LIMIT 1', [caId, version]);
      if (later !== undefined) return false;
      const published = await tx.query(
        `UPDATE revocation_filter SET content = $4::bytea, octets = octet_length($4::bytea)
         WHERE ca_id = $1 AND version = $2 AND base_version = $3 AND octets = 0 AND sha256 = $5 RETURNING version`,
        [caId, version, baseVersion, content, signedSha256]);
      if (published.length !== 1) throw new PkiError('internal', `the version ${version} was not reserved for this filter`);
      await dropOldContent(tx, caId);
      await appendEvent(tx, event);
      return true;
    });
  }

  ask(caId: number): Promise<void> {
    return this.#database.transaction((tx) => addToOutbox(tx, 'publish-filter', { caId }, FILTER_PRIORITY));
  }

  async madeAt(): Promise<ReadonlyMap<number, Date>> {
    const rows = await this.#database.query<{ ca_id: number; made_at: Date }>(
      'SELECT ca_id, max(made_at) AS made_at FROM revocation_filter WHERE octets > 0 GROUP BY ca_id');
    return new Map(rows.map(({ ca_id, made_at }) => [ca_id, made_at]));
  }
}

/**
 * Each serial once. A burned one has no certificate on record; its signature may exist all the same, with the notBefore
 * that the profile gives (`validityAt` in libs/authority). A hold that was released is no revocation.
 */
const knownSerials = (caId: number): string => `
  SELECT c.serial, extract(epoch FROM date_trunc('second', c.not_before))::bigint, r.serial IS NOT NULL
  FROM certificate c LEFT JOIN revocation r ON r.ca_id = ${caId} AND r.serial = c.serial AND r.released_at IS NULL
  WHERE c.ca_id = ${caId} AND c.not_after >= now() - interval '${KEPT_DAYS} days'
  UNION ALL
  SELECT b.serial, extract(epoch FROM GREATEST(ca.not_before, date_trunc('second', i.signed_at) - make_interval(
    secs => coalesce((p.document::jsonb #>> '{validity,backdateSeconds}')::float8, 0))))::bigint, true
  FROM burned_serial b JOIN ca ON ca.id = b.ca_id JOIN intent i ON i.id = b.intent_id LEFT JOIN profile_version p ON p.id = i.profile_version_id
  WHERE b.ca_id = ${caId} AND b.not_after >= now() - interval '${KEPT_DAYS} days'
    AND NOT EXISTS (SELECT FROM certificate c WHERE c.ca_id = ${caId} AND c.serial = b.serial)
  UNION ALL
  SELECT m.serial, extract(epoch FROM m.not_before)::bigint, r.serial IS NOT NULL
  FROM ceremony_certificate m LEFT JOIN revocation r ON r.ca_id = ${caId} AND r.serial = m.serial AND r.released_at IS NULL
  WHERE m.issuer_id = ${caId} AND m.not_after >= now() - interval '${KEPT_DAYS} days'
    AND NOT EXISTS (SELECT FROM certificate c WHERE c.ca_id = ${caId} AND c.serial = m.serial)
    AND NOT EXISTS (SELECT FROM burned_serial b WHERE b.ca_id = ${caId} AND b.serial = m.serial)`;

async function dropOldContent(tx: Queryable, caId: number): Promise<void> {
  await tx.query(
    `UPDATE revocation_filter SET content = NULL WHERE ca_id = $1 AND content IS NOT NULL AND (version, base_version) NOT IN (
       (SELECT version, base_version FROM revocation_filter WHERE ca_id = $1 AND base_version = 0 AND content IS NOT NULL ORDER BY version DESC LIMIT $2)
       UNION ALL
       (SELECT version, base_version FROM revocation_filter WHERE ca_id = $1 AND base_version > 0 AND content IS NOT NULL ORDER BY version DESC LIMIT $3))`,
    [caId, KEPT_FULL, KEPT_DELTAS]);
}

const filterOf = (row: FilterRow): StoredFilter => ({
  caId: row.ca_id, version: row.version, baseVersion: row.base_version, madeAt: row.made_at, known: Number(row.known), revoked: Number(row.revoked),
  signedSha256: row.sha256, content: row.content,
});

export async function newestFullFilter(queryable: Queryable, caId: number): Promise<StoredFilter | undefined> {
  const [row] = await queryable.query<FilterRow>(
    `SELECT ${COLUMNS} FROM revocation_filter WHERE ca_id = $1 AND base_version = 0 AND content IS NOT NULL ORDER BY version DESC LIMIT 1`, [caId]);
  return row === undefined ? undefined : filterOf(row);
}

/** The deltas whose content is kept, the newest first. */
export async function keptFilterDeltas(queryable: Queryable, caId: number): Promise<readonly StoredFilter[]> {
  const rows = await queryable.query<FilterRow>(
    `SELECT ${COLUMNS} FROM revocation_filter WHERE ca_id = $1 AND base_version > 0 AND content IS NOT NULL ORDER BY version DESC`, [caId]);
  return rows.map(filterOf);
}
