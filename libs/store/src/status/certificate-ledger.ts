import type { AuditEvent } from '@fleetroot/audit';
import type { CertificateLedger, CertificateQuery, CertificateRecord } from '@fleetroot/authority';
import { type CaName, type LedgerKey, PkiError, type Serial, serialFromBytes, serialToBytes } from '@fleetroot/core';
import { appendEvent } from '../audit-log.ts';
import type { Database } from '../database.ts';
import { openVin, vinIndex } from '../fleet/vehicles.ts';
import { reasonName } from './reason-name.ts';

interface CertificateRow {
  readonly id: bigint;
  readonly ca: string;
  readonly serial: Buffer;
  readonly profile: string;
  readonly ecu_serial: string | null;
  readonly part_number: string | null;
  readonly vin_index: Buffer | null;
  readonly vin_sealed: Buffer | null;
  readonly subject_name: string | null;
  readonly not_before: Date;
  readonly not_after: Date;
  readonly issued_at: Date;
  readonly renewal_due_at: Date | null;
  readonly reason: number | null;
  readonly revoked_at: Date | null;
  readonly der: Buffer;
}

const SELECT = `
  SELECT c.id, ca.name AS ca, c.serial, p.name AS profile, c.ecu_serial, e.part_number, v.vin_index, v.vin_sealed,
         c.subject_name, c.not_before, c.not_after, c.issued_at, c.renewal_due_at, r.reason, r.revoked_at, c.der
  FROM certificate c
  JOIN ca ON ca.id = c.ca_id
  JOIN profile_version p ON p.id = c.profile_version_id
  LEFT JOIN ecu e ON e.serial = c.ecu_serial
  LEFT JOIN vehicle v ON v.id = e.vehicle_id
  LEFT JOIN revocation r ON r.ca_id = c.ca_id AND r.serial = c.serial AND r.released_at IS NULL`;

/**
 * The newer valid certificate of c's ECU and profile, in whatever version. A scalar with a limit, and no NOT EXISTS: so
 * that each is looked up by the ECU's index, and the planner never reads all certificates to compare them.
 */
const RENEWED = `(
  SELECT n.id FROM certificate n
  WHERE n.ecu_serial = c.ecu_serial AND n.id > c.id AND n.not_after >= $1
    AND (SELECT name FROM profile_version WHERE id = n.profile_version_id) = (SELECT name FROM profile_version WHERE id = c.profile_version_id)
    AND NOT EXISTS (SELECT FROM revocation r WHERE r.ca_id = n.ca_id AND r.serial = n.serial AND r.released_at IS NULL)
  LIMIT 1)`;

export class PostgresCertificateLedger implements CertificateLedger {
  readonly #database: Database;
  readonly #key: LedgerKey;

  constructor(database: Database, key: LedgerKey) {
    this.#database = database;
    this.#key = key;
  }

