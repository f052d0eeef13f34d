import { MAX_REVOCATION_TARGETS, type RevocationQuery, revocationReasons, type RevocationReason } from '@fleetroot/authority';
import { type LedgerKey, PkiError, serialDay } from '@fleetroot/core';
import type { Queryable } from '../database.ts';
import { vinIndex } from '../fleet/vehicles.ts';

/** ECUs, or certificates, that one statement looks at. */
const PAGE = 5_000;
const DAY_MS = 86_400_000;
const LATEST_DAY = new Date(Date.UTC(2064, 0, 1));
/** Serials of form 1 begin here, and tell no day (`LedgerKey.deriveSerial`). */
const FORM_1 = Buffer.of(0x40);
const ABOVE_ALL = Buffer.of(0xff);

/** The query in the ledger's ids; undefined: anything. */
interface Criteria {
  readonly caIds: readonly number[] | undefined;
  readonly profileIds: readonly number[] | undefined;
  readonly from: Date | undefined;
  readonly until: Date | undefined;
  readonly spki: Uint8Array | undefined;
  readonly heldOnly: boolean;
  readonly now: Date;
}

/**
 * Puts the certificates that the query finds into the temporary table `revocation_gathered` (ca_id, serial), which goes
 * with the transaction. By an index each: of the ECU, or of CA and serial, whose first octets are the day of issuance; in
 * pages, so that no statement takes long. To take back holds (`removeFromCRL`) finds what is on hold alone.
 * @throws PkiError see RevocationJobLedger.preview; `revocation.query-refused` where nothing bounds it
 */
export async function gather(tx: Queryable, key: LedgerKey, query: RevocationQuery, reason: RevocationReason, now: Date): Promise<void> {
  await tx.query('CREATE TEMPORARY TABLE revocation_gathered (ca_id int, serial bytea, PRIMARY KEY (ca_id, serial)) ON COMMIT DROP');
  const criteria = await criteriaOf(tx, query, reason, now);
  const room = new Room();
  const owner = query.publicKeySha256 === undefined ? undefined : await ownerOf(tx, query.publicKeySha256);
  if (query.publicKeySha256 !== undefined && owner === undefined) return;
  if (owner !== undefined && !owner.startsWith('ecu:')) {
    // Of a server, or of what has no name: the ledger knows no vehicle of it.
    if (namesEcus(query)) return;
    return ofServers(tx, criteria, room);
  }
  const ecus = await ecuConditions(tx, key, query, owner?.slice('ecu:'.length));
  if (ecus !== undefined) return ofEcus(tx, ecus, criteria, room);
  if (criteria.caIds === undefined && criteria.from === undefined) {
    throw new PkiError('revocation.query-refused', 'say more: vin, ecuSerial, partNumber, lot, supplier, publicKey, ca or issuedFrom; profile and issuedUntil only narrow these');
  }
  await ofAuthorities(tx, criteria, room);
}

const namesEcus = ({ vin, ecuSerial, partNumber, lot, supplier }: RevocationQuery): boolean =>
  [vin, ecuSerial, partNumber, lot, supplier].some((given) => given !== undefined);

/** Counts what is found. */
class Room {
  #found = 0;

  add(found: number): void {
    this.#found += found;
    if (this.#found > MAX_REVOCATION_TARGETS) {
      throw new PkiError('revocation.too-many-targets', `the query finds more than ${MAX_REVOCATION_TARGETS.toLocaleString('en')} certificates: narrow it, by the time of issuance say, or revoke the CA`);
    }
  }
}

async function criteriaOf(tx: Queryable, query: RevocationQuery, reason: RevocationReason, now: Date): Promise<Criteria> {
  const { ca, profile, issuedFrom, issuedUntil, publicKeySha256 } = query;
  const caIds = ca === undefined ? undefined : ids(await tx.query('SELECT id FROM ca WHERE name = $1', [ca]));
  if (caIds?.length === 0) throw new PkiError('ca.not-found');
  const profileIds = profile === undefined ? undefined : ids(await tx.query('SELECT id FROM profile_version WHERE name = $1', [profile]));
  if (profileIds?.length === 0) throw new PkiError('profile.not-found');
  return { caIds, profileIds, from: issuedFrom, until: issuedUntil, spki: publicKeySha256, heldOnly: reason === 'removeFromCRL', now };
}

const ids = (rows: readonly { readonly id?: number }[]): number[] => rows.map(({ id }) => id ?? 0);

async function ownerOf(tx: Queryable, spki: Uint8Array): Promise<string | undefined> {
  const [row] = await tx.query<{ owner: string }>('SELECT owner FROM subject_key WHERE spki_sha256 = $1', [spki]);
  return row?.owner;
}

/** What holds for a certificate `c`, beside what finds it; the parameters from $1 on. */
const MEANT = `c.not_after > $1::timestamptz AND ($2::int[] IS NULL OR c.ca_id = ANY($2)) AND ($3::int[] IS NULL OR c.profile_version_id = ANY($3))
  AND ($4::timestamptz IS NULL OR c.issued_at >= $4) AND ($5::timestamptz IS NULL OR c.issued_at < $5) AND ($6::bytea IS NULL OR c.spki_sha256 = $6)
  AND (NOT $7::boolean OR EXISTS (SELECT FROM revocation r WHERE r.ca_id = c.ca_id AND r.serial = c.serial
    AND r.reason = ${revocationReasons.certificateHold} AND r.released_at IS NULL))`;

