import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CrlKind, type CrlPublication, type CrlScope, crlShard, publishCrls } from '@fleetroot/authority';
import { LedgerKey, toHex } from '@fleetroot/core';
import { openStore, type Store } from '@fleetroot/store';
import { parseAnyCrl } from '@fleetroot/x509';
import { ownDatabaseClock } from '../support/database-clock.ts';
import { addCa, event, randomSerial, type RealCa } from '../support/ledger.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';

// What becomes of an entry from before its revocation until long after the end of its certificate, on the CRL of the
// whole CA, that of its shard, and the deltas of both. Publisher and ledger go by a clock that is set by hand.

const SHARDS = 4;
/** The last second of the certificates, that counts in. */
const END = Date.UTC(2027, 0, 15, 12);
const at = (seconds: number): Date => new Date(END + seconds * 1000);

let postgres: TestPostgres;
let sql: Client;
let store: Store;
let setDatabase: (at: Date) => Promise<void>;
let now = at(-1000);
let principalId: number;

beforeAll(async () => {
  postgres = await startTestPostgres();
  sql = new Client({ connectionString: postgres.databaseUrl.reveal() });
  await sql.connect();
  setDatabase = await ownDatabaseClock(sql);
  store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey: new LedgerKey(new Uint8Array(32)), pool: 4 });
  principalId = (await store.principals.put('admin', ['admin'], new Uint8Array(32), undefined, event('principal.created', 'principal:admin'))).id;
  await store.profiles.ensure('sharded', JSON.stringify({ crlShards: SHARDS, urls: { crl: `http://status.test/crl/{ca}/${SHARDS}/{shard}.crl` } }));
});
afterAll(async () => {
  await sql?.end();
  await store?.close();
  await postgres?.stop();
});

const publication = ({ ca, made }: RealCa, offset = 0): CrlPublication => ({
  crls: store.crls, authority: ca, signer: { ready: async () => undefined, sign: async (_, tbs) => tbs.map((one) => made.sign(one)) },
  clock: { now: () => new Date(now.getTime() + offset) }, lifetimeMs: 30 * 86_400_000, statusUrl: 'http://status.test',
});

async function newCa(name: string): Promise<RealCa> {
  await go(-1000);
  const ca = await addCa(store, name);
  await publishCrls(publication(ca), { shards: SHARDS });
  await publishCrls(publication(ca), 'all');
  return ca;
}

async function go(seconds: number): Promise<void> {
  now = at(seconds);
  await setDatabase(now);
}

const steps = {
  async revoke({ ca }: RealCa, serial: Uint8Array, reason: number) {
    await sql.query(
      `INSERT INTO revocation (ca_id, serial, reason, revoked_at, not_after, principal_id, shards, shard) VALUES ($1, $2, $3, now(), $4, $5, $6, crl_shard($2, $6))
       ON CONFLICT (ca_id, serial) DO UPDATE SET reason = excluded.reason, released_at = NULL`, [ca.id, Buffer.from(serial), reason, at(0), principalId, SHARDS]);
  },
  async release({ ca }: RealCa, serial: Uint8Array) {
    await sql.query('UPDATE revocation SET released_at = now() WHERE ca_id = $1 AND serial = $2', [ca.id, Buffer.from(serial)]);
  },
};

/** The reason that is shown, on the CRL of the whole CA and on that of the shard, which must say the same; undefined: absent. */
async function shown({ ca }: RealCa, serial: Uint8Array, kind: CrlKind): Promise<number | undefined> {
  const scopes: CrlScope[] = ['all', `${SHARDS}/${crlShard(serial, SHARDS)}`];
  const [whole, shard] = await Promise.all(scopes.map(async (scope) => {
    const crl = await store.crls.latest(ca.id, scope, kind);
    return crl === undefined ? NaN : parseAnyCrl(crl.der).entries.get(toHex(serial))?.reason;
  }));
  expect(shard).toBe(whole);
  return whole;
}

const REMOVE = 8;
/**
 * Of each story, by the second from the end of the certificates: what happens then; and what a full CRL and a delta of then
 * say. A delta starts from the full CRL before it, less a minute: the first after a change tells of it, and the next one too.
 */
type Story = Readonly<Record<number, readonly [act: number | 'release' | undefined, full: number | undefined, delta: number | undefined]>>;

