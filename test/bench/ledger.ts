// node --conditions=fleetroot-source test/bench/ledger.ts [--prefill N] [--items N] [--without INDEX,INDEX]
// What the ledger costs PostgreSQL, on one of its own: each certificate, and each start, with N certificates in it.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Client } from 'pg';
import { openStatusStore, openStore } from '@fleetroot/store';
import { acceptedBatch, event, intentFor, issuedFor, openTestLedger, type TestLedger } from '../support/ledger.ts';
import { prefill } from './prefill.ts';

const CHUNK = 250;
const TICKS_PER_SECOND = 100;

const { values } = parseArgs({ options: { prefill: { type: 'string', default: '0' }, items: { type: 'string', default: '20000' }, without: { type: 'string', default: '' } } });
const ledger = await openTestLedger();
const client = new Client({ connectionString: ledger.postgres.databaseUrl.reveal() });
await client.connect();
try {
  const rows = Number(values.prefill);
  if (rows > 0) await fill(rows);
  await startUp();
  if (values.without !== '') await client.query(`DROP INDEX ${values.without}`);
  await cost(Number(values.items));
  await sizes();
} finally {
  await client.end();
  await ledger.close();
}

async function fill(rows: number): Promise<void> {
  const began = performance.now();
  await prefill(ledger.postgres.databaseUrl.reveal(), rows, () => undefined, ledger.key);
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage();
  console.log(`prefill: ${rows} rows in ${seconds.toFixed(1)} s, ${Math.round(rows / seconds)}/s; processor here ${((user + system) / rows).toFixed(1)} us a row`);
}

/** Seconds of processor that the backends of this database have used. */
async function backendSeconds(): Promise<number> {
  const { rows } = await client.query<{ pid: number }>(`SELECT pid FROM pg_stat_activity WHERE datname = 'fleetroot' AND pid <> pg_backend_pid()`);
  return rows.reduce((sum, { pid }) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return sum + (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }, 0);
}

async function cost(items: number): Promise<void> {
  await issue(ledger, CHUNK * 8);
  const parts = { claim: 0, intent: 0, complete: 0 };
  const wall = performance.now();
  const { chunkIds } = await acceptedBatch(ledger, Array.from({ length: Math.ceil(items / CHUNK) }, () => CHUNK));
  const accepted = performance.now() - wall;
  const add = async <T>(part: keyof typeof parts, work: () => Promise<T>): Promise<T> => {
    const before = await backendSeconds();
    const result = await work();
    parts[part] += (await backendSeconds()) - before;
    return result;
  };
  const before = await backendSeconds();
  // All of one step before the next: a step's processor time is read in whole ticks of 10 ms.
  const { store, key } = ledger;
  const chunks = await add('claim', () => each(chunkIds, async (id) => (await store.issuance.claim(id, 600_000))!));
  const recorded = await add('intent', () => each(chunks, async (chunk) => {
    const intent = intentFor(chunk);
    return { chunk, intent, ...(await store.issuance.recordIntent(chunk, intent)) };
  }));
  await add('complete', () => each(recorded, ({ chunk, intent, intentId }) =>
    store.issuance.complete(chunk, intentId, issuedFor(key, chunk, intent), [], event('chunk.issued', `batch:${chunk.batchId}`))));
  const used = (await backendSeconds()) - before;
  const each1 = (seconds: number): string => `${((seconds / items) * 1e6).toFixed(1)} us`;
  console.log(`backend CPU a certificate: ${each1(used)} (claim ${each1(parts.claim)}, intent ${each1(parts.intent)}, complete ${each1(parts.complete)}); accepting took ${accepted.toFixed(0)} ms`);
}

async function each<T, R>(given: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of given) results.push(await work(item));
  return results;
}

async function issue(to: TestLedger, items: number): Promise<void> {
  const { chunkIds } = await acceptedBatch(to, Array.from({ length: items / CHUNK }, () => CHUNK));
  for (const id of chunkIds) {
    const chunk = (await to.store.issuance.claim(id, 600_000))!;
    const intent = intentFor(chunk);
    const { intentId } = await to.store.issuance.recordIntent(chunk, intent);
    await to.store.issuance.complete(chunk, intentId, issuedFor(to.key, chunk, intent), [], event('chunk.issued', `batch:${chunk.batchId}`));
  }
}

/** What the apps ask of the ledger when they start, and the worker at its first round. */
async function startUp(): Promise<void> {
  const began = performance.now();
  const store = await openStore({ databaseUrl: ledger.postgres.databaseUrl, ledgerKey: ledger.key, pool: 4 });
  const status = await openStatusStore({ databaseUrl: ledger.postgres.statusDatabaseUrl, pool: 2 });
  const steps: Record<string, () => Promise<unknown>> = {
    authorities: () => store.authorities.all(), principals: () => store.principals.all(), outbox: () => store.outbox.pending(500),
    orphaned: () => store.waiting.orphaned(30_000, 1000), pending: () => store.waiting.pending(0, undefined, 1000), backlog: () => store.issuance.backlog(), silent: () => store.batches.silent({ streamedMs: 3_600_000, inPartsMs: 86_400_000 }, 20),
    heartbeat: () => store.heartbeats.beat('bench', 'worker'), lastHeard: () => store.heartbeats.lastHeard('issuer'),
    renewal: () => store.certificates.markRenewalDue(new Date(), new Date(Date.now() + 30 * 86_400_000), 1000, (n) => event('renewal.due', `n:${n}`)),
    dependant: () => store.authorities.lastDependant(ledger.ca.id), signers: () => status.ocspSigners(ledger.ca.id, new Date()),
    crl: () => store.crls.latest(ledger.ca.id), head: () => store.audit.head(), statuses: () => status.statuses(ledger.ca.id, [new Uint8Array(18).fill(7)]),
  };
  const took: string[] = [`open ${(performance.now() - began).toFixed(0)}`];
  for (const [name, step] of Object.entries(steps)) {
    const at = performance.now();
    await step();
    took.push(`${name} ${(performance.now() - at).toFixed(1)}`);
  }
  console.log(`start, ms: ${took.join(', ')}; together ${(performance.now() - began).toFixed(0)}`);
  await status.close();
  await store.close();
}

async function sizes(): Promise<void> {
  const { rows } = await client.query<{ name: string; rows: string; heap: string; indexes: string }>(`
    SELECT coalesce(p.relname, c.relname) AS name, sum(c.reltuples)::bigint AS rows, sum(pg_table_size(c.oid))::bigint AS heap, sum(pg_indexes_size(c.oid))::bigint AS indexes
    FROM pg_class c LEFT JOIN pg_inherits h ON h.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = h.inhparent
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace GROUP BY 1 HAVING sum(pg_total_relation_size(c.oid)) > 1000000 ORDER BY 3 DESC`);
  for (const row of rows) {
    const [count, heap, indexes] = [Number(row.rows), Number(row.heap), Number(row.indexes)];
    console.log(`${row.name}: ${count} rows, ${heap} octets (${(heap / count).toFixed(0)} a row), indexes ${indexes} (${(indexes / count).toFixed(0)} a row)`);
  }
  const { rows: indexes } = await client.query<{ name: string; size: string }>(
    `SELECT indexrelid::regclass::text AS name, pg_relation_size(indexrelid) AS size FROM pg_index WHERE pg_relation_size(indexrelid) > 1000000 ORDER BY 2 DESC`);
  for (const { name, size } of indexes) console.log(`  ${name}: ${size}`);
}
