import type { LedgerKey } from '@fleetroot/core';
import type { ClientKey, ClientLedger, ClientRecord, RevocationChanges, RevocationFeed } from '@fleetroot/trust';
import type { Database } from '../database.ts';
import { openVin } from '../fleet/vehicles.ts';

interface ClientRow {
  readonly sha256: Buffer;
  readonly profile: string;
  readonly ecu_serial: string | null;
  readonly part_number: string | null;
  readonly vin_index: Buffer | null;
  readonly vin_sealed: Buffer | null;
  readonly reason: number | null;
  readonly burned: boolean;
  readonly blocked: boolean;
}

/**
 * One statement, so one moment. Each certificate is looked up by the key of its partition: LATERAL with a limit, so that the
 * planner never joins the whole ledger to a few rows. The arrays stand in a SELECT of their own: else the planner would see
 * how long they are, hold a plan for those alone to be cheaper, and plan anew at each call, which costs six times as much
 * as the look-up of one certificate.
 */
const CLIENTS = `
  SELECT sha256(c.der) AS sha256, (SELECT name FROM profile_version p WHERE p.id = c.profile_version_id) AS profile, c.ecu_serial,
         e.part_number, v.vin_index, v.vin_sealed,
         (SELECT reason FROM revocation r WHERE r.ca_id = asked.ca_id AND r.serial = asked.serial AND released_at IS NULL) AS reason,
         (SELECT true FROM burned_serial b WHERE b.ca_id = asked.ca_id AND b.serial = asked.serial) IS NOT NULL AS burned,
         (SELECT k.blocked FROM subject_key k WHERE k.spki_sha256 = c.spki_sha256) IS TRUE AS blocked
  FROM unnest((SELECT $1::int[]), (SELECT $2::bytea[])) WITH ORDINALITY AS asked (ca_id, serial, place)
  LEFT JOIN LATERAL (
    SELECT der, ecu_serial, spki_sha256, profile_version_id
    FROM certificate WHERE certificate.ca_id = asked.ca_id AND certificate.serial = asked.serial LIMIT 1) c ON true
  LEFT JOIN LATERAL (SELECT part_number, vehicle_id FROM ecu WHERE ecu.serial = c.ecu_serial LIMIT 1) e ON true
  LEFT JOIN LATERAL (SELECT vin_index, vin_sealed FROM vehicle WHERE vehicle.id = e.vehicle_id LIMIT 1) v ON true
  ORDER BY asked.place`;

/** CRLReason certificateHold, RFC 5280 section 5.3.1. */
const HOLD = 6;

export class PostgresClientLedger implements ClientLedger {
  readonly #database: Database;
  readonly #key: LedgerKey;
  readonly #feed: RevocationFeed;

  constructor(database: Database, key: LedgerKey, feed: RevocationFeed) {
    this.#database = database;
    this.#key = key;
    this.#feed = feed;
  }

  async clients(asked: readonly ClientKey[]): Promise<readonly (ClientRecord | undefined)[]> {
    const rows = await this.#database.query<ClientRow | { readonly sha256: null }>(CLIENTS, [asked.map(({ caId }) => caId), asked.map(({ serial }) => serial)]);
    return rows.map((row) => (row.sha256 === null ? undefined : this.#record(row)));
  }

  #record(row: ClientRow): ClientRecord {
    return {
      sha256: row.sha256, profile: row.profile, ecuSerial: row.ecu_serial ?? undefined, partNumber: row.part_number ?? undefined,
      vin: row.vin_index === null || row.vin_sealed === null ? undefined : openVin(this.#key, row.vin_index, row.vin_sealed),
      status: row.reason === null && !row.burned ? 'good' : row.reason === HOLD && !row.burned ? 'held' : 'revoked',
      keyBlocked: row.blocked,
    };
  }

  changes(since: Date | undefined, limit: number): Promise<RevocationChanges> {
    return this.#feed.changes(since, limit);
  }

  async members(): Promise<ReadonlyMap<string, readonly number[]>> {
    const rows = await this.#database.query<{ truststore: string; ca_ids: number[] }>(
      `SELECT t.name AS truststore, v.ca_ids FROM truststore t,
         LATERAL (SELECT ca_ids FROM truststore_version WHERE truststore = t.name ORDER BY version DESC LIMIT 1) v`);
    return new Map(rows.map(({ truststore, ca_ids: ids }) => [truststore, ids]));
  }

  listen(told: (caId: number, serial: string | undefined) => void, gap: () => void): () => void {
    return this.#feed.listen(told, gap);
  }
}
