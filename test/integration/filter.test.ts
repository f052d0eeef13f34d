// Revocation filters of a real ledger, read back by both readers over every serial.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { type CaSigner, type StoredFilter } from '@fleetroot/authority';
import { LedgerKey, systemClock, systemRandom } from '@fleetroot/core';
import { FilterError, FilterFile, publishFilter, readHeader, RevocationFilter } from '@fleetroot/filter';
import { createHttpApp } from '@fleetroot/http';
import { openStatusStore, openStore, type StatusStore, type Store } from '@fleetroot/store';
import { createLogger } from '@fleetroot/telemetry';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Filters } from '../../apps/status/src/filters.ts';
import { Published } from '../../apps/status/src/published.ts';
import { statusModule } from '../../apps/status/src/status.module.ts';
import type { OcspFront } from '../../apps/status/src/ocsp-front.ts';
import { prefill } from '../bench/prefill.ts';
import { openFolder } from '../support/folder.ts';
import { addCa, event, type RealCa } from '../support/ledger.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';

const CERTIFICATES = 20_000;
/** The CA's own certificate, by which it signed itself. */
const OWN = 1;
const day = 86_400;
const compiler = spawnSync('cc', ['--version']).status === 0;

let postgres: TestPostgres;
let store: Store;
let status: StatusStore;
let client: Client;
let ca: RealCa;
let folder: string;
let issuer: Uint8Array;
const signedHeaders: string[] = [];
const signer: CaSigner = {
  ready: async () => undefined,
  sign: async (_ca, tbs) => {
    for (const one of tbs) signedHeaders.push(createHash('sha256').update(one).digest('hex'));
    return tbs.map((one) => ca.made.sign(one));
  },
};

const sql = async <Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> => (await client.query<Row>(text, values)).rows;
const publish = (): Promise<StoredFilter | undefined> =>
  publishFilter({ filters: store.filters, authority: ca.ca, signer, clock: systemClock, random: systemRandom, lifetimeMs: 3 * day * 1000 });
const published = async (): Promise<StoredFilter> => {
  const filter = await publish();
  if (filter === undefined) throw new Error('not published');
  return filter;
};
const spki = (): Uint8Array => ca.made.spkiDer;
/** Rows of certificates that were chosen by their place, with room for what each has become. */
const chosen = (from: number, count: number): string => `(SELECT serial, not_before, not_after FROM certificate WHERE ca_id = ${ca.ca.id} ORDER BY spki_sha256 OFFSET ${from} LIMIT ${count})`;
const revoke = (from: number, count: number, reason: number): Promise<object[]> => sql(
  `INSERT INTO revocation (ca_id, serial, reason, revoked_at, not_after, principal_id) SELECT ${ca.ca.id}, serial, ${reason}, now(), not_after, 1 FROM ${chosen(from, count)} c
   ON CONFLICT (ca_id, serial) DO UPDATE SET released_at = NULL, reason = excluded.reason`);
const release = (from: number, count: number): Promise<object[]> =>
  sql(`UPDATE revocation SET released_at = now() WHERE ca_id = ${ca.ca.id} AND reason = 6 AND serial IN (SELECT serial FROM ${chosen(from, count)} c)`);
const burn = (count: number): Promise<object[]> => sql(
  `INSERT INTO burned_serial (ca_id, serial, intent_id, not_after, burned_at)
   SELECT ca_id, '\\x0a00'::bytea || substring(sha256((random()::text || nth)::bytea) FOR 16), id, not_after, now()
   FROM generate_series(1, ${count}) AS nth, LATERAL (SELECT * FROM intent WHERE state = 'stored' AND ca_id = ${ca.ca.id} ORDER BY id OFFSET nth % 30 LIMIT 1) i`);

interface Known {
  readonly serial: Buffer;
  readonly begins: number;
  readonly answer: 'revoked' | 'not-revoked';
  readonly expired: boolean;
}

/** What the ledger says, by a statement of its own. */
async function ledger(): Promise<Known[]> {
  const rows = await sql<{ serial: Buffer; begins: string; revoked: boolean; expired: boolean }>(
    `SELECT c.serial, floor(extract(epoch FROM c.not_before))::bigint AS begins, c.not_after < now() - interval '7 days' AS expired,
       EXISTS (SELECT FROM revocation r WHERE r.ca_id = c.ca_id AND r.serial = c.serial AND r.released_at IS NULL) AS revoked
     FROM certificate c WHERE ca_id = $1
     UNION ALL SELECT b.serial, floor(extract(epoch FROM i.signed_at))::bigint - 300, false, true FROM burned_serial b JOIN intent i ON i.id = b.intent_id WHERE b.ca_id = $1`, [ca.ca.id]);
  return rows.map(({ serial, begins, revoked, expired }) => ({ serial, begins: Number(begins), answer: revoked ? 'revoked' : 'not-revoked', expired }));
}

