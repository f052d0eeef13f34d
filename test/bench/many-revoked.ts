// A ledger of many certificates, many of them revoked, without the product around it: its code and a key in memory.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CaSigner, type CrlPublication, publishCrls } from '@fleetroot/authority';
import { LedgerKey, systemClock } from '@fleetroot/core';
import { openStore, type Store } from '@fleetroot/store';
import { Client } from 'pg';
import { addCa, day, type RealCa } from '../support/ledger.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { showing } from './bar.ts';
import { SHARDS } from './ocsp-site.ts';
import { prefill } from './prefill.ts';
import { readProcesses, TICKS_A_SECOND } from './processes.ts';
import { processorSeconds } from './processor-time.ts';
import type { Scratch } from './scratch.ts';

const STATUS_URL = 'http://status.test';
/** Rows that are revoked at once. */
const PAGE = 10_000;
const LOOK_EVERY_MS = 20;
const MIB = 2 ** 20;

export interface LargeLedger {
  readonly postgres: TestPostgres;
  readonly store: Store;
  readonly client: Client;
  readonly authority: RealCa;
  readonly signer: CaSigner;
  readonly publication: CrlPublication;
  readonly known: number;
}

/** Certificates of one CA that point to shards, each with a first CRL; none of them is revoked. */
export async function fillLedger(scratch: Scratch, known: number): Promise<LargeLedger> {
  const postgres = await startTestPostgres();
  scratch.defer(() => postgres.stop());
  const key = new LedgerKey(randomBytes(32));
  const store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey: key, pool: 4 });
  scratch.defer(() => store.close());
  const client = new Client({ connectionString: postgres.databaseUrl.reveal() });
  await client.connect();
  scratch.defer(() => client.end());
  const authority = await addCa(store, 'ecu-issuing', undefined, {}, { notBefore: new Date(Date.now() - 400 * day) });
  await store.profiles.ensure('ecu-client', JSON.stringify({ name: 'ecu-client', crlShards: SHARDS, urls: { crl: `${STATUS_URL}/crl/{ca}/${SHARDS}/{shard}.crl` } }));
  const signer: CaSigner = { ready: async () => undefined, sign: async (_, tbs) => tbs.map((one) => authority.made.sign(one)) };
  const publication: CrlPublication = {
    crls: store.crls, authority: authority.ca, signer, clock: systemClock, lifetimeMs: day, deltaLifetimeMs: day / 24, statusUrl: STATUS_URL,
  };
  await publishCrls(publication, 'due');
  await publishCrls(publication, { shards: SHARDS });
  await showing(known, 'certificates put into the ledger', (onDone) => {
    let had = 0;
    return prefill(postgres.databaseUrl.reveal(), known, (rows) => {
      onDone(rows - had);
      had = rows;
    }, key);
  });
  return { postgres, store, client, authority, signer, publication, known };
}

/** So many more, spread over all that are there. */
export async function revokeSome({ client, known }: LargeLedger, count: number): Promise<void> {
  // More than are wanted are looked at, since chance decides, and some are revoked already.
  const part = Math.min(1, (1.02 * count + 5 * Math.sqrt(count) + 10) / known);
  await showing(count, 'certificates revoked', async (onDone) => {
    await client.query('BEGIN');
    await client.query(`DECLARE each CURSOR FOR SELECT c.ca_id, c.serial, c.not_after FROM certificate c LEFT JOIN revocation r ON r.ca_id = c.ca_id AND r.serial = c.serial
      WHERE r.serial IS NULL AND random() < ${part}`);
    for (let left = count; left > 0;) {
      const { rows } = await client.query<{ ca_id: number; serial: Buffer; not_after: Date }>(`FETCH ${Math.min(left, PAGE)} FROM each`);
      if (rows.length === 0) throw new Error(`${left} of ${count} certificates were not found to be revoked`);
      await client.query(
        `INSERT INTO revocation (ca_id, serial, reason, revoked_at, not_after, principal_id, shards, shard)
         SELECT c.ca_id, c.serial, 4, now(), c.not_after, 1, $4, crl_shard(c.serial, $4) FROM unnest($1::int[], $2::bytea[], $3::timestamptz[]) AS c (ca_id, serial, not_after)`,
        [rows.map((row) => row.ca_id), rows.map((row) => row.serial), rows.map((row) => row.not_after), SHARDS]);
      left -= rows.length;
      onDone(rows.length);
    }
    await client.query('COMMIT');
  });
  await client.query('VACUUM (ANALYZE) revocation');
}

export interface Cost<T> {
  readonly of: T;
  readonly seconds: number;
  readonly processorSeconds: number;
  readonly databaseSeconds: number;
  /** MiB of this process, at most; and over what it had before. */
  readonly memory: number;
  readonly memoryOverIdle: number;
}

/** What work costs in this process and in PostgreSQL. `look` sees the memory now, beside the looks that a timer takes. */
export async function costOf<T>({ postgres: { dataDir } }: LargeLedger, work: (look: () => void) => Promise<T>): Promise<Cost<T>> {
  const idle = process.memoryUsage.rss();
  let most = idle;
  const look = (): void => void (most = Math.max(most, process.memoryUsage.rss()));
  const timer = setInterval(look, LOOK_EVERY_MS);
  try {
    const [began, before, database] = [performance.now(), process.cpuUsage(), databaseSeconds(dataDir)];
    const of = await work(look);
    const seconds = (performance.now() - began) / 1000;
    look();
    return {
      of, seconds, processorSeconds: processorSeconds(before), databaseSeconds: databaseSeconds(dataDir) - database,
      memory: most / MIB, memoryOverIdle: (most - idle) / MIB,
    };
  } finally {
    clearInterval(timer);
  }
}

/** Seconds of the processor that the server's processes have used, with those that have ended. */
function databaseSeconds(dataDir: string): number {
  const postmaster = Number(readFileSync(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]);
  const ticks = readProcesses().filter(({ pid, parent }) => pid === postmaster || parent === postmaster).reduce((sum, one) => sum + one.ticks, 0);
  return ticks / TICKS_A_SECOND;
}
