import type { AuditEvent } from '@fleetroot/audit';
import {
  type CaState, type CrlHead, type CrlKind, type CrlLedger, type CrlScope, type CrlScopeFacts, type CrlSwap, type ForeignCrl, type ListedEntry,
  type ListedRevocation, may, type PlannedCrl, type PublishedCrl, type RevokedEntry, type ScopeChanges, type WantedEntries,
} from '@fleetroot/authority';
import { LATE_COMMIT_MS, PkiError, type Secret } from '@fleetroot/core';
import { appendEvent } from '../audit-log.ts';
import type { Database, Queryable } from '../database.ts';
import { advances, requireSaneTime } from '../signing-time.ts';
import { scopesOf, shardsOf } from './crl-scopes.ts';
import { listedEntries } from './listed-entries.ts';
import { crlHeads, latestCrl } from './published-crl.ts';
import { putRevocation } from './revocation-row.ts';

const PAGE = 10_000;
/** The octets of so many published CRLs are kept: of the whole CA, and of each shard and delta. A CRL of each revocation would fill the disk. */
const KEPT = 16;
const KEPT_OF_MANY = 4;
const FORGOTTEN_AT_ONCE = 10_000;
/** Of a bigint. RFC 5280 section 5.2.3 allows numbers of 20 octets; our own are times in milliseconds. */
const LARGEST_NUMBER = 2n ** 63n - 1n;

interface CaRow {
  readonly name: string;
  readonly state: CaState;
  readonly key_here: boolean;
  readonly crl_number: bigint;
  readonly last_signed_at: Date | null;
  readonly now: Date;
}

interface ChangeRow {
  readonly shards: number;
  readonly shard: number;
  readonly count: number;
  readonly newest: Date;
  readonly urgent: Date | null;
}

interface EntryRow {
  readonly serial: Buffer;
  readonly revoked_at: Date;
  readonly reason: number;
  readonly invalidity_date: Date | null;
}

export class PostgresCrlLedger implements CrlLedger {
  readonly #database: Database;
  readonly #databaseUrl: Secret;

  /** @param databaseUrl of the same: what is long is read by connections of its own */
  constructor(database: Database, databaseUrl: Secret) {
    this.#database = database;
    this.#databaseUrl = databaseUrl;
  }