function wanted(rows: readonly Known[], coveredUntil: number): string[] {
  return rows.map(({ begins, answer }) => (begins > coveredUntil ? 'not-covered' : answer));
}

const now = (): number => Math.floor(Date.now() / 1000);

function readInC(program: string, full: Uint8Array, delta: Uint8Array | undefined, rows: readonly Known[], at = now()): string[] {
  const files = [['full', full], ['delta', delta]].map(([name, octets]) => {
    if (octets === undefined) return '-';
    writeFileSync(join(folder, String(name)), octets as Uint8Array);
    return join(folder, String(name));
  });
  const input = rows.map(({ serial, begins }) => `${serial.toString('hex')} ${begins}`).join('\n');
  return execFileSync(program, [...files, Buffer.from(issuer).toString('hex'), String(at), ...signedHeaders], { input, encoding: 'utf8', maxBuffer: 1 << 26 }).trimEnd().split('\n');
}

const read = (filter: RevocationFilter, rows: readonly Known[]): string[] =>
  rows.map(({ serial, begins }) => filter.status({ issuer, serial, notBefore: new Date(begins * 1000) }, new Date()));

beforeAll(async () => {
  folder = openFolder('filter');
  postgres = await startTestPostgres();
  const key = new LedgerKey(randomBytes(32));
  store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey: key, pool: 4 });
  status = await openStatusStore({ databaseUrl: postgres.statusDatabaseUrl, pool: 2 });
  client = new Client({ connectionString: postgres.databaseUrl.reveal() });
  await client.connect();
  ca = await addCa(store, 'ecu-issuing', undefined, {}, { notBefore: new Date(Date.now() - 400 * day * 1000) });
  issuer = createHash('sha256').update(spki()).digest();
  await prefill(postgres.databaseUrl.reveal(), CERTIFICATES, () => undefined, key);
  await revoke(0, 2000, 1);
  await revoke(2000, 300, 6);
  await revoke(2300, 300, 6);
  await release(2300, 300);
  await burn(100);
  await sql('ALTER TABLE certificate DISABLE TRIGGER USER');
  await sql(`UPDATE certificate SET not_after = now() - interval '30 days' WHERE ca_id = ${ca.ca.id} AND serial IN (SELECT serial FROM ${chosen(1900, 200)} c)`);
  await sql('ALTER TABLE certificate ENABLE TRIGGER USER');
  if (compiler) {
    const sources = ['readers/c99/fleetroot_filter.c', 'readers/c99/main.c'];
    execFileSync('cc', ['-std=c99', '-O2', '-Wall', '-Wextra', '-Werror', '-pedantic', '-o', join(folder, 'frf'), ...sources]);
    const sanitized = spawnSync('cc', ['-std=c99', '-g', '-O2', '-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-o', join(folder, 'frf-sanitized'), ...sources]);
    if (sanitized.status !== 0) execFileSync('cp', [join(folder, 'frf'), join(folder, 'frf-sanitized')]);
  }
});

afterAll(async () => {
  await client?.end();
  await status?.close();
  await store?.close();
  await postgres?.stop();
});

