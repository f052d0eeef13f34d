import type { AuditEvent } from '@fleetroot/audit';
import type { ClaimedChunk, FailedItem, IssuanceLedger, IssuedItem, NewIntent, RecordedIntent, SigningPurpose } from '@fleetroot/authority';
import { type LedgerKey, PkiError } from '@fleetroot/core';
import type { Database } from '../database.ts';
import type { Listener } from '../listener.ts';
import { burnOpenIntents } from './burn.ts';
import { claimChunk, claimFreshSingle, claimSingle } from './claim.ts';
import { completeChunk } from './complete.ts';
import { recordIntent } from './record-intent.ts';

/** What waits to be signed. */
export interface IssuanceBacklog {
  /** Items of accepted batches that have no outcome yet; a purpose without any is left out. */
  backlog(): Promise<readonly { readonly purpose: SigningPurpose; readonly items: number }[]>;
}

export class PostgresIssuanceLedger implements IssuanceLedger, IssuanceBacklog {
  readonly #database: Database;
  readonly #key: LedgerKey;
  readonly #listener: Listener;

  constructor(database: Database, key: LedgerKey, listener: Listener) {
    this.#database = database;
    this.#key = key;
    this.#listener = listener;
  }

  claim(chunkId: bigint, staleAfterMs: number): Promise<ClaimedChunk | undefined> {
    return this.#database.transaction((tx) => claimChunk(tx, this.#key, chunkId, staleAfterMs));
  }

  claimFreshSingle(): Promise<ClaimedChunk | undefined> {
    return claimFreshSingle(this.#database, this.#key);
  }

  claimSingle(staleAfterMs: number, except: readonly bigint[]): Promise<ClaimedChunk | undefined> {
    return this.#database.transaction((tx) => claimSingle(tx, this.#key, staleAfterMs, except));
  }

  onSingle(wake: () => void): () => void {
    return this.#listener.subscribe('fleetroot_single', wake);
  }

  async renew({ chunkId, fence }: ClaimedChunk): Promise<void> {
    await this.#database.query(
      `UPDATE chunk SET claimed_at = clock_timestamp() WHERE id = $1 AND fence = $2 AND state = 'signing'`, [chunkId, fence]);
  }

  async recordIntent(chunk: ClaimedChunk, intent: NewIntent): Promise<RecordedIntent> {
    const { intentId, refused } = await this.#database.transaction((tx) => recordIntent(tx, this.#key, chunk, intent));
    return { intentId: await intentId, refused };
  }

  complete(
    chunk: ClaimedChunk, intentId: bigint | undefined, issued: readonly IssuedItem[], failed: readonly FailedItem[],
    event: AuditEvent,
  ): Promise<void> {
    return completeChunk(this.#database, this.#key, chunk, intentId, issued, failed, event);
  }

  async release(chunk: ClaimedChunk, event: AuditEvent | undefined, untouched: readonly number[] = []): Promise<void> {
    await this.#database.transaction(async (tx) => {
      const released = await tx.query(
        `UPDATE chunk SET state = 'pending', claimed_at = NULL WHERE id = $1 AND fence = $2 AND state = 'signing' RETURNING id`,
        [chunk.chunkId, chunk.fence]);
      if (released.length === 0) throw new PkiError('store.stale-fence');
      await burnOpenIntents(tx, this.#key, chunk.chunkId, { told: event, untouched });
    });
  }

  /** Reads the open chunks alone, by their partial index: it costs the same however large the ledger is. */
  backlog(): Promise<readonly { readonly purpose: SigningPurpose; readonly items: number }[]> {
    return this.#database.query(
      `SELECT b.purpose, sum(c.items - c.failed)::int AS items FROM chunk c JOIN batch b ON b.id = c.batch_id
       WHERE c.state <> 'done' AND b.state = 'accepted' GROUP BY b.purpose ORDER BY b.purpose`);
  }
}
