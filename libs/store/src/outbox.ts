import type { Database, Queryable } from './database.ts';
import type { Listener } from './listener.ts';

export interface OutboxRow {
  readonly id: bigint;
  /** A name of the job catalogue. */
  readonly job: string;
  /** Ids only. */
  readonly payload: unknown;
  /** BullMQ's: 1 is served first. */
  readonly priority: number;
}

/** Puts a job into the outbox in the transaction of its cause: the job exists if and only if the cause does. */
export async function addToOutbox(tx: Queryable, job: string, payload: object, priority: number): Promise<void> {
  await tx.query('INSERT INTO outbox (job, payload, priority) VALUES ($1, $2, $3)', [job, JSON.stringify(payload), priority]);
  await announceOutbox(tx);
}

export async function announceOutbox(tx: Queryable): Promise<void> {
  await tx.query(`SELECT pg_notify('fleetroot_outbox', '')`);
}

/** Jobs that are in the ledger and not yet in the queue. */
export class Outbox {
  readonly #database: Database;
  readonly #listener: Listener;

  constructor(database: Database, listener: Listener) {
    this.#database = database;
    this.#listener = listener;
  }

  /** The rows of the highest priority (1 first), of these the oldest; at most `limit`. They stay until removed: a job may be handed over twice, never lost. */
  pending(limit: number): Promise<readonly OutboxRow[]> {
    return this.#database.query<OutboxRow>('SELECT id, job, payload, priority FROM outbox ORDER BY priority, id LIMIT $1', [limit]);
  }

  async remove(ids: readonly bigint[]): Promise<void> {
    if (ids.length > 0) await this.#database.query('DELETE FROM outbox WHERE id = ANY($1::bigint[])', [ids.map(String)]);
  }

  /** Calls `wake` when rows were added, until the returned function is called. A hint: look from time to time as well. */
  onAdded(wake: () => void): () => void {
    return this.#listener.subscribe('fleetroot_outbox', wake);
  }
}
