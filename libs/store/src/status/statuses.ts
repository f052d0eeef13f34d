import type { CertificateStatus } from '@fleetroot/authority';
import type { Queryable } from '../database.ts';

export interface StatusRow {
  readonly known: boolean;
  readonly revoked_at: Date | null;
  readonly reason: number | null;
  readonly burned_at: Date | null;
}

/** See StatusLedger.statuses. One statement, so one moment. A hold that was released is none (I12). */
export async function certificateStatuses(queryable: Queryable, caId: number, serials: readonly Uint8Array[]): Promise<CertificateStatus[]> {
  const rows = await queryable.query<StatusRow>(
    `SELECT EXISTS (SELECT FROM certificate c WHERE c.ca_id = $1 AND c.serial = asked.serial)
              OR EXISTS (SELECT FROM ceremony_certificate m WHERE m.issuer_id = $1 AND m.serial = asked.serial) AS known,
            r.revoked_at, r.reason, b.burned_at
     FROM unnest($2::bytea[]) WITH ORDINALITY AS asked (serial, place)
     LEFT JOIN revocation r ON r.ca_id = $1 AND r.serial = asked.serial AND r.released_at IS NULL
     LEFT JOIN burned_serial b ON b.ca_id = $1 AND b.serial = asked.serial
     ORDER BY asked.place`, [caId, serials]);
  return rows.map(statusOf);
}

export function statusOf({ known, revoked_at, reason, burned_at }: StatusRow): CertificateStatus {
  if (revoked_at !== null) return { status: 'revoked', revokedAt: revoked_at, reason: reason ?? 0 };
  if (burned_at !== null) return { status: 'revoked', revokedAt: burned_at, reason: 0 };
  return { status: known ? 'good' : 'unknown' };
}
