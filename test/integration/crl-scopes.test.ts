import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import {
  type CaSigner, type CertificationAuthority, type CrlDemand, type CrlKind, type CrlLedger, type CrlPublication, type CrlScope, crlShard, publishCrl, publishCrls,
} from '@fleetroot/authority';
import { LedgerKey, toHex } from '@fleetroot/core';
import { openStore, type Store } from '@fleetroot/store';
import { encodePem, extension, parseAnyCrl, type ParsedCrl, parseCrl } from '@fleetroot/x509';
import { addCa, event, type RealCa, randomSerial } from '../support/ledger.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { certify, named, type SoftwareCa } from '../support/software-ca.ts';

// CRLs of a CA in four shards, full ones and deltas, from a real ledger; openssl and certtool judge them.

const SHARDS = 4;
const base = 'http://status.test';
let postgres: TestPostgres;
let store: Store;
let sql: Client;
let folder: string;
let g1: RealCa;
let principalId: number;
const signers = new Map<number, SoftwareCa>();
const signer: CaSigner = { ready: async () => undefined, sign: async ({ id }, tbs) => tbs.map((one) => signers.get(id)?.sign(one) ?? new Uint8Array(0)) };
const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-crls-'));
  postgres = await startTestPostgres();
  store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey: new LedgerKey(new Uint8Array(32)), pool: 8 });
  sql = new Client({ connectionString: postgres.databaseUrl.reveal() });
  await sql.connect();
  principalId = (await store.principals.put('admin', ['admin'], new Uint8Array(32), undefined, event('principal.created', 'principal:admin'))).id;
  await store.profiles.ensure('sharded', JSON.stringify({ crlShards: SHARDS, urls: { crl: `${base}/crl/{ca}/${SHARDS}/{shard}.crl` } }));
  g1 = await newCa('g1');
});
afterAll(async () => {
  await sql?.end();
  await store?.close();
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function newCa(name: string): Promise<RealCa> {
  const made = await addCa(store, name);
  signers.set(made.ca.id, made.made);
  return made;
}

/** By a clock that is `seconds` ahead of the real one: the ledger bears five. */
const publication = (ca: CertificationAuthority, crls: CrlLedger = store.crls, seconds = 0): CrlPublication => ({
  crls, authority: ca, signer, clock: { now: () => new Date(Date.now() + seconds * 1000) }, lifetimeMs: 86_400_000, deltaLifetimeMs: 3_600_000, statusUrl: base,
  // Full CRLs of a few entries as those of many are: what changes shows in their deltas.
  smallShard: 0,
});
const publish = (ca: CertificationAuthority, demand: CrlDemand) => publishCrls(publication(ca), demand);
const crlOf = async ({ id }: CertificationAuthority, scope: CrlScope, kind: CrlKind = 'full'): Promise<ParsedCrl> => {
  const crl = await store.crls.latest(id, scope, kind);
  if (crl === undefined) throw new Error(`no ${kind} CRL ${scope}`);
  return parseAnyCrl(crl.der);
};
const listed = async (ca: CertificationAuthority, scope: CrlScope, kind: CrlKind = 'full'): Promise<Record<string, number>> =>
  Object.fromEntries([...(await crlOf(ca, scope, kind)).entries].map(([hex, { reason }]) => [hex, reason]));
const shardOf = (serial: Uint8Array): CrlScope => `${SHARDS}/${crlShard(serial, SHARDS)}`;

async function revoke({ id }: CertificationAuthority, serial: Uint8Array, reason: number, notAfter = new Date(Date.now() + 86_400_000)): Promise<void> {
  await sql.query(
    `INSERT INTO revocation (ca_id, serial, reason, revoked_at, not_after, principal_id, shards, shard) VALUES ($1, $2, $3, now(), $4, $5, $6, crl_shard($2, $6))
     ON CONFLICT (ca_id, serial) DO UPDATE SET reason = excluded.reason, released_at = NULL`, [id, Buffer.from(serial), reason, notAfter, principalId, SHARDS]);
}
const release = ({ id }: CertificationAuthority, serial: Uint8Array) =>
  sql.query('UPDATE revocation SET released_at = now() WHERE ca_id = $1 AND serial = $2', [id, Buffer.from(serial)]);

describe('the CRLs of a CA', () => {
  it('are of the whole CA until shards are asked for, and then of each shard, empty ones too (I17)', async () => {
    expect((await publish(g1.ca, 'due')).map(({ scope, kind }) => `${scope} ${kind}`)).toEqual(['all full', 'all delta']);
    await publish(g1.ca, { shards: SHARDS });
    expect(await publish(g1.ca, { shards: SHARDS })).toEqual([]);
    const heads = (await store.crls.heads(g1.ca.id)).map(({ scope, kind }) => `${scope} ${kind}`).sort();
    expect(heads).toEqual(['all', '4/0', '4/1', '4/2', '4/3'].flatMap((scope) => [`${scope} delta`, `${scope} full`]).sort());
    const shard = await crlOf(g1.ca, '4/2');
    expect(shard).toMatchObject({ distributionPoint: [`${base}/crl/g1/4/2.crl`], freshestCrl: [`${base}/crl/g1/4/2.delta.crl`], baseNumber: undefined });
    expect(await crlOf(g1.ca, '4/2', 'delta')).toMatchObject({ number: shard.number, baseNumber: shard.number, distributionPoint: shard.distributionPoint, freshestCrl: [] });
    expect(await crlOf(g1.ca, 'all')).toMatchObject({ distributionPoint: [], freshestCrl: [`${base}/crl/g1.delta.crl`] });
    expect(() => parseCrl(shard.der)).toThrow(expect.objectContaining({ code: 'crl.invalid' }));
    expect(await publish(g1.ca, 'due')).toEqual([]);
  });

  it('show a change in the deltas of its scopes and the small CRL of the whole CA at once, and a lost key in each full CRL', async () => {
    const serial = randomSerial();
    await revoke(g1.ca, serial, 4);
    const full = await crlOf(g1.ca, shardOf(serial));
    const published = await publish(g1.ca, 'due');
    expect(published.map(({ scope, kind }) => `${scope} ${kind}`)).toEqual(['all full', 'all delta', `${shardOf(serial)} delta`]);
    expect(new Set(published.map(({ number }) => number)).size).toBe(1);
    expect(await listed(g1.ca, shardOf(serial))).toEqual({});
    expect(await listed(g1.ca, shardOf(serial), 'delta')).toEqual({ [toHex(serial)]: 4 });
    expect((await crlOf(g1.ca, shardOf(serial), 'delta')).baseNumber).toBe(full.number);
    expect(await listed(g1.ca, 'all')).toEqual({ [toHex(serial)]: 4 });
    // A stronger reason (I12).
    await revoke(g1.ca, serial, 1);
    await publish(g1.ca, 'due');
    for (const scope of ['all', shardOf(serial)] as const) {
      for (const kind of ['full', 'delta'] as const) expect(await listed(g1.ca, scope, kind)).toEqual({ [toHex(serial)]: 1 });
    }
  });

  it('tell of a released hold as removeFromCRL, until full CRLs are without it; then the row goes', async () => {
    const { ca } = await newCa('holds');
    await publish(ca, 'due');
    await publish(ca, { shards: SHARDS });
    const serial = randomSerial();
    await revoke(ca, serial, 6);
    await publish(ca, 'all');
    expect(await listed(ca, shardOf(serial))).toEqual({ [toHex(serial)]: 6 });
    await release(ca, serial);
    await publish(ca, 'due');
    expect(await listed(ca, shardOf(serial))).toEqual({ [toHex(serial)]: 6 });
    expect(await listed(ca, shardOf(serial), 'delta')).toEqual({ [toHex(serial)]: 8 });
    expect(await listed(ca, 'all')).toEqual({});
    await publish(ca, 'all');
    expect(await listed(ca, shardOf(serial))).toEqual({});
    expect((await sql.query('SELECT FROM revocation WHERE ca_id = $1', [ca.id])).rowCount).toBe(1);
    await sql.query(`UPDATE revocation SET released_at = released_at - interval '2 minutes' WHERE ca_id = $1`, [ca.id]);
    await publish(ca, 'all');
    expect((await sql.query('SELECT FROM revocation WHERE ca_id = $1', [ca.id])).rowCount).toBe(0);
    // Its life on the next deltas has ended with it.
    await publish(ca, 'all');
    expect(await listed(ca, shardOf(serial), 'delta')).toEqual({});
  });

  it('hold an entry from its revocation to the CRL after its end (I12)', async () => {
    const { ca } = await newCa('ends');
    await publish(ca, 'due');
    await publish(ca, { shards: SHARDS });
    const serial = randomSerial();
    const scopes = ['all', shardOf(serial)] as const;
    const there = async () => Promise.all(scopes.map(async (scope) => Object.keys(await listed(ca, scope)).length));
    expect(await there()).toEqual([0, 0]);
    const end = new Date(Math.ceil(Date.now() / 1000) * 1000 + 2000);
    await revoke(ca, serial, 4, end);
    await publish(ca, 'all');
    expect(await there()).toEqual([1, 1]);
    await new Promise((resolve) => setTimeout(resolve, end.getTime() - Date.now() + 1000));
    // The first after its end, and the one before it was from before its end: it is shown once more.
    await publish(ca, 'all');
    expect(await there()).toEqual([1, 1]);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await publish(ca, 'all');
    expect(await there()).toEqual([0, 0]);
  });

  it('are refused where the ledger has lost an entry, and the other scopes are published (I15)', async () => {
    const { ca } = await newCa('loses');
    await publish(ca, 'due');
    await publish(ca, { shards: SHARDS });
    const [one, other] = [Uint8Array.of(0x40, 0, 0, 0, 1), Uint8Array.of(0x40, 0, 0, 0, 2)];
    await revoke(ca, one, 4);
    await revoke(ca, other, 4);
    await publish(ca, 'all');
    const before = await crlOf(ca, '4/1');
    await sql.query('ALTER TABLE revocation DISABLE TRIGGER USER');
    await sql.query(`DELETE FROM revocation WHERE ca_id = $1 AND serial = $2`, [ca.id, Buffer.from(one)]);
    await sql.query('ALTER TABLE revocation ENABLE TRIGGER USER');
    await expect(publish(ca, 'all')).rejects.toMatchObject({ code: 'crl.invalid', data: { lost: 1 } });
    expect((await crlOf(ca, '4/1')).number).toBe(before.number);
    expect((await crlOf(ca, '4/2')).number).toBeGreaterThan(before.number);
  });

  it('have numbers that only grow, in each scope, whoever publishes (I13)', async () => {
    const { ca } = await newCa('many');
    await publish(ca, { shards: SHARDS });
    const other = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey: new LedgerKey(new Uint8Array(32)), pool: 4 });
    try {
      await Promise.all(Array.from({ length: 60 }, async (_, i) => {
        await revoke(ca, randomSerial(), 4);
        await publishCrls(publication(ca, (i % 2 === 0 ? store : other).crls), i % 3 === 0 ? 'all' : 'due');
      }));
    } finally {
      await other.close();
    }
    const { rows } = await sql.query<{ scope: string; right: boolean }>(
      `SELECT scope, bool_and(coalesce(published_at >= before AND this_update >= update_before, true)) AS right FROM (
         SELECT scope, published_at, this_update, lag(published_at) OVER w AS before, lag(this_update) OVER w AS update_before
         FROM crl WHERE ca_id = $1 AND published_at IS NOT NULL WINDOW w AS (PARTITION BY scope, kind ORDER BY number)) AS each GROUP BY scope`, [ca.id]);
    expect(rows.map(({ right }) => right)).toEqual(rows.map(() => true));
    await publishCrl(publication(ca));
    const all = await listed(ca, 'all');
    const shards = await Promise.all(Array.from({ length: SHARDS }, (_, i) => listed(ca, `${SHARDS}/${i}`)));
    expect(Object.keys(all)).toHaveLength(60);
    expect(Object.assign({}, ...shards)).toEqual(all);
  });

  it('take up where a publisher was killed, at each of its steps', async () => {
    const { ca } = await newCa('killed');
    await publish(ca, { shards: SHARDS });
    await publish(ca, 'due');
    const serial = randomSerial();
    await revoke(ca, serial, 1);
    const dead = new Error('killed');
    const dying = (step: 'listed' | 'publish'): CrlLedger => new Proxy(store.crls, {
      get: (crls, name) => {
        if (name === step) return () => { throw dead; };
        const value: unknown = Reflect.get(crls, name);
        return typeof value === 'function' ? value.bind(crls) : value;
      },
    });
    for (const step of ['listed', 'publish'] as const) {
      await expect(publishCrls(publication(ca, dying(step)), 'due')).rejects.toBe(dead);
      expect(await listed(ca, shardOf(serial))).toEqual({});
    }
    await publish(ca, 'due');
    expect(await listed(ca, shardOf(serial))).toEqual({ [toHex(serial)]: 1 });
  });
});

