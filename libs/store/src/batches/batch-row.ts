import type { BatchFilter, BatchPlace, BatchProgress, BatchState } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';
import type { Queryable } from '../database.ts';

interface BatchRow {
  readonly id: string;
  readonly principal_id: number;
  readonly profile: string;
  readonly state: BatchState;
  readonly items: number;
  readonly issued: number;
  readonly failed: number;
  readonly pending: number;
  readonly created_at: Date;
  readonly completed_at: Date | null;
  readonly body_sha256: Buffer | null;
  readonly resend_of: string | null;
  readonly cancelled_at: Date | null;
}

/** One statement, so one moment: the sums hold in it (I22). */
const SELECT = `
  SELECT b.id, b.principal_id, p.name AS profile, b.state, b.items, b.created_at, b.completed_at, b.body_sha256, b.resend_of, b.cancelled_at,
         s.issued::int AS issued, s.failed::int AS failed, s.pending::int AS pending
  FROM batch b JOIN profile_version p ON p.id = b.profile_version_id
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(issued), 0) AS issued, coalesce(sum(failed), 0) AS failed,
           coalesce(sum(items - issued - failed), 0) AS pending
    FROM chunk WHERE batch_id = b.id) s`;

/** @throws PkiError `batch.not-found` */
export async function readBatch(queryable: Queryable, batchId: string): Promise<BatchProgress> {
  // Anything but a UUID is not a batch; the column would refuse it with an error of its own.
  const rows = UUID.test(batchId) ? await queryable.query<BatchRow>(`${SELECT} WHERE b.id = $1`, [batchId]) : [];
  if (rows[0] === undefined) throw new PkiError('batch.not-found');
  return progressOf(rows[0]);
}

export async function readBatchByKey(queryable: Queryable, principalId: number, key: string): Promise<BatchProgress | undefined> {
  const [row] = await queryable.query<BatchRow>(`${SELECT} WHERE b.principal_id = $1 AND b.idempotency_key = $2`, [principalId, key]);
  return row === undefined ? undefined : progressOf(row);
}

/**
 * A page of the list, the newest first. A single certificate's batch, of priority 1, is on no list: partial indexes hold
 * the others alone.
 */
export async function listBatches(
  queryable: Queryable, { principalId, state }: BatchFilter, after: BatchPlace | undefined, limit: number,
): Promise<readonly BatchProgress[]> {
  const rows = await queryable.query<BatchRow>(
    `${SELECT} WHERE b.priority > 1 AND ($1::int IS NULL OR b.principal_id = $1) AND ($2::text IS NULL OR b.state = $2)
       AND ($3::timestamptz IS NULL OR (b.created_at, b.id) < ($3, $4::uuid))
     ORDER BY b.created_at DESC, b.id DESC LIMIT $5`,
    [principalId ?? null, state ?? null, after?.createdAt ?? null, after?.id ?? null, limit]);
  return rows.map(progressOf);
}

export const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function progressOf(row: BatchRow): BatchProgress {
  return {
    id: row.id, principalId: row.principal_id, profile: row.profile, state: row.state,
    items: row.items, issued: row.issued, failed: row.failed, pending: row.pending,
    createdAt: row.created_at, completedAt: row.completed_at ?? undefined, bodySha256: row.body_sha256 ?? undefined,
    resendOf: row.resend_of ?? undefined, cancelledAt: row.cancelled_at ?? undefined,
  };
}
