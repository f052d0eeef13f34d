import type { ClaimedChunk, SigningPurpose } from '@fleetroot/authority';
import { type LedgerKey, PkiError } from '@fleetroot/core';
import { refuseClaimed } from '../batches/cancel.ts';
import { openRequests } from '../batches/sealed-requests.ts';
import type { Queryable } from '../database.ts';
import { burnOpenIntents } from './burn.ts';

interface ClaimedRow {
  readonly batch_id: string;
  readonly fence: number;
  readonly ca_id: number;
  readonly purpose: SigningPurpose;
  readonly profile_version_id: number;
  readonly first: number;
  readonly items: number;
  readonly sealed: Buffer | null;
  readonly cancelled: boolean;
}

/** See IssuanceLedger.claim. Silence is measured by the database's clock alone. */
export async function claimChunk(tx: Queryable, key: LedgerKey, chunkId: bigint, staleAfterMs: number): Promise<ClaimedChunk | undefined> {
  const [row] = await tx.query<ClaimedRow>(
    `UPDATE chunk SET state = 'signing', fence = fence + 1, claimed_at = clock_timestamp()
     FROM (
       SELECT c.id, b.ca_id, b.purpose, b.profile_version_id, b.cancelled_at IS NOT NULL AS cancelled FROM chunk c JOIN batch b ON b.id = c.batch_id
       WHERE c.id = $1 AND b.state = 'accepted'
         AND (c.state = 'pending' OR (c.state = 'signing' AND c.claimed_at < clock_timestamp() - $2 * interval '1 millisecond'))
       FOR UPDATE OF c SKIP LOCKED
     ) AS free
     WHERE chunk.id = free.id
     RETURNING batch_id, fence, free.ca_id, free.purpose, free.profile_version_id, first, items, sealed, free.cancelled`, [chunkId, staleAfterMs]);
  if (row === undefined) return undefined;
  if (row.sealed === null) throw new PkiError('internal', `chunk ${chunkId} is open but has no requests`);
  // The first claim has no attempt before it.
  if (row.fence > 1) await burnOpenIntents(tx, key, chunkId);
  if (row.cancelled) {
    await refuseClaimed(tx, chunkId, row.batch_id);
    return undefined;
  }
  return {
    chunkId, batchId: row.batch_id, fence: row.fence, caId: row.ca_id, purpose: row.purpose, profileVersionId: row.profile_version_id,
    first: row.first, items: row.items, requests: openRequests(key, row.batch_id, row.first, row.sealed),
  };
}
