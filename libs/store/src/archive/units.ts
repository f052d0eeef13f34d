import type { Database } from '../database.ts';

const PAGE = 1000;

/** A place in the walk over expired intents. */
interface Place {
  readonly caId: number;
  readonly notAfter: Date;
  readonly id: bigint;
}

interface Candidate {
  readonly ca_id: number;
  readonly not_after: Date;
  readonly id: bigint;
  readonly batch_id: string;
}

/**
 * Batches of which nothing is left that anybody may ask for: done, every intent of theirs ended before `before` (and so
 * each certificate), what was revoked or burned of them has left its CRL, no key that was made for them is held. In pages;
 * the walk is along an index by the end of the intents, so that what is not expired costs nothing. A batch may come twice.
 */
export async function* expiredBatches(database: Database, before: Date): AsyncIterable<readonly string[]> {
  for (let place: Place = { caId: -1, notAfter: new Date(0), id: 0n }; ;) {
    const rows: readonly Candidate[] = await database.report<Candidate>(
      `SELECT i.ca_id, i.not_after, i.id, c.batch_id FROM ca
       CROSS JOIN LATERAL (
         SELECT * FROM intent WHERE ca_id = ca.id AND not_after < $1 AND (not_after, id) > (CASE WHEN ca.id = $2 THEN $3 ELSE '-infinity'::timestamptz END, $4)
         ORDER BY not_after, id LIMIT $5) i
       JOIN chunk c ON c.id = i.chunk_id WHERE ca.id >= $2
       ORDER BY i.ca_id, i.not_after, i.id LIMIT $5`, [before, place.caId, place.notAfter, place.id, PAGE]);
    yield await withoutRest(database, rows.map(({ batch_id }) => batch_id), before);
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) break;
    place = { caId: last.ca_id, notAfter: last.not_after, id: last.id };
  }
  // Those of which nothing was issued have no intent, or none that ended: they go by their own age.
  for (let [at, id] = [new Date(0), 0n]; ;) {
    const rows = await database.report<{ done_at: Date; id: bigint; batch_id: string }>(
      `SELECT done_at, id, batch_id FROM chunk WHERE state = 'done' AND issued = 0 AND done_at < $1 AND (done_at, id) > ($2, $3)
       ORDER BY done_at, id LIMIT $4`, [before, at, id, PAGE]);
    yield await withoutRest(database, rows.map(({ batch_id }) => batch_id), before);
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) return;
    [at, id] = [last.done_at, last.id];
  }
}

async function withoutRest(database: Database, batchIds: readonly string[], before: Date): Promise<readonly string[]> {
  if (batchIds.length === 0) return [];
  const rows = await database.report<{ id: string }>(
    `SELECT b.id FROM batch b
     WHERE b.id = ANY($1::uuid[]) AND b.state = 'done' AND b.completed_at < $2
       AND NOT EXISTS (SELECT FROM chunk c WHERE c.batch_id = b.id AND c.state <> 'done')
       AND NOT EXISTS (SELECT FROM made_key k WHERE k.batch_id = b.id AND k.deleted_at IS NULL)
       AND NOT EXISTS (SELECT FROM chunk c JOIN intent i ON i.chunk_id = c.id WHERE c.batch_id = b.id AND (i.not_after >= $2 OR i.state = 'open'))
       AND NOT EXISTS (SELECT FROM chunk c JOIN intent i ON i.chunk_id = c.id JOIN burned_serial s ON s.intent_id = i.id
         WHERE c.batch_id = b.id AND (s.not_after >= $2 OR NOT left_crl(s.ca_id, s.shards, s.shard, s.not_after)))
       AND NOT EXISTS (SELECT FROM chunk c JOIN certificate x ON x.chunk_id = c.id LEFT JOIN revocation r ON r.ca_id = x.ca_id AND r.serial = x.serial
         WHERE c.batch_id = b.id AND (x.not_after >= $2 OR (r.serial IS NOT NULL AND NOT left_crl(r.ca_id, r.shards, r.shard, r.not_after))))
     ORDER BY b.completed_at`, [[...new Set(batchIds)], before]);
  return rows.map(({ id }) => id);
}
