import type { AuditEvent } from '@fleetroot/audit';
import type { DeliveryKind, DueKey, HeldKey, KeyCounts, MadeKeyLedger } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';
import { appendEvent, appendEvents } from '../audit-log.ts';
import type { Database, Queryable } from '../database.ts';

interface CountsRow {
  readonly kind: DeliveryKind;
  readonly made: number;
  readonly delivered: number;
  readonly deleted: number;
  readonly expires_at: Date;
}

interface KeyRow {
  readonly kind: DeliveryKind;
  readonly envelope: Buffer | null;
  readonly delivered: boolean;
  readonly expired: boolean;
}

interface DueRow {
  readonly batch_id: string;
  readonly ordinal: number;
  readonly expired: boolean;
}

export class PostgresMadeKeyLedger implements MadeKeyLedger {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async counts(batchId: string): Promise<KeyCounts | undefined> {
    const [row] = await this.#database.query<CountsRow>(
      `SELECT kind, count(*)::int AS made, count(delivered_at)::int AS delivered, count(deleted_at)::int AS deleted, min(expires_at) AS expires_at
       FROM made_key WHERE batch_id = $1 GROUP BY kind`, [batchId]);
    if (row === undefined) return undefined;
    const { kind, made, delivered, deleted, expires_at: expiresAt } = row;
    return { kind, made, delivered, deleted, expiresAt };
  }

  async held(batchId: string, ordinal: number): Promise<HeldKey> {
    return heldOf(await readKey(this.#database, SELECT, batchId, ordinal));
  }

  async anyHeld(batchId: string): Promise<HeldKey | undefined> {
    const [row] = await this.#database.query<{ kind: DeliveryKind; envelope: Buffer }>(
      'SELECT kind, envelope FROM made_key WHERE batch_id = $1 AND deleted_at IS NULL ORDER BY ordinal LIMIT 1', [batchId]);
    return row;
  }

  deliver(batchId: string, ordinal: number, event: AuditEvent): Promise<HeldKey> {
    return this.#database.transaction(async (tx) => {
      const key = heldOf(await readKey(tx, `${SELECT} FOR UPDATE`, batchId, ordinal));
      await tx.query('UPDATE made_key SET delivered_at = coalesce(delivered_at, clock_timestamp()) WHERE batch_id = $1 AND ordinal = $2', [batchId, ordinal]);
      await appendEvent(tx, event);
      return key;
    });
  }

  acknowledge(batchId: string, ordinals: readonly number[], event: (ordinal: number) => AuditEvent): Promise<number> {
    return this.#database.transaction(async (tx) => {
      const rows = await tx.query<{ ordinal: number; delivered: boolean }>(
        `SELECT ordinal, delivered_at IS NOT NULL AS delivered FROM made_key
         WHERE batch_id = $1 AND ordinal = ANY($2::int[]) ORDER BY ordinal FOR UPDATE`, [batchId, ordinals]);
      const known = new Map(rows.map(({ ordinal, delivered }) => [ordinal, delivered]));
      for (const ordinal of ordinals) {
        const delivered = known.get(ordinal);
        if (delivered === undefined) throw notFound(ordinal);
        if (!delivered) throw new PkiError('key.not-delivered', `the key of item ${ordinal} was never handed out: fetch it, then acknowledge it`, { data: { ordinal } });
      }
      const deleted = await tx.query<{ ordinal: number }>(
        `UPDATE made_key SET envelope = NULL, deleted_at = clock_timestamp()
         WHERE batch_id = $1 AND ordinal = ANY($2::int[]) AND deleted_at IS NULL RETURNING ordinal`, [batchId, ordinals]);
      await appendEvents(tx, deleted.map(({ ordinal }) => ordinal).sort((a, b) => a - b).map(event));
      return deleted.length;
    });
  }

  deleteDue(limit: number, event: (key: DueKey) => AuditEvent): Promise<number> {
    return this.#database.transaction(async (tx) => {
      // A cancelled or failed item has no certificate once its chunk is done. SKIP LOCKED: who acknowledges is faster.
      const deleted = await tx.query<DueRow>(
        `WITH due AS (
           SELECT k.batch_id, k.ordinal, k.expires_at <= clock_timestamp() AS expired FROM made_key k
           WHERE k.deleted_at IS NULL AND (k.expires_at <= clock_timestamp() OR EXISTS (
             SELECT FROM chunk c WHERE c.batch_id = k.batch_id AND k.ordinal >= c.first AND k.ordinal < c.first + c.items
               AND c.state = 'done' AND NOT EXISTS (SELECT FROM certificate WHERE chunk_id = c.id AND ordinal = k.ordinal)))
           ORDER BY k.expires_at LIMIT $1 FOR UPDATE OF k SKIP LOCKED)
         UPDATE made_key k SET envelope = NULL, deleted_at = clock_timestamp() FROM due
         WHERE k.batch_id = due.batch_id AND k.ordinal = due.ordinal RETURNING k.batch_id, k.ordinal, due.expired`, [limit]);
      if (deleted.length === 0) return 0;
      // RETURNING has no order; the events of a batch are told in that of its items.
      const inOrder = deleted.toSorted((a, b) => a.batch_id.localeCompare(b.batch_id) || a.ordinal - b.ordinal);
      await appendEvents(tx, inOrder.map(({ batch_id: batchId, ordinal, expired }) => event({ batchId, ordinal, why: expired ? 'expired' : 'no-certificate' })));
      return deleted.length;
    });
  }
}

const SELECT = `
  SELECT kind, envelope, delivered_at IS NOT NULL AS delivered, expires_at <= clock_timestamp() AS expired
  FROM made_key WHERE batch_id = $1 AND ordinal = $2`;

async function readKey(queryable: Queryable, statement: string, batchId: string, ordinal: number): Promise<KeyRow> {
  const [row] = await queryable.query<KeyRow>(statement, [batchId, ordinal]);
  if (row === undefined) throw notFound(ordinal);
  return row;
}

/** @throws PkiError `key.gone`, before the worker has deleted it too */
function heldOf({ kind, envelope, delivered, expired }: KeyRow): HeldKey {
  if (envelope !== null && !expired) return { kind, envelope };
  throw new PkiError('key.gone', delivered ? 'the key was handed out and then deleted: it was acknowledged, or its time had run out. A lost key needs a new one, by a new batch'
    : 'the key was deleted before it was handed out: its time had run out, or its item got no certificate. Have a new one made, by a new batch');
}

const notFound = (ordinal: number): PkiError => new PkiError('key.not-found', `no key was made for item ${ordinal} of this batch`, { data: { ordinal } });
