import { PkiError } from '@fleetroot/core';
import type { Database } from './database.ts';
import { sqlState } from './errors.ts';

const INSERT = `
  INSERT INTO certificate (ca_id, serial, profile_version_id, ordinal, spki_sha256, not_before, not_after, issued_at, der)
  VALUES (0, $1, 0, 0, '', now(), now(), now(), '')`;

/**
 * Shows that this database refuses a second certificate of the same CA and serial (I3): inserts two in a transaction
 * that is rolled back. An index that is missing or broken stops the process before it signs.
 * @throws PkiError `store.migration`
 */
export async function probeSerialIndex(database: Database): Promise<void> {
  const serial = Buffer.from('7f66726f6265', 'hex');
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