const stories: readonly (readonly [string, Story])[] = [
  ['is revoked', { [-1000]: [undefined, undefined, undefined], [-900]: [4, 4, 4], [-700]: [undefined, 4, 4], [-500]: [undefined, 4, undefined], [-1]: [undefined, 4, undefined], 0: [undefined, 4, undefined], 1: [undefined, 4, undefined], 2: [undefined, undefined, undefined], 100_000: [undefined, undefined, undefined] }],
  ['is on hold to its end', { [-900]: [6, 6, 6], [-700]: [undefined, 6, 6], 0: [undefined, 6, undefined], 1: [undefined, 6, undefined], 2: [undefined, undefined, undefined] }],
  ['is on hold, and released', { [-900]: [6, 6, 6], [-600]: ['release', undefined, REMOVE], [-300]: [undefined, undefined, REMOVE], [-100]: [undefined, undefined, undefined], 1: [undefined, undefined, undefined] }],
  ['is on hold, released, and revoked after', { [-900]: [6, 6, 6], [-600]: ['release', undefined, REMOVE], [-580]: [4, 4, 4], [-300]: [undefined, 4, 4], [-100]: [undefined, 4, undefined], 1: [undefined, 4, undefined], 2: [undefined, undefined, undefined] }],
  ['is on hold, and its key is lost', { [-900]: [6, 6, 6], [-600]: [1, 1, 1], [-300]: [undefined, 1, 1], [-100]: [undefined, 1, undefined], 1: [undefined, 1, undefined], 2: [undefined, undefined, undefined] }],
  ['is revoked for a stronger reason', { [-900]: [4, 4, 4], [-600]: [1, 1, 1], [-300]: [undefined, 1, 1], [-100]: [undefined, 1, undefined], 1: [undefined, 1, undefined], 2: [undefined, undefined, undefined] }],
  ['is revoked in its last second', { 0: [4, 4, 4], 1: [undefined, 4, 4], 2: [undefined, undefined, undefined] }],
  ['ends while nothing is published', { [-900]: [4, 4, 4], 86_400: [undefined, 4, 4], 86_401: [undefined, undefined, undefined] }],
  ['is revoked, and first published after its end', { [-1]: [4, 4, 4], 500: [undefined, 4, 4], 501: [undefined, undefined, undefined] }],
];

describe('an entry (RFC 5280 section 3.3: it leaves after one CRL from after its end, and never before)', () => {
  it.each(stories.map(([name, story], i) => [name, story, i] as const))('%s', async (_, story, i) => {
    const ca = await newCa(`walk-${i}`);
    const serial = randomSerial();
    const told: Record<number, unknown> = {};
    const moments = Object.entries(story).map(([second, step]) => [Number(second), step] as const).sort(([a], [b]) => a - b);
    for (const [second, [act]] of moments) {
      await go(second);
      if (act === 'release') await steps.release(ca, serial);
      else if (act !== undefined) await steps.revoke(ca, serial, act);
      await publishCrls(publication(ca), 'all');
      told[second] = [await shown(ca, serial, 'full'), await shown(ca, serial, 'delta')];
    }
    expect(told).toEqual(Object.fromEntries(moments.map(([second, [, full, delta]]) => [second, [full, delta]])));
  });
});

describe('a publisher whose clock is wrong', () => {
  it.each([-400 * 86_400, -3600, -6, 6, 3600, 400 * 86_400])('by %i s publishes nothing, and takes no number', async (seconds) => {
    const ca = await newCa(`skew${seconds}`.replace('-', 'm'));
    await go(-900);
    const before = await store.crls.heads(ca.ca.id);
    await expect(publishCrls(publication(ca, seconds * 1000), 'all')).rejects.toMatchObject({ code: 'clock.skew' });
    expect(await store.crls.heads(ca.ca.id)).toEqual(before);
    expect((await sql.query('SELECT FROM crl WHERE ca_id = $1 AND published_at IS NULL', [ca.ca.id])).rowCount).toBe(0);
  });
  it('by less is followed by one that is right, and thisUpdate never goes back (I13)', async () => {
    const ca = await newCa('ahead');
    const seen: [bigint, Date][] = [];
    for (const [second, offset] of [[-900, 4000], [-899, 0], [-898, -3000], [-897, 0]] as const) {
      await go(second);
      await publishCrls(publication(ca, offset), 'all');
      const crl = await store.crls.latest(ca.ca.id);
      if (crl !== undefined) seen.push([crl.number, crl.thisUpdate]);
    }
    expect(seen.map(([, thisUpdate]) => (thisUpdate.getTime() - END) / 1000)).toEqual([-896, -896, -896, -896]);
    expect(seen.map(([number]) => number)).toEqual(seen.map(([number]) => number).toSorted((a, b) => (a < b ? -1 : 1)));
    expect(new Set(seen.map(([number]) => number)).size).toBe(4);
  });
});