  async find(serial: Serial, ca?: CaName): Promise<CertificateRecord> {
    const rows = await this.#database.query<CertificateRow>(
      `${SELECT} WHERE c.serial = $1 AND c.ca_id IN (SELECT id FROM ca WHERE $2::text IS NULL OR name = $2) LIMIT 2`,
      [serialToBytes(serial), ca ?? null]);
    if (rows.length > 1) throw new PkiError('certificate.ambiguous');
    if (rows[0] === undefined) throw await this.#notHere(serial, ca);
    return this.#record(rows[0]);
  }

  /** What a ceremony has signed is no certificate of a device: who asks for it here is told where it is. */
  async #notHere(serial: Serial, ca: CaName | undefined): Promise<PkiError> {
    const [made] = await this.#database.query<{ kind: string; issuer: string | null; subject: string | null }>(
      `SELECT m.kind, i.name AS issuer, s.name AS subject FROM ceremony_certificate m LEFT JOIN ca i ON i.id = m.issuer_id LEFT JOIN ca s ON s.id = m.subject_id
       WHERE m.serial = $1 AND ($2::text IS NULL OR i.name = $2) LIMIT 1`, [serialToBytes(serial), ca ?? null]);
    if (made === undefined) return new PkiError('certificate.not-found');
    return new PkiError('certificate.not-found', made.kind === 'ca'
      ? `this is the certificate of the CA ${made.subject}, and of no device: look at GET /v1/cas/${made.subject}; to revoke it and all below it, POST /v1/cas/${made.subject}/revocation`
      : `a ceremony has signed this certificate (${made.kind}) with the key of the CA ${made.issuer}, and it is of no device: to revoke it, name it under revoked in the plan of that CA's next CRL`);
  }

  async search(query: CertificateQuery, now: Date, before: bigint | undefined, limit: number): Promise<readonly CertificateRecord[]> {
    const values: unknown[] = [];
    const parameter = (value: unknown): string => `$${values.push(value)}`;
    const where = conditions(query, now, this.#key, parameter);
    if (before !== undefined) where.push(`c.id < ${parameter(before)}`);
    // What names few certificates is found by its own index and sorted; walking all of them from the newest, which
    // PostgreSQL might take for cheaper because of the limit, would read the whole ledger for a VIN that has none.
    const few = query.serial !== undefined || query.ecuSerial !== undefined || query.vin !== undefined;
    const rows = await this.#database.report<CertificateRow>(
      `${SELECT} ${where.length === 0 ? '' : `WHERE ${where.join(' AND ')}`} ORDER BY ${few ? 'c.id + 0' : 'c.id'} DESC LIMIT ${parameter(limit)}`, values);
    return rows.map((row) => this.#record(row));
  }

  async markRenewalDue(now: Date, until: Date, limit: number, event: (count: number) => AuditEvent): Promise<number> {
    return this.#database.transaction(async (tx) => {
      const marked = await tx.query(
        `UPDATE certificate SET renewal_due_at = $1 WHERE id IN (
           SELECT c.id FROM certificate c
           WHERE c.not_after >= $1 AND c.not_after < $2 AND c.renewal_due_at IS NULL AND c.ecu_serial IS NOT NULL
             AND NOT EXISTS (SELECT FROM revocation r WHERE r.ca_id = c.ca_id AND r.serial = c.serial AND r.released_at IS NULL)
             AND ${RENEWED} IS NULL
           ORDER BY c.not_after LIMIT $3 FOR UPDATE SKIP LOCKED)
         RETURNING id`, [now, until, limit]);
      if (marked.length > 0) await appendEvent(tx, event(marked.length));
      return marked.length;
    });
  }

  #record(row: CertificateRow): CertificateRecord {
    const sealed = row.vin_index !== null && row.vin_sealed !== null;
    return {
      id: row.id, ca: row.ca as CaName, serial: serialFromBytes(row.serial), profile: row.profile,
      ecuSerial: row.ecu_serial ?? undefined, partNumber: row.part_number ?? undefined,
      vin: sealed ? openVin(this.#key, row.vin_index, row.vin_sealed) : undefined,
      subjectName: row.subject_name ?? undefined, notBefore: row.not_before, notAfter: row.not_after, issuedAt: row.issued_at,
      renewalDueAt: row.renewal_due_at ?? undefined,
      revocation: row.reason === null || row.revoked_at === null ? undefined : { reason: reasonName(row.reason), revokedAt: row.revoked_at },
      certificate: row.der,
    };
  }
}

function conditions(query: CertificateQuery, now: Date, key: LedgerKey, parameter: (value: unknown) => string): string[] {
  const where: string[] = [];
  // A serial is looked up by the index of (CA, serial): CAs are few.
  if (query.serial !== undefined) where.push(`c.serial = ${parameter(serialToBytes(query.serial))} AND c.ca_id IN (SELECT id FROM ca)`);
  if (query.ecuSerial !== undefined) where.push(`c.ecu_serial = ${parameter(query.ecuSerial)}`);
  if (query.partNumber !== undefined) where.push(`c.ecu_serial IN (SELECT serial FROM ecu WHERE part_number = ${parameter(query.partNumber)})`);
  if (query.vin !== undefined) {
    where.push(`c.ecu_serial IN (SELECT serial FROM ecu WHERE vehicle_id = (SELECT id FROM vehicle WHERE vin_index = ${parameter(vinIndex(key, query.vin))}))`);
  }
  if (query.requestedBy !== undefined) {
    where.push(`EXISTS (SELECT FROM chunk k JOIN batch b ON b.id = k.batch_id WHERE k.id = c.chunk_id AND b.principal_id = ${parameter(query.requestedBy)})`);
  }
  if (query.expiresBefore !== undefined) where.push(`c.not_after < ${parameter(query.expiresBefore)}`);
  if (query.expiresAfter !== undefined) where.push(`c.not_after > ${parameter(query.expiresAfter)}`);
  // Validity counts the last second in (I7).
  const over = (): string => `c.not_after <= ${parameter(new Date(now.getTime() - 1000))}::timestamptz`;
  switch (query.status) {
    case 'revoked': where.push('r.serial IS NOT NULL'); break;
    case 'expired': where.push(over()); break;
    case 'valid': where.push(`r.serial IS NULL AND NOT ${over()}`); break;
    case undefined: break;
  }
  return where;
}
