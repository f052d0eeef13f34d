import { PrismaPg } from '@prisma/adapter-pg';
import { Pool, type PoolClient, types as pgTypes } from 'pg';
import { COMMIT_WITHIN_MS, isPkiError, PkiError, type Secret, STATEMENT_WITHIN_MS } from '@fleetroot/core';
import { sqlState, storeError } from './errors.ts';
import { PrismaClient } from './generated/client.ts';

/** A connection inside a transaction, or any of the pool. */
export interface Queryable {
  /** Rows of a statement. Its text must not vary: it is prepared once a connection. */
  query<Row extends object>(text: string, values?: readonly unknown[]): Promise<readonly Row[]>;
}

/** A connection inside a transaction. Statements are sent as they come, without waiting for the answers of those before. */
export interface Transaction extends Queryable {
  /**
   * A statement whose answer nobody waits for here: it goes out with those that follow, COMMIT at the latest. Where it
   * fails, the transaction does. Its rows are there once the transaction is committed; the promise may be left alone.
   */
  send<Row extends object>(text: string, values?: readonly unknown[]): Promise<readonly Row[]>;
  /** A row that tells when it changed comes next: COMMIT is sent within `COMMIT_WITHIN_MS`, or the transaction fails (LATE_COMMIT_MS). */
  commitsSoon(): void;
}

export type PrismaTransaction = Parameters<Parameters<PrismaClient['$transaction']>[0]>[0];

const REPORT_TIMEOUT_MS = 30_000;

/** bigint columns are bigint, not text. */
const types = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    oid === pgTypes.builtins.INT8 && format !== 'binary' ? BigInt : pgTypes.getTypeParser(oid, format),
};

/**
 * One bounded pool of connections, for raw SQL on the hot path and for Prisma elsewhere. Every error that leaves it is a
 * PkiError. A connection that breaks is replaced at the next call: nothing needs a restart.
 */
export class Database implements Queryable {
  readonly #pool: Pool;
  readonly #prisma: PrismaClient;

  /** @param connectWithinMs how long a call waits for a connection, a new one or one of the pool */
  constructor(databaseUrl: Secret, pool: number, connectWithinMs = 5000) {
    this.#pool = new Pool({
      connectionString: databaseUrl.reveal(), max: pool, types, pipeline: true,
      connectionTimeoutMillis: connectWithinMs, keepAlive: true, allowExitOnIdle: false,
      statement_timeout: STATEMENT_WITHIN_MS, lock_timeout: STATEMENT_WITHIN_MS, idle_in_transaction_session_timeout: 30_000,
      // Above every statement timeout: only a peer that vanished without a word gets here.
      query_timeout: REPORT_TIMEOUT_MS + 5000,
    });
    // Without a listener a broken connection, idle or in use, would end the process; its next user gets the error.
    this.#pool.on('error', () => undefined);
    this.#pool.on('connect', (client) => client.on('error', () => undefined));
    this.#prisma = new PrismaClient({
      adapter: new PrismaPg(this.#pool), transactionOptions: { maxWait: 5000, timeout: STATEMENT_WITHIN_MS },
      errorFormat: 'minimal',
    });
  }

  async query<Row extends object>(text: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    try {
      return (await this.#pool.query<Row>(prepared(text, values))).rows;
    } catch (error) {
      throw storeError(error);
    }
  }

  /** Runs `work` in one transaction (READ COMMITTED): committed when it resolves, rolled back when it throws. */
  async transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    let client: PoolClient;
    try {
      client = await this.#pool.connect();
    } catch (error) {
      throw storeError(error);
    }
    const query = async <Row extends object>(text: string, values: readonly unknown[] = []) => (await client.query<Row>(prepared(text, values))).rows;
    const sent: Promise<unknown>[] = [];
    const send = <Row extends object>(text: string, values?: readonly unknown[]): Promise<readonly Row[]> => {
      const answer = query<Row>(text, values);
      // Looked at with COMMIT.
      answer.catch(() => undefined);
      sent.push(answer);
      return answer;
    };
    let commitBefore = Infinity;
    const commitsSoon = (): void => { commitBefore = Math.min(commitBefore, performance.now() + COMMIT_WITHIN_MS); };
    try {
      void send('BEGIN');
      const result = await work({ query, send, commitsSoon });
      if (commitBefore < Infinity) await answered(sent, commitBefore);
      // After a statement that failed COMMIT rolls back, and says nothing of it.
      void send('COMMIT');
      for (const answer of sent) await answer;
      client.release();
      return result;
    } catch (error) {
      const cause = await causeOf(error, sent);
      // A connection that is not known to be sound is thrown away, and PostgreSQL rolls back for it: a ROLLBACK would
      // queue behind a statement that never answers.
      if (isPkiError(cause) || sqlState(cause) !== undefined) await client.query('ROLLBACK').then(() => client.release(), () => client.release(true));
      else client.release(true);
      throw storeError(cause);
    }
  }

  /** A statement that may take long, in a read-only transaction with a longer timeout. */
  report<Row extends object>(text: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    return this.transaction(async (tx) => {
      await tx.query(`SET LOCAL statement_timeout = ${REPORT_TIMEOUT_MS}`);
      return tx.query<Row>(text, values);
    });
  }

  /** Prisma over the same pool. */
  async prisma<T>(work: (client: PrismaClient) => Promise<T>): Promise<T> {
    try {
      return await work(this.#prisma);
    } catch (error) {
      throw storeError(error);
    }
  }

  /** Prisma in one transaction over the same pool. */
  prismaTransaction<T>(work: (tx: PrismaTransaction) => Promise<T>): Promise<T> {
    return this.prisma((client) => client.$transaction(work));
  }

  async close(): Promise<void> {
    await this.#prisma.$disconnect();
    await this.#pool.end();
  }
}

/** @throws where a statement failed, or the time is over (by `performance.now`) when the last one has answered */
async function answered(sent: readonly Promise<unknown>[], before: number): Promise<void> {
  for (const answer of sent) await answer;
  if (performance.now() > before) throw new PkiError('store.unavailable', 'a change would be visible too long after its time: it is taken back, and may be made again');
}

/** SQLSTATE of whatever comes after the statement that failed: in_failed_sql_transaction. */
const AFTER_A_FAILURE = '25P02';

/** What failed first: a statement that was sent before may have, and nobody has looked at it. */
async function causeOf(thrown: unknown, sent: readonly Promise<unknown>[]): Promise<unknown> {
  if (sqlState(thrown) !== AFTER_A_FAILURE) return thrown;
  const outcomes = await Promise.allSettled(sent);
  const first = outcomes.find((outcome) => outcome.status === 'rejected' && sqlState(outcome.reason) !== AFTER_A_FAILURE);
  return first?.status === 'rejected' ? first.reason : thrown;
}

const names = new Map<string, string>();

/** Nothing to plan. */
const CONTROL = /^(?:BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET)\b/;

/** Texts are few and constant; a text with an own name is parsed and planned once a connection. */
function prepared(text: string, values: readonly unknown[]): { text: string; values: unknown[]; name?: string } {
  if (CONTROL.test(text)) return { text, values: [] };
  let name = names.get(text);
  if (name === undefined) names.set(text, (name = `f${names.size}`));
  return { text, values: [...values], name };
}
