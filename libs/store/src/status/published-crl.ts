import type { PublishedCrl } from '@fleetroot/authority';
import type { Queryable } from '../database.ts';

interface CrlRow {
  readonly ca_id: number;
  readonly number: bigint;
  readonly this_update: Date;
  readonly next_update: Date;
  readonly der: Buffer;
}

/** The published CRL with the highest number. */
export async function latestCrl(queryable: Queryable, caId: number): Promise<PublishedCrl | undefined> {
  const [row] = await queryable.query<CrlRow>(
    'SELECT ca_id, number, this_update, next_update, der FROM crl WHERE ca_id = $1 AND published_at IS NOT NULL ORDER BY number DESC LIMIT 1', [caId]);
  return row === undefined ? undefined : { caId: row.ca_id, number: row.number, thisUpdate: row.this_update, nextUpdate: row.next_update, der: row.der };
}
