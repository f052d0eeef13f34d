import type { MadeKeys } from '@fleetroot/authority';
import type { Queryable } from '../database.ts';
import { packColumn } from '../packed.ts';

/** Puts keys on record, in the transaction of their chunk. */
export async function insertMadeKeys(tx: Queryable, batchId: string, { kind, lifetimeMs, keys }: MadeKeys): Promise<void> {
  if (keys.length === 0) return;
  const envelopes = packColumn(keys.map(({ envelope }) => envelope));
  await tx.query(
    `INSERT INTO made_key (batch_id, ordinal, kind, envelope, expires_at)
     SELECT $1, k.ordinal, $2, substring($4::bytea FROM k.at FOR k.length), clock_timestamp() + $3 * interval '1 millisecond'
     FROM unnest($5::int[], $6::int[], $7::int[]) AS k(ordinal, at, length)`,
    [batchId, kind, lifetimeMs, envelopes.blob, keys.map(({ ordinal }) => ordinal), envelopes.at, envelopes.length]);
}
