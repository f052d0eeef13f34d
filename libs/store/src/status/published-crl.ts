import type { CrlHead, CrlKind, CrlScope, PublishedCrl } from '@fleetroot/authority';
import type { Queryable } from '../database.ts';

interface HeadRow {
  readonly ca_id: number;
  readonly scope: CrlScope;
  readonly kind: CrlKind;
  readonly number: bigint;
  readonly base_number: bigint | null;
  readonly this_update: Date;
  readonly next_update: Date;
  readonly entries: number;
  readonly sha256: Buffer;
}

const HEAD = 'ca_id, scope, kind, number, base_number, this_update, next_update, entries, sha256';

/** The published CRL of the scope and kind with the highest number. */
export async function latestCrl(
  queryable: Queryable, caId: number, scope: CrlScope = 'all', kind: CrlKind = 'full',
): Promise<PublishedCrl | undefined> {
  const [row] = await queryable.query<HeadRow & { readonly der: Buffer }>(
    `SELECT ${HEAD}, der FROM crl WHERE ca_id = $1 AND scope = $2 AND kind = $3 AND published_at IS NOT NULL ORDER BY number DESC LIMIT 1`, [caId, scope, kind]);
  return row === undefined ? undefined : { ...headOf(row), der: row.der };
}

/**
 * The newest of each CA, scope and kind, without its octets. Each is one step down an index, however many there were.
 * @param caId of one CA alone
 */
export async function crlHeads(queryable: Queryable, caId?: number): Promise<readonly CrlHead[]> {
  const rows = await queryable.query<HeadRow>(
    `WITH RECURSIVE each (ca_id, scope, kind) AS (
       (SELECT ca_id, scope, kind FROM crl WHERE $1::int IS NULL OR ca_id = $1 ORDER BY ca_id, scope, kind LIMIT 1)
       UNION ALL
       SELECT next.* FROM each, LATERAL (
         SELECT c.ca_id, c.scope, c.kind FROM crl c
         WHERE (c.ca_id, c.scope, c.kind) > (each.ca_id, each.scope, each.kind) AND ($1::int IS NULL OR c.ca_id = $1)
         ORDER BY c.ca_id, c.scope, c.kind LIMIT 1) AS next
     )
     SELECT ${HEAD.split(', ').map((column) => `newest.${column}`).join(', ')} FROM each, LATERAL (
       SELECT ${HEAD} FROM crl c
       WHERE c.ca_id = each.ca_id AND c.scope = each.scope AND c.kind = each.kind AND c.published_at IS NOT NULL
       ORDER BY c.number DESC LIMIT 1) AS newest`, [caId ?? null]);
  return rows.map(headOf);
}

const headOf = (row: HeadRow): CrlHead => ({
  caId: row.ca_id, scope: row.scope, kind: row.kind, number: row.number, baseNumber: row.base_number ?? undefined,
  thisUpdate: row.this_update, nextUpdate: row.next_update, entries: row.entries, sha256: row.sha256,
});
