import type { CertificateStatus } from '@fleetroot/authority';
import type { Queryable } from '../database.ts';
import { type StatusRow, statusOf } from './statuses.ts';

export interface StoredAnswer {
  readonly key: Uint8Array;
  readonly nextUpdate: Date;
  readonly response: Uint8Array;
}

export interface SerialOfCa {
  readonly caId: number;
  readonly serial: Uint8Array;
}

/** Rows that a clean-up removes at most. */
const REMOVED_AT_ONCE = 5000;

/** What the OCSP responder reads, and the one table that it may write: answers that it signed. */
export class OcspAnswers {
  readonly #database: Queryable;

  constructor(database: Queryable) {
    this.#database = database;
  }

  /** In the order asked: the status as `StatusLedger.statuses` has it, and the answers to this serial that have not ended. */
  async lookUp(asked: readonly SerialOfCa[]): Promise<{ status: CertificateStatus; stored: StoredAnswer[] }[]> {
    const rows = await this.#database.query<StatusRow & { place: bigint; key: Buffer | null; next_update: Date; response: Buffer }>(
      `SELECT asked.place,
              EXISTS (SELECT FROM certificate c WHERE c.ca_id = asked.ca_id AND c.serial = asked.serial)
                OR EXISTS (SELECT FROM ceremony_certificate m WHERE m.issuer_id = asked.ca_id AND m.serial = asked.serial) AS known,
              r.revoked_at, r.reason, b.burned_at, a.key, a.next_update, a.response
       FROM unnest($1::int[], $2::bytea[]) WITH ORDINALITY AS asked (ca_id, serial, place)
       LEFT JOIN revocation r ON r.ca_id = asked.ca_id AND r.serial = asked.serial AND r.released_at IS NULL
       LEFT JOIN burned_serial b ON b.ca_id = asked.ca_id AND b.serial = asked.serial
       LEFT JOIN status_cache.ocsp_answer a ON a.ca_id = asked.ca_id AND a.serial = asked.serial AND a.next_update > clock_timestamp()
       ORDER BY asked.place`, [asked.map(({ caId }) => caId), asked.map(({ serial }) => serial)]);
    const found: { status: CertificateStatus; stored: StoredAnswer[] }[] = [];
    for (const row of rows) {
      const one = (found[Number(row.place) - 1] ??= { status: statusOf(row), stored: [] });
      if (row.key !== null) one.stored.push({ key: row.key, nextUpdate: row.next_update, response: row.response });
    }
    return found;
  }

  /** An answer by the same key that holds longer stays. */
  async store(answers: readonly (StoredAnswer & SerialOfCa)[]): Promise<void> {
    // One statement may not write a row twice; rows are locked in one order.
    const byKey = new Map(answers.map((answer) => [Buffer.from(answer.key).toString('hex'), answer]));
    const rows = [...byKey].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, answer]) => answer);
    await this.#database.query(
      `INSERT INTO status_cache.ocsp_answer AS a (key, ca_id, serial, next_update, response)
       SELECT * FROM unnest($1::bytea[], $2::int[], $3::bytea[], $4::timestamptz[], $5::bytea[])
       ON CONFLICT (key) DO UPDATE SET next_update = EXCLUDED.next_update, response = EXCLUDED.response WHERE a.next_update < EXCLUDED.next_update`,
      [rows.map(({ key }) => key), rows.map(({ caId }) => caId), rows.map(({ serial }) => serial), rows.map(({ nextUpdate }) => nextUpdate), rows.map(({ response }) => response)]);
  }

  /** Some of those that have ended. Two processes at once do not wait for each other. */
  async removeEnded(): Promise<void> {
    await this.#database.query(
      `DELETE FROM status_cache.ocsp_answer WHERE key IN (
         SELECT key FROM status_cache.ocsp_answer WHERE next_update < clock_timestamp() ORDER BY next_update LIMIT $1 FOR UPDATE SKIP LOCKED)`, [REMOVED_AT_ONCE]);
  }

  /** Serials of the CA that are revoked and have not expired, those that changed last first. */
  async newestRevoked(caId: number, limit: number): Promise<readonly Uint8Array[]> {
    const rows = await this.#database.query<{ serial: Buffer }>(
      `SELECT serial FROM revocation WHERE ca_id = $1 AND released_at IS NULL AND not_after > clock_timestamp() ORDER BY changed_at DESC LIMIT $2`, [caId, limit]);
    return rows.map(({ serial }) => serial);
  }
}
