import type { BatchSummary } from '@fleetroot/authority';
import type { Queryable } from '../database.ts';
import { readBatch } from './batch-row.ts';

/** The rate is that of the last so many seconds, or of the batch's life where that is shorter. */
const WINDOW_SECONDS = 30;
/** Before so many seconds nothing is known of a rate. */
const YOUNG_SECONDS = 1;

interface PaceRow {
  /** Items that found their outcome in the window. */
  readonly settled: number;
  /** Length of the window, in seconds; null: the batch is not running. */
  readonly seconds: number | null;
}

/** See BatchLedger.summary. */
export async function readSummary(queryable: Queryable, batchId: string): Promise<BatchSummary> {
  const batch = await readBatch(queryable, batchId);
  const failures = batch.failed === 0 ? {} : await failuresByCode(queryable, batchId);
  const rate = batch.state === 'accepted' ? await ratePerSecond(queryable, batchId) : undefined;
  return {
    ...batch, failures, ratePerSecond: rate,
    secondsLeft: rate === undefined || rate === 0 ? undefined : Math.ceil(batch.pending / rate),
  };
}

/** Rows that say why, and those that a chunk says it for. */
async function failuresByCode(queryable: Queryable, batchId: string): Promise<BatchSummary['failures']> {
  const rows = await queryable.query<{ code: string; items: number }>(
    `SELECT code, sum(items)::int AS items FROM (
       SELECT f.code, count(*) AS items FROM chunk c JOIN failure f ON f.chunk_id = c.id WHERE c.batch_id = $1 GROUP BY f.code
       UNION ALL
       SELECT c.refusal, c.failed - (SELECT count(*) FROM failure f WHERE f.chunk_id = c.id)
       FROM chunk c WHERE c.batch_id = $1 AND c.refusal IS NOT NULL) AS told (code, items)
     GROUP BY code HAVING sum(items) > 0 ORDER BY code`, [batchId]);
  return Object.fromEntries(rows.map(({ code, items }) => [code, items]));
}

async function ratePerSecond(queryable: Queryable, batchId: string): Promise<number | undefined> {
  const [pace] = await queryable.query<PaceRow>(
    `SELECT coalesce(sum(c.issued + c.failed) FILTER (WHERE c.fence > 0 AND c.done_at > now() - w.seconds * interval '1 second'), 0)::int AS settled,
            max(w.seconds) AS seconds
     FROM (SELECT id, least($2, extract(epoch FROM clock_timestamp() - accepted_at))::float8 AS seconds
           FROM batch WHERE id = $1 AND state = 'accepted') AS w
     JOIN chunk c ON c.batch_id = w.id`, [batchId, WINDOW_SECONDS]);
  if (pace === undefined || pace.seconds === null || pace.seconds < YOUNG_SECONDS) return undefined;
  return Math.round((pace.settled / pace.seconds) * 10) / 10;
}
