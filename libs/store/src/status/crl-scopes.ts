import type { CrlScope, CrlScopeFacts } from '@fleetroot/authority';
import type { Queryable } from '../database.ts';

interface PointRow {
  readonly shards: number;
  readonly uri: string;
  readonly since: Date;
}

/** `all`, and every shard of each number of shards that a CRL of the CA was ever reserved for. Each is one step down an index. */
export async function scopesOf(queryable: Queryable, caId: number): Promise<readonly CrlScopeFacts[]> {
  const rows = await queryable.query<{ scope: CrlScope }>(
    `WITH RECURSIVE each (scope) AS (
       SELECT min(scope) FROM crl WHERE ca_id = $1
       UNION ALL SELECT (SELECT min(scope) FROM crl WHERE ca_id = $1 AND scope > each.scope) FROM each WHERE each.scope IS NOT NULL
     ) SELECT scope FROM each WHERE scope <> 'all'`, [caId]);
  const counts = [...new Set(rows.map(({ scope }) => Number(scope.split('/')[0])))].sort((a, b) => a - b);
  const points = counts.length === 0 ? [] : await pointsOf(queryable, caId);
  return [{ scope: 'all', uris: [], since: new Date(0) }, ...counts.flatMap((shards) => shardsAt(shards, points))];
}

export async function shardsOf(queryable: Queryable, caId: number, shards: number): Promise<readonly CrlScopeFacts[]> {
  return shardsAt(shards, await pointsOf(queryable, caId));
}

/** What the versions of profiles have written into certificates of the CA, or would, oldest first. */
function pointsOf(queryable: Queryable, caId: number): Promise<readonly PointRow[]> {
  return queryable.query<PointRow>(
    `SELECT shards, replace(crl, '{ca}', (SELECT name FROM ca WHERE id = $1)) AS uri, min(created_at) AS since
     FROM (SELECT id, created_at, (document::jsonb ->> 'crlShards')::int AS shards, document::jsonb -> 'urls' ->> 'crl' AS crl FROM profile_version) AS p
     WHERE shards > 1 AND crl IS NOT NULL GROUP BY 1, 2 ORDER BY min(id)`, [caId]);
}

function shardsAt(shards: number, points: readonly PointRow[]): CrlScopeFacts[] {
  const own = points.filter((point) => point.shards === shards);
  if (own.length === 0) return [];
  // One point is what it always was. Of several, the newer have come to the CRLs that were there.
  const since = own.length === 1 ? new Date(0) : new Date(Math.max(...own.map((point) => point.since.getTime())));
  return Array.from({ length: shards }, (_, shard): CrlScopeFacts => (
    { scope: `${shards}/${shard}`, uris: own.map(({ uri }) => uri.replace('{shard}', String(shard))), since }
  ));
}
