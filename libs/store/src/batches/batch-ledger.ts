import type { AuditEvent } from '@fleetroot/audit';
import {
  type BatchFilter, type BatchLedger, type BatchPlace, type BatchProgress, type BatchSummary, type Begun, type Cancelled, chunkJob, type FailedItem,
  type ItemResult, type MadeKeys, type NewBatch, type RequestItem, type Silence,
} from '@fleetroot/authority';
import { crashPoint, type LedgerKey, PkiError } from '@fleetroot/core';
import { appendEvent } from '../audit-log.ts';
import type { ChunkWatch } from '../chunk-watch.ts';
import type { Database } from '../database.ts';
import { conflictOnRecord } from '../fleet/register-ecus.ts';
import { insertMadeKeys } from '../made-keys/insert.ts';
import { addToOutbox } from '../outbox.ts';
import { acceptBatch, closeBatch } from './accept.ts';
import { appendChunk } from './append.ts';
import { listBatches, readBatch } from './batch-row.ts';
import { readSummary } from './batch-summary.ts';
import { cancelBatch } from './cancel.ts';
import { openBatch } from './open-batch.ts';
import { batchResults } from './results.ts';

type SubmittedOne = { readonly kind: 'new'; readonly batchId: string; readonly chunkId: bigint } | Extract<Begun, { kind: 'known' }>;

export class PostgresBatchLedger implements BatchLedger {
  readonly #database: Database;
  readonly #key: LedgerKey;
  readonly #watch: ChunkWatch;

  constructor(database: Database, key: LedgerKey, watch: ChunkWatch) {
    this.#database = database;
    this.#key = key;
    this.#watch = watch;
  }

  begin(batch: NewBatch): Promise<Begun> {
    return this.#database.transaction((tx) => openBatch(tx, batch));
  }

  async wasAccepted(principalId: number, idempotencyKey: string): Promise<boolean> {
    const known = await this.#database.query(
      `SELECT FROM batch WHERE principal_id = $1 AND idempotency_key = $2 AND state <> 'receiving'`, [principalId, idempotencyKey]);
    return known.length > 0;
  }

  async append(batchId: string, items: readonly RequestItem[], failures: readonly FailedItem[], made?: MadeKeys): Promise<void> {
    await this.#database.transaction(async (tx) => {
      await appendChunk(tx, this.#key, batchId, items, failures);
      if (made !== undefined) await insertMadeKeys(tx, batchId, made);
    });
    crashPoint('batch.appended');
  }

  accept(batchId: string, bodySha256: Uint8Array, event: AuditEvent, more: readonly AuditEvent[] = []): Promise<BatchProgress> {
    return this.#database.transaction(async (tx) => {
      await acceptBatch(tx, batchId, bodySha256, [event, ...more]);
      return readBatch(tx, batchId);
    });
  }

  async discard(batchId: string): Promise<void> {
    await this.#database.query(`DELETE FROM batch WHERE id = $1 AND state = 'receiving'`, [batchId]);
  }

  cancel(batchId: string, event: (refused: number) => AuditEvent): Promise<Cancelled> {
    return cancelBatch(this.#database, batchId, event);
  }

  async silent({ streamedMs, inPartsMs }: Silence, limit: number): Promise<readonly string[]> {
    const rows = await this.#database.query<{ id: string }>(
      `SELECT id FROM batch WHERE state = 'receiving'
         AND received_at < clock_timestamp() - CASE WHEN in_parts THEN $2::float8 ELSE $1::float8 END * interval '1 millisecond'
       ORDER BY received_at LIMIT $3`, [streamedMs, inPartsMs, limit]);
    return rows.map(({ id }) => id);
  }

  submitOne(batch: NewBatch, item: RequestItem, bodySha256: Uint8Array, event: (batchId: string) => AuditEvent): Promise<SubmittedOne> {
    return this.#database.transaction(async (tx) => {
      const begun = await openBatch(tx, batch);
      if (begun.kind === 'known') return begun;
      // Who waits is told at once; what is decided for good is decided with the intent.
      const conflict = await conflictOnRecord(tx, this.#key, item);
      if (conflict !== undefined) throw new PkiError(conflict);
      const chunkId = await appendChunk(tx, this.#key, begun.batchId, [item], []);
      await closeBatch(tx, begun.batchId, bodySha256);
      await addToOutbox(tx, chunkJob(batch.purpose, batch.priority), { chunkId: String(chunkId) }, batch.priority);
      await appendEvent(tx, event(begun.batchId));
      return { kind: 'new', batchId: begun.batchId, chunkId };
    });
  }

  progress(batchId: string): Promise<BatchProgress> {
    return readBatch(this.#database, batchId);
  }

  summary(batchId: string): Promise<BatchSummary> {
    return readSummary(this.#database, batchId);
  }

  list(filter: BatchFilter, after: BatchPlace | undefined, limit: number): Promise<readonly BatchProgress[]> {
    return listBatches(this.#database, filter, after, limit);
  }

  results(batchId: string, from: number, signal: AbortSignal, outcome?: ItemResult['outcome']): AsyncIterable<ItemResult> {
    return batchResults(this.#database, this.#watch, batchId, from, signal, outcome);
  }

  async chunkDone(chunkId: bigint, timeoutMs: number): Promise<void> {
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), timeoutMs);
    try {
      if (!(await this.#watch.done(chunkId, timeout.signal))) throw new PkiError('issuance.timeout');
    } finally {
      clearTimeout(timer);
    }
  }
}
