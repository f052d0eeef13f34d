import type { Transaction } from './database.ts';
import { sqlState } from './errors.ts';

/** Of fewer rows a savepoint costs more than it brings. */
const FEWEST = 32;
/** Inserts after one that met a known row: what comes next is likely of the same batch. */
const CAUTIOUS = 16;

const UNIQUE_VIOLATION = '23505';

/**
 * Inserts rows that are nearly always new, and never fails where some are not. ON CONFLICT DO NOTHING costs a third more
 * for each row than a plain INSERT (it looks first, and confirms afterwards); so that is tried first, under a savepoint,
 * and not for a while where it met a row that was there.
 */
export class NewRows {
  #cautious = 0;

  /**
   * Rows that were added; those that were there stay as they are. What the transactions of others are about to add is
   * waited for: who gives rows in one order everywhere waits in no circle.
   * @param text INSERT without ON CONFLICT @param column the one whose values are unique
   */
  async insert(tx: Transaction, rows: number, text: string, column: string, values: readonly unknown[]): Promise<number> {
    if (rows >= FEWEST && this.#cautious-- <= 0) {
      if (await tryPlainly(tx, text, values)) return rows;
      this.#cautious = CAUTIOUS;
    }
    const [row] = await tx.query<{ added: number }>(
      `WITH added AS (${text} ON CONFLICT (${column}) DO NOTHING RETURNING 1) SELECT count(*)::int AS added FROM added`, values);
    return row?.added ?? 0;
  }
}

async function tryPlainly(tx: Transaction, text: string, values: readonly unknown[]): Promise<boolean> {
  void tx.send('SAVEPOINT new_rows');
  try {
    await tx.query(text, values);
  } catch (error) {
    if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
    // Released, so that what follows belongs to the transaction itself.
    void tx.send('ROLLBACK TO SAVEPOINT new_rows');
    void tx.send('RELEASE SAVEPOINT new_rows');
    return false;
  }
  void tx.send('RELEASE SAVEPOINT new_rows');
  return true;
}