describe('judged by openssl', () => {
  const good = randomSerial();
  const serials = { good, revoked: sameShard(good), held: sameShard(good), upgraded: sameShard(good), released: sameShard(good) };
  let ca: RealCa;
  const scope = shardOf(good);

  function sameShard(like: Uint8Array): Uint8Array {
    for (;;) {
      const serial = randomSerial();
      if (crlShard(serial, SHARDS) === crlShard(like, SHARDS)) return serial;
    }
  }

  beforeAll(async () => {
    ca = await newCa('judged');
    await publish(ca.ca, 'due');
    await publish(ca.ca, { shards: SHARDS });
    await revoke(ca.ca, serials.released, 6);
    await publish(ca.ca, 'all');
    for (const [name, serial] of Object.entries(serials)) {
      const leaf = certify({
        subject: named(name), issuer: ca.made, serial, notAfter: new Date(Date.now() + 86_400_000),
        extensions: [extension.keyUsage(['digitalSignature']), extension.crlDistributionPoints([`${base}/crl/judged/${scope}.crl`])],
      });
      writeFileSync(at(`${name}.pem`), encodePem('CERTIFICATE', leaf.certificate));
    }
    await revoke(ca.ca, serials.revoked, 4);
    await revoke(ca.ca, serials.held, 6);
    await release(ca.ca, serials.released);
    // In whole seconds a delta must not look as old as its base.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await publish(ca.ca, 'due');
    writeFileSync(at('ca.pem'), encodePem('CERTIFICATE', ca.ca.certificate));
    for (const kind of ['full', 'delta'] as const) {
      const crl = await store.crls.latest(ca.ca.id, scope, kind);
      writeFileSync(at(`${kind}.pem`), encodePem('X509 CRL', crl?.der ?? new Uint8Array(0)));
      writeFileSync(at(`${kind}.der`), crl?.der ?? new Uint8Array(0));
    }
  });

  const openssl = (...args: string[]) => spawnSync('openssl', args, { encoding: 'utf8' });
  const verify = (name: string, ...crls: string[]) => openssl('verify', '-CAfile', at('ca.pem'), '-crl_check', '-extended_crl', '-use_deltas',
    ...crls.flatMap((crl) => ['-CRLfile', at(crl)]), at(`${name}.pem`));

  test.each<[keyof typeof serials, RegExp | undefined]>([
    ['good', undefined], ['revoked', /revoked/], ['held', /revoked/], ['released', undefined],
  ])('with shard and delta, %s: %s', async (name, fault) => {
    const { status, stdout, stderr } = verify(name, 'full.pem', 'delta.pem');
    expect([status, `${stdout}${stderr}`]).toEqual(fault === undefined ? [0, expect.stringContaining('OK')] : [2, expect.stringMatching(fault)]);
  });

  it('without the delta, the full CRL says what it knows', () => {
    expect(verify('revoked', 'full.pem').status).toBe(0);
    expect(verify('released', 'full.pem').status).toBe(2);
  });

  it('reads both, and finds the extensions critical that are', () => {
    const text = (kind: string): string => openssl('crl', '-in', at(`${kind}.pem`), '-noout', '-text', '-CAfile', at('ca.pem')).stdout;
    expect(text('full')).toMatch(/X509v3 Issuing Distribution Point: critical\s+Full Name:\s+URI:http:\/\/status\.test\/crl\/judged\/4\/\d\.crl/);
    expect(text('full')).toMatch(/X509v3 Freshest CRL:\s+Full Name:\s+URI:.*\.delta\.crl/);
    expect(text('delta')).toMatch(/X509v3 Delta CRL Indicator: critical/);
    expect(text('delta')).toMatch(/Remove From CRL/);
  });
});
