import type { BatchPlace } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';

const FORM = /^(\d{1,15})-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/** The cursor behind a batch: batches have no number, so that it is when it was opened and its id. */
export const textOfPlace = ({ createdAt, id }: BatchPlace): string => `${createdAt.getTime()}-${id}`;

/** @throws PkiError `http.query-invalid` */
export function placeOf(cursor: string | undefined): BatchPlace | undefined {
  if (cursor === undefined) return undefined;
  const [, ms, id] = FORM.exec(cursor) ?? [];
  const createdAt = new Date(Number(ms));
  if (id === undefined || Number.isNaN(createdAt.getTime())) {
    throw new PkiError('http.query-invalid', 'cursor: use the nextCursor of the page before', { data: { field: 'cursor' } });
  }
  return { createdAt, id };
}
