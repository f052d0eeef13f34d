import type { AuditEvent } from '@fleetroot/audit';
import { type CaState, type CrlLedger, type ForeignCrl, type ListedRevocation, may, type PublishedCrl, type RevokedEntry } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';
import { appendEvent } from '../audit-log.ts';
import type { Database, Queryable } from '../database.ts';
import { advances, requireSaneTime } from '../signing-time.ts';
import { latestCrl } from './published-crl.ts';
import { putRevocation } from './revocation-row.ts';

const PAGE = 10_000;
/** The octets of so many published CRLs of a CA are kept; a CRL of each revocation would fill the disk. */
const KEPT = 16;
/** Of a bigint. RFC 5280 section 5.2.3 allows numbers of 20 octets; our own are times in milliseconds. */
const LARGEST_NUMBER = 2n ** 63n - 1n;

interface CaRow {
  readonly name: string;
  readonly state: CaState;
  readonly key_here: boolean;
  readonly crl_number: bigint;
  readonly last_signed_at: Date | null;
  readonly last_this_update: Date | null;
  readonly now: Date;
}

interface EntryRow {
  readonly serial: Buffer;
  readonly revoked_at: Date;
  readonly reason: number;
  readonly invalidity_date: Date | null;
}

export class PostgresCrlLedger implements CrlLedger {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  reserve(caId: number, thisUpdate: Date, nextUpdate: Date): Promise<bigint> {
    return this.#database.transaction(async (tx) => {
      // The lock on the CA's row puts publishers in one order.
      const [ca] = await tx.query<CaRow>(
        `SELECT name, state, key_id IS NOT NULL AS key_here, crl_number, last_signed_at, clock_timestamp() AS now,
                (SELECT max(this_update) FROM crl WHERE ca_id = ca.id) AS last_this_update
         FROM ca WHERE id = $1 FOR UPDATE`, [caId]);
      if (ca === undefined) throw new PkiError('ca.not-found');
      if (!may(ca.state, 'status')) throw new PkiError('ca.not-active', `the CA ${ca.name} is ${ca.state}: it signs no CRL`);
      if (!ca.key_here) throw new PkiError('ca.not-active', `the CA ${ca.name} has its key elsewhere: import the CRL that was signed there`);
      requireSaneTime(thisUpdate, ca.now, ca.last_signed_at);
      if (ca.last_this_update !== null && thisUpdate < ca.last_this_update) {
        throw new PkiError('clock.skew', `the clock is behind the thisUpdate of a CRL before (${ca.last_this_update.toISOString()})`);
      }
      const milliseconds = BigInt(thisUpdate.getTime());
      const number = milliseconds > ca.crl_number + 1n ? milliseconds : ca.crl_number + 1n;
      await tx.query('UPDATE ca SET crl_number = $2, last_signed_at = $3 WHERE id = $1',
        [caId, number, advances(thisUpdate, ca.last_signed_at) ? thisUpdate : ca.last_signed_at]);
      await tx.query('INSERT INTO crl (ca_id, number, this_update, next_update) VALUES ($1, $2, $3, $4)', [caId, number, thisUpdate, nextUpdate]);
      return number;
    });
  }

  /**
   * Read in pages, each a statement of its own: a revocation that is committed meanwhile may be in or not, and has a
   * `publish-crl` job of its own either way.
   */
  async *entries(caId: number): AsyncIterable<RevokedEntry> {
    const since = (await latestCrl(this.#database, caId))?.thisUpdate ?? new Date(0);
    for (let after: Buffer = Buffer.alloc(0); ;) {
      const rows = await this.#database.report<EntryRow>(
        `(SELECT serial, revoked_at, reason, invalidity_date FROM revocation
          WHERE ca_id = $1 AND serial > $2 AND not_after >= $3 ORDER BY serial LIMIT $4)
         UNION ALL
         (SELECT serial, burned_at, 0, NULL FROM burned_serial
          WHERE ca_id = $1 AND serial > $2 AND not_after >= $3 ORDER BY serial LIMIT $4)
         ORDER BY serial LIMIT $4`, [caId, after, since, PAGE]);
      for (const { serial, revoked_at, reason, invalidity_date } of rows) {
        // A serial is in one of the tables only; were it in both, it must not be on the CRL twice.
        if (after.equals(serial)) continue;
        after = serial;
        yield { serial, revokedAt: revoked_at, reason, invalidityDate: invalidity_date ?? undefined };
      }
      if (rows.length < PAGE) return;
    }
  }

  async expiries(caId: number, serials: readonly Uint8Array[]): Promise<readonly (Date | undefined)[]> {
    const rows = await this.#database.report<{ not_after: Date | null }>(
      `SELECT coalesce(r.not_after, b.not_after) AS not_after
       FROM unnest($2::bytea[]) WITH ORDINALITY AS asked (serial, place)
       LEFT JOIN revocation r ON r.ca_id = $1 AND r.serial = asked.serial
       LEFT JOIN burned_serial b ON b.ca_id = $1 AND b.serial = asked.serial
       ORDER BY asked.place`, [caId, serials]);
    return rows.map(({ not_after }) => not_after ?? undefined);
  }

  publish(crl: PublishedCrl, event: AuditEvent): Promise<boolean> {
    return this.#database.transaction(async (tx) => {
      await tx.query('SELECT FROM ca WHERE id = $1 FOR UPDATE', [crl.caId]);
      const [newer] = await tx.query('SELECT FROM crl WHERE ca_id = $1 AND number >= $2 AND published_at IS NOT NULL LIMIT 1', [crl.caId, crl.number]);
      if (newer !== undefined) return false;
      // The number must have been reserved for these times, and never be given other bytes.
      const published = await tx.query(
        `UPDATE crl SET der = $3, entries = $4, octets = octet_length($3), sha256 = $7, published_at = clock_timestamp()
         WHERE ca_id = $1 AND number = $2 AND published_at IS NULL AND this_update = $5 AND next_update = $6 RETURNING id`,
        [crl.caId, crl.number, crl.der, crl.entries, crl.thisUpdate, crl.nextUpdate, crl.sha256]);
      if (published.length !== 1) throw new PkiError('crl.invalid', `the CRL number ${crl.number} was not reserved for this CRL`);
      await dropOldOctets(tx, crl.caId);
      await appendEvent(tx, event);
      return true;
    });
  }

  adopt(crl: ForeignCrl, entries: number, event: AuditEvent, listed: readonly ListedRevocation[] = []): Promise<boolean> {
    return this.#database.transaction(async (tx) => {
      if (crl.number > LARGEST_NUMBER) throw new PkiError('crl.import-refused', 'the CRL number is longer than 63 bits, which the ledger cannot hold: have a CRL with a smaller one signed');
      const [ca] = await tx.query<{ crl_number: bigint }>('SELECT crl_number FROM ca WHERE id = $1 FOR NO KEY UPDATE', [crl.caId]);
      if (ca === undefined) throw new PkiError('ca.not-found');
      // It counts every number of the CA, whoever gave it out.
      if (crl.number <= ca.crl_number) return false;
      await tx.query('UPDATE ca SET crl_number = $2 WHERE id = $1', [crl.caId, crl.number]);
      await tx.query(
        `INSERT INTO crl (ca_id, number, this_update, next_update, entries, der, octets, sha256, published_at) VALUES ($1, $2, $3, $4, $5, $6, octet_length($6), sha256($6), clock_timestamp())`,
        [crl.caId, crl.number, crl.thisUpdate, crl.nextUpdate, entries, crl.der]);
      for (const each of listed) await putRevocation(tx, { caId: crl.caId, ...each });
      await dropOldOctets(tx, crl.caId);
      await appendEvent(tx, event);
      return true;
    });
  }

  latest(caId: number): Promise<PublishedCrl | undefined> {
    return latestCrl(this.#database, caId);
  }
}

/** Each publication adds one: looking at as many as are kept catches up in time, and costs the same for ever. */
async function dropOldOctets(tx: Queryable, caId: number): Promise<void> {
  await tx.query(
    `UPDATE crl SET der = NULL WHERE der IS NOT NULL AND id IN (
       SELECT id FROM crl WHERE ca_id = $1 AND published_at IS NOT NULL ORDER BY number DESC OFFSET $2 LIMIT $2)`, [caId, KEPT]);
}
