// The watch of revocations over a real ledger, as the OCSP responder and the gateway checks have it: with the listener's connection cut, and none else.
import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { COMMIT_WITHIN_MS, toHex } from '@fleetroot/core';
import { openStatusStore, type StatusStore } from '@fleetroot/store';
import { RevocationWatch } from '@fleetroot/trust';
import { Database } from '../../libs/store/src/database.ts';
import { putRevocation } from '../../libs/store/src/status/revocation-row.ts';
import { newSerial } from '../support/ocsp-plant.ts';
import { openTestLedger, type TestLedger } from '../support/ledger.ts';

let ledger: TestLedger;
let status: StatusStore;
let admin: Client;
beforeAll(async () => {
  ledger = await openTestLedger();
  status = await openStatusStore({ databaseUrl: ledger.postgres.statusDatabaseUrl, pool: 2 });
  const url = new URL(ledger.postgres.adminUrl.reveal());
  url.pathname = '/fleetroot';
  admin = new Client({ connectionString: url.href });
  await admin.connect();
});
afterAll(async () => {
  await admin?.end();
  await status?.close();
  await ledger?.close();
});
afterEach(async () => {
  vi.useRealTimers();
  for (const role of ['fleetroot', 'fleetroot_status']) await admin.query(`ALTER ROLE ${role} CONNECTION LIMIT -1`);
});

const soon = { timeout: 10_000, interval: 20 };

async function revoke(serial = newSerial()): Promise<string> {
  await admin.query(`INSERT INTO revocation (ca_id, serial, reason, revoked_at, not_after, principal_id)
    SELECT $1, $2, 4, now(), now() + interval '1 day', min(id) FROM principal`, [ledger.ca.id, serial]);
  return `${ledger.ca.id}/${toHex(serial)}`;
}

describe.each<[string, 'fleetroot' | 'fleetroot_status', () => StatusStore['revocations']]>([
  ['the OCSP responder\'s', 'fleetroot_status', () => status.revocations], ['the gateway checks\'', 'fleetroot', () => ledger.store.clients],
])('%s listener', (_, role, feedOf) => {
  /** The process that listens, and how many connections the role has besides. */
  async function listener(): Promise<{ pid: number | undefined; others: number }> {
    const { rows } = await admin.query<{ pid: number; listens: boolean }>(`SELECT pid, query LIKE 'LISTEN %' AS listens FROM pg_stat_activity WHERE usename = $1`, [role]);
    return { pid: rows.find(({ listens }) => listens)?.pid, others: rows.filter(({ listens }) => !listens).length };
  }

  it('may be cut off while queries work: a change is told by a look, and by notification again once it is back', async () => {
    const feed = feedOf();
    const [told, notified] = [[] as string[], [] as string[]];
    const failures: unknown[] = [];
    let connections = 0;
    const watch = new RevocationWatch({
      ledger: feed, clock: { now: () => new Date() }, oneByOne: 100, onFailure: (error) => failures.push(error),
      hearer: { certificate: (caId, serial) => told.push(`${caId}/${serial}`), authority: () => told.push('many'), all: () => told.push('all') },
    });
    watch.start();
    const unlisten = feed.listen((caId, serial) => notified.push(`${caId}/${serial ?? '*'}`), () => { connections++; });
    await expect.poll(() => connections, soon).toBe(1);
    await expect.poll(() => watch.began, soon).toBeDefined();
    const first = await revoke();
    await expect.poll(() => notified, soon).toContain(first);
    expect(told).toContain(first);

    // It cannot come back as long as the role has no connection left for it.
    const { pid, others } = await listener();
    await admin.query(`ALTER ROLE ${role} CONNECTION LIMIT ${others}`);
    await admin.query('SELECT pg_terminate_backend($1)', [pid]);
    await expect.poll(async () => (await listener()).pid, soon).toBeUndefined();
    told.length = 0;
    const unheard = await revoke();
    const began = performance.now();
    await expect.poll(() => told, soon).toContain(unheard);
    // Half a second and a look; wide, for a machine that has other work.
    expect(performance.now() - began).toBeLessThan(5000);
    expect(notified).not.toContain(unheard);

    await admin.query(`ALTER ROLE ${role} CONNECTION LIMIT -1`);
    await expect.poll(() => connections, soon).toBe(2);
    expect(told).toContain('all');
    const heard = await revoke();
    await expect.poll(() => notified, soon).toContain(heard);
    expect(told).toContain(heard);
    expect(failures).toEqual([]);
    unlisten();
    await watch.close();
  });

  it('tells of everything where a notification is not understood, and is told when and what changed', async () => {
    const feed = feedOf();
    const told: string[] = [];
    const gaps = vi.fn<() => void>();
    const unlisten = feed.listen((caId, serial) => told.push(`${caId}/${serial ?? '*'}`), gaps);
    const before = await feed.changes(undefined, 10);
    expect(before.changed).toEqual([]);
    const name = await revoke();
    await expect.poll(() => told, soon).toEqual([name]);
    gaps.mockClear();
    await admin.query(`SELECT pg_notify('fleetroot_revoked', 'nonsense')`);
    await expect.poll(() => gaps.mock.calls.length, soon).toBe(1);
    const { changed } = await feed.changes(before.at, 10);
    expect(changed.map(({ caId, serial }) => `${caId}/${toHex(serial)}`)).toEqual([name]);
    const last = await revoke();
    expect((await feed.changes(before.at, 1)).changed.map(({ caId, serial }) => `${caId}/${toHex(serial)}`)).toEqual([last]);
    unlisten();
  });
});

describe('a transaction that puts a revocation on record', () => {
  it.each([['in time', COMMIT_WITHIN_MS - 1000, true], ['too late', COMMIT_WITHIN_MS + 1, false]] as const)('commits %s, or never', async (_, ms, committed) => {
    const database = new Database(ledger.postgres.databaseUrl, 1);
    const serial = randomBytes(16);
    vi.useFakeTimers({ toFake: ['performance'] });
    const work = database.transaction(async (tx) => {
      await putRevocation(tx, {
        caId: ledger.ca.id, serial, reason: 4, revokedAt: new Date(), invalidityDate: undefined, notAfter: new Date(Date.now() + 3_600_000), principalId: ledger.batch.principalId,
      });
      vi.advanceTimersByTime(ms);
    });
    if (committed) await work;
    else await expect(work).rejects.toMatchObject({ code: 'store.unavailable' });
    vi.useRealTimers();
    expect((await database.query('SELECT FROM revocation WHERE serial = $1', [serial])).length).toBe(committed ? 1 : 0);
    await database.close();
  });
});
