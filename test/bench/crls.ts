import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { type CaSigner, type CrlPublication, publishCrls } from '@fleetroot/authority';
import { LedgerKey } from '@fleetroot/core';
import { openStore } from '@fleetroot/store';
import { addCa, event } from '../support/ledger.ts';
import { startTestPostgres } from '../support/postgres.ts';

// How long a run takes that publishes every shard of a CA with so many revoked: `node test/bench/crls.ts [REVOKED] [SHARDS]`.
// Real PostgreSQL; the key is in memory (a signature a CRL is nothing beside the rest).

const revoked = Number(process.argv[2] ?? 1_000_000);
const shards = Number(process.argv[3] ?? 64);
const postgres = await startTestPostgres();
const store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey: new LedgerKey(new Uint8Array(32)), pool: 4 });
const sql = new Client({ connectionString: postgres.databaseUrl.reveal(), statement_timeout: 0 });
await sql.connect();
const { made, ca } = await addCa(store, 'bench');
const signer: CaSigner = { ready: async () => undefined, sign: async (_, tbs) => tbs.map((one) => made.sign(one)) };
const principal = await store.principals.put('admin', ['admin'], new Uint8Array(32), undefined, event('principal.created', 'principal:admin'));
await store.profiles.ensure('sharded', JSON.stringify({ crlShards: shards, urls: { crl: `http://status.test/crl/{ca}/${shards}/{shard}.crl` } }));
const publication: CrlPublication = {
  crls: store.crls, authority: ca, signer, clock: { now: () => new Date() }, lifetimeMs: 86_400_000, deltaLifetimeMs: 3_600_000, statusUrl: 'http://status.test',
};
await publishCrls(publication, 'due');
await publishCrls(publication, { shards });
await sql.query(
  `INSERT INTO revocation (ca_id, serial, reason, revoked_at, not_after, principal_id, shards, shard)
   SELECT $1, s.serial, 3 + n % 3, now() - n * interval '1 second', now() + interval '5 years', $2, $3, crl_shard(s.serial, $3)
   FROM generate_series(1, $4::int) AS n, LATERAL (SELECT set_byte(decode(md5(n::text), 'hex'), 0, 64) AS serial) AS s`, [ca.id, principal.id, shards, revoked]);
await sql.query('ANALYZE revocation');

/** Seconds of CPU that PostgreSQL has used, with what has ended. */
function postgresCpu(): number {
  const [postmaster] = readFileSync(join(postgres.dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n');
  const ticks = (pid: string, ...places: number[]): number => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return places.reduce((sum, place) => sum + Number(fields[place - 3]), 0);
  };
  const children = readFileSync(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8').trim().split(' ');
  return (ticks(postmaster ?? '', 14, 15, 16, 17) + children.reduce((sum, pid) => sum + ticks(pid, 14, 15), 0)) / 100;
}

let peak = 0;
const watch = setInterval(() => { peak = Math.max(peak, process.memoryUsage().rss); }, 20);
async function measure(what: string, work: () => Promise<unknown>): Promise<void> {
  peak = process.memoryUsage().rss;
  const [began, cpu, theirs] = [performance.now(), process.cpuUsage(), postgresCpu()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  const { rows: [row] } = await sql.query<{ crls: string; most: number; sum: string }>(
    `SELECT count(*) AS crls, max(octets) AS most, sum(octets) AS sum FROM crl WHERE number = (SELECT max(number) FROM crl)`);
  process.stdout.write(`${what}: ${((performance.now() - began) / 1000).toFixed(2)} s, own CPU ${((user + system) / 1e6).toFixed(2)} s, PostgreSQL's ${(postgresCpu() - theirs).toFixed(2)} s, peak ${Math.round(peak / 1e6)} MB; ${row?.crls} CRLs, the largest ${((row?.most ?? 0) / 1e6).toFixed(2)} MB, together ${(Number(row?.sum) / 1e6).toFixed(0)} MB\n`);
}
const only = (match: (scope: string) => boolean): CrlPublication => ({
  ...publication, crls: new Proxy(store.crls, {
    get: (crls, name) => {
      const value: unknown = Reflect.get(crls, name);
      if (name === 'scopes') return async (id: number) => (await crls.scopes(id)).filter(({ scope }) => match(scope));
      return typeof value === 'function' ? value.bind(crls) : value;
    },
  }),
});
await measure('shards, full and delta, for the first time', () => publishCrls(only((scope) => scope !== 'all'), 'all'));
await measure('shards, full and delta, after the same', () => publishCrls(only((scope) => scope !== 'all'), 'all'));
await measure('the whole CA, full and delta', () => publishCrls(only((scope) => scope === 'all'), 'all'));
await new Promise((resolve) => setTimeout(resolve, 21_000));
await sql.query(`INSERT INTO revocation (ca_id, serial, reason, revoked_at, not_after, principal_id, shards, shard)
  VALUES ($1, '\\x40ffff01', 4, now(), now() + interval '1 year', $2, $3, crl_shard('\\x40ffff01', $3))`, [ca.id, principal.id, shards]);
await measure('what is due after one more revocation', () => publishCrls(publication, 'due'));
clearInterval(watch);
await sql.end();
await store.close();
await postgres.stop();
