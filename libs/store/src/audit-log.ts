import { type AuditEvent, type AuditLog, type ChainedEvent, eventPayload } from '@fleetroot/audit';
import type { Database, PrismaTransaction, Queryable, Transaction } from './database.ts';

const PAGE = 1000;

/**
 * Appends an event in the transaction of the change that it tells (I26). It locks the chain's head until the commit, so
 * that it comes as late in the transaction as it can.
 */
export async function appendEvent(tx: Queryable, event: AuditEvent): Promise<void> {
  await tx.query('SELECT audit_append($1, $2)', [eventPayload(event), event.at]);
}

/** As `appendEvent`, in order. */
export async function appendEvents(tx: Queryable, events: readonly AuditEvent[]): Promise<void> {
  await tx.query(
    'SELECT audit_append(payload, at) FROM (SELECT * FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY AS e(payload, at, place) ORDER BY place) AS e',
    [events.map(eventPayload), events.map(({ at }) => at.toISOString())]);
}

/** `appendEvent` without waiting for it: it goes out with COMMIT, so that nothing of this process is between lock and commit. */
export function sendEvent(tx: Transaction, event: AuditEvent): void {
  void tx.send('SELECT audit_append($1, $2)', [eventPayload(event), event.at]);
}

/** The same inside a transaction of Prisma's. */
export async function appendEventByPrisma(tx: PrismaTransaction, event: AuditEvent): Promise<void> {
  await tx.$queryRaw`SELECT audit_append(${eventPayload(event)}, ${event.at})`;
}

interface EventRow {
  readonly seq: bigint;
  readonly payload: string;
  readonly prev_hash: Buffer;
  readonly hash: Buffer;
}

export class PostgresAuditLog implements AuditLog {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async append(event: AuditEvent): Promise<void> {
    await appendEvent(this.#database, event);
  }

  async *events(fromSeq = 1n): AsyncIterable<ChainedEvent> {
    for (let next = fromSeq; ;) {
      const rows = await this.#database.report<EventRow>(
        'SELECT seq, payload, prev_hash, hash FROM audit_event WHERE seq >= $1 ORDER BY seq LIMIT $2', [next, PAGE]);
      for (const row of rows) yield { seq: row.seq, payload: row.payload, prevHash: row.prev_hash, hash: row.hash };
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE) return;
      next = last.seq + 1n;
    }
  }

  async head(): Promise<{ readonly seq: bigint; readonly hash: Uint8Array }> {
    const [row] = await this.#database.query<{ seq: bigint; hash: Buffer }>('SELECT seq, hash FROM audit_head WHERE id = $1', [1]);
    return { seq: row?.seq ?? 0n, hash: row?.hash ?? new Uint8Array(32) };
  }
}
