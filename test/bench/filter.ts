import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CaSigner, StoredFilter } from '@fleetroot/authority';
import { LedgerKey, systemClock, systemRandom } from '@fleetroot/core';
import { FilterFile, publishFilter, RevocationFilter } from '@fleetroot/filter';
import { openStore, type Store } from '@fleetroot/store';
import { Client } from 'pg';
import { addCa, type RealCa } from '../support/ledger.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { showing } from './bar.ts';
import { prefill } from './prefill.ts';
import { processorSeconds } from './processor-time.ts';
import { print, type Result } from './report.ts';
import type { Scratch } from './scratch.ts';

const OCTETS_GOAL = 2_000_000;
const SECONDS_GOAL = 60;
/** Revoked between the full filter and its delta. */
const CHANGES = 2000;
const DAY_MS = 86_400_000;
const MIB = 2 ** 20;

interface Cost {
  readonly filter: StoredFilter;
  readonly seconds: number;
  readonly processorSeconds: number;
  readonly databaseSeconds: number;
  /** MiB, at most, over what the process had before. */
  readonly memory: number;
}

/** `bench filter`: a full filter and a delta of a ledger of so many certificates, from the rows to the published octets, and each serial asked for. */
export async function benchFilter(scratch: Scratch, known: number, revoked: number): Promise<void> {
  const postgres = await startTestPostgres();
  scratch.defer(() => postgres.stop());
  const key = new LedgerKey(randomBytes(32));
  const store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey: key, pool: 4 });
  scratch.defer(() => store.close());
  const client = new Client({ connectionString: postgres.databaseUrl.reveal() });
  await client.connect();
  scratch.defer(() => client.end());
  const ca = await addCa(store, 'ecu-issuing', undefined, {}, { notBefore: new Date(Date.now() - 400 * DAY_MS) });
  await showing(known, 'certificates in the ledger', (advance) => {
    let had = 0;
    return prefill(postgres.databaseUrl.reveal(), known, (rows) => {
      advance(rows - had);
      had = rows;
    }, key);
  });
  await revoke(client, revoked, known);
  const full = await publish(store, postgres, ca);
  await revoke(client, CHANGES, known);
  const delta = await publish(store, postgres, ca);
  const wrong = await askAll(client, ca, full.filter, delta.filter);
  print('filter', results(full, delta, wrong), { known, revoked });
}

/** Spread over all that are there; whoever is revoked already stays so. */
async function revoke(client: Client, count: number, known: number): Promise<void> {
  await client.query(`INSERT INTO revocation (ca_id, serial, reason, revoked_at, not_after, principal_id)
    SELECT c.ca_id, c.serial, 4, now(), c.not_after, 1 FROM certificate c LEFT JOIN revocation r ON r.ca_id = c.ca_id AND r.serial = c.serial
    WHERE r.serial IS NULL AND random() < ${(1.02 * count) / known} LIMIT ${count}`);
  await client.query('VACUUM (ANALYZE) revocation');
}

async function publish(store: Store, { dataDir }: TestPostgres, { ca, made }: RealCa): Promise<Cost> {
  const signer: CaSigner = { ready: async () => undefined, sign: async (_ca, tbs) => tbs.map((one) => made.sign(one)) };
  const idle = process.memoryUsage.rss();
  let most = idle;
  const pause = async (): Promise<void> => {
    most = Math.max(most, process.memoryUsage.rss());
    await new Promise<void>((resolve) => void setImmediate(resolve));
  };
  const [began, before, database] = [performance.now(), process.cpuUsage(), backendSeconds(dataDir)];
  const filter = await publishFilter({ filters: store.filters, authority: ca, signer, clock: systemClock, random: systemRandom, lifetimeMs: DAY_MS, pause });
  if (filter === undefined) throw new Error('nothing was published');
  return {
    filter, seconds: (performance.now() - began) / 1000, processorSeconds: processorSeconds(before), databaseSeconds: backendSeconds(dataDir) - database,
    memory: (most - idle) / MIB,
  };
}

/** Seconds of the processor that backends took which have ended: those that read for a filter have connections of their own. */
function backendSeconds(dataDir: string): number {
  const file = readdirSync(dataDir, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith('postmaster.pid')) ?? '';
  const pid = readFileSync(join(dataDir, file), 'utf8').split('\n')[0] ?? '';
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
  return (Number(fields[13]) + Number(fields[14])) / 100;
}

interface Asked {
  /** Serials with another answer than the ledger's, by full filter and delta. */
  readonly wrong: number;
  readonly asked: number;
  readonly nanoseconds: number;
}

async function askAll(client: Client, { ca, made }: RealCa, full: StoredFilter, delta: StoredFilter): Promise<Asked> {
  const file = new FilterFile(full.content, made.spkiDer);
  const filter = new RevocationFilter(file, new FilterFile(delta.content, made.spkiDer));
  const issuer = file.header.ca;
  const now = new Date();
  let [wrong, asked, nanoseconds] = [0, 0, 0n];
  await client.query('BEGIN');
  await client.query(`DECLARE each CURSOR FOR SELECT c.serial, c.not_before, r.serial IS NOT NULL AS revoked
    FROM certificate c LEFT JOIN revocation r ON r.ca_id = c.ca_id AND r.serial = c.serial WHERE c.ca_id = ${ca.id}`);
  for (;;) {
    const { rows } = await client.query<{ serial: Buffer; not_before: Date; revoked: boolean }>('FETCH 10000 FROM each');
    if (rows.length === 0) break;
    const began = process.hrtime.bigint();
    for (const { serial, not_before, revoked } of rows) {
      const answer = filter.status({ issuer, serial, notBefore: not_before }, now);
      asked++;
      if (answer !== (revoked ? 'revoked' : 'not-revoked') && answer !== 'not-covered') wrong++;
    }
    nanoseconds += process.hrtime.bigint() - began;
  }
  await client.query('COMMIT');
  return { wrong, asked, nanoseconds: Number(nanoseconds) / Math.max(1, asked) };
}

function results(full: Cost, delta: Cost, { wrong, asked, nanoseconds }: Asked): Result[] {
  const of = (name: string, { filter, seconds, processorSeconds: own, databaseSeconds, memory }: Cost): Result[] => [
    { name: `${name}: octets`, value: filter.content.length, unit: 'octets', goal: OCTETS_GOAL },
    { name: `${name}: from the ledger to published`, value: seconds, unit: 's', goal: SECONDS_GOAL },
    { name: `${name}: processor, this process`, value: own, unit: 's' },
    { name: `${name}: processor, PostgreSQL`, value: databaseSeconds, unit: 's' },
    { name: `${name}: memory over idle`, value: memory, unit: 'MiB' },
  ];
  return [
    ...of('full', full), ...of(`delta of ${CHANGES}`, delta),
    { name: 'serials asked', value: asked, unit: '' },
    { name: 'wrong answers', value: wrong, unit: '', goal: 0 },
    { name: 'one answer, TypeScript', value: nanoseconds, unit: 'ns' },
  ];
}
