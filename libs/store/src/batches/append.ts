import type { FailedItem, RequestItem } from '@fleetroot/authority';
import { type LedgerKey, PkiError } from '@fleetroot/core';
import type { Queryable } from '../database.ts';
import { sealRequests } from './sealed-requests.ts';

/**
 * One chunk of a batch that is being received; its id. A chunk without a good item is done at once.
 * @param single an issuer takes it from the ledger: no job is made of it
 * @throws PkiError `batch.not-found` where the batch is no longer being received: another sender took over
 */
export async function appendChunk(
  tx: Queryable, key: LedgerKey, batchId: string, items: readonly RequestItem[], failures: readonly FailedItem[], single = false,
): Promise<bigint> {
  const count = items.length + failures.length;
  const [batch] = await tx.query<{ first: number }>(
    `UPDATE batch SET items = items + $2, received_at = clock_timestamp() WHERE id = $1 AND state = 'receiving' RETURNING items - $2 AS first`,
    [batchId, count]);
  if (batch === undefined) throw new PkiError('batch.not-found', 'the batch is no longer being received: another request with its key took over');
  requireRow(batch.first, count, [...items, ...failures]);
  const [chunk] = await tx.query<{ id: bigint }>(
    `INSERT INTO chunk (batch_id, first, items, state, sealed, failed, single, done_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $4 = 'done' THEN clock_timestamp() END) RETURNING id`,
    [batchId, batch.first, count, items.length > 0 ? 'pending' : 'done', items.length > 0 ? sealRequests(key, batchId, batch.first, items) : null, failures.length, single]);
  if (chunk === undefined) throw new PkiError('internal', 'a chunk was not stored');
  await insertFailures(tx, chunk.id, failures);
  return chunk.id;
}

export async function insertFailures(tx: Queryable, chunkId: bigint, failures: readonly FailedItem[]): Promise<void> {
  if (failures.length === 0) return;
  await tx.query(
    'INSERT INTO failure (chunk_id, ordinal, code, detail) SELECT $1::bigint, * FROM unnest($2::int[], $3::text[], $4::text[])',
    [chunkId, failures.map(({ ordinal }) => ordinal), failures.map(({ code }) => code), failures.map(({ detail }) => detail)]);
}

/** Ordinals continue where the last chunk ended and leave none out: each item of a batch has one outcome (I22). */
function requireRow(first: number, count: number, items: readonly { readonly ordinal: number }[]): void {
  const seen = new Set(items.map(({ ordinal }) => ordinal));
  const whole = count > 0 && seen.size === count && items.every(({ ordinal }) => ordinal >= first && ordinal < first + count);
  if (!whole) throw new PkiError('internal', `a chunk must hold the items ${first} to ${first + count - 1} of its batch, each once`);
}
