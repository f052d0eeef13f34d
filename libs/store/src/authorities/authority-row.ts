import type { CaState, CertificationAuthority } from '@fleetroot/authority';
import { type CaName, PkiError } from '@fleetroot/core';
import type { Queryable } from '../database.ts';

export interface AuthorityRow {
  readonly id: number;
  readonly name: string;
  readonly parent_id: number | null;
  readonly state: CaState;
  readonly certificate: Buffer;
  readonly key_id: Buffer | null;
  readonly signature_algorithm: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly successor_id: number | null;
  readonly switch_at: Date | null;
  readonly revoked_at: Date | null;
  readonly revocation_reason: number | null;
  readonly not_before: Date;
  readonly not_after: Date;
}

export const AUTHORITY_COLUMNS =
  'id, name, parent_id, state, certificate, key_id, signature_algorithm, labels, successor_id, switch_at, revoked_at, revocation_reason, not_before, not_after';

export async function readAuthorities(queryable: Queryable): Promise<readonly CertificationAuthority[]> {
  return (await queryable.query<AuthorityRow>(`SELECT ${AUTHORITY_COLUMNS} FROM ca ORDER BY id`)).map(authorityOf);
}

/** The CA's row, locked until the transaction ends: what changes a CA for good comes one after the other. @throws PkiError `ca.not-found` */
export async function lockAuthority(tx: Queryable, caId: number): Promise<CertificationAuthority> {
  const [row] = await tx.query<AuthorityRow>(`SELECT ${AUTHORITY_COLUMNS} FROM ca WHERE id = $1 FOR NO KEY UPDATE`, [caId]);
  if (row === undefined) throw new PkiError('ca.not-found', `no CA has the id ${caId}`);
  return authorityOf(row);
}

export function authorityOf(row: AuthorityRow): CertificationAuthority {
  const { revoked_at: revokedAt, revocation_reason: reason } = row;
  return {
    id: row.id, name: row.name as CaName, parentId: row.parent_id ?? undefined, state: row.state,
    certificate: row.certificate, keyId: row.key_id ?? undefined,
    signatureAlgorithm: (row.signature_algorithm ?? undefined) as CertificationAuthority['signatureAlgorithm'], labels: row.labels,
    successorId: row.successor_id ?? undefined, switchAt: row.switch_at ?? undefined,
    revocation: revokedAt === null || reason === null ? undefined : { revokedAt, reason },
    notBefore: row.not_before, notAfter: row.not_after,
  };
}
