import type { Client } from 'pg';

/**
 * The clock of a database that stands still until it is set: `now()` and `clock_timestamp()` of all that connects after
 * this are its own. For what takes months, and is told by the ledger's clock and the process's.
 */
export async function ownDatabaseClock(owner: Client): Promise<(at: Date) => Promise<void>> {
  await owner.query(`
    CREATE SCHEMA clock;
    CREATE TABLE clock.stands (at timestamptz NOT NULL);
    INSERT INTO clock.stands VALUES (pg_catalog.now());
    CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM clock.stands';
    CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT at FROM clock.stands';
    ALTER TABLE revocation ALTER changed_at SET DEFAULT clock.clock_timestamp()`);
  // Named, PostgreSQL's own functions come last.
  await owner.query('ALTER DATABASE fleetroot SET search_path = clock, public, pg_catalog');
  await owner.query('SET search_path = clock, public, pg_catalog');
  return async (at) => void await owner.query('UPDATE clock.stands SET at = $1', [at]);
}
