import { Client } from 'pg';
import type { Secret } from '@fleetroot/core';
import { storeError } from '../errors.ts';
import type { Shape } from './binary-row.ts';
import { copyOut } from './copy-out.ts';

/** A sort or a hash of one statement may take so much of PostgreSQL's memory before it goes to disk. */
const WORK_MEM = '128MB';
/** Connections that were used and are free again. */
const KEPT = 4;

/**
 * One moment of the database, seen by as many connections as are needed at once, each in a transaction that can only read
 * (REPEATABLE READ on an exported snapshot). Without statement timeouts: what is read here may take minutes.
 */
export class Snapshot {
  readonly #databaseUrl: Secret;
  readonly #first: Client;
  readonly #name: string;
  readonly #open = new Set<Client>();
  readonly #free: Client[] = [];

  private constructor(databaseUrl: Secret, first: Client, name: string) {
    this.#databaseUrl = databaseUrl;
    this.#first = first;
    this.#name = name;
    this.#open.add(first);
  }

  /** @throws PkiError `store.unavailable` */
  static async open(databaseUrl: Secret): Promise<Snapshot> {
    const client = await connect(databaseUrl);
    try {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      const { rows: [row] } = await client.query<{ name: string }>('SELECT pg_export_snapshot() AS name');
      return new Snapshot(databaseUrl, client, row?.name ?? '');
    } catch (error) {
      await end(client);
      throw storeError(error);
    }
  }

  /** A statement with few rows. */
  async query<Row extends object>(text: string): Promise<readonly Row[]> {
    try {
      return (await this.#first.query<Row>(text)).rows;
    } catch (error) {
      throw storeError(error);
    }
  }

  /** A SELECT of any size, by a connection of its own. */
  async *rows<Row>(select: string, shape: Shape<Row>): AsyncGenerator<readonly Row[]> {
    const client = this.#free.pop() ?? await this.#another();
    let whole = false;
    try {
      yield* copyOut(client, select, shape);
      whole = true;
    } catch (error) {
      throw storeError(error);
    } finally {
      // One that was left in the middle still sends: it is closed.
      if (whole && this.#free.length < KEPT) this.#free.push(client);
      else {
        this.#open.delete(client);
        await end(client);
      }
    }
  }

  async close(): Promise<void> {
    await Promise.all(Array.from(this.#open, end));
  }

  async #another(): Promise<Client> {
    const client = await connect(this.#databaseUrl);
    this.#open.add(client);
    try {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      await client.query(`SET TRANSACTION SNAPSHOT '${this.#name.replaceAll("'", '')}'`);
      return client;
    } catch (error) {
      throw storeError(error);
    }
  }
}

async function connect(databaseUrl: Secret): Promise<Client> {
  const client = new Client({
    connectionString: databaseUrl.reveal(), connectionTimeoutMillis: 5000, keepAlive: true, application_name: 'fleetroot fsck',
    statement_timeout: 0, idle_in_transaction_session_timeout: 0,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    // Compiling a statement costs more here than it saves.
    await client.query(`SET work_mem = '${WORK_MEM}'; SET jit = off; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET timezone = 'UTC'`);
    return client;
  } catch (error) {
    await end(client);
    throw storeError(error);
  }
}

/** Also in the middle of a statement, which PostgreSQL gives up when the socket is gone. */
async function end(client: Client): Promise<void> {
  await client.end().catch(() => undefined);
}
