import type { AuditEvent } from '@fleetroot/audit';
import { type NewRevocation, type RevocationLedger, type RevocationReason, revocationReasons } from '@fleetroot/authority';
import { PkiError, serialToBytes } from '@fleetroot/core';
import { appendEvent } from '../audit-log.ts';
import { caCertificateFacts } from '../authorities/ca-certificate.ts';
import type { Database, Queryable, Transaction } from '../database.ts';
import { askForCrl } from './ask-for-crl.ts';
import { blockKey } from './block-key.ts';
import { reasonName } from './reason-name.ts';
import { putRevocation, releaseHolds } from './revocation-row.ts';

interface Target {
  readonly ca_id: number;
  readonly not_after: Date;
  /** Of a certificate that was issued here. */
  readonly spki_sha256: Buffer | null;
  /** Of one that a ceremony made. */
  readonly kind: string | null;
  readonly der: Buffer | null;
  readonly subject: string | null;
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
      const target = await find(tx, revocation.ca, serial);
      const revoked = await record(tx, revocation, serial, target);
      if (!revoked.changed) return revoked;
      if (revoked.reason === 'keyCompromise') await blockKeyOf(tx, target, revocation);
      await askForCrl(tx, target.ca_id);
      await appendEvent(tx, event);
      return revoked;
    });
  }
}

/** @throws PkiError `certificate.not-found`; `revocation.conflict` for the certificate of a CA: there is more to do than to list it */
async function find(tx: Queryable, ca: string, serial: Uint8Array): Promise<Target> {
  const [target] = await tx.query<Target>(
    `SELECT ca.id AS ca_id, c.not_after, c.spki_sha256, NULL AS kind, NULL::bytea AS der, NULL AS subject
     FROM ca JOIN certificate c ON c.ca_id = ca.id WHERE ca.name = $1 AND c.serial = $2
     UNION ALL
     SELECT ca.id, m.not_after, NULL, m.kind, m.der, s.name
     FROM ca JOIN ceremony_certificate m ON m.issuer_id = ca.id LEFT JOIN ca s ON s.id = m.subject_id WHERE ca.name = $1 AND m.serial = $2`,
    [ca, serial]);
  if (target === undefined) throw new PkiError('certificate.not-found');
  if (target.kind === 'ca') {
    throw new PkiError('revocation.conflict', `this is the certificate of the CA ${target.subject}: revoke the CA itself (POST /v1/cas/${target.subject}/revocation), and all that it has signed with it`);
  }
  return target;
}

/** A key that is in other hands is certified for nobody again (I11). */
async function blockKeyOf(tx: Queryable, { spki_sha256: ours, der }: Target, { ca, serial }: NewRevocation): Promise<void> {
  if (ours !== null) await blockKey(tx, ours, `certificate:${ca}/${serial}`);
  if (der !== null) await blockKey(tx, caCertificateFacts(der, 'certificate.malformed').spkiSha256, `certificate:${ca}/${serial}`);
}

async function record(tx: Transaction, revocation: NewRevocation, serial: Uint8Array, target: Target): Promise<Revoked> {
  const { reason, revokedAt, invalidityDate, principalId } = revocation;
  if (reason === 'removeFromCRL') return releaseHold(tx, target.ca_id, serial, principalId);
  const put = await putRevocation(tx, {
    caId: target.ca_id, serial, reason: revocationReasons[reason], revokedAt, invalidityDate, notAfter: target.not_after, principalId,
  });
  if (put.outcome === 'conflict') throw new PkiError('revocation.conflict', `the certificate is revoked already, for ${reasonName(put.reason)}`);
  return { changed: put.outcome !== 'same', revokedAt: put.revokedAt, reason };
}

/** Only a hold is ever taken back (I12). */
async function releaseHold(tx: Transaction, caId: number, serial: Uint8Array, principalId: number): Promise<Revoked> {
  const [released] = await releaseHolds(tx, [{ caId, serial }], principalId);
  if (released?.revokedAt === undefined || released.outcome === 'conflict') {
    throw new PkiError('revocation.conflict', 'only a certificate on hold can be taken off the CRL');
  }
  return { changed: released.outcome === 'released', revokedAt: released.revokedAt, reason: 'removeFromCRL' };
}
