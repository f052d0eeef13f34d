import type { Database } from '../database.ts';

/** Who runs what may run once only, however many replicas there are. Time is the database's. */
export class Leases {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Takes the lease, or keeps it where `holder` has it, for `ttlMs` from now. false: another holder has it. */
  async acquire(name: string, holder: string, ttlMs: number): Promise<boolean> {
    const rows = await this.#database.query(
      `INSERT INTO lease (name, holder, until) VALUES ($1, $2, clock_timestamp() + $3 * interval '1 millisecond')
       ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
       WHERE lease.holder = excluded.holder OR lease.until < clock_timestamp() RETURNING name`, [name, holder, ttlMs]);
    return rows.length > 0;
  }

  /** Gives the lease back; nothing happens where `holder` does not have it. */
  async release(name: string, holder: string): Promise<void> {
    await this.#database.prisma((prisma) => prisma.lease.deleteMany({ where: { name, holder } }));
  }
}
