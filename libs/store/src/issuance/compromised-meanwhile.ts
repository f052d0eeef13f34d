import { type ClaimedChunk, type IssuedItem, revocationReasons } from '@fleetroot/authority';
import { type CaName, serialFromBytes, sha256, toHex } from '@fleetroot/core';
import { appendEvents } from '../audit-log.ts';
import type { Queryable, Transaction } from '../database.ts';
import { askForCrl } from '../status/ask-for-crl.ts';
import { putRevocations } from '../status/revocation-row.ts';

/** ASCII of "compromi". */
const LOCK = String(0x636f6d70726f6d69n);

/**
 * Certificates are stored under the one of these locks, and by the proof of a key's compromise its certificates are looked
 * for under the other: each sees what the other has done. Taken first in a transaction, so that two never wait for each other.
 */
export function lockStoring(tx: Transaction): void {
  void tx.send('SELECT pg_advisory_xact_lock_shared($1::bigint)', [LOCK]);
}

/** Behind `lockStoring`: the transaction fails (`isBlockedKey`) where one of the keys was blocked. */
export function requireUnblocked(tx: Transaction, issued: readonly IssuedItem[]): void {
  void tx.send('SELECT require_unblocked($1::bytea[])', [issued.map(({ spkiSha256 }) => spkiSha256)]);
}

/** See `lockStoring`. Waits until what is being stored is committed, and keeps others from beginning to. */
export async function lockCompromise(tx: Queryable): Promise<void> {
  await tx.query('SELECT pg_advisory_xact_lock($1::bigint)', [LOCK]);
}

interface OfIntent {
  readonly ca_id: number;
  readonly ca: CaName;
  readonly principal_id: number;
}

/**
 * Revokes what has just been stored for a key that was blocked after the intent: it was signed, so it exists, and nobody is
 * to take it for good. In the name of the principal whose batch it is. Under `lockStoring`.
 */
export async function revokeCompromised(tx: Transaction, { batchId }: ClaimedChunk, intentId: bigint, issued: readonly IssuedItem[]): Promise<void> {
  const blocked = await tx.query<{ spki_sha256: Buffer }>(
    'SELECT spki_sha256 FROM subject_key WHERE spki_sha256 = ANY($1::bytea[]) AND blocked', [issued.map(({ spkiSha256 }) => spkiSha256)]);
  if (blocked.length === 0) return;
  const keys = new Set(blocked.map(({ spki_sha256 }) => toHex(spki_sha256)));
  const items = issued.filter(({ spkiSha256 }) => keys.has(toHex(spkiSha256)));
  const [of] = await tx.query<OfIntent>(
    'SELECT i.ca_id, ca.name AS ca, b.principal_id FROM intent i JOIN ca ON ca.id = i.ca_id, batch b WHERE i.id = $1 AND b.id = $2', [intentId, batchId]);
  if (of === undefined) return;
  const at = new Date();
  await putRevocations(tx, items.map(({ serial, notAfter }) => ({
    caId: of.ca_id, serial, notAfter, reason: revocationReasons.keyCompromise, revokedAt: at, invalidityDate: undefined, principalId: of.principal_id,
  })));
  await askForCrl(tx, of.ca_id);
  await appendEvents(tx, items.map(({ serial, der }) => ({
    action: 'certificate.revoked', actor: 'system:issuer', at, subject: `certificate:${of.ca}/${serialFromBytes(serial)}`,
    data: { reason: 'keyCompromise', sha256: toHex(sha256(der)), because: 'key.blocked' },
  })));
}