const meant = ({ now, caIds, profileIds, from, until, spki, heldOnly }: Criteria): unknown[] =>
  // The last second of validity counts in (I7).
  [new Date(now.getTime() - 1000), caIds ?? null, profileIds ?? null, from ?? null, until ?? null, spki ?? null, heldOnly];

interface EcuConditions {
  readonly where: string;
  readonly values: readonly unknown[];
}

/** undefined: the query does not say which ECUs. @throws PkiError `supplier.not-found` */
async function ecuConditions(tx: Queryable, key: LedgerKey, query: RevocationQuery, ownerSerial: string | undefined): Promise<EcuConditions | undefined> {
  const values: unknown[] = [];
  const where: string[] = [];
  const add = (condition: (parameter: string) => string, value: unknown): void => void where.push(condition(`$${values.push(value)}`));
  if (ownerSerial !== undefined) add((p) => `serial = ${p}`, ownerSerial);
  if (query.ecuSerial !== undefined) add((p) => `serial = ${p}`, query.ecuSerial);
  if (query.vin !== undefined) add((p) => `vehicle_id = (SELECT id FROM vehicle WHERE vin_index = ${p})`, vinIndex(key, query.vin));
  if (query.partNumber !== undefined) add((p) => `part_number = ${p}`, query.partNumber);
  if (query.lot !== undefined) add((p) => `lot = ${p}`, query.lot);
  if (query.supplier !== undefined) {
    const [supplier] = await tx.query<{ id: number }>('SELECT id FROM supplier WHERE name = $1', [query.supplier]);
    if (supplier === undefined) throw new PkiError('supplier.not-found');
    add((p) => `supplier_id = ${p}`, supplier.id);
  }
  return where.length === 0 ? undefined : { where: where.join(' AND '), values };
}

async function ofEcus(tx: Queryable, { where, values }: EcuConditions, criteria: Criteria, room: Room): Promise<void> {
  await tx.query(`DECLARE revocation_ecus NO SCROLL CURSOR FOR SELECT serial FROM ecu WHERE ${where}`, values);
  for (;;) {
    const ecus = await tx.query<{ serial: string }>(`FETCH ${PAGE} FROM revocation_ecus`);
    if (ecus.length > 0) {
      // A lateral with OFFSET 0: each ECU is looked up by its index, however many there are.
      room.add((await tx.query<{ n: number }>(
        `WITH added AS (
           INSERT INTO revocation_gathered SELECT c.ca_id, c.serial FROM unnest($8::text[]) AS e (serial)
           CROSS JOIN LATERAL (SELECT c.ca_id, c.serial FROM certificate c WHERE c.ecu_serial = e.serial AND ${MEANT} OFFSET 0) c
           ON CONFLICT DO NOTHING RETURNING 1)
         SELECT count(*)::int AS n FROM added`, [...meant(criteria), ecus.map(({ serial }) => serial)]))[0]?.n ?? 0);
    }
    if (ecus.length < PAGE) return;
  }
}

/** Certificates of what is no ECU are few. */
async function ofServers(tx: Queryable, criteria: Criteria, room: Room): Promise<void> {
  room.add((await tx.query<{ n: number }>(
    `WITH added AS (
       INSERT INTO revocation_gathered SELECT c.ca_id, c.serial FROM certificate c
       WHERE c.ecu_serial IS NULL AND c.ca_id IN (SELECT id FROM ca) AND ${MEANT} ON CONFLICT DO NOTHING RETURNING 1)
     SELECT count(*)::int AS n FROM added`, meant(criteria)))[0]?.n ?? 0);
}

/** Along the index of CA and serial, from the day of `from` to that of `until`. */
async function ofAuthorities(tx: Queryable, criteria: Criteria, room: Room): Promise<void> {
  const caIds = criteria.caIds ?? ids(await tx.query('SELECT id FROM ca ORDER BY id'));
  for (const caId of caIds) {
    // A serial is of the day of its intent; the certificate may have come on record after midnight.
    const low = Buffer.from(serialDay(within(criteria.from, -1)));
    const high = criteria.until === undefined ? FORM_1 : Buffer.from(serialDay(within(criteria.until, 1)));
    for (const [from, to] of [[low, high], [FORM_1, ABOVE_ALL]] as const) await ofSerials(tx, caId, from, to, criteria, room);
  }
}

function within(at: Date | undefined, days: number): Date {
  const time = (at ?? new Date(0)).getTime() + days * DAY_MS;
  return new Date(Math.min(Math.max(time, Date.UTC(2020, 0, 1)), LATEST_DAY.getTime() - DAY_MS));
}

async function ofSerials(tx: Queryable, caId: number, low: Buffer, high: Buffer, criteria: Criteria, room: Room): Promise<void> {
  for (let from = low; ;) {
    const [page] = await tx.query<{ n: number; seen: number; last: Buffer | null }>(
      `WITH page AS MATERIALIZED (
         SELECT c.ca_id, c.serial, ${MEANT} AS meant FROM certificate c WHERE c.ca_id = $8 AND c.serial > $9 AND c.serial < $10 ORDER BY c.serial LIMIT ${PAGE}),
       added AS (INSERT INTO revocation_gathered SELECT ca_id, serial FROM page WHERE meant ON CONFLICT DO NOTHING RETURNING 1)
       SELECT (SELECT count(*)::int FROM added) AS n, (SELECT count(*)::int FROM page) AS seen, (SELECT serial FROM page ORDER BY serial DESC LIMIT 1) AS last`,
      [...meant(criteria), caId, from, high]);
    room.add(page?.n ?? 0);
    if (page === undefined || page.last === null || page.seen < PAGE) return;
    from = page.last;
  }
}
