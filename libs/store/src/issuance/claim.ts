import type { ClaimedChunk, SigningPurpose } from '@fleetroot/authority';
import { type LedgerKey, PkiError } from '@fleetroot/core';
import { refuseClaimed } from '../batches/cancel.ts';
import { openRequests } from '../batches/sealed-requests.ts';
import type { Queryable, Transaction } from '../database.ts';
import { numberList } from '../packed.ts';
import { burnOpenIntents } from './burn.ts';

interface ClaimedRow {
  readonly id: bigint;
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

/** Silence is measured by the database's clock alone. */
const claiming = (which: string): string =>
  `UPDATE chunk SET state = 'signing', fence = fence + 1, claimed_at = clock_timestamp()
   FROM (
     SELECT c.id, b.ca_id, b.purpose, b.profile_version_id, b.cancelled_at IS NOT NULL AS cancelled FROM chunk c JOIN batch b ON b.id = c.batch_id
     WHERE b.state = 'accepted' AND (c.state = 'pending' OR (c.state = 'signing' AND c.claimed_at < clock_timestamp() - $1 * interval '1 millisecond'))
       AND ${which}
     FOR UPDATE OF c SKIP LOCKED
   ) AS free
   WHERE chunk.id = free.id
   RETURNING chunk.id, batch_id, fence, free.ca_id, free.purpose, free.profile_version_id, first, items, sealed, free.cancelled`;

const CLAIM = claiming('c.id = $2');
/** One that nobody has tried yet: nothing but itself changes. */
const CLAIM_FRESH_SINGLE =
  `UPDATE chunk SET state = 'signing', fence = 1, claimed_at = clock_timestamp()
   FROM (
     SELECT c.id, b.ca_id, b.purpose, b.profile_version_id, false AS cancelled FROM chunk c JOIN batch b ON b.id = c.batch_id
     WHERE c.single AND c.state <> 'done' AND c.fence = 0 AND b.state = 'accepted' AND b.cancelled_at IS NULL
       AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'
     ORDER BY c.id LIMIT 1
     FOR UPDATE OF c SKIP LOCKED
   ) AS free
   WHERE chunk.id = free.id
   RETURNING chunk.id, batch_id, fence, free.ca_id, free.purpose, free.profile_version_id, first, items, sealed, free.cancelled`;
/** Both read the open single requests alone, by their partial index. */
const CLAIM_SINGLE = claiming(`c.single AND c.state <> 'done' AND c.id <> ALL($2::bigint[]) ORDER BY c.fence, c.id LIMIT 1`);

/**
 * See IssuanceLedger.claim. The first claim of a chunk does not wait for the disk, the single request's neither: one that a
 * crash of PostgreSQL takes back was never followed by an intent, which is written behind it. Whoever held it then meets a
 * stale fence; or, where another has claimed since, the two have one fence, of which only one intent can be.
 */
export async function claimChunk(tx: Transaction, key: LedgerKey, chunkId: bigint, staleAfterMs: number): Promise<ClaimedChunk | undefined> {
  const [row] = await tx.query<ClaimedRow>(CLAIM, [staleAfterMs, chunkId]);
  return row === undefined ? undefined : begin(tx, key, row);
}

/** See IssuanceLedger.claimFreshSingle. One statement, and a transaction of its own: somebody waits. */
export async function claimFreshSingle(database: Queryable, key: LedgerKey): Promise<ClaimedChunk | undefined> {
  const [row] = await database.query<ClaimedRow>(CLAIM_FRESH_SINGLE, []);
  return row === undefined ? undefined : claimed(key, row);
}

/** See IssuanceLedger.claimSingle. */
export async function claimSingle(tx: Transaction, key: LedgerKey, staleAfterMs: number, except: readonly bigint[]): Promise<ClaimedChunk | undefined> {
  const [row] = await tx.query<ClaimedRow>(CLAIM_SINGLE, [staleAfterMs, numberList(except)]);
  return row === undefined ? undefined : begin(tx, key, row);
}

async function begin(tx: Transaction, key: LedgerKey, row: ClaimedRow): Promise<ClaimedChunk | undefined> {
  const chunkId = row.id;
  // The first claim has no attempt before it.
  if (row.fence > 1) await burnOpenIntents(tx, key, chunkId);
  if (row.cancelled) {
    await refuseClaimed(tx, chunkId, row.batch_id);
    return undefined;
  }
  if (row.fence === 1) void tx.send('SET LOCAL synchronous_commit TO off');
  return claimed(key, row);
}

function claimed(key: LedgerKey, row: ClaimedRow): ClaimedChunk {
  const chunkId = row.id;
  if (row.sealed === null) throw new PkiError('internal', `chunk ${chunkId} is open but has no requests`);
  return {
    chunkId, batchId: row.batch_id, fence: row.fence, caId: row.ca_id, purpose: row.purpose, profileVersionId: row.profile_version_id,
    first: row.first, items: row.items, requests: openRequests(key, row.batch_id, row.first, row.sealed),
  };
}
