import type { AuditEvent } from '@fleetroot/audit';
import type { Cancelled } from '@fleetroot/authority';
import type { ErrorCode } from '@fleetroot/core';
import { appendEvent } from '../audit-log.ts';
import type { Database, Queryable } from '../database.ts';
import { readBatch } from './batch-row.ts';

/** Why the items of a chunk that was not begun have no certificate; no row in `failure` says it again. */
const REFUSAL = 'batch.cancelled' satisfies ErrorCode;

/** See BatchLedger.cancel. */
export function cancelBatch(database: Database, batchId: string, event: (refused: number) => AuditEvent): Promise<Cancelled> {
  return database.transaction(async (tx) => {
    const before = await readBatch(tx, batchId);
    if (before.state === 'done' || before.cancelledAt !== undefined) return { batch: before, changed: false };
    if (before.state === 'receiving') {
      const gone = await tx.query<{ at: Date }>(`DELETE FROM batch WHERE id = $1 AND state = 'receiving' RETURNING clock_timestamp() AS at`, [batchId]);
      if (gone[0] !== undefined) {
        await appendEvent(tx, event(before.items));
        return { batch: { ...before, cancelledAt: gone[0].at }, changed: true };
      }
      // Accepted meanwhile: it is cancelled as such.
    }
    await holdChunkEnds(tx);
    const marked = await tx.query(
      `UPDATE batch SET cancelled_at = clock_timestamp() WHERE id = $1 AND state = 'accepted' AND cancelled_at IS NULL RETURNING id`, [batchId]);
    if (marked.length === 0) return { batch: await readBatch(tx, batchId), changed: false };
    const refused = await refusePending(tx, batchId);
    await endIfSettled(tx, batchId);
    await appendEvent(tx, event(refused));
    return { batch: await readBatch(tx, batchId), changed: true };
  });
}

/**
 * Ends a chunk that was claimed in this transaction, of a batch that is cancelled: one that was given back, or whose issuer
 * died, after the cancellation. Nothing of it is signed again.
 */
export async function refuseClaimed(tx: Queryable, chunkId: bigint, batchId: string): Promise<void> {
  await holdChunkEnds(tx);
  await tx.query(
    `UPDATE chunk SET state = 'done', sealed = NULL, failed = items, refusal = $2, done_at = clock_timestamp() WHERE id = $1`, [chunkId, REFUSAL]);
  await endIfSettled(tx, batchId);
  await tx.query(`SELECT pg_notify('fleetroot_chunk', $1)`, [String(chunkId)]);
}

/**
 * One transaction at a time ends a chunk (`completeChunk` does it by its event), so that of two last ones the later sees
 * the other. Here it is taken before the batch's row, in the order that an issuer takes the two.
 */
async function holdChunkEnds(tx: Queryable): Promise<void> {
  await tx.query('SELECT FROM audit_head WHERE id = 1 FOR UPDATE');
}

/**
 * The items that get no certificate. A chunk that is being claimed at this moment is left out rather than waited for, as its
 * issuer may wait for us; where that claim comes to nothing, the next one finds the batch cancelled. Who waits for a chunk
 * sees the end at his next look: thousands of notifications would tell him the same.
 */
async function refusePending(tx: Queryable, batchId: string): Promise<number> {
  const [{ items } = { items: 0 }] = await tx.query<{ items: number }>(
    `WITH untouched AS (
       SELECT id, items - failed AS open FROM chunk WHERE batch_id = $1 AND state = 'pending' ORDER BY id FOR UPDATE SKIP LOCKED
     ), refused AS (
       UPDATE chunk SET state = 'done', sealed = NULL, failed = items, refusal = $2, done_at = clock_timestamp()
       FROM untouched WHERE chunk.id = untouched.id RETURNING untouched.open
     ) SELECT coalesce(sum(open), 0)::int AS items FROM refused`, [batchId, REFUSAL]);
  return items;
}

async function endIfSettled(tx: Queryable, batchId: string): Promise<void> {
  await tx.query(
    `UPDATE batch SET state = 'done', completed_at = clock_timestamp() WHERE id = $1 AND state = 'accepted'
       AND NOT EXISTS (SELECT FROM chunk WHERE batch_id = $1 AND state <> 'done')`, [batchId]);
}
