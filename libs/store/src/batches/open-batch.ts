import { randomUUID } from 'node:crypto';
import type { Begun, NewBatch } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';
import type { Queryable } from '../database.ts';
import { readBatchByKey, UUID } from './batch-row.ts';

/** A sender that was not heard for this long is gone; one that is only slow finds its batch taken over. */
const SENDER_SILENT_MS = 15_000;

/** A new batch, or the one that its Idempotency-Key opened before. Throws as BatchLedger.begin. */
export async function openBatch(tx: Queryable, batch: NewBatch): Promise<Begun> {
  // Twice at most: the second time the key is free, unless a third sender was faster.
  for (let attempt = 0; attempt < 2; attempt++) {
    const batchId = await insertBatch(tx, batch, false);
    if (batchId !== undefined) return { kind: 'new', batchId };
    const known = await readBatchByKey(tx, batch.principalId, batch.idempotencyKey ?? '');
    if (known !== undefined && known.state !== 'receiving') return { kind: 'known', batch: known };
    // Its items, the failures among them, go with it. A late `append` of its sender then finds no batch.
    const emptied = await tx.query(
      `DELETE FROM batch WHERE principal_id = $1 AND idempotency_key = $2 AND state = 'receiving' AND NOT in_parts
         AND received_at < clock_timestamp() - $3 * interval '1 millisecond' RETURNING id`,
      [batch.principalId, batch.idempotencyKey, SENDER_SILENT_MS]);
    if (emptied.length > 0) continue;
    const uploads = await tx.query('SELECT FROM batch WHERE principal_id = $1 AND idempotency_key = $2 AND in_parts', [batch.principalId, batch.idempotencyKey]);
    if (uploads.length > 0) throw new PkiError('idempotency.conflict', 'this Idempotency-Key is that of an upload: go on with it, or use a new one');
    break;
  }
  throw new PkiError('idempotency.in-progress');
}

/**
 * The id of a new batch; undefined where its key is in use.
 * @throws PkiError `batch.not-found` where it is new, and the batch that it sends again is none of the principal's
 */
export async function insertBatch(tx: Queryable, batch: NewBatch, inParts: boolean): Promise<string | undefined> {
  const batchId = randomUUID();
  const added = await tx.query(
    `INSERT INTO batch (id, principal_id, idempotency_key, ca_id, profile_version_id, priority, purpose, state, resend_of, in_parts, body_sha256)
     VALUES ($1, $2, $3, $4, $5, $6, $7, 'receiving', $8, $9, $10) ON CONFLICT (principal_id, idempotency_key) DO NOTHING RETURNING id`,
    [
      batchId, batch.principalId, batch.idempotencyKey, batch.caId, batch.profileVersionId, batch.priority, batch.purpose,
      uuidOrNone(batch.resendOf), inParts, inParts ? Buffer.alloc(32) : null,
    ]);
  if (added.length === 0) return undefined;
  if (batch.resendOf !== undefined) await requireOwn(tx, batch.resendOf, batch.principalId);
  return batchId;
}

/** What is no UUID is no batch either; the column would refuse it with an error of its own. */
const uuidOrNone = (id: string | undefined): string | null => (id !== undefined && UUID.test(id) ? id : null);

async function requireOwn(tx: Queryable, id: string, principalId: number): Promise<void> {
  const own = UUID.test(id)
    ? await tx.query(`SELECT FROM batch WHERE id = $1 AND principal_id = $2 AND state <> 'receiving'`, [id, principalId]) : [];
  if (own.length === 0) throw new PkiError('batch.not-found', 'resendOf names no batch of yours that was accepted');
}
