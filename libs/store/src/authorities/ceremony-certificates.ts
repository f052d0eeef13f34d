import type { CeremonyCertificate, CeremonyCertificateKind } from '@fleetroot/authority';
import type { Queryable } from '../database.ts';

interface Row {
  readonly kind: CeremonyCertificateKind;
  readonly subject_id: number | null;
  readonly issuer_id: number | null;
  readonly serial: Buffer;
  readonly der: Buffer;
  readonly not_before: Date;
  readonly not_after: Date;
}

const SELECT = 'SELECT kind, subject_id, issuer_id, serial, der, not_before, not_after FROM ceremony_certificate';

/** See AuthorityLedger.certificates. */
export async function certificatesOf(queryable: Queryable, caId: number): Promise<readonly CeremonyCertificate[]> {
  return (await queryable.query<Row>(`${SELECT} WHERE subject_id = $1 OR issuer_id = $1 ORDER BY not_before, id`, [caId])).map(certificateOf);
}

/** Those of the CA's key that a relying party may build a path with at `now`: neither expired nor revoked; the newest first. */
export async function usableCertificatesOf(queryable: Queryable, caId: number, now: Date): Promise<readonly CeremonyCertificate[]> {
  const rows = await queryable.query<Row>(
    `${SELECT} c WHERE subject_id = $1 AND not_after >= $2
       AND NOT EXISTS (SELECT FROM revocation r WHERE r.ca_id = c.issuer_id AND r.serial = c.serial AND r.released_at IS NULL)
     ORDER BY not_before DESC, id DESC`, [caId, now]);
  return rows.map(certificateOf);
}

/** Those of the keys of all CAs. */
export async function allUsableCertificates(queryable: Queryable, now: Date): Promise<readonly CeremonyCertificate[]> {
  const rows = await queryable.query<Row>(
    `${SELECT} c WHERE subject_id IS NOT NULL AND not_after >= $1
       AND NOT EXISTS (SELECT FROM revocation r WHERE r.ca_id = c.issuer_id AND r.serial = c.serial AND r.released_at IS NULL)
     ORDER BY not_before DESC, id DESC`, [now]);
  return rows.map(certificateOf);
}

/**
 * Puts a certificate on record. False, and nothing is stored: it is there already, or its issuer has used the serial; a
 * leaf's counts too.
 */
export async function insertCeremonyCertificate(tx: Queryable, certificate: CeremonyCertificate, sha256: Uint8Array): Promise<boolean> {
  const { kind, subjectId, issuerId, serial, certificate: der, notBefore, notAfter } = certificate;
  const added = await tx.query(
    `INSERT INTO ceremony_certificate (kind, subject_id, issuer_id, serial, der, sha256, not_before, not_after)
     SELECT $1::text, $2::int, $3::int, $4::bytea, $5::bytea, $6::bytea, $7::timestamptz, $8::timestamptz
     WHERE NOT EXISTS (SELECT FROM certificate c WHERE c.ca_id = $3 AND c.serial = $4)
     ON CONFLICT DO NOTHING RETURNING id`,
    [kind, subjectId ?? null, issuerId ?? null, serial, der, sha256, notBefore, notAfter]);
  return added.length > 0;
}

function certificateOf(row: Row): CeremonyCertificate {
  return {
    kind: row.kind, subjectId: row.subject_id ?? undefined, issuerId: row.issuer_id ?? undefined,
    serial: row.serial, certificate: row.der, notBefore: row.not_before, notAfter: row.not_after,
  };
}
