import type { AuditEvent } from '@fleetroot/audit';
import { type NewRevocation, revokedAgain, type RevocationLedger, type RevocationReason, revocationReasons } from '@fleetroot/authority';
import { PkiError, serialToBytes } from '@fleetroot/core';
import { appendEvent } from '../audit-log.ts';
import type { Database, Queryable } from '../database.ts';
import { CRL_PRIORITY } from '../issuance/burn.ts';
import { addToOutbox } from '../outbox.ts';
import { reasonName } from './certificate-ledger.ts';

interface Target {
  readonly ca_id: number;
  readonly not_after: Date;
  readonly spki_sha256: Buffer;
}

interface OnRecord {
  readonly reason: number;
  readonly revoked_at: Date;
}

type Revoked = { readonly changed: boolean; readonly revokedAt: Date; readonly reason: RevocationReason };

export class PostgresRevocationLedger implements RevocationLedger {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  revoke(revocation: NewRevocation, event: AuditEvent): Promise<Revoked> {
    return this.#database.transaction(async (tx) => {
      const serial = serialToBytes(revocation.serial);
      const [target] = await tx.query<Target>(
        'SELECT c.ca_id, c.not_after, c.spki_sha256 FROM certificate c JOIN ca ON ca.id = c.ca_id WHERE ca.name = $1 AND c.serial = $2',
        [revocation.ca, serial]);
      if (target === undefined) throw new PkiError('certificate.not-found');
      const revoked = await record(tx, revocation, serial, target);
      if (!revoked.changed) return revoked;
      // A key that is in other hands is certified for nobody again (I11).
      if (revoked.reason === 'keyCompromise') await tx.query('UPDATE subject_key SET blocked = true WHERE spki_sha256 = $1', [target.spki_sha256]);
      await addToOutbox(tx, 'publish-crl', { caId: target.ca_id }, CRL_PRIORITY);
      await appendEvent(tx, event);
      return revoked;
    });
  }
}

async function record(tx: Queryable, { reason, revokedAt, invalidityDate, principalId }: NewRevocation, serial: Uint8Array, target: Target): Promise<Revoked> {
  if (reason === 'removeFromCRL') return releaseHold(tx, target.ca_id, serial);
  const added = await tx.query(
    `INSERT INTO revocation (ca_id, serial, reason, revoked_at, invalidity_date, not_after, principal_id)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (ca_id, serial) DO NOTHING RETURNING reason`,
    [target.ca_id, serial, revocationReasons[reason], revokedAt, invalidityDate ?? null, target.not_after, principalId]);
  if (added.length > 0) return { changed: true, revokedAt, reason };
  const [known] = await tx.query<OnRecord>('SELECT reason, revoked_at FROM revocation WHERE ca_id = $1 AND serial = $2 FOR UPDATE', [target.ca_id, serial]);
  // Gone between the two statements: a hold was released.
  if (known === undefined) throw new PkiError('store.unavailable', 'the revocation was changed at the same time: try again');
  const before = reasonName(known.reason);
  switch (revokedAgain(before, reason)) {
    case 'same': return { changed: false, revokedAt: known.revoked_at, reason };
    case 'conflict': throw new PkiError('revocation.conflict', `the certificate is revoked already, for ${before}`);
    case 'upgrade':
      await tx.query(
        'UPDATE revocation SET reason = $3, invalidity_date = coalesce($4, invalidity_date), principal_id = $5 WHERE ca_id = $1 AND serial = $2',
        [target.ca_id, serial, revocationReasons[reason], invalidityDate ?? null, principalId]);
      return { changed: true, revokedAt: known.revoked_at, reason };
  }
}

/** Only a hold is ever taken back (I12). */
async function releaseHold(tx: Queryable, caId: number, serial: Uint8Array): Promise<Revoked> {
  const [held] = await tx.query<OnRecord>(
    'DELETE FROM revocation WHERE ca_id = $1 AND serial = $2 AND reason = $3 RETURNING reason, revoked_at',
    [caId, serial, revocationReasons.certificateHold]);
  if (held === undefined) throw new PkiError('revocation.conflict', 'only a certificate on hold can be taken off the CRL');
  return { changed: true, revokedAt: held.revoked_at, reason: 'removeFromCRL' };
}
