import type { AuditEvent } from '@fleetroot/audit';
import type { CaState, CertificationAuthority } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';
import { appendEvent } from '../audit-log.ts';
import type { Queryable } from '../database.ts';
import { AUTHORITY_COLUMNS, authorityOf, type AuthorityRow } from './authority-row.ts';

/** See AuthorityLedger.change. What was revoked stays as it is. */
export async function changeState(tx: Queryable, caId: number, from: CaState, to: CaState, event: AuditEvent): Promise<CertificationAuthority> {
  const [row] = await tx.query<AuthorityRow>(`UPDATE ca SET state = $3 WHERE id = $1 AND state = $2 AND revoked_at IS NULL RETURNING ${AUTHORITY_COLUMNS}`, [caId, from, to]);
  if (row === undefined) {
    const [known] = await tx.query<{ name: string; state: string; revoked: boolean }>('SELECT name, state, revoked_at IS NOT NULL AS revoked FROM ca WHERE id = $1', [caId]);
    if (known === undefined) throw new PkiError('ca.not-found', `no CA has the id ${caId}`);
    throw new PkiError('ca.state-refused', `the CA ${known.name} is ${known.revoked ? 'revoked for good' : `${known.state} by now, and not ${from}`}`);
  }
  await appendEvent(tx, event);
  return authorityOf(row);
}

export interface Succession {
  readonly successorId: number;
  readonly switchAt: Date;
}

/**
 * See AuthorityLedger.succeed. Refused further: a successor of two CAs or of itself by any way round (`ca.conflict`), and a
 * change of what has taken place already (`ca.state-refused`): a batch of the old generation finds the new one by it.
 */
export async function setSuccession(tx: Queryable, caId: number, succession: Succession | undefined, event: AuditEvent): Promise<CertificationAuthority> {
  // All rows: CAs are few, and no two changes together may close a ring.
  const all = (await tx.query<AuthorityRow>(`SELECT ${AUTHORITY_COLUMNS} FROM ca ORDER BY id FOR NO KEY UPDATE`)).map(authorityOf);
  const byId = new Map(all.map((each) => [each.id, each]));
  const ca = found(byId, caId);
  requireNotFollowed(ca, byId);
  if (succession !== undefined) requireFree(ca, found(byId, succession.successorId), all);
  const [row] = await tx.query<AuthorityRow>(
    `UPDATE ca SET successor_id = $2, switch_at = $3 WHERE id = $1 RETURNING ${AUTHORITY_COLUMNS}`,
    [caId, succession?.successorId ?? null, succession?.switchAt ?? null]);
  if (row === undefined) throw new PkiError('internal', 'a locked row is gone');
  await appendEvent(tx, event);
  return authorityOf(row);
}

type ById = ReadonlyMap<number, CertificationAuthority>;

function found(byId: ById, id: number): CertificationAuthority {
  const ca = byId.get(id);
  if (ca === undefined) throw new PkiError('ca.not-found', `no CA has the id ${id}`);
  return ca;
}

function requireNotFollowed(ca: CertificationAuthority, byId: ById): void {
  const before = ca.successorId === undefined ? undefined : byId.get(ca.successorId);
  const issuedLast = ca.state !== 'active' && ca.state !== 'prepared';
  if (before !== undefined && issuedLast && (before.state === 'active' || before.state === 'retiring')) {
    throw new PkiError('ca.state-refused', `the CA ${ca.name} was followed by ${before.name}: this cannot be changed any more`);
  }
}

function requireFree(ca: CertificationAuthority, successor: CertificationAuthority, all: readonly CertificationAuthority[]): void {
  const other = all.find(({ id, successorId }) => successorId === successor.id && id !== ca.id);
  if (other !== undefined) throw new PkiError('ca.conflict', `the CA ${successor.name} follows ${other.name} already`);
  for (let at: CertificationAuthority | undefined = successor; at !== undefined; at = all.find(({ id }) => id === at?.successorId)) {
    if (at.id === ca.id) throw new PkiError('ca.conflict', `the CA ${ca.name} would follow itself`);
  }
}

interface SwitchRow {
  readonly id: number;
  readonly state: CaState;
  readonly successor_id: number | null;
  readonly switch_at: Date | null;
}

/** See AuthorityLedger.switchOver. */
export async function switchOver(tx: Queryable, caId: number, now: Date, event: AuditEvent): Promise<boolean> {
  // In one order by everybody. Who waited here sees the rows as the other left them.
  const rows = await tx.query<SwitchRow>(
    `SELECT id, state, successor_id, switch_at FROM ca
     WHERE id = $1 OR id = (SELECT successor_id FROM ca WHERE id = $1) ORDER BY id FOR NO KEY UPDATE`, [caId]);
  const ca = rows.find(({ id }) => id === caId);
  // Not locked: the succession was changed meanwhile, and the next run looks at it anew.
  const successor = rows.find(({ id }) => id === ca?.successor_id);
  if (ca === undefined || successor === undefined || ca.switch_at === null) return false;
  if (ca.state !== 'active' || successor.state !== 'prepared' || now < ca.switch_at) return false;
  await tx.query(`UPDATE ca SET state = 'retiring' WHERE id = $1`, [ca.id]);
  await tx.query(`UPDATE ca SET state = 'active' WHERE id = $1`, [successor.id]);
  await appendEvent(tx, event);
  return true;
}
