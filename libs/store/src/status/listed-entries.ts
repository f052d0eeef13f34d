import { Client } from 'pg';
import type { CrlScope, ListedEntry, WantedEntries } from '@fleetroot/authority';
import type { Secret } from '@fleetroot/core';
import { storeError } from '../errors.ts';
import { column, orNull, type Shape } from '../inspection/binary-row.ts';
import { copyOut } from '../inspection/copy-out.ts';

const shape: Shape<ListedEntry> = {
  shards: column.int4, shard: column.int4, serial: column.bytes, reason: column.int4, revokedAt: column.time, invalidityDate: orNull(column.time),
  notAfter: column.time, changedAt: column.time, released: column.bool,
};

/**
 * Revoked and burned serials of a CA by one statement, so of one moment, over a connection of its own: however many there
 * are, a page of them is in memory.
 */
export async function* listedEntries(databaseUrl: Secret, caId: number, wanted: WantedEntries): AsyncGenerator<readonly ListedEntry[]> {
  const client = new Client({
    connectionString: databaseUrl.reveal(), connectionTimeoutMillis: 5000, keepAlive: true, application_name: 'fleetroot crl',
    statement_timeout: 0, idle_in_transaction_session_timeout: 0,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query(`SET work_mem = '128MB'; SET jit = off; SET statement_timeout = 0`);
    yield* copyOut(client, selectOf(caId, wanted), shape);
  } catch (error) {
    throw storeError(error);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** COPY takes no parameters: all that goes into its text is a number, or a time of our own. */
function selectOf(caId: number, { scopes, endingFrom, changedFrom }: WantedEntries): string {
  const which = (changedAt: string): string => [
    `ca_id = ${Math.trunc(caId)}`, `not_after >= ${instant(endingFrom)}`,
    ...(changedFrom === undefined ? [] : [`${changedAt} >= ${instant(changedFrom)}`]),
    ...(scopes === 'all' ? [] : [`(${inScopes(scopes)})`]),
  ].join(' AND ');
  return `SELECT shards, shard, serial, reason, revoked_at, invalidity_date, not_after, changed_at, released FROM (
      SELECT shards, shard, serial, reason, revoked_at, invalidity_date, not_after, changed_at, released_at IS NOT NULL AS released
      FROM revocation WHERE ${which('changed_at')}
      UNION ALL
      SELECT shards, shard, serial, 0, burned_at, NULL, not_after, burned_at, false FROM burned_serial WHERE ${which('burned_at')}
    ) AS listed ORDER BY ${scopes === 'all' ? 'serial' : 'shards, shard, serial'}`;
}

const instant = (date: Date): string => `'${date.toISOString()}'::timestamptz`;

function inScopes(scopes: readonly CrlScope[]): string {
  const byShards = new Map<number, number[]>();
  for (const scope of scopes) {
    const [shards = 1, shard = 0] = scope.split('/').map(Number);
    const known = byShards.get(shards);
    if (known === undefined) byShards.set(shards, [shard]);
    else known.push(shard);
  }
  return [...byShards].map(([shards, some]) => (some.length === shards ? `shards = ${shards}` : `shards = ${shards} AND shard IN (${some.map(Math.trunc).join(', ')})`)).join(' OR ') || 'false';
}