describe('a full filter and its delta', () => {
  let full: StoredFilter;
  let delta: StoredFilter;
  let before: Known[];
  let after: Known[];

  beforeAll(async () => {
    // An attempt that is open since 40 days: nothing later is covered.
    await sql(`UPDATE intent SET state = 'open' WHERE id = (SELECT id FROM intent WHERE signed_at < now() - interval '40 days' ORDER BY signed_at DESC LIMIT 1)`);
    before = (await ledger()).filter(({ expired }) => !expired);
    full = await published();
    await sql(`UPDATE intent SET state = 'stored' WHERE state = 'open'`);
    await revoke(5000, 40, 4);
    await release(2000, 20);
    await revoke(2300, 5, 6);
    // Of the last days, which the base does not cover.
    await revoke(CERTIFICATES - 50, 20, 1);
    await burn(5);
    after = (await ledger()).filter(({ expired }) => !expired);
    delta = await published();
  });

  it('covers what was known, and says how much', async () => {
    const header = readHeader(full.content);
    expect(header).toMatchObject({ kind: 'full', algorithm: 'ecdsa-sha256', known: before.length + OWN, revoked: before.filter(({ answer }) => answer === 'revoked').length });
    const [open] = await sql<{ at: Date }>(`SELECT max(signed_at) AS at FROM intent WHERE signed_at < now() - interval '40 days'`);
    expect(header.coveredUntil).toBe(Math.floor(open!.at.getTime() / 1000) - day - 1);
    expect(header.nextUpdate - header.madeAt).toBe(3 * day);
    expect(full.content.length).toBeLessThan(3000);
  });

  it('is right for every serial, read in TypeScript', () => {
    const file = new FilterFile(full.content, spki());
    const answers = wanted(before, file.header.coveredUntil);
    expect(read(new RevocationFilter(file), before)).toEqual(answers);
    for (const answer of ['revoked', 'not-revoked', 'not-covered']) expect(answers.filter((one) => one === answer).length).toBeGreaterThan(50);
  });

  it.skipIf(!compiler).each(['frf', 'frf-sanitized'])('is right for every serial, read in C (%s)', (program) => {
    const { coveredUntil } = readHeader(full.content);
    expect(readInC(join(folder, program), full.content, undefined, before)).toEqual(wanted(before, coveredUntil));
  });

  it('is followed by a delta that is small, later and signed', () => {
    expect(readHeader(delta.content)).toMatchObject({ kind: 'delta', baseVersion: full.version, known: before.length + 5 + OWN });
    expect(delta.version > full.version).toBe(true);
    expect(delta.content.length).toBeLessThan(700);
    expect(delta.baseVersion).toBe(full.version);
    expect(readHeader(delta.content).marked).toBeLessThan(before.length / 8);
  });

  it('with it is right for every serial, in TypeScript', () => {
    const file = new FilterFile(delta.content, spki());
    const filter = new RevocationFilter(new FilterFile(full.content, spki()), file);
    const answers = wanted(after, file.header.coveredUntil);
    expect(answers.filter((answer) => answer === 'not-covered').length).toBeLessThan(200);
    expect(read(filter, after)).toEqual(answers);
    expect(filter.version).toBe(delta.version);
  });

  it.skipIf(!compiler).each(['frf', 'frf-sanitized'])('with it is right for every serial, in C (%s)', (program) => {
    const { coveredUntil } = readHeader(delta.content);
    expect(readInC(join(folder, program), full.content, delta.content, after)).toEqual(wanted(after, coveredUntil));
  });

  it.skipIf(!compiler)('tells apart what else there is to tell, in both', () => {
    const [row] = before;
    const file = new FilterFile(full.content, spki());
    const late = file.header.nextUpdate + 1;
    const asked = { issuer, serial: row!.serial, notBefore: new Date(row!.begins * 1000) };
    expect(new RevocationFilter(file).status(asked, new Date(late * 1000))).toBe('too-old');
    expect(readInC(join(folder, 'frf'), full.content, undefined, [row!], late)).toEqual(['too-old']);
    expect(new RevocationFilter(file).status({ ...asked, issuer: randomBytes(32) }, new Date())).toBe('other-ca');
    expect(new RevocationFilter(file).status({ ...asked, serial: randomBytes(21).fill(1) }, new Date())).toBe('not-covered');
    const padded = Buffer.concat([Buffer.alloc(1), row!.serial]);
    expect(new RevocationFilter(file).status({ ...asked, serial: padded }, new Date())).toBe(row!.answer);
    expect(readInC(join(folder, 'frf'), full.content, undefined, [{ ...row!, serial: padded }])).toEqual([row!.answer]);
    expect(() => new RevocationFilter(new FilterFile(delta.content, spki()))).toThrow(FilterError);
    expect(() => new RevocationFilter(file, file)).toThrow(FilterError);
  });

  it('is accepted whole and unchanged alone, in TypeScript', () => {
    for (const { content } of [full, delta]) {
      for (let length = 0; length < content.length; length += length < 300 ? 1 : 7) expect(() => new FilterFile(content.subarray(0, length), spki())).toThrow(FilterError);
      for (let at = 0; at < content.length; at += at < 300 ? 1 : 5) {
        const changed = Buffer.from(content);
        changed[at]! ^= 1 << (at % 8);
        expect(() => new FilterFile(changed, spki()), `octet ${at}`).toThrow(FilterError);
      }
    }
    expect(() => new FilterFile(full.content, certifiedElsewhere())).toThrow('another CA');
  });

  it.skipIf(!compiler).each([['frf', 100_000], ['frf-sanitized', 10_000]])('bears mutations and hostile tables, in C (%s, %d of each)', (program, rounds) => {
    writeFileSync(join(folder, 'full'), full.content);
    const { coveredUntil } = readHeader(full.content);
    const rows = before.filter((_, place) => place % 2000 === 0);
    const input = rows.map(({ serial, begins, answer }) => `${serial.toString('hex')} ${begins} ${begins > coveredUntil ? 'not-covered' : answer}`).join('\n');
    const said = execFileSync(join(folder, program), [
      'fuzz', join(folder, 'full'), Buffer.from(issuer).toString('hex'), createHash('sha256').update(full.content.subarray(0, 200)).digest('hex'), String(rounds), String(process.pid),
    ], { input, encoding: 'utf8' });
    const [, kept, hostile] = /^(\d+) of \d+ .* (\d+) hostile/.exec(said) ?? [];
    // Some were not changed at all, and many hostile ones lie inside: both ways are walked.
    expect(Number(kept)).toBeGreaterThan(rounds / 100);
    expect(Number(hostile)).toBeGreaterThan(rounds / 100);
  });

  it('is served with a strong tag, each delta under its name and as the newest', async () => {
    const published = new Published(status.published, systemClock);
    const app = await createHttpApp(statusModule({
      ocsp: {} as OcspFront, published, filters: new Filters(status, published, systemClock), clock: systemClock, health: { role: 'status', checks: {} },
    }), { logger: createLogger({ role: 'status', level: 'silent' }), requestTimeoutMs: 5000, bodyLimit: 1024 });
    try {
      await app.listen(0, '127.0.0.1');
      const url = await app.getUrl();
      const get = (path: string, headers: Record<string, string> = {}): Promise<Response> => fetch(`${url}/filter/${path}`, { headers });
      const whole = await get('ecu-issuing.filter');
      expect([whole.status, whole.headers.get('cache-control'), Buffer.from(await whole.arrayBuffer()).equals(full.content)])
        .toEqual([200, 'public, max-age=300, must-revalidate, no-transform', true]);
      const tag = whole.headers.get('etag') ?? '';
      expect(tag).toMatch(/^"[\w-]{27}"$/);
      expect((await get('ecu-issuing.filter', { 'if-none-match': tag })).status).toBe(304);
      for (const [name, age] of [[`${full.version}-${delta.version}.delta`, 86_400], [`${full.version}.delta`, 300]] as const) {
        const change = await get(`ecu-issuing/${name}`);
        expect([change.status, Buffer.from(await change.arrayBuffer()).equals(delta.content), change.headers.get('cache-control')]).toEqual([200, true, `public, max-age=${age}, must-revalidate, no-transform`]);
      }
      for (const missing of ['other.filter', 'ecu-issuing.crl', `ecu-issuing/${full.version}-1.delta`, 'ecu-issuing/1.delta', 'ecu-issuing/0.delta', `ecu-issuing/${'9'.repeat(30)}.delta`, 'ecu-issuing/x.delta']) {
        expect([missing, (await get(missing)).status]).toEqual([missing, 404]);
      }
    } finally {
      await app.close();
    }
  });
});

