import type { AuditEvent } from '@fleetroot/audit';
import { chunkJob, firstTurn, GREATEST_PRIORITY, type SigningPurpose } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';
import { appendEvents } from '../audit-log.ts';
import type { Queryable } from '../database.ts';
import { announceOutbox } from '../outbox.ts';

interface ClosedBatch {
  readonly items: number;
  readonly purpose: SigningPurpose;
  readonly priority: number;
  readonly principal_id: number;
}

/** Closes the batch and puts its chunks into the outbox. @throws PkiError `batch.not-found`, `batch.empty` */
export async function acceptBatch(tx: Queryable, batchId: string, bodySha256: Uint8Array, events: readonly AuditEvent[]): Promise<void> {
  const batch = await closeBatch(tx, batchId, bodySha256);
  await giveTurns(tx, batchId, batch);
  const jobs = await tx.query(
    `INSERT INTO outbox (job, payload, priority)
     SELECT $2::text, jsonb_build_object('chunkId', id::text), least($3::int + turn, $4::int)
     FROM chunk WHERE batch_id = $1 AND state = 'pending' ORDER BY first RETURNING id`,
    [batchId, chunkJob(batch.purpose), batch.priority, GREATEST_PRIORITY]);
  if (jobs.length > 0) await announceOutbox(tx);
  await appendEvents(tx, events);
}

/** Ends the receiving. @throws PkiError `batch.not-found`, `batch.empty` */
export async function closeBatch(tx: Queryable, batchId: string, bodySha256: Uint8Array): Promise<ClosedBatch> {
  const [row] = await tx.query<ClosedBatch>(
    `UPDATE batch SET
       state = CASE WHEN open THEN 'accepted' ELSE 'done' END, body_sha256 = $2, accepted_at = clock_timestamp(),
       completed_at = CASE WHEN open THEN NULL ELSE clock_timestamp() END
     FROM (SELECT EXISTS (SELECT FROM chunk WHERE batch_id = $1 AND state <> 'done') AS open) AS chunks
     WHERE id = $1 AND state = 'receiving' RETURNING items, purpose, priority, principal_id`, [batchId, bodySha256]);
  if (row === undefined) throw new PkiError('batch.not-found', 'the batch is no longer being received');
  if (row.items === 0) throw new PkiError('batch.empty');
  return row;
}

/**
 * The turns of a batch's chunks among those of all lines. A chunk that was given back (its HSM is away, say) has had its
 * turn: as the least of all it would let whoever comes go before everybody else.
 */
async function giveTurns(tx: Queryable, batchId: string, batch: ClosedBatch): Promise<void> {
  // One at a time of a principal: two that come at once would have the same turns, and it twice its share.
  await tx.query('SELECT FROM principal WHERE id = $1 FOR NO KEY UPDATE', [batch.principal_id]);
  const [open] = await tx.query<{ least: number | null; own: number | null }>(
    `SELECT min(c.turn) FILTER (WHERE c.fence = 0 OR c.state = 'signing') AS least, max(c.turn) FILTER (WHERE b.principal_id = $4) AS own
     FROM chunk c JOIN batch b ON b.id = c.batch_id
     WHERE c.state <> 'done' AND b.state = 'accepted' AND b.id <> $1 AND b.purpose = $2 AND b.priority = $3`,
    [batchId, batch.purpose, batch.priority, batch.principal_id]);
  const first = firstTurn({ least: open?.least ?? undefined, greatestOwn: open?.own ?? undefined });
  await tx.query(
    `UPDATE chunk SET turn = $2 + ahead FROM (
       SELECT id, (row_number() OVER (ORDER BY first) - 1)::int AS ahead FROM chunk WHERE batch_id = $1 AND state = 'pending') AS place
     WHERE chunk.id = place.id`, [batchId, first]);
}
