import { randomUUID } from 'node:crypto';
import type { AuditEvent } from '@fleetroot/audit';
import type { BatchLedger, BatchProgress, Begun, FailedItem, ItemResult, NewBatch, RequestItem, SigningPurpose } from '@fleetroot/authority';
import { type LedgerKey, PkiError } from '@fleetroot/core';
import { appendEvent } from '../audit-log.ts';
import type { ChunkWatch } from '../chunk-watch.ts';
import type { Database, Queryable } from '../database.ts';
import { conflictOnRecord } from '../fleet/register-ecus.ts';
import { addToOutbox, announceOutbox } from '../outbox.ts';
import { appendChunk } from './append.ts';
import { readBatch, readBatchByKey } from './batch-row.ts';
import { batchResults } from './results.ts';

/** A sender that was not heard for this long is gone; one that is only slow finds its batch taken over. */
const SENDER_SILENT_MS = 15_000;

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
    return this.#database.transaction((tx) => open(tx, batch));
  }

  async wasAccepted(principalId: number, idempotencyKey: string): Promise<boolean> {
    const known = await this.#database.query(
      `SELECT FROM batch WHERE principal_id = $1 AND idempotency_key = $2 AND state <> 'receiving'`, [principalId, idempotencyKey]);
    return known.length > 0;
  }

  async append(batchId: string, items: readonly RequestItem[], failures: readonly FailedItem[]): Promise<void> {
    await this.#database.transaction((tx) => appendChunk(tx, this.#key, batchId, items, failures));
  }

  accept(batchId: string, bodySha256: Uint8Array, event: AuditEvent): Promise<BatchProgress> {
    return this.#database.transaction(async (tx) => {
      const purpose = await close(tx, batchId, bodySha256);
      const jobs = await tx.query(
        `INSERT INTO outbox (job, payload, priority)
         SELECT $2::text, jsonb_build_object('chunkId', c.id::text), b.priority
         FROM chunk c JOIN batch b ON b.id = c.batch_id WHERE c.batch_id = $1 AND c.state = 'pending' ORDER BY c.first
         RETURNING id`, [batchId, jobOf(purpose)]);
      if (jobs.length > 0) await announceOutbox(tx);
      await appendEvent(tx, event);
      return readBatch(tx, batchId);
    });
  }

  async discard(batchId: string): Promise<void> {
    await this.#database.query(`DELETE FROM batch WHERE id = $1 AND state = 'receiving'`, [batchId]);
  }

  async silent(olderThanMs: number, limit: number): Promise<readonly string[]> {
    const rows = await this.#database.query<{ id: string }>(
      `SELECT id FROM batch WHERE state = 'receiving' AND received_at < clock_timestamp() - $1 * interval '1 millisecond'
       ORDER BY received_at LIMIT $2`, [olderThanMs, limit]);
    return rows.map(({ id }) => id);
  }

  submitOne(batch: NewBatch, item: RequestItem, bodySha256: Uint8Array, event: (batchId: string) => AuditEvent): Promise<SubmittedOne> {
    return this.#database.transaction(async (tx) => {
      const begun = await open(tx, batch);
      if (begun.kind === 'known') return begun;
      // Who waits is told at once; what is decided for good is decided with the intent.
      const conflict = await conflictOnRecord(tx, this.#key, item);
      if (conflict !== undefined) throw new PkiError(conflict);
      const chunkId = await appendChunk(tx, this.#key, begun.batchId, [item], []);
      await close(tx, begun.batchId, bodySha256);
      await addToOutbox(tx, batch.purpose === 'renewal' ? 'renew-chunk' : 'issue-one', { chunkId: String(chunkId) }, batch.priority);
      await appendEvent(tx, event(begun.batchId));
      return { kind: 'new', batchId: begun.batchId, chunkId };
    });
  }

  progress(batchId: string): Promise<BatchProgress> {
    return readBatch(this.#database, batchId);
  }

  results(batchId: string, from: number, signal: AbortSignal): AsyncIterable<ItemResult> {
    return batchResults(this.#database, this.#watch, batchId, from, signal);
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

/** A new batch, or the one that its Idempotency-Key opened before. */
async function open(tx: Queryable, batch: NewBatch): Promise<Begun> {
  // Twice at most: the second time the key is free, unless a third sender was faster.
  for (let attempt = 0; attempt < 2; attempt++) {
    const batchId = randomUUID();
    const added = await tx.query(
      `INSERT INTO batch (id, principal_id, idempotency_key, ca_id, profile_version_id, priority, purpose, state)
       VALUES ($1, $2, $3, $4, $5, $6, $7, 'receiving') ON CONFLICT (principal_id, idempotency_key) DO NOTHING RETURNING id`,
      [batchId, batch.principalId, batch.idempotencyKey, batch.caId, batch.profileVersionId, batch.priority, batch.purpose]);
    if (added.length > 0) return { kind: 'new', batchId };
    const known = await readBatchByKey(tx, batch.principalId, batch.idempotencyKey ?? '');
    if (known !== undefined && known.state !== 'receiving') return { kind: 'known', batch: known };
    // Its items, the failures among them, go with it. A late `append` of its sender then finds no batch.
    const emptied = await tx.query(
      `DELETE FROM batch WHERE principal_id = $1 AND idempotency_key = $2 AND state = 'receiving'
         AND received_at < clock_timestamp() - $3 * interval '1 millisecond' RETURNING id`,
      [batch.principalId, batch.idempotencyKey, SENDER_SILENT_MS]);
    if (emptied.length === 0) break;
  }
  throw new PkiError('idempotency.in-progress');
}

/** Ends the receiving. @throws PkiError `batch.not-found`, `batch.empty` */
async function close(tx: Queryable, batchId: string, bodySha256: Uint8Array): Promise<SigningPurpose> {
  const [row] = await tx.query<{ items: number; purpose: SigningPurpose }>(
    `UPDATE batch SET
       state = CASE WHEN open THEN 'accepted' ELSE 'done' END, body_sha256 = $2, accepted_at = clock_timestamp(),
       completed_at = CASE WHEN open THEN NULL ELSE clock_timestamp() END
     FROM (SELECT EXISTS (SELECT FROM chunk WHERE batch_id = $1 AND state <> 'done') AS open) AS chunks
     WHERE id = $1 AND state = 'receiving' RETURNING items, purpose`, [batchId, bodySha256]);
  if (row === undefined) throw new PkiError('batch.not-found', 'the batch is no longer being received');
  if (row.items === 0) throw new PkiError('batch.empty');
  return row.purpose;
}

/** Which queue a chunk waits in. */
const jobOf = (purpose: SigningPurpose): 'issue-chunk' | 'renew-chunk' => (purpose === 'renewal' ? 'renew-chunk' : 'issue-chunk');
