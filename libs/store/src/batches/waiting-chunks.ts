import { type BacklogOf, GREATEST_PRIORITY, type OpenChunk, type SigningPurpose, type WaitingChunks } from '@fleetroot/authority';
import type { Database } from '../database.ts';

interface OpenRow {
  readonly id: bigint;
  readonly purpose: SigningPurpose;
  readonly turn: number;
  readonly priority: number;
  readonly fence: number;
}

/** All of it reads the open chunks alone, by their partial index: it costs the same however large the ledger is. */
export class PostgresWaitingChunks implements WaitingChunks {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async orphaned(silentMs: number, limit: number): Promise<readonly OpenChunk[]> {
    return chunksOf(await this.#database.query<OpenRow>(
      `SELECT c.id, b.purpose, c.turn, least(b.priority + c.turn, $3::int) AS priority, c.fence FROM chunk c JOIN batch b ON b.id = c.batch_id
       WHERE c.state <> 'done' AND NOT c.single AND c.state = 'signing' AND b.state = 'accepted'
         AND c.claimed_at < clock_timestamp() - $1 * interval '1 millisecond'
       ORDER BY c.claimed_at, c.id LIMIT $2`, [silentMs, limit, GREATEST_PRIORITY]));
  }

  open(acceptedBeforeMs: number): Promise<readonly BacklogOf[]> {
    return this.#database.query<BacklogOf>(
      `SELECT b.purpose, b.priority, count(*)::int AS chunks FROM chunk c JOIN batch b ON b.id = c.batch_id
       WHERE c.state <> 'done' AND NOT c.single AND b.state = 'accepted' AND b.accepted_at < clock_timestamp() - $1 * interval '1 millisecond'
       GROUP BY b.purpose, b.priority ORDER BY b.purpose, b.priority`, [acceptedBeforeMs]);
  }

  async pending(acceptedBeforeMs: number, after: OpenChunk | undefined, limit: number): Promise<readonly OpenChunk[]> {
    return chunksOf(await this.#database.query<OpenRow>(
      `SELECT c.id, b.purpose, c.turn, least(b.priority + c.turn, $5::int) AS priority, c.fence FROM chunk c JOIN batch b ON b.id = c.batch_id
       WHERE c.state <> 'done' AND NOT c.single AND c.state = 'pending' AND b.state = 'accepted' AND b.accepted_at < clock_timestamp() - $1 * interval '1 millisecond'
         AND (c.turn, c.id) > ($2::int, $3::bigint)
       ORDER BY c.turn, c.id LIMIT $4`, [acceptedBeforeMs, after?.turn ?? -1, after?.chunkId ?? 0n, limit, GREATEST_PRIORITY]));
  }
}

const chunksOf = (rows: readonly OpenRow[]): OpenChunk[] => rows.map(({ id, ...rest }) => ({ chunkId: id, ...rest }));
