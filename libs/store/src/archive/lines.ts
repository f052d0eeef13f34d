import { PkiError } from '@fleetroot/core';
import type { Database } from '../database.ts';

/** The tables of an archive, as their rows stand in it and are deleted: what others point to comes after them. */
const archivedTables = ['certificate', 'revocation', 'burned_serial', 'intent', 'failure', 'made_key', 'chunk', 'batch', 'registration'] as const;

export type ArchivedTable = (typeof archivedTables)[number];

/** A line of an archive: a row as PostgreSQL's `to_jsonb` has it, so that `jsonb_populate_record` makes the row of it again. */
export interface ArchivedRow {
  readonly table: ArchivedTable;
  readonly text: string;
}

interface LineRow {
  readonly line: string;
}

const OF_CHUNKS: readonly (readonly [ArchivedTable, string])[] = [
  ['certificate', 'SELECT to_jsonb(c)::text AS line FROM certificate c WHERE c.chunk_id = ANY($1::bigint[]) ORDER BY c.chunk_id, c.ordinal'],
  ['revocation', `SELECT to_jsonb(r)::text AS line FROM certificate c JOIN revocation r ON r.ca_id = c.ca_id AND r.serial = c.serial
    WHERE c.chunk_id = ANY($1::bigint[]) ORDER BY c.chunk_id, c.ordinal`],
  ['burned_serial', `SELECT to_jsonb(s)::text AS line FROM intent i JOIN burned_serial s ON s.intent_id = i.id
    WHERE i.chunk_id = ANY($1::bigint[]) ORDER BY s.ca_id, s.serial`],
  ['intent', 'SELECT to_jsonb(i)::text AS line FROM intent i WHERE i.chunk_id = ANY($1::bigint[]) ORDER BY i.id'],
  ['failure', 'SELECT to_jsonb(f)::text AS line FROM failure f WHERE f.chunk_id = ANY($1::bigint[]) ORDER BY f.chunk_id, f.ordinal'],
  ['chunk', 'SELECT to_jsonb(c)::text AS line FROM chunk c WHERE c.id = ANY($1::bigint[]) ORDER BY c.id'],
];
const OF_BATCHES: readonly (readonly [ArchivedTable, string])[] = [
  ['made_key', 'SELECT to_jsonb(k)::text AS line FROM made_key k WHERE k.batch_id = ANY($1::uuid[]) ORDER BY k.batch_id, k.ordinal'],
  ['batch', 'SELECT to_jsonb(b)::text AS line FROM batch b WHERE b.id = ANY($1::uuid[]) ORDER BY b.id'],
];

interface ChunkRow {
  readonly id: bigint;
  readonly items: number;
}

const PAGE = 500;
/** Certificates in memory at a time, but for a chunk that has more. */
const SLICE = 2000;

/** Every row of these batches; however large they are, some thousand rows in memory. */
export async function* linesOfBatches(database: Database, batchIds: readonly string[]): AsyncIterable<ArchivedRow> {
  for (let after = 0n; ;) {
    const chunks: readonly ChunkRow[] = await database.report<ChunkRow>(
      'SELECT id, items FROM chunk WHERE batch_id = ANY($1::uuid[]) AND id > $2 ORDER BY id LIMIT $3', [batchIds, after, PAGE]);
    for (const slice of slices(chunks)) {
      for (const [table, text] of OF_CHUNKS) yield* linesOf(table, await database.report<LineRow>(text, [slice]));
    }
    const last = chunks.at(-1);
    if (last === undefined || chunks.length < PAGE) break;
    after = last.id;
  }
  for (const [table, text] of OF_BATCHES) yield* linesOf(table, await database.report<LineRow>(text, [batchIds]));
}

