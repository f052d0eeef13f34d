import type { ItemResult } from '@fleetroot/authority';
import { type ErrorCode, errorCatalogue, isPkiError, PkiError } from '@fleetroot/core';
import type { ChunkWatch } from '../chunk-watch.ts';
import type { Database } from '../database.ts';
import { readBatch } from './batch-row.ts';

interface ChunkRow {
  readonly id: bigint;
  readonly first: number;
  readonly items: number;
  readonly state: string;
}

const PAGE = 64;
/** How long to wait for more of a batch that is still being received. */
const RECEIVING_MS = 200;

/** How long a stream holds on while the database is away. */
const AWAY_MS = 60_000;

/** Results in request order, a chunk in memory at a time; see BatchLedger.results. */
export async function* batchResults(
  database: Database, watch: ChunkWatch, batchId: string, from: number, signal: AbortSignal, outcome?: ItemResult['outcome'],
): AsyncIterable<ItemResult> {
  for (let next = from; !signal.aborted;) {
    // Read before its chunks: if it was closed by then, they are all there.
    const { state, items } = await patiently(signal, () => readBatch(database, batchId));
    const chunks = await patiently(signal, () => database.query<ChunkRow>(
      'SELECT id, first, items, state FROM chunk WHERE batch_id = $1 AND first + items > $2 ORDER BY first LIMIT $3', [batchId, next, PAGE]));
    for (const chunk of chunks) {
      if (chunk.state !== 'done' && !(await watch.done(chunk.id, signal))) return;
      for (const result of await patiently(signal, () => chunkResults(database, chunk))) {
        if (signal.aborted) return;
        if (result.ordinal >= next && (outcome === undefined || result.outcome === outcome)) yield result;
      }
      next = Math.max(next, chunk.first + chunk.items);
    }
    if (state !== 'receiving' && next >= items) return;
    if (chunks.length === 0) await pause(RECEIVING_MS, signal);
  }
}

interface IssuedRow {
  readonly ordinal: number;
  readonly ecu_serial: string | null;
  readonly der: Buffer;
}

interface FailureRow {
  readonly ordinal: number;
  readonly code: ErrorCode;
  readonly detail: string;
}

/** The outcomes of a chunk that is done, in their order. */
export async function chunkResults(database: Database, chunk: Pick<ChunkRow, 'id' | 'first' | 'items'>): Promise<ItemResult[]> {
  let failed: readonly FailureRow[];
  const [issued, told] = await Promise.all([
    database.query<IssuedRow>('SELECT ordinal, ecu_serial, der FROM certificate WHERE chunk_id = $1 ORDER BY ordinal', [chunk.id]),
    database.query<FailureRow>('SELECT ordinal, code, detail FROM failure WHERE chunk_id = $1 ORDER BY ordinal', [chunk.id]),
  ]);
  failed = told;
  if (issued.length + failed.length !== chunk.items) failed = await withRefused(database, chunk, issued, failed);
  if (issued.length + failed.length !== chunk.items) throw new PkiError('internal', `chunk ${chunk.id} is done but does not have an outcome for each of its items`);
  const results: ItemResult[] = issued.map(({ ordinal, ecu_serial, der }) => ({ ordinal, outcome: 'issued', ecuSerial: ecu_serial ?? undefined, certificate: der }));
  if (failed.length === 0) return results;
  for (const { ordinal, code, detail } of failed) results.push({ ordinal, outcome: 'failed', code, detail });
  return results.sort((a, b) => a.ordinal - b.ordinal);
}

/** Also the items that failed with their whole chunk: no row of their own tells it. */
async function withRefused(database: Database, chunk: Pick<ChunkRow, 'id' | 'first' | 'items'>, issued: readonly IssuedRow[], failed: readonly FailureRow[]): Promise<readonly FailureRow[]> {
  const [row] = await database.query<{ refusal: ErrorCode | null }>('SELECT refusal FROM chunk WHERE id = $1', [chunk.id]);
  const code = row?.refusal;
  if (code === undefined || code === null) return failed;
  const known = new Set([...issued, ...failed].map(({ ordinal }) => ordinal));
  const places = Array.from({ length: chunk.items }, (_, place) => chunk.first + place);
  return [...failed, ...places.filter((ordinal) => !known.has(ordinal)).map((ordinal) => ({ ordinal, code, detail: errorCatalogue[code].title }))];
}

/** Reads again while the database is away: a long download should not end for a restart of PostgreSQL. */
async function patiently<T>(signal: AbortSignal, read: () => Promise<T>): Promise<T> {
  for (const until = Date.now() + AWAY_MS; ; await pause(500, signal)) {
    try {
      return await read();
    } catch (error) {
      if (!isPkiError(error) || error.code !== 'store.unavailable' || signal.aborted || Date.now() > until) throw error;
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end, { once: true });
  });
}
