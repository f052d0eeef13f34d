import type { AuditEvent } from '@fleetroot/audit';
import type { ClaimedChunk, FailedItem, IssuanceLedger, IssuedItem, NewIntent, RecordedIntent } from '@fleetroot/authority';
import { type LedgerKey, PkiError } from '@fleetroot/core';
import type { Database } from '../database.ts';
import { burnOpenIntents } from './burn.ts';
import { claimChunk } from './claim.ts';
import { completeChunk } from './complete.ts';
import { recordIntent } from './record-intent.ts';

export class PostgresIssuanceLedger implements IssuanceLedger {
  readonly #database: Database;
  readonly #key: LedgerKey;

  constructor(database: Database, key: LedgerKey) {
    this.#database = database;
    this.#key = key;
  }

  claim(chunkId: bigint, staleAfterMs: number): Promise<ClaimedChunk | undefined> {
    return this.#database.transaction((tx) => claimChunk(tx, this.#key, chunkId, staleAfterMs));
  }

  recordIntent(chunk: ClaimedChunk, intent: NewIntent): Promise<RecordedIntent> {
    return this.#database.transaction((tx) => recordIntent(tx, this.#key, chunk, intent));
  }

  complete(
    chunk: ClaimedChunk, intentId: bigint | undefined, issued: readonly IssuedItem[], failed: readonly FailedItem[],
    event: AuditEvent,
  ): Promise<void> {
    return this.#database.transaction((tx) => completeChunk(tx, this.#key, chunk, intentId, issued, failed, event));
  }

  async release(chunk: ClaimedChunk, event: AuditEvent | undefined): Promise<void> {
    await this.#database.transaction(async (tx) => {
      const released = await tx.query(
        `UPDATE chunk SET state = 'pending', claimed_at = NULL WHERE id = $1 AND fence = $2 AND state = 'signing' RETURNING id`,
        [chunk.chunkId, chunk.fence]);
      if (released.length === 0) throw new PkiError('store.stale-fence');
      await burnOpenIntents(tx, this.#key, chunk.chunkId, event);
    });
  }

  async stale(staleAfterMs: number, limit: number): Promise<readonly bigint[]> {
    const rows = await this.#database.query<{ id: bigint }>(
      `SELECT c.id FROM chunk c JOIN batch b ON b.id = c.batch_id
       WHERE c.state <> 'done' AND b.state = 'accepted'
         AND coalesce(c.claimed_at, b.accepted_at) < clock_timestamp() - $1 * interval '1 millisecond'
       ORDER BY c.id LIMIT $2`, [staleAfterMs, limit]);
    return rows.map(({ id }) => id);
  }
}