  scopes(caId: number): Promise<readonly CrlScopeFacts[]> {
    return scopesOf(this.#database, caId);
  }

  shardsOf(caId: number, shards: number): Promise<readonly CrlScopeFacts[]> {
    return shardsOf(this.#database, caId, shards);
  }

  heads(caId?: number): Promise<readonly CrlHead[]> {
    return crlHeads(this.#database, caId);
  }

  async changes(caId: number, since: Date, endingFrom: Date): Promise<readonly ScopeChanges[]> {
    const rows = await this.#database.report<ChangeRow>(
      `SELECT shards, shard, count(*)::int AS count, max(at) AS newest, max(at) FILTER (WHERE urgent) AS urgent FROM (
         SELECT shards, shard, changed_at AS at, reason IN (1, 2, 10) AS urgent FROM revocation WHERE ca_id = $1 AND changed_at >= $2 AND not_after >= $3
         UNION ALL
         SELECT shards, shard, burned_at, false FROM burned_serial WHERE ca_id = $1 AND burned_at >= $2 AND not_after >= $3
       ) AS changed GROUP BY shards, shard`, [caId, since, endingFrom]);
    const each = rows.map((row): ScopeChanges => ({
      scope: `${row.shards}/${row.shard}`, count: row.count, newestAt: row.newest, urgentAt: row.urgent ?? undefined,
    }));
    if (each.length === 0) return [];
    const urgent = each.flatMap(({ urgentAt }) => urgentAt ?? []);
    const whole: ScopeChanges = {
      scope: 'all', count: each.reduce((sum, { count }) => sum + count, 0), newestAt: latestOf(each.map(({ newestAt }) => newestAt)),
      urgentAt: urgent.length === 0 ? undefined : latestOf(urgent),
    };
    return [whole, ...each.filter(({ scope }) => scope !== '1/0')];
  }

  listed(caId: number, wanted: WantedEntries): AsyncIterable<readonly ListedEntry[]> {
    return listedEntries(this.#databaseUrl, caId, wanted);
  }

  reserve(caId: number, thisUpdate: Date, planned: readonly PlannedCrl[]): Promise<bigint> {
    return this.#database.transaction(async (tx) => {
      // The lock on the CA's row puts publishers in one order, and keeps nobody from revoking: NO KEY goes with foreign keys.
      const [ca] = await tx.query<CaRow>(
        `SELECT name, state, key_id IS NOT NULL AS key_here, crl_number, last_signed_at, clock_timestamp() AS now FROM ca WHERE id = $1 FOR NO KEY UPDATE`, [caId]);
      if (ca === undefined) throw new PkiError('ca.not-found');
      // By a statement of its own: one that waits for the lock sees of other tables what was there before it waited.
      const [before] = await tx.query<{ last_this_update: Date | null }>('SELECT max(this_update) AS last_this_update FROM crl WHERE ca_id = $1', [caId]);
      const last = before?.last_this_update ?? null;
      if (!may(ca.state, 'status')) throw new PkiError('ca.not-active', `the CA ${ca.name} is ${ca.state}: it signs no CRL`);
      if (!ca.key_here) throw new PkiError('ca.not-active', `the CA ${ca.name} has its key elsewhere: import the CRL that was signed there`);
      requireSaneTime(thisUpdate, ca.now, ca.last_signed_at);
      if (last !== null && thisUpdate < last) {
        throw new PkiError('clock.skew', `the clock is behind the thisUpdate of a CRL before (${last.toISOString()})`);
      }
      const milliseconds = BigInt(thisUpdate.getTime());
      const number = milliseconds > ca.crl_number + 1n ? milliseconds : ca.crl_number + 1n;
      await tx.query('UPDATE ca SET crl_number = $2, last_signed_at = $3 WHERE id = $1',
        [caId, number, advances(thisUpdate, ca.last_signed_at) ? thisUpdate : ca.last_signed_at]);
      await tx.query(
        `INSERT INTO crl (ca_id, number, this_update, next_update, scope, kind, base_number)
         SELECT $1, $2, $3, p.next_update, p.scope, p.kind, p.base_number
         FROM unnest($4::text[], $5::text[], $6::timestamptz[], $7::bigint[]) AS p (scope, kind, next_update, base_number)`,
        [caId, number, thisUpdate, planned.map(({ scope }) => scope), planned.map(({ kind }) => kind), planned.map(({ nextUpdate }) => nextUpdate),
          planned.map(({ base }) => (base === 'own' ? number : base ?? null))]);
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
          WHERE ca_id = $1 AND serial > $2 AND not_after >= $3 AND released_at IS NULL ORDER BY serial LIMIT $4)
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
      `SELECT coalesce(CASE WHEN r.released_at IS NULL THEN r.not_after END, b.not_after) AS not_after
       FROM unnest($2::bytea[]) WITH ORDINALITY AS asked (serial, place)
       LEFT JOIN revocation r ON r.ca_id = $1 AND r.serial = asked.serial
       LEFT JOIN burned_serial b ON b.ca_id = $1 AND b.serial = asked.serial
       ORDER BY asked.place`, [caId, serials]);
    return rows.map(({ not_after }) => not_after ?? undefined);
  }

  publish(caId: number, swaps: readonly CrlSwap[], event: (swapped: readonly PublishedCrl[]) => AuditEvent): Promise<readonly boolean[]> {
    return this.#database.transaction(async (tx) => {
      // For as long as it takes to write what may be many megabytes: rows of `revocation` are added meanwhile.
      await tx.query('SELECT FROM ca WHERE id = $1 FOR NO KEY UPDATE', [caId]);
      const outcome: boolean[] = [];
      for (const swap of swaps) outcome.push(await swapIn(tx, caId, swap));
      const swapped = swaps.flatMap(({ crl }, i) => (outcome[i] === true ? [crl] : []));
      if (swapped.length > 0) await appendEvent(tx, event(swapped));
      return outcome;
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
        `INSERT INTO crl (ca_id, number, this_update, next_update, entries, der, octets, sha256, published_at) VALUES ($1, $2, $3, $4, $5, $6::bytea, octet_length($6::bytea), sha256($6::bytea), clock_timestamp())`,
        [crl.caId, crl.number, crl.thisUpdate, crl.nextUpdate, entries, crl.der]);
      for (const each of listed) await putRevocation(tx, { caId: crl.caId, ...each });
      await dropOldOctets(tx, crl.caId, 'all', 'full');
      await appendEvent(tx, event);
      return true;
    });
  }

  async forgetReleased(caId: number): Promise<number> {
    // By one step where there are none, as good as always.
    const [some] = await this.#database.query('SELECT FROM revocation WHERE ca_id = $1 AND released_at IS NOT NULL LIMIT 1', [caId]);
    if (some === undefined) return 0;
    const fulls = (await crlHeads(this.#database, caId)).filter(({ kind }) => kind === 'full');
    // A full CRL that was made so long after a release is without it, whatever was under way.
    const gone = await this.#database.query(
      `WITH shown AS (SELECT * FROM unnest($2::text[], $3::timestamptz[]) AS shown (scope, until))
       DELETE FROM revocation WHERE (ca_id, serial) IN (
         SELECT r.ca_id, r.serial FROM revocation r
         WHERE r.ca_id = $1 AND r.released_at IS NOT NULL
           AND r.released_at < (SELECT until FROM shown WHERE scope = 'all')
           AND (r.shards = 1 OR r.released_at < (SELECT until FROM shown WHERE scope = r.shards || '/' || r.shard))
         ORDER BY r.serial LIMIT $4 FOR UPDATE SKIP LOCKED)
       RETURNING serial`,
      [caId, fulls.map(({ scope }) => scope), fulls.map(({ thisUpdate }) => new Date(thisUpdate.getTime() - LATE_COMMIT_MS)), FORGOTTEN_AT_ONCE]);
    return gone.length;
  }

  latest(caId: number, scope?: CrlScope, kind?: CrlKind): Promise<PublishedCrl | undefined> {
    return latestCrl(this.#database, caId, scope, kind);
  }
}

/** False: the newest is not the one that it was compared with. */
async function swapIn(tx: Queryable, caId: number, { crl, after }: CrlSwap): Promise<boolean> {
  const [newest] = await tx.query<{ number: bigint }>(
    'SELECT number FROM crl WHERE ca_id = $1 AND scope = $2 AND kind = $3 AND published_at IS NOT NULL ORDER BY number DESC LIMIT 1', [caId, crl.scope, crl.kind]);
  if (newest?.number !== after || (newest !== undefined && newest.number >= crl.number)) return false;
  // The number must have been reserved for these times, and never be given other bytes.
  const published = await tx.query(
    `UPDATE crl SET der = $5::bytea, entries = $6, octets = octet_length($5::bytea), sha256 = $7, published_at = clock_timestamp()
     WHERE ca_id = $1 AND scope = $2 AND kind = $3 AND number = $4 AND published_at IS NULL AND this_update = $8 AND next_update = $9
       AND base_number IS NOT DISTINCT FROM $10::bigint RETURNING id`,
    [caId, crl.scope, crl.kind, crl.number, crl.der, crl.entries, crl.sha256, crl.thisUpdate, crl.nextUpdate, crl.baseNumber ?? null]);
  if (published.length !== 1) throw new PkiError('crl.invalid', `the CRL number ${crl.number} was not reserved for this CRL`);
  await dropOldOctets(tx, caId, crl.scope, crl.kind);
  return true;
}

/** Each publication adds one: looking at as many as are kept catches up in time, and costs the same for ever. */
async function dropOldOctets(tx: Queryable, caId: number, scope: CrlScope, kind: CrlKind): Promise<void> {
  await tx.query(
    `UPDATE crl SET der = NULL WHERE der IS NOT NULL AND id IN (
       SELECT id FROM crl WHERE ca_id = $1 AND scope = $3 AND kind = $4 AND published_at IS NOT NULL ORDER BY number DESC OFFSET $2 LIMIT $2)`,
    [caId, scope === 'all' && kind === 'full' ? KEPT : KEPT_OF_MANY, scope, kind]);
}

const latestOf = (dates: readonly Date[]): Date => new Date(Math.max(...dates.map((date) => date.getTime())));
