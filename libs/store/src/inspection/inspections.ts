import type { AuditEvent } from '@fleetroot/audit';
import { appendEvent } from '../audit-log.ts';
import type { Database } from '../database.ts';

/** A run of fsck as it is on record. */
export interface InspectionRecord {
  readonly beganAt: Date;
  readonly endedAt: Date;
  readonly breaches: number;
}

/** The runs of fsck that the schedule made. */
export class Inspections {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The newest by its beginning. */
  async latest(): Promise<InspectionRecord | undefined> {
    const [row] = await this.#database.query<{ began_at: Date; ended_at: Date; breaches: number }>(
      'SELECT began_at, ended_at, breaches FROM inspection ORDER BY began_at DESC LIMIT 1');
    return row === undefined ? undefined : { beganAt: row.began_at, endedAt: row.ended_at, breaches: row.breaches };
  }

  /**
   * Puts a run on record, and the event with it. False, and nothing is stored, where another run that began at or after
   * `since` is on record: two workers may have made it for a moment.
   */
  record(run: InspectionRecord & { readonly report: object }, since: Date, event: AuditEvent): Promise<boolean> {
    return this.#database.transaction(async (tx) => {
      // The chain's head is locked until the commit: who comes second sees who came first.
      await tx.query('SELECT FROM audit_head WHERE id = 1 FOR UPDATE');
      const stored = await tx.query(
        `INSERT INTO inspection (began_at, ended_at, breaches, report) SELECT $1::timestamptz, $2::timestamptz, $3::int, $4::jsonb
         WHERE NOT EXISTS (SELECT FROM inspection WHERE began_at >= $5) RETURNING id`,
        [run.beganAt, run.endedAt, run.breaches, JSON.stringify(run.report), since]);
      if (stored.length === 0) return false;
      await appendEvent(tx, event);
      return true;
    });
  }
}
