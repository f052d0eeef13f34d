import { randomUUID } from 'node:crypto';
import type { AuditEvent } from '@fleetroot/audit';
import { type Begun, chunkJob, isTakenAtOnce, type NewBatch, type RequestItem } from '@fleetroot/authority';
import { type LedgerKey, PkiError } from '@fleetroot/core';
import { sendEvent } from '../audit-log.ts';
import type { Queryable, Transaction } from '../database.ts';
import { conflictOnRecord } from '../fleet/register-ecus.ts';
import { addToOutbox } from '../outbox.ts';
import { closeBatch } from './accept.ts';
import { appendChunk } from './append.ts';
import { openBatch } from './open-batch.ts';
import { sealRequests } from './sealed-requests.ts';

export type SubmittedOne = { readonly kind: 'new'; readonly batchId: string; readonly chunkId: bigint } | Extract<Begun, { kind: 'known' }>;

interface Accepted {
  readonly batchId: string;
  readonly chunkId: bigint;
}

/**
 * See BatchLedger.submitOne. Somebody waits: two trips to the database, of which the last one commits. That does not wait for
 * the disk, nor make others wait for it who append to the audit log, where the request is taken at once: nobody is told of it
 * before its certificate, or its failure, is on disk, and that is written behind it.
 */
export async function submitOne(
  tx: Transaction, key: LedgerKey, batch: NewBatch, item: RequestItem, bodySha256: Uint8Array, event: (batchId: string) => AuditEvent,
): Promise<SubmittedOne> {
  if (item.ordinal !== 0) throw new PkiError('internal', 'a single request is the first item of its batch');
  const [conflict, fresh] = await Promise.all([conflictOnRecord(tx, key, item), insertAccepted(tx, key, batch, item, bodySha256)]);
  const accepted = fresh ?? await underKnownKey(tx, key, batch, item, bodySha256);
  if ('kind' in accepted) return accepted;
  // Who waits is told at once; what is decided for good is decided with the intent.
  if (conflict !== undefined) throw new PkiError(conflict);
  if (isTakenAtOnce(batch.purpose)) void tx.send(`SELECT pg_notify('fleetroot_single', ''), set_config('synchronous_commit', 'off', true)`);
  else await addToOutbox(tx, chunkJob(batch.purpose), { chunkId: String(accepted.chunkId) }, batch.priority);
  sendEvent(tx, event(accepted.batchId));
  return { kind: 'new', ...accepted };
}

/** The batch with its one chunk, as it is once it is accepted; undefined where its Idempotency-Key is in use. */
async function insertAccepted(tx: Queryable, key: LedgerKey, batch: NewBatch, item: RequestItem, bodySha256: Uint8Array): Promise<Accepted | undefined> {
  const batchId = randomUUID();
  const [chunk] = await tx.query<{ id: bigint }>(
    `WITH added AS (
       INSERT INTO batch (id, principal_id, idempotency_key, ca_id, profile_version_id, priority, purpose, state, items, body_sha256, received_at, accepted_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, 'accepted', 1, $8, clock_timestamp(), clock_timestamp())
       ON CONFLICT (principal_id, idempotency_key) DO NOTHING RETURNING id)
     INSERT INTO chunk (batch_id, first, items, state, sealed, single) SELECT id, 0, 1, 'pending', $9, $10 FROM added RETURNING id`,
    [
      batchId, batch.principalId, batch.idempotencyKey, batch.caId, batch.profileVersionId, batch.priority, batch.purpose, bodySha256,
      sealRequests(key, batchId, 0, [item]), isTakenAtOnce(batch.purpose),
    ]);
  return chunk === undefined ? undefined : { batchId, chunkId: chunk.id };
}

/** The batch of the key; or a new one, where the one before was left half received. */
async function underKnownKey(
  tx: Transaction, key: LedgerKey, batch: NewBatch, item: RequestItem, bodySha256: Uint8Array,
): Promise<Accepted | Extract<Begun, { kind: 'known' }>> {
  const begun = await openBatch(tx, batch);
  if (begun.kind === 'known') return begun;
  const chunkId = await appendChunk(tx, key, begun.batchId, [item], [], isTakenAtOnce(batch.purpose));
  await closeBatch(tx, begun.batchId, bodySha256);
  return { batchId: begun.batchId, chunkId };
}
