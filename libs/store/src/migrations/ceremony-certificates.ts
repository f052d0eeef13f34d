import type { Client } from 'pg';
import { caCertificateFacts } from '../authorities/ca-certificate.ts';

interface Unlisted {
  readonly id: number;
  readonly name: string;
  readonly parent_id: number | null;
  readonly certificate: Buffer;
  readonly not_before: Date;
  readonly not_after: Date;
}

/**
 * Lists the certificate of each CA that came on record before `ceremony_certificate` was there. Done after every migration:
 * again, and with CAs that an older Fleetroot adds meanwhile, it does what is left to do.
 */
export async function listCaCertificates(client: Client): Promise<void> {
  const { rows: [table] } = await client.query<{ there: boolean }>(`SELECT to_regclass('ceremony_certificate') IS NOT NULL AS there`);
  // Migrated by the folder of an older release.
  if (table?.there !== true) return;
  const { rows } = await client.query<Unlisted>(
    `SELECT id, name, parent_id, certificate, not_before, not_after FROM ca
     WHERE NOT EXISTS (SELECT FROM ceremony_certificate c WHERE c.subject_id = ca.id AND c.der = ca.certificate) ORDER BY id`);
  for (const ca of rows) {
    const { serial, sha256, selfSigned } = caCertificateFacts(ca.certificate, 'store.migration');
    await client.query(
      `INSERT INTO ceremony_certificate (kind, subject_id, issuer_id, serial, der, sha256, not_before, not_after)
       VALUES ('ca', $1, $2, $3, $4, $5, $6, $7) ON CONFLICT (sha256) DO NOTHING`,
      [ca.id, ca.parent_id ?? (selfSigned ? ca.id : null), serial, ca.certificate, sha256, ca.not_before, ca.not_after]);
  }
}
