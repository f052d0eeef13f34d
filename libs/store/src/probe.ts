import { PkiError, serialDay } from '@fleetroot/core';
import type { Database } from './database.ts';
import { sqlState } from './errors.ts';

const INSERT = `
  INSERT INTO certificate (ca_id, serial, profile_version_id, ordinal, spki_sha256, not_before, not_after, issued_at, der)
  VALUES (0, $1, 0, 0, '', now(), now(), now(), '')`;

/**
 * Shows that this database refuses a second certificate of the same CA and serial (I3): inserts two in a transaction
 * that is rolled back, of the day of `now`, and so into the partition that today's certificates go to. An index that is
 * missing or broken stops the process before it signs.
 * @throws PkiError `store.migration`; `clock.skew`
 */
export async function probeSerialIndex(database: Database, now: Date): Promise<void> {
  // Shorter than any that is issued.
  const serial = Buffer.concat([serialDay(now), Buffer.from('probe')]);
  try {
    await database.transaction(async (tx) => {
      await tx.query(INSERT, [serial]);
      await tx.query(INSERT, [serial]).then(
        () => {
          throw new PkiError('store.migration', 'the database took the same serial number twice: its index on certificate (ca_id, serial) is missing or broken');
        },
        (error: unknown) => {
          if (sqlState(error) !== '23505') throw error;
        });
      throw new RolledBack();
    });
  } catch (error) {
    if (!((error as Error).cause instanceof RolledBack)) throw error;
  }
}

/** Ends the transaction without an effect. */
class RolledBack extends Error {}
