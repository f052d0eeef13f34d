import { PkiError } from '@fleetroot/core';
import { z } from 'zod';

export const pageLimit = z.coerce.number().int().min(1).max(500).default(50).meta({ description: 'rows a page' });

/** The query of every list that comes in pages and is ordered by an id. */
export const pageQuery = {
  limit: pageLimit,
  cursor: z.string().max(30).optional().meta({ description: 'nextCursor of the page before' }),
};

/** PostgreSQL's bigint ends here. */
const LAST_ID = 2n ** 63n - 1n;

export interface Page<T> {
  readonly items: readonly T[];
  /** null at the end. */
  readonly nextCursor: string | null;
}

/** The id to go on below. @throws PkiError `http.query-invalid` */
export function cursorId(cursor: string | undefined): bigint | undefined {
  if (cursor === undefined) return undefined;
  const id = /^\d{1,19}$/.test(cursor) ? BigInt(cursor) : undefined;
  if (id === undefined || id > LAST_ID) throw new PkiError('http.query-invalid', 'cursor: use the nextCursor of the page before', { data: { field: 'cursor' } });
  return id;
}

/** A page of rows that were asked for with one more than `limit`. */
export function pageOf<R extends { readonly id: bigint }, T>(rows: readonly R[], limit: number, show: (row: R) => T): Page<T> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return { items: shown.map(show), nextCursor: rows.length > limit && last !== undefined ? String(last.id) : null };
}
