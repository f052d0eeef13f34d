import { revokedAgain } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';
import type { Queryable } from '../database.ts';
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

/** Puts a revocation on record; one that is there keeps its date, and its reason unless the new one is stronger (I12). */
export async function putRevocation(tx: Queryable, row: RevocationRow): Promise<PutRevocation> {
  const added = await tx.query(
    `INSERT INTO revocation (ca_id, serial, reason, revoked_at, invalidity_date, not_after, principal_id)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (ca_id, serial) DO NOTHING RETURNING reason`,
    [row.caId, row.serial, row.reason, row.revokedAt, row.invalidityDate ?? null, row.notAfter, row.principalId]);
  if (added.length > 0) return { outcome: 'new', reason: row.reason, revokedAt: row.revokedAt };
  const [known] = await tx.query<{ reason: number; revoked_at: Date }>(
    'SELECT reason, revoked_at FROM revocation WHERE ca_id = $1 AND serial = $2 FOR UPDATE', [row.caId, row.serial]);
  // Gone between the two statements: a hold was released.
  if (known === undefined) throw new PkiError('store.unavailable', 'the revocation was changed at the same time: try again');
  const outcome = revokedAgain(reasonName(known.reason), reasonName(row.reason));
  if (outcome !== 'upgrade') return { outcome, reason: known.reason, revokedAt: known.revoked_at };
  await tx.query(
    'UPDATE revocation SET reason = $3, invalidity_date = coalesce($4, invalidity_date), principal_id = $5 WHERE ca_id = $1 AND serial = $2',
    [row.caId, row.serial, row.reason, row.invalidityDate ?? null, row.principalId]);
  return { outcome, reason: row.reason, revokedAt: known.revoked_at };
}
