import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { ecuSerial, partNumber, serialFromBytes, vin } from '@fleetroot/core';
import { openStatusStore, type StatusStore } from '@fleetroot/store';
import { deletion } from '../../libs/store/src/archive/lines.ts';
import { prefill } from '../bench/prefill.ts';
import { acceptedBatch, day, event, intentFor, openTestLedger, selfSigned, someVin, type TestLedger } from '../support/ledger.ts';

/** Many enough that PostgreSQL would rather not read them all. */
const ROWS = 30_000;

let ledger: TestLedger;
let status: StatusStore;
let client: Client;
let known: { serial: Buffer; ecu_serial: string; chunk_id: string; id: string; batch_id: string };
beforeAll(async () => {
  ledger = await openTestLedger();
  status = await openStatusStore({ databaseUrl: ledger.postgres.statusDatabaseUrl, pool: 1 });
  client = new Client({ connectionString: ledger.postgres.databaseUrl.reveal() });
  await client.connect();
  await prefill(ledger.postgres.databaseUrl.reveal(), ROWS, () => undefined, ledger.key);
  known = (await client.query(`SELECT c.serial, c.ecu_serial, c.chunk_id, c.id, k.batch_id FROM certificate_2026 c JOIN chunk k ON k.id = c.chunk_id
    ORDER BY c.id OFFSET ${ROWS / 2} LIMIT 1`)).rows[0];
});
afterEach(() => vi.restoreAllMocks());
afterAll(async () => {
  await client.end();
  await status.close();
  await ledger.close();
});

interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** The statements on `certificate` that the work sends. */
async function statementsOf(work: () => Promise<unknown>): Promise<Statement[]> {
  const sent: Statement[] = [];
  const spy = vi.spyOn(Client.prototype, 'query');
  await work();
  for (const [given] of spy.mock.calls as unknown as [{ text?: string; values?: unknown[] } | string][]) {
    if (typeof given === 'object' && /(?:FROM|JOIN|UPDATE|USING) certificate\b/.test(given.text ?? '')) sent.push({ text: given.text ?? '', values: given.values ?? [] });
  }
  spy.mockRestore();
  return sent;
}

interface Node {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Actual Loops': number;
  readonly 'Shared Hit Blocks': number;
  readonly 'Shared Read Blocks': number;
  readonly Plans?: readonly Node[];
}

interface Ran {
  /** Scans of partitions that were begun. */
  readonly scans: readonly string[];
  readonly sequential: readonly string[];
  readonly blocks: number;
}

/** Runs the statement as `mode` plans it, in a transaction that is rolled back. */
async function run({ text, values }: Statement, mode: 'force_generic_plan' | 'force_custom_plan'): Promise<Ran> {
  await client.query('BEGIN');
  try {
    await client.query(`SET LOCAL plan_cache_mode = ${mode}`);
    // What is deleted here comes back.
    await client.query('ALTER TABLE certificate DISABLE TRIGGER certificate_keep');
    await client.query(`PREPARE asked AS ${text}`);
    const { rows: [row] } = await client.query<{ 'QUERY PLAN': [{ Plan: Node }] }>(
      `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked${values.length === 0 ? '' : `(${values.map(literal).join(', ')})`}`);
    const top = row!['QUERY PLAN'][0].Plan;
    const nodes = flat(top).filter((node) => node['Actual Loops'] > 0 && /^certificate(?:_\d{4}|_form_1|_other)?$/.test(node['Relation Name'] ?? '') && node['Node Type'] !== 'ModifyTable');
    return {
      scans: [...new Set(nodes.map((node) => node['Relation Name'] ?? ''))].sort(),
      sequential: nodes.filter((node) => node['Node Type'].includes('Seq Scan') && node['Relation Name'] === 'certificate_2026').map((node) => node['Relation Name'] ?? ''),
      blocks: top['Shared Hit Blocks'] + top['Shared Read Blocks'],
    };
  } finally {
    await client.query('ROLLBACK');
    await client.query('DEALLOCATE ALL');
  }
}

const flat = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(flat)];

function literal(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  if (Array.isArray(value)) return client.escapeLiteral(`{${value.map((each) => (each === null ? 'NULL' : JSON.stringify(plain(each)))).join(',')}}`);
  return client.escapeLiteral(plain(value));
}

const plain = (value: unknown): string =>
  value instanceof Date ? value.toISOString() : value instanceof Uint8Array ? `\\x${Buffer.from(value).toString('hex')}` : String(value);

const modes = ['force_custom_plan', 'force_generic_plan'] as const;

/** PostgreSQL compares five plans for the values at hand with one for all. */
it.each([1, 2, 200])('what an authorizer asks of %i at once is planned once a connection', async (count) => {
  const { rows } = await client.query<{ serial: Buffer }>('SELECT serial FROM certificate ORDER BY id LIMIT $1', [count]);
  const [asked] = await statementsOf(() => ledger.store.clients.clients(rows.map(({ serial }) => ({ caId: ledger.ca.id, serial }))));
  const values = asked!.values.map(literal).join(', ');
  await client.query(`PREPARE asked AS ${asked!.text}`);
  for (let i = 0; i < 12; i++) await client.query(`EXECUTE asked(${values})`);
  const { rows: [plans] } = await client.query("SELECT custom_plans::int, generic_plans::int FROM pg_prepared_statements WHERE name = 'asked'");
  await client.query('DEALLOCATE asked');
  expect(plans).toEqual({ custom_plans: 5, generic_plans: 7 });
});

