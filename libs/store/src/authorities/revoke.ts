import type { AuditEvent } from '@fleetroot/audit';
import {
  type AuthorityLedger, type CaState, may, type NewCaRevocation, revokedAgain, revocationReasons,
} from '@fleetroot/authority';
import { type CaName, PkiError } from '@fleetroot/core';
import { appendEvent } from '../audit-log.ts';
import type { Queryable, Transaction } from '../database.ts';
import { askForCrl } from '../status/ask-for-crl.ts';
import { blockKey } from '../status/block-key.ts';
import { reasonName } from '../status/reason-name.ts';
import { putRevocation } from '../status/revocation-row.ts';
import { lockAuthority } from './authority-row.ts';

type Outcome = Awaited<ReturnType<AuthorityLedger['revoke']>>;

/** After these the key is in other hands. */
const COMPROMISE: readonly number[] = [revocationReasons.keyCompromise, revocationReasons.cACompromise];
/** Neither is for good. */
const FOR_A_TIME: readonly number[] = [revocationReasons.certificateHold, revocationReasons.removeFromCRL];

/**
 * See AuthorityLedger.revoke. A certificate that the CA has signed for itself is on no CRL: that it is not trusted any more
 * is told by the CA's state.
 */
export async function revokeAuthority(tx: Transaction, revocation: NewCaRevocation, event: AuditEvent): Promise<Outcome> {
  if (FOR_A_TIME.includes(revocation.reason)) {
    throw new PkiError('revocation.conflict', 'a CA is revoked for good: certificateHold and removeFromCRL are for certificates of ECUs and servers');
  }
  const ca = await lockAuthority(tx, revocation.caId);
  const verdict = ca.revocation === undefined ? 'first' : revokedAgain(reasonName(ca.revocation.reason), reasonName(revocation.reason));
  if (verdict === 'conflict') {
    throw new PkiError('revocation.conflict', `the CA ${ca.name} is revoked already, for ${reasonName(ca.revocation?.reason ?? 0)}`);
  }
  const certificates = await certificatesByOthers(tx, ca.id);
  const offlineIssuers = [...new Set(certificates.filter(isOffline).map(({ issuer }) => issuer))];
  if (verdict === 'same') return { changed: false, offlineIssuers };
  const compromised = COMPROMISE.includes(revocation.reason);
  // I12: the date that was told first stays.
  const revokedAt = ca.revocation?.revokedAt ?? revocation.revokedAt;
  await tx.query('UPDATE ca SET state = $2, revoked_at = $3, revocation_reason = $4 WHERE id = $1',
    [ca.id, compromised || ca.state === 'compromised' ? 'compromised' : 'retired', revokedAt, revocation.reason]);
  for (const { issuer_id: caId, serial, not_after: notAfter } of certificates) {
    await putRevocation(tx, {
      caId, serial, reason: revocation.reason, revokedAt, invalidityDate: revocation.invalidityDate, notAfter, principalId: revocation.principalId,
    });
  }
  // After its certificates, as where one of them is revoked alone: two transactions must not wait for each other.
  if (compromised) await blockKey(tx, await spkiSha256Of(tx, ca.id), `ca:${ca.name}`);
  for (const caId of new Set(certificates.map(({ issuer_id }) => issuer_id))) await askForCrl(tx, caId);
  await appendEvent(tx, event);
  return { changed: true, offlineIssuers };
}

interface IssuedCertificate {
  readonly issuer_id: number;
  readonly issuer: CaName;
  readonly state: CaState;
  readonly offline: boolean;
  readonly serial: Buffer;
  readonly not_after: Date;
}

const isOffline = ({ state, offline }: IssuedCertificate): boolean => offline && may(state, 'status');

/** Unexpired certificates of the CA's key by other CAs on record: its own, renewed ones, cross-certificates. */
function certificatesByOthers(tx: Queryable, caId: number): Promise<readonly IssuedCertificate[]> {
  return tx.query<IssuedCertificate>(
    `SELECT c.issuer_id, i.name AS issuer, i.state, i.key_id IS NULL AS offline, c.serial, c.not_after
     FROM ceremony_certificate c JOIN ca i ON i.id = c.issuer_id
     WHERE c.subject_id = $1 AND c.issuer_id <> $1 AND c.not_after >= clock_timestamp() ORDER BY c.issuer_id, c.serial`, [caId]);
}

async function spkiSha256Of(tx: Queryable, caId: number): Promise<Buffer> {
  const [row] = await tx.query<{ spki_sha256: Buffer }>('SELECT spki_sha256 FROM ca WHERE id = $1', [caId]);
  if (row === undefined) throw new PkiError('ca.not-found');
  return row.spki_sha256;
}
