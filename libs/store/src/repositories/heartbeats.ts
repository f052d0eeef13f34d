import type { Database } from '../database.ts';

/** Figures of processes that were not heard for so long tell of the past. */
const FRESH_SECONDS = 30;

export interface InstanceFigures {
  readonly instance: string;
  /** When they were told. */
  readonly at: Date;
  readonly figures: Readonly<Record<string, number>>;
}

/** When a process of a role was last heard of, by the database's clock, and what it told of itself then. */
export class Heartbeats {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** @param figures what the process measures of itself, by name: `signaturesPerSecond`; those of the beat before are gone */
  async beat(instance: string, role: string, figures: Readonly<Record<string, number>> = {}): Promise<void> {
    await this.#database.query(
      `WITH gone AS (DELETE FROM heartbeat WHERE at < clock_timestamp() - interval '1 day' AND instance <> $1)
       INSERT INTO heartbeat (instance, role, at, figures) VALUES ($1, $2, clock_timestamp(), $3)
       ON CONFLICT (instance) DO UPDATE SET role = excluded.role, at = excluded.at, figures = excluded.figures`,
      [instance, role, JSON.stringify(finite(figures))]);
  }

  /** Of the processes of a role that were heard in the last 30 seconds, by name. */
  figures(role: string): Promise<readonly InstanceFigures[]> {
    return this.#database.query<InstanceFigures>(
      `SELECT instance, at, figures FROM heartbeat
       WHERE role = $1 AND at > clock_timestamp() - $2 * interval '1 second' ORDER BY instance`, [role, FRESH_SECONDS]);
  }

  async lastHeard(role: string): Promise<Date | undefined> {
    const { _max: { at } } = await this.#database.prisma((prisma) => prisma.heartbeat.aggregate({ where: { role }, _max: { at: true } }));
    return at ?? undefined;
  }
}

/** JSON has no infinity: a forecast without an end is left out. */
const finite = (figures: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(figures).filter(([, value]) => Number.isFinite(value)));