function* slices(chunks: readonly ChunkRow[]): Iterable<readonly bigint[]> {
  let slice: bigint[] = [];
  let items = 0;
  for (const chunk of chunks) {
    if (slice.length > 0 && items + chunk.items > SLICE) {
      yield slice;
      [slice, items] = [[], 0];
    }
    slice.push(chunk.id);
    items += chunk.items;
  }
  if (slice.length > 0) yield slice;
}

function linesOf(table: ArchivedTable, rows: readonly LineRow[]): readonly ArchivedRow[] {
  return rows.map(({ line }) => ({ table, text: `{"table":"${table}","row":${line}}\n` }));
}

/** First connections from before `before`, oldest first, after the row `after`. */
export async function registrationLines(database: Database, before: Date, after: bigint, limit: number): Promise<{ readonly lines: readonly ArchivedRow[]; readonly last: bigint | undefined }> {
  const rows = await database.report<LineRow & { id: bigint }>(
    'SELECT id, to_jsonb(r)::text AS line FROM registration r WHERE at < $1 AND id > $2 ORDER BY id LIMIT $3', [before, after, limit]);
  return { lines: linesOf('registration', rows), last: rows.at(-1)?.id };
}

/** How rows of a table are named, in the order of their key's columns. */
const KEYS: Readonly<Record<ArchivedTable, { readonly columns: readonly string[]; readonly delete: string }>> = {
  certificate: {
    columns: ['ca_id', 'serial'],
    // Looked up one by one: a hash over all of them would read the partition.
    delete: `DELETE FROM certificate c USING unnest($1::int[], $2::bytea[]) AS k (ca_id, serial) WHERE c.ca_id = k.ca_id AND c.serial = k.serial`,
  },
  revocation: { columns: ['ca_id', 'serial'], delete: 'DELETE FROM revocation r USING unnest($1::int[], $2::bytea[]) AS k (ca_id, serial) WHERE r.ca_id = k.ca_id AND r.serial = k.serial' },
  burned_serial: { columns: ['ca_id', 'serial'], delete: 'DELETE FROM burned_serial s USING unnest($1::int[], $2::bytea[]) AS k (ca_id, serial) WHERE s.ca_id = k.ca_id AND s.serial = k.serial' },
  intent: { columns: ['id'], delete: 'DELETE FROM intent WHERE id = ANY($1::bigint[])' },
  failure: { columns: ['chunk_id', 'ordinal'], delete: 'DELETE FROM failure f USING unnest($1::bigint[], $2::int[]) AS k (chunk_id, ordinal) WHERE f.chunk_id = k.chunk_id AND f.ordinal = k.ordinal' },
  made_key: { columns: ['batch_id', 'ordinal'], delete: 'DELETE FROM made_key m USING unnest($1::uuid[], $2::int[]) AS k (batch_id, ordinal) WHERE m.batch_id = k.batch_id AND m.ordinal = k.ordinal' },
  chunk: { columns: ['id'], delete: 'DELETE FROM chunk WHERE id = ANY($1::bigint[])' },
  batch: { columns: ['id'], delete: `DELETE FROM batch WHERE id = ANY($1::uuid[]) AND state = 'done'` },
  registration: { columns: ['id'], delete: 'DELETE FROM registration WHERE id = ANY($1::bigint[])' },
};

/** The statement that deletes the rows of these lines, all of one table, and its values. */
export function deletion(table: ArchivedTable, lines: readonly string[]): { readonly text: string; readonly values: readonly unknown[] } {
  const rows = lines.map((line) => (JSON.parse(line) as { row: Readonly<Record<string, unknown>> }).row);
  const { columns, delete: text } = KEYS[table];
  return { text, values: columns.map((column) => rows.map((row) => row[column])) };
}

/** @throws PkiError `archive.damaged` */
export function tableOf(line: string): ArchivedTable {
  const table = archivedTables.find((name) => line.startsWith(`{"table":"${name}",`));
  if (table === undefined) throw new PkiError('archive.damaged', 'the archive holds a line that is none of ours');
  return table;
}
