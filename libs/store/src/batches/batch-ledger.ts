import type { AuditEvent } from '@fleetroot/audit';
import {
  type BatchFilter, type BatchLedger, type BatchPlace, type BatchProgress, type BatchSummary, type Begun, type Cancelled, type FailedItem,
  type ItemResult, type MadeKeys, type NewBatch, type RequestItem, type Silence,
} from '@fleetroot/authority';
import { crashPoint, type LedgerKey, PkiError } from '@fleetroot/core';
import type { ChunkWatch } from '../chunk-watch.ts';
import type { Database } from '../database.ts';
import { insertMadeKeys } from '../made-keys/insert.ts';
import { acceptBatch } from './accept.ts';
import { appendChunk } from './append.ts';
import { listBatches, readBatch } from './batch-row.ts';
import { readSummary } from './batch-summary.ts';
import { cancelBatch } from './cancel.ts';
import { openBatch } from './open-batch.ts';
import { batchResults, chunkResults } from './results.ts';
import { type SubmittedOne, submitOne } from './submit-one.ts';

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
    return this.#database.transaction((tx) => submitOne(tx, this.#key, batch, item, bodySha256, event));
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

  async resultOfOne(chunkId: bigint): Promise<ItemResult> {
    const [row] = await this.#database.query<{ ecu_serial: string | null; der: Buffer }>('SELECT ecu_serial, der FROM certificate WHERE chunk_id = $1', [chunkId]);
    if (row !== undefined) return { ordinal: 0, outcome: 'issued', ecuSerial: row.ecu_serial ?? undefined, certificate: row.der };
    const [result] = await chunkResults(this.#database, { id: chunkId, first: 0, items: 1 });
    if (result === undefined) throw new PkiError('internal', `chunk ${chunkId} is not that of a single request`);
    return result;
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