describe('versions', () => {
  it('only grow, and one is one string of octets, whoever publishes at once (I13)', async () => {
    await Promise.all(Array.from({ length: 8 }, publish));
    const rows = await sql<{ version: string; contents: string }>('SELECT version, count(*) AS contents FROM revocation_filter GROUP BY version ORDER BY version');
    expect(rows.every(({ contents }) => contents === '1')).toBe(true);
    const kept = await sql<{ version: string; made_at: Date }>('SELECT version, made_at FROM revocation_filter WHERE octets > 0 ORDER BY version');
    expect(kept.length).toBeGreaterThan(2);
    // Never more content than vehicles can use.
    expect(await sql('SELECT FROM revocation_filter WHERE content IS NOT NULL')).toHaveLength(Math.min(kept.length, 1 + 4));
  });

  it('of a slower publisher replace nothing', async () => {
    const { version } = await published();
    const slow = { caId: ca.ca.id, version: version + 1n, baseVersion: 0n, madeAt: new Date(), known: 1, revoked: 0, signedSha256: randomBytes(32), content: randomBytes(50) };
    await expect(store.filters.reserve(slow)).resolves.toBe(true);
    const fast = { ...slow, version: version + 2n, signedSha256: randomBytes(32) };
    await expect(store.filters.reserve({ ...slow, version })).resolves.toBe(false);
    await expect(store.filters.reserve(fast)).resolves.toBe(true);
    const told = event('filter.published', 'ca:ecu-issuing');
    await expect(store.filters.publish({ ...fast, signedSha256: randomBytes(32) }, told)).rejects.toMatchObject({ code: 'internal' });
    await expect(store.filters.publish(fast, told)).resolves.toBe(true);
    await expect(store.filters.publish(slow, told)).resolves.toBe(false);
    // What is published now does not read: the next is a full one.
    await expect(published()).resolves.toMatchObject({ baseVersion: 0n });
  });

  it('are not given by a clock that is wrong (I24), nor to a CA that signs nothing any more', async () => {
    const later = { caId: ca.ca.id, version: 2n ** 60n, baseVersion: 0n, madeAt: new Date(Date.now() + 60_000), known: 0, revoked: 0, signedSha256: randomBytes(32), content: randomBytes(1) };
    await expect(store.filters.reserve(later)).rejects.toMatchObject({ code: 'clock.skew' });
    await sql(`UPDATE ca SET state = 'retired' WHERE id = $1`, [ca.ca.id]);
    try {
      await expect(store.filters.reserve({ ...later, madeAt: new Date() })).rejects.toMatchObject({ code: 'ca.not-active' });
    } finally {
      await sql(`UPDATE ca SET state = 'active' WHERE id = $1`, [ca.ca.id]);
    }
  });

  it('are on record before they are signed, and whoever dies between leaves nothing that counts', async () => {
    const armed = Symbol.for('fleetroot.crash-point');
    const before = (await store.filters.newestFull(ca.ca.id))?.version;
    for (const point of ['filter.reserved', 'filter.signed']) {
      const signed = signedHeaders.length;
      (globalThis as Record<symbol, unknown>)[armed] = (name: string) => { if (name === point) throw new Error('dies'); };
      try {
        await expect(publish()).rejects.toThrow('dies');
      } finally {
        delete (globalThis as Record<symbol, unknown>)[armed];
      }
      const [last] = await sql<{ sha256: Buffer; octets: number }>('SELECT sha256, octets FROM revocation_filter ORDER BY version DESC LIMIT 1');
      expect(last!.octets).toBe(0);
      expect(signedHeaders.slice(signed)).toEqual(point === 'filter.signed' ? [last!.sha256.toString('hex')] : []);
      expect((await store.filters.newestFull(ca.ca.id))?.version).toBe(before);
    }
    await expect(published()).resolves.toMatchObject({ caId: ca.ca.id });
  });

  it('are refused where the signature does not hold', async () => {
    const wrong: CaSigner = { ...signer, sign: async (_ca, tbs) => tbs.map(() => ca.made.sign(randomBytes(20))) };
    const newest = await sql('SELECT version FROM revocation_filter WHERE octets > 0 ORDER BY version');
    await expect(publishFilter({ filters: store.filters, authority: ca.ca, signer: wrong, clock: systemClock, random: systemRandom, lifetimeMs: 1000 }))
      .rejects.toMatchObject({ code: 'hsm.signature-invalid' });
    expect(await sql('SELECT version FROM revocation_filter WHERE octets > 0 ORDER BY version')).toEqual(newest);
  });

  it('come with a new full filter where a delta would save too little, and after a week', async () => {
    await revoke(6000, 4000, 1);
    const large = await published();
    expect(large.baseVersion).toBe(0n);
    const clock = { now: () => new Date() };
    await expect(published()).resolves.toMatchObject({ baseVersion: large.version });
    await sql(`UPDATE ca SET last_signed_at = NULL WHERE id = $1`, [ca.ca.id]);
    const old = await store.filters.newestFull(ca.ca.id);
    const filters = { ...ledgerOf(), newestFull: async () => old === undefined ? undefined : { ...old, content: await aged(old.content) } };
    await expect(publishFilter({ filters, authority: ca.ca, signer, clock, random: systemRandom, lifetimeMs: 1000 })).resolves.toMatchObject({ baseVersion: 0n });
  });
});

const ledgerOf = () => {
  const { filters } = store;
  return {
    newestFull: filters.newestFull.bind(filters), nextVersion: filters.nextVersion.bind(filters), read: filters.read.bind(filters), reserve: filters.reserve.bind(filters),
    publish: filters.publish.bind(filters), ask: filters.ask.bind(filters), madeAt: filters.madeAt.bind(filters),
  };
};

/** The same filter, made eight days ago, and signed again. */
async function aged(content: Uint8Array): Promise<Uint8Array> {
  const octets = Buffer.from(content);
  octets.writeBigUInt64BE(octets.readBigUInt64BE(56) - BigInt(8 * day), 56);
  const { rawEcdsaSignature } = await import('../../libs/protocols/filter/src/signature.ts');
  octets.set(rawEcdsaSignature(ca.made.sign(octets.subarray(0, 200)), spki()), 202);
  return octets;
}

const certifiedElsewhere = (): Uint8Array => Buffer.concat([spki().subarray(0, -1), Buffer.from([1])]);