describe.each(modes)('with 30,000 certificates, %s:', (mode) => {
  const ran = async (work: () => Promise<unknown>): Promise<Ran[]> => {
    const statements = await statementsOf(work);
    expect(statements.length).toBeGreaterThan(0);
    const results: Ran[] = [];
    for (const statement of statements) results.push(await run(statement, mode));
    return results;
  };
  const search = (query: Parameters<TestLedger['store']['certificates']['search']>[0]) => () => ledger.store.certificates.search(query, new Date(), undefined, 50);

  it.each<[string, () => Promise<unknown>]>([
    ['what is known of a serial', () => ledger.store.certificates.find(serialFromBytes(known.serial))],
    ['what an authorizer asks of a serial', () => ledger.store.clients.clients([{ caId: ledger.ca.id, serial: known.serial }])],
    ['the status of a serial', () => status.statuses(ledger.ca.id, [known.serial])],
    ['a search for a serial', search({ get serial() { return serialFromBytes(known.serial); } })],
    ['a revocation', () => ledger.store.revocations.revoke({
      serial: serialFromBytes(known.serial), ca: ledger.ca.name, reason: 'superseded', revokedAt: new Date(), principalId: ledger.batch.principalId,
    }, event('certificate.revoked', 'x'))],
    ['a ceremony\'s serial', () => ledger.store.authorities.add(selfSigned(`plan-${randomBytes(4).toString('hex')}`), event('ca.imported', 'x'))],
  ])('%s is looked up in one partition', async (_, work) => {
    for (const { scans, sequential, blocks } of await ran(work)) {
      expect(sequential).toEqual([]);
      expect(scans.length).toBeLessThanOrEqual(1);
      expect(blocks).toBeLessThan(60);
    }
  });

  it.each<[string, () => Promise<unknown>]>([
    ['the status of 40 serials', async () => {
      const { rows } = await client.query<{ serial: Buffer }>('SELECT serial FROM certificate ORDER BY id LIMIT 40');
      return status.statuses(ledger.ca.id, rows.map(({ serial }) => serial));
    }],
    ['what an authorizer asks of 200 serials', async () => {
      const { rows } = await client.query<{ serial: Buffer }>('SELECT serial FROM certificate ORDER BY id LIMIT 200');
      return ledger.store.clients.clients(rows.map(({ serial }) => ({ caId: ledger.ca.id, serial })));
    }],
    ['burning what a chunk may have signed', async () => {
      const { chunkIds: [id] } = await acceptedBatch(ledger, [250]);
      const chunk = await ledger.store.issuance.claim(id!, 30_000);
      await ledger.store.issuance.recordIntent(chunk!, intentFor(chunk!));
      await ledger.store.issuance.release(chunk!, undefined);
    }],
  ])('%s looks up each in its partition, and reads none whole', async (_, work) => {
    for (const { scans, sequential } of await ran(work)) {
      expect(sequential).toEqual([]);
      expect(scans).toEqual(['certificate_2026']);
    }
  });

  it('deleting what was archived looks up each in its partition', async () => {
    const { rows } = await client.query<{ line: string }>(`SELECT jsonb_build_object('table', 'certificate', 'row', to_jsonb(c))::text AS line FROM certificate c ORDER BY id LIMIT 500`);
    const { scans, sequential } = await run(deletion('certificate', rows.map(({ line }) => line)), mode);
    expect(sequential).toEqual([]);
    expect(scans).toEqual(['certificate_2026']);
  });

  it.each<[string, () => Promise<unknown>, number]>([
    ['the newest', search({}), 900],
    ['a page of certificates of an ECU', search({ get ecuSerial() { return ecuSerial(known.ecu_serial); } }), 60],
    // Most certificates may have one part number, and few another: a plan for any of them walks from the newest.
    ...(mode === 'force_generic_plan' ? [] : [['a search for a part number that is none', search({ partNumber: partNumber('NONE') }), 60] satisfies [string, () => Promise<unknown>, number]]),
    ['a search for a vehicle that is none', search({ vin: vin(someVin()) }), 100],
    ['the results of a chunk', async () => {
      for await (const _ of ledger.store.batches.results(known.batch_id, 0, new AbortController().signal)) return;
    }, 400],
    ['the OCSP signers of a CA', () => status.ocspSigners(ledger.ca.id, new Date()), 60],
    ['what is due for renewal, when nothing is', () => ledger.store.certificates.markRenewalDue(new Date(), new Date(Date.now() + 30 * day), 1000, () => event('renewal.due', 'x')), 60],
  ])('%s: by an index of each partition', async (_, work, atMost) => {
    for (const { sequential, blocks } of await ran(work)) {
      expect(sequential).toEqual([]);
      expect(blocks).toBeLessThan(atMost);
    }
  });
});
