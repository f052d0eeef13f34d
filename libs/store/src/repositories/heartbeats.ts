import type { Database } from '../database.ts';

/** When a process of a role was last heard of, by the database's clock. */
export class Heartbeats {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async beat(instance: string, role: string): Promise<void> {
    await this.#database.query(
      `WITH gone AS (DELETE FROM heartbeat WHERE at < clock_timestamp() - interval '1 day' AND instance <> $1)
       INSERT INTO heartbeat (instance, role, at) VALUES ($1, $2, clock_timestamp())
       ON CONFLICT (instance) DO UPDATE SET role = excluded.role, at = excluded.at`, [instance, role]);
  }

  async lastHeard(role: string): Promise<Date | undefined> {
    const { _max: { at } } = await this.#database.prisma((prisma) => prisma.heartbeat.aggregate({ where: { role }, _max: { at: true } }));
    return at ?? undefined;
  }
}
