import { revocationReasons, revokedAgain } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';
import type { Queryable, Transaction } from '../database.ts';
import { reasonName } from './reason-name.ts';

export interface RevocationRow {
  readonly caId: number;
  readonly serial: Uint8Array;
  /** CRLReason, RFC 5280 section 5.3.1. */
  readonly reason: number;
  readonly revokedAt: Date;
  readonly invalidityDate: Date | undefined;
  /** Of the certificate. */
  readonly notAfter: Date;
  readonly principalId: number;
}

export interface PutRevocation {
  /** As `revokedAgain` has it; of `conflict` nothing was changed. */
  readonly outcome: 'new' | ReturnType<typeof revokedAgain>;
  /** On record now. */
  readonly reason: number;
  readonly revokedAt: Date;
}

interface KnownRow {
  readonly ca_id: number;
  readonly serial: Buffer;
  readonly reason: number;
  readonly revoked_at: Date;
  readonly released: boolean;
}

/** Puts a revocation on record; one that is there keeps its date, and its reason unless the new one is stronger (I12). */
export async function putRevocation(tx: Transaction, row: RevocationRow): Promise<PutRevocation> {
  const [put] = await putRevocations(tx, [row]);
  if (put === undefined) throw changedMeanwhile();
  return put;
}

/**
 * As `putRevocation`, for several certificates, each once; in the order given. A hold that was released is no revocation:
 * its row is written over. Rows are locked in the order of CA and serial, so that two of these never wait for each other.
 */
export async function putRevocations(tx: Transaction, rows: readonly RevocationRow[]): Promise<readonly PutRevocation[]> {
  tx.commitsSoon();
  const added = new Set((await insert(tx, rows)).map(keyOf));
  const met = rows.filter((row) => !added.has(keyOf({ ca_id: row.caId, serial: row.serial })));
  const known = new Map((await lockKnown(tx, met)).map((row) => [keyOf(row), row]));
  const put = rows.map((row): PutRevocation & { readonly row: RevocationRow } => {
    const key = keyOf({ ca_id: row.caId, serial: row.serial });
    if (added.has(key)) return { row, outcome: 'new', reason: row.reason, revokedAt: row.revokedAt };
    const before = known.get(key);
    // Gone between the two statements: a hold was released, and its last CRL is out.
    if (before === undefined) throw changedMeanwhile();
    if (before.released) return { row, outcome: 'new', reason: row.reason, revokedAt: row.revokedAt };
    const outcome = revokedAgain(reasonName(before.reason), reasonName(row.reason));
    return { row, outcome, reason: outcome === 'upgrade' ? row.reason : before.reason, revokedAt: before.revoked_at };
  });
  await overwrite(tx, put.filter(({ row, outcome }) => (outcome === 'new' || outcome === 'upgrade') && !added.has(keyOf({ ca_id: row.caId, serial: row.serial }))));
  return put.map(({ outcome, reason, revokedAt }) => ({ outcome, reason, revokedAt }));
}

export type Released = 'released' | 'same' | 'conflict';

/**
 * Takes back holds, and nothing but holds (I12): `same` was released before, `conflict` is not on hold, and stays as it is.
 * In the order given. The rows stay, for deltas to tell of, until a full CRL is without them.
 */
export async function releaseHolds(
  tx: Transaction, targets: readonly { readonly caId: number; readonly serial: Uint8Array }[], principalId: number,
): Promise<readonly { readonly outcome: Released; readonly revokedAt: Date | undefined }[]> {
  const known = new Map((await lockKnown(tx, targets)).map((row) => [keyOf(row), row]));
  const outcomes = targets.map(({ caId, serial }) => {
    const row = known.get(keyOf({ ca_id: caId, serial }));
    const outcome: Released = row?.reason !== revocationReasons.certificateHold ? 'conflict' : row.released ? 'same' : 'released';
    return { caId, serial, outcome, revokedAt: row?.revoked_at };
  });
  const held = outcomes.filter(({ outcome }) => outcome === 'released');
  if (held.length > 0) {
    tx.commitsSoon();
    await tx.query(
      `UPDATE revocation r SET released_at = clock_timestamp(), principal_id = $3
       FROM unnest($1::int[], $2::bytea[]) AS k (ca_id, serial) WHERE r.ca_id = k.ca_id AND r.serial = k.serial`,
      [held.map(({ caId }) => caId), held.map(({ serial }) => serial), principalId]);
  }
  return outcomes.map(({ outcome, revokedAt }) => ({ outcome, revokedAt }));
}

const keyOf = ({ ca_id, serial }: { readonly ca_id: number; readonly serial: Uint8Array }): string => `${ca_id}/${Buffer.from(serial).toString('hex')}`;

const changedMeanwhile = (): PkiError => new PkiError('store.unavailable', 'the revocation was changed at the same time: try again');

/** The scope of an entry is what the profile of its certificate baked into it; ceremonies' certificates have the CRL of the whole CA. */
function insert(tx: Queryable, rows: readonly RevocationRow[]): Promise<readonly { readonly ca_id: number; readonly serial: Buffer }[]> {
  return tx.query(
    `WITH form AS MATERIALIZED (SELECT id, coalesce((document::jsonb ->> 'crlShards')::int, 1) AS shards FROM profile_version)
     INSERT INTO revocation (ca_id, serial, reason, revoked_at, invalidity_date, not_after, principal_id, shards, shard)
     SELECT ca_id, serial, reason, revoked_at, invalidity_date, not_after, principal_id, shards, crl_shard(serial, shards) FROM (
       SELECT g.*, coalesce((SELECT form.shards FROM certificate c JOIN form ON form.id = c.profile_version_id WHERE c.ca_id = g.ca_id AND c.serial = g.serial), 1) AS shards
       FROM unnest($1::int[], $2::bytea[], $3::int[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::int[])
         AS g (ca_id, serial, reason, revoked_at, invalidity_date, not_after, principal_id)
     ) AS given ORDER BY ca_id, serial
     ON CONFLICT (ca_id, serial) DO NOTHING RETURNING ca_id, serial`, columns(rows));
}

async function lockKnown(tx: Queryable, targets: readonly { readonly caId: number; readonly serial: Uint8Array }[]): Promise<readonly KnownRow[]> {
  if (targets.length === 0) return [];
  return tx.query<KnownRow>(
    `SELECT r.ca_id, r.serial, r.reason, r.revoked_at, r.released_at IS NOT NULL AS released
     FROM unnest($1::int[], $2::bytea[]) AS k (ca_id, serial) JOIN revocation r ON r.ca_id = k.ca_id AND r.serial = k.serial
     ORDER BY r.ca_id, r.serial FOR UPDATE OF r`, [targets.map(({ caId }) => caId), targets.map(({ serial }) => serial)]);
}

async function overwrite(tx: Queryable, put: readonly (PutRevocation & { readonly row: RevocationRow })[]): Promise<void> {
  if (put.length === 0) return;
  await tx.query(
    `UPDATE revocation r SET reason = g.reason, revoked_at = g.revoked_at, principal_id = g.principal_id, released_at = NULL,
       invalidity_date = CASE WHEN r.released_at IS NULL THEN coalesce(g.invalidity_date, r.invalidity_date) ELSE g.invalidity_date END
     FROM unnest($1::int[], $2::bytea[], $3::int[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::int[])
       AS g (ca_id, serial, reason, revoked_at, invalidity_date, not_after, principal_id)
     WHERE r.ca_id = g.ca_id AND r.serial = g.serial`, columns(put.map(({ row, revokedAt }) => ({ ...row, revokedAt }))));
}

function columns(rows: readonly RevocationRow[]): readonly unknown[] {
  return [
    rows.map(({ caId }) => caId), rows.map(({ serial }) => serial), rows.map(({ reason }) => reason), rows.map(({ revokedAt }) => revokedAt),
    rows.map(({ invalidityDate }) => invalidityDate ?? null), rows.map(({ notAfter }) => notAfter), rows.map(({ principalId }) => principalId),
  ];
}
