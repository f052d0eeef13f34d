import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { crlShard, type IssuedItem, type RequestItem, type RevocationReason, revocationReasons } from '@fleetroot/authority';
import { type CaName, ecuSerial, partNumber, PkiError, serialFromBytes } from '@fleetroot/core';
import { openStatusStore, type StatusStore } from '@fleetroot/store';
import {
  acceptedBatch, addCa, ceremonyCertificate, day, event, intentFor, issueChunk, issuedFor, openTestLedger, type RealCa, requests, selfSigned, sha256,
  someVin, type TestLedger,
} from '../support/ledger.ts';
import { certify, named, type SoftwareCa } from '../support/software-ca.ts';
import { publishWhole, reserveWhole } from '../support/whole-crl.ts';

let ledger: TestLedger;
let status: StatusStore;
let client: Client;
beforeAll(async () => {
  ledger = await openTestLedger();
  status = await openStatusStore({ databaseUrl: ledger.postgres.statusDatabaseUrl, pool: 4 });
  client = new Client({ connectionString: ledger.postgres.databaseUrl.reveal() });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await status.close();
  await ledger.close();
});

const code = (error: unknown): string => (error instanceof PkiError ? error.code : String(error));
const sql = async <Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> => (await client.query<Row>(text, values)).rows;
const keyPairOf = ({ keyPem }: SoftwareCa) => ({ privateKey: createPrivateKey(keyPem), publicKey: createPublicKey(keyPem) });
const serialOf = (item: IssuedItem) => serialFromBytes(item.serial);

async function issued(count: number): Promise<IssuedItem[]> {
  const { chunkIds: [id] } = await acceptedBatch(ledger, [count]);
  return issueChunk(ledger, id!);
}

function revoke(item: IssuedItem, reason: RevocationReason, revokedAt = new Date()) {
  return ledger.store.revocations.revoke({
    serial: serialOf(item), ca: ledger.ca.name, reason, revokedAt, principalId: ledger.batch.principalId,
  }, event('certificate.revoked', `certificate:${ledger.ca.name}/${serialOf(item)}`));
}

const statusOf = async (item: IssuedItem) => (await status.statuses(ledger.ca.id, [item.serial]))[0];

describe('revoking', () => {
  const cases: [RevocationReason, RevocationReason, 'same' | 'changed' | 'revocation.conflict'][] = [
    ['superseded', 'superseded', 'same'],
    ['superseded', 'keyCompromise', 'changed'],
    ['unspecified', 'keyCompromise', 'changed'],
    ['certificateHold', 'cessationOfOperation', 'changed'],
    ['keyCompromise', 'superseded', 'revocation.conflict'],
    ['superseded', 'cessationOfOperation', 'revocation.conflict'],
    ['superseded', 'certificateHold', 'revocation.conflict'],
    ['superseded', 'removeFromCRL', 'revocation.conflict'],
  ];
  it.each(cases)('%s, then %s: %s; the date stays (I12)', async (first, second, outcome) => {
    const [item] = await issued(1);
    const at = new Date(Date.now() - 60_000);
    await expect(revoke(item!, first, at)).resolves.toEqual({ changed: true, revokedAt: at, reason: first });
    const again = await revoke(item!, second).then(({ changed, revokedAt }) => {
      expect(revokedAt).toEqual(at);
      return changed ? 'changed' : 'same';
    }, code);
    expect(again).toBe(outcome);
    expect(await statusOf(item!)).toEqual({ status: 'revoked', revokedAt: at, reason: revocationReasons[outcome === 'changed' ? second : first] });
  });

  it('a hold can be released, and only a hold', async () => {
    const [item] = await issued(1);
    await expect(revoke(item!, 'removeFromCRL').catch(code)).resolves.toBe('revocation.conflict');
    await revoke(item!, 'certificateHold');
    await expect(revoke(item!, 'removeFromCRL')).resolves.toMatchObject({ changed: true });
    await expect(revoke(item!, 'removeFromCRL')).resolves.toMatchObject({ changed: false });
    expect(await statusOf(item!)).toEqual({ status: 'good' });
    const { certificates } = ledger.store;
    expect((await certificates.find(serialOf(item!), ledger.ca.name)).revocation).toBeUndefined();
    expect(await certificates.search({ serial: serialOf(item!), status: 'revoked' }, new Date(), undefined, 1)).toEqual([]);
    expect(await certificates.search({ serial: serialOf(item!), status: 'valid' }, new Date(), undefined, 1)).toHaveLength(1);
    expect(await ledger.store.crls.expiries(ledger.ca.id, [item!.serial])).toEqual([undefined]);
  });

  it.each(['certificateHold', 'superseded'] as const)('a hold that was released can become %s: with the new date', async (reason) => {
    const [item] = await issued(1);
    await revoke(item!, 'certificateHold', new Date(Date.now() - 60_000));
    await revoke(item!, 'removeFromCRL');
    const at = new Date();
    await expect(revoke(item!, reason, at)).resolves.toEqual({ changed: true, revokedAt: at, reason });
    expect(await statusOf(item!)).toEqual({ status: 'revoked', revokedAt: at, reason: revocationReasons[reason] });
    expect(await sql('SELECT released_at FROM revocation WHERE serial = $1', [item!.serial])).toEqual([{ released_at: null }]);
  });

  it('puts the entry into the scope that the profile of its certificate baked in', async () => {
    const [item, one] = await issued(2);
    const [{ id } = { id: 0 }] = await sql<{ id: number }>(`INSERT INTO profile_version (name, sha256, document) VALUES ('sharded', '\\x01', '{"crlShards":64}') RETURNING id`);
    await sql('UPDATE certificate SET profile_version_id = $2 WHERE serial = $1', [item!.serial, id]);
    for (const each of [item!, one!]) await revoke(each, 'superseded');
    expect(await sql('SELECT shards, shard FROM revocation WHERE serial = $1', [item!.serial])).toEqual([{ shards: 64, shard: crlShard(item!.serial, 64) }]);
    expect(await sql('SELECT shards, shard FROM revocation WHERE serial = $1', [one!.serial])).toEqual([{ shards: 1, shard: 0 }]);
  });

  it('puts a publish-crl job into the outbox and an event into the log, once', async () => {
    const { store } = ledger;
    const [item] = await issued(1);
    const jobs = async () => (await store.outbox.pending(1000)).filter(({ job }) => job === 'publish-crl').length;
    const [before, events] = [await jobs(), (await store.audit.head()).seq];
    await Promise.all([1, 2, 3, 4].map(() => revoke(item!, 'superseded')));
    expect(await jobs()).toBe(before + 1);
    expect((await store.audit.head()).seq).toBe(events + 1n);
  });

  it('blocks a compromised key for ever (I11)', async () => {
    const { store } = ledger;
    const [item] = await issued(1);
    await revoke(item!, 'keyCompromise');
    const { chunkIds: [id] } = await acceptedBatch(ledger, [1]);
    const chunk = await store.issuance.claim(id!, 30_000);
    const intent = intentFor(chunk!);
    const recorded = await store.issuance.recordIntent(chunk!, { ...intent, keys: [{ ordinal: 0, spkiSha256: item!.spkiSha256, owner: `ecu:${item!.ecuSerial}` }] });
    expect(recorded.refused).toEqual([{ ordinal: 0, code: 'key.blocked' }]);
    await store.issuance.release(chunk!, undefined);
  });

  it('takes what a ceremony signed: a cross-certificate, and an OCSP signer, whose key it blocks', async () => {
    const { store, batch } = ledger;
    const [online, offline] = [await addCa(store, 'rev-online'), await addCa(store, 'rev-offline', undefined, { keyId: undefined })];
    const target = await addCa(store, 'rev-target');
    const cross = certify({ subject: named('rev-target'), issuer: online.made, key: keyPairOf(target.made) });
    const signer = certify({ subject: named('ocsp'), issuer: offline.made, extensions: [] });
    const add = async (kind: 'cross' | 'ocsp-signer', der: Uint8Array, issuer: RealCa) => {
      const certificate = ceremonyCertificate(kind, der, kind === 'cross' ? target.ca.id : undefined, issuer.ca.id);
      await store.authorities.addCertificate(certificate, event('ca.certificate-imported', 'ca:x'));
      return { ca: issuer.ca.name, serial: serialFromBytes(certificate.serial) };
    };
    const given = { reason: 'keyCompromise', revokedAt: new Date(), principalId: batch.principalId } as const;
    const jobs = async () => (await store.outbox.pending(10_000)).length;
    const before = await jobs();
    const revokedCross = await add('cross', cross.certificate, online);
    expect(await store.revocations.revoke({ ...given, ...revokedCross, reason: 'certificateHold' }, event('certificate.revoked', 'x'))).toMatchObject({ changed: true });
    expect(await store.revocations.revoke({ ...given, ...revokedCross, reason: 'removeFromCRL' }, event('certificate.revoked', 'x'))).toMatchObject({ changed: true });
    expect(await store.revocations.revoke({ ...given, ...revokedCross, reason: 'superseded' }, event('certificate.revoked', 'x'))).toMatchObject({ changed: true });
    expect(await jobs()).toBe(before + 3);
    expect(await status.statuses(online.ca.id, [Buffer.from(revokedCross.serial, 'hex')])).toMatchObject([{ status: 'revoked', reason: 4 }]);
    const revokedSigner = await add('ocsp-signer', signer.certificate, offline);
    expect(await store.revocations.revoke({ ...given, ...revokedSigner }, event('certificate.revoked', 'x'))).toMatchObject({ changed: true });
    // Its next CRL comes from a ceremony.
    expect(await jobs()).toBe(before + 3);
    expect(await sql('SELECT blocked FROM subject_key WHERE spki_sha256 = $1', [sha256(signer.spkiDer)])).toEqual([{ blocked: true }]);
    const listed: string[] = [];
    for await (const { serial } of store.crls.entries(offline.ca.id)) listed.push(Buffer.from(serial).toString('hex'));
    expect(listed).toEqual([revokedSigner.serial]);
  });

  it('refuses the certificate of a CA, and says what to do', async () => {
    const { store, batch } = ledger;
    const root = await addCa(store, 'own-root');
    const sub = await addCa(store, 'own-sub', root);
    const { serial } = ceremonyCertificate('ca', sub.made.certificate, sub.ca.id, root.ca.id);
    const asked = store.revocations.revoke({ serial: serialFromBytes(serial), ca: root.ca.name, reason: 'superseded', revokedAt: new Date(), principalId: batch.principalId }, event('certificate.revoked', 'x'));
    await expect(asked).rejects.toMatchObject({ code: 'revocation.conflict', message: expect.stringContaining('POST /v1/cas/own-sub/revocation') });
    expect(await status.statuses(root.ca.id, [serial])).toEqual([{ status: 'good' }]);
  });

  it('asks for no CRL of a CA that signs none any more', async () => {
    const { store, batch } = ledger;
    const [item] = await issued(1);
    const before = (await store.outbox.pending(10_000)).length;
    await sql(`UPDATE ca SET state = 'retired' WHERE id = $1`, [batch.caId]);
    try {
      await revoke(item!, 'superseded');
    } finally {
      await sql(`UPDATE ca SET state = 'active' WHERE id = $1`, [batch.caId]);
    }
    expect((await store.outbox.pending(10_000)).length).toBe(before);
    expect(await statusOf(item!)).toMatchObject({ status: 'revoked' });
  });

  it('refuses what was never issued', async () => {
    const [item] = await issued(1);
    await expect(revoke({ ...item!, serial: randomBytes(15) }, 'superseded').catch(code)).resolves.toBe('certificate.not-found');
  });
});

describe('a CRL', () => {
  const next = (thisUpdate: Date) => new Date(thisUpdate.getTime() + day);
  const seconds = () => new Date(Math.floor(Date.now() / 1000) * 1000);
  const crlEvent = event('crl.published', 'ca:ecu-issuing');

  it('has a number that only grows, from any number of publishers at once (I13)', async () => {
    const { crls } = ledger.store;
    const reserve = async () => {
      const thisUpdate = seconds();
      return reserveWhole(crls, ledger.ca.id, thisUpdate, next(thisUpdate));
    };
    const numbers = await Promise.all(Array.from({ length: 20 }, reserve));
    expect(new Set(numbers).size).toBe(20);
    expect(numbers.every((number) => number >= BigInt(Date.now() - 10_000))).toBe(true);
    const later = await reserve();
    expect(numbers.every((number) => number < later)).toBe(true);
  });

  it.each([[3_600_000], [-3_600_000], [-6000]])('is not signed with a clock %d ms off (I24)', async (offset) => {
    const thisUpdate = new Date(Date.now() + offset);
    await expect(reserveWhole(ledger.store.crls, ledger.ca.id, thisUpdate, next(thisUpdate)).catch(code)).resolves.toBe('clock.skew');
  });

  it('is swapped in only with a reserved number, once, and never by a slower publisher (I13, I15)', async () => {
    const { crls } = ledger.store;
    const thisUpdate = seconds();
    const slow = await reserveWhole(crls, ledger.ca.id, thisUpdate, next(thisUpdate));
    const fast = await reserveWhole(crls, ledger.ca.id, thisUpdate, next(thisUpdate));
    const crl = { caId: ledger.ca.id, thisUpdate, nextUpdate: next(thisUpdate), der: randomBytes(500) };
    await expect(publishWhole(crls, { ...crl, number: fast + 5n }, 0, crlEvent).catch(code)).resolves.toBe('crl.invalid');
    await expect(publishWhole(crls, { ...crl, number: fast }, 0, crlEvent)).resolves.toBe(true);
    await expect(publishWhole(crls, { ...crl, number: fast, der: randomBytes(10) }, 0, crlEvent)).resolves.toBe(false);
    await expect(publishWhole(crls, { ...crl, number: slow }, 0, crlEvent)).resolves.toBe(false);
    expect(await crls.latest(ledger.ca.id)).toMatchObject({ number: fast, thisUpdate });
    expect(Buffer.from((await status.latestCrl(ledger.ca.id))!.der).equals(crl.der)).toBe(true);
  });

  it('keeps its octets while it is one of the newest sixteen, its number and times for ever', async () => {
    const { crls } = ledger.store;
    const numbers: bigint[] = [];
    const publish = async () => {
      const thisUpdate = seconds();
      const crl = { caId: ledger.ca.id, number: await reserveWhole(crls, ledger.ca.id, thisUpdate, next(thisUpdate)), thisUpdate, nextUpdate: next(thisUpdate) };
      // Every other number is reserved in vain.
      numbers.push(await reserveWhole(crls, ledger.ca.id, thisUpdate, next(thisUpdate)).then(() => crl.number));
      expect(await publishWhole(crls, { ...crl, der: Buffer.from(`crl ${crl.number}`) }, 7, crlEvent)).toBe(true);
    };
    for (let i = 0; i < 20; i++) await publish();
    const rows = await sql<{ number: string; der: Buffer | null; entries: number }>(
      'SELECT number, der, entries FROM crl WHERE ca_id = $1 AND number = ANY($2::bigint[]) ORDER BY number', [ledger.ca.id, numbers.map(String)]);
    expect(rows.map(({ der }) => der?.toString())).toEqual(numbers.map((number, i) => (i < 4 ? undefined : `crl ${number}`)));
    expect(rows.every(({ entries }) => entries === 7)).toBe(true);
    expect(Buffer.from((await crls.latest(ledger.ca.id))!.der).toString()).toBe(`crl ${numbers.at(-1)}`);
    // A number whose octets are gone is not free for others (I13).
    const { this_update, next_update } = (await sql<{ this_update: Date; next_update: Date }>('SELECT this_update, next_update FROM crl WHERE number = $1', [String(numbers[0])]))[0]!;
    expect(await publishWhole(crls, { caId: ledger.ca.id, number: numbers[0]!, thisUpdate: this_update, nextUpdate: next_update, der: randomBytes(5) }, 0, crlEvent)).toBe(false);
  });

  const states: [string, boolean, string][] = [
    ['prepared', true, 'reserved'], ['active', true, 'reserved'], ['retiring', true, 'reserved'], ['retired', true, 'ca.not-active'],
    ['compromised', true, 'ca.not-active'], ['active', false, 'ca.not-active'],
  ];
  it.each(states)('of a CA that is %s (its key here: %s): %s', async (state, keyHere, outcome) => {
    const { id } = await ledger.store.authorities.add({ ...selfSigned(`crl-${state}-${keyHere}`), ...(keyHere ? {} : { keyId: undefined }) }, crlEvent);
    await sql('UPDATE ca SET state = $2 WHERE id = $1', [id, state]);
    const thisUpdate = seconds();
    expect(await reserveWhole(ledger.store.crls, id, thisUpdate, next(thisUpdate)).then(() => 'reserved', code)).toBe(outcome);
  });

  it('that was signed elsewhere is taken where its number is above every one on record, by one of many, and told once', async () => {
    const { store } = ledger;
    const { id } = await store.authorities.add({ ...selfSigned('offline-root'), keyId: undefined }, crlEvent);
    const thisUpdate = seconds();
    const crl = (number: bigint) => ({ caId: id, number, thisUpdate, nextUpdate: next(thisUpdate), der: Buffer.from(`crl ${number}`) });
    const adopt = (number: bigint) => store.crls.adopt(crl(number), 3, event('crl.imported', 'ca:offline-root')).catch(code);
    const before = (await store.audit.head()).seq;
    expect((await Promise.all(Array.from({ length: 8 }, () => adopt(5n)))).filter((taken) => taken === true)).toHaveLength(1);
    expect([await adopt(4n), await adopt(5n), await adopt(6n)]).toEqual([false, false, true]);
    expect(await store.crls.latest(id)).toMatchObject({ number: 6n, thisUpdate, nextUpdate: next(thisUpdate) });
    expect(Buffer.from((await status.latestCrl(id))!.der).toString()).toBe('crl 6');
    expect((await store.audit.head()).seq).toBe(before + 2n);
    expect(await adopt(2n ** 63n)).toBe('crl.import-refused');
    expect(await store.crls.adopt({ ...crl(1n), caId: 99_999 }, 0, crlEvent).catch(code)).toBe('ca.not-found');
    // Several at once: the highest stays, whichever came first.
    await Promise.all([17n, 11n, 19n, 13n].map(adopt));
    expect((await store.crls.latest(id))!.number).toBe(19n);
    expect(await sql('SELECT crl_number FROM ca WHERE id = $1', [id])).toEqual([{ crl_number: '19' }]);
  });

  it('that was signed elsewhere brings what it lists on record as revoked, in the same transaction', async () => {
    const { store } = ledger;
    const { id } = await store.authorities.add({ ...selfSigned('offline-lists'), keyId: undefined }, crlEvent);
    const [own] = await store.authorities.certificates(id);
    const thisUpdate = seconds();
    const crl = (number: bigint) => ({ caId: id, number, thisUpdate, nextUpdate: next(thisUpdate), der: Buffer.from(`crl ${number}`) });
    const revokedAt = new Date('2026-10-01T00:00:00Z');
    const listed = (reason: number) => [{ serial: own!.serial, revokedAt, reason, invalidityDate: undefined, notAfter: own!.notAfter, principalId: ledger.batch.principalId }];
    expect(await status.statuses(id, [own!.serial])).toEqual([{ status: 'good' }]);
    expect(await store.crls.adopt(crl(5n), 1, crlEvent, listed(4))).toBe(true);
    expect(await status.statuses(id, [own!.serial])).toEqual([{ status: 'revoked', revokedAt, reason: 4 }]);
    expect(await store.crls.adopt(crl(5n), 1, crlEvent, listed(1))).toBe(false);
    expect(await store.crls.adopt(crl(6n), 1, crlEvent, listed(1))).toBe(true);
    expect(await status.statuses(id, [own!.serial])).toEqual([{ status: 'revoked', revokedAt, reason: 1 }]);
  });

  it('that was signed elsewhere may not go behind a number that was given out here', async () => {
    const thisUpdate = seconds();
    const number = await reserveWhole(ledger.store.crls, ledger.ca.id, thisUpdate, next(thisUpdate));
    const crl = { caId: ledger.ca.id, thisUpdate, nextUpdate: next(thisUpdate), der: randomBytes(9) };
    expect(await ledger.store.crls.adopt({ ...crl, number }, 0, crlEvent)).toBe(false);
  });

  it('lists revoked and burned serials in order, and an expired one once more (I12)', async () => {
    const { store, key, ca } = ledger;
    const [plain, expiring] = await issued(2);
    await revoke(plain!, 'superseded');
    await revoke(expiring!, 'keyCompromise');
    const { chunkIds: [id] } = await acceptedBatch(ledger, [2]);
    const chunk = await store.issuance.claim(id!, 30_000);
    const intent = intentFor(chunk!);
    await store.issuance.recordIntent(chunk!, intent);
    await store.issuance.release(chunk!, undefined);
    const gone = key.deriveSerial({ ...intent, form: 2 }, 0);
    const listed = async () => {
      const serials: string[] = [];
      for await (const entry of store.crls.entries(ca.id)) serials.push(Buffer.from(entry.serial).toString('hex'));
      return serials;
    };
    const hex = (serial: Uint8Array) => Buffer.from(serial).toString('hex');
    const all = await listed();
    expect(all).toEqual([...all].sort());
    expect(new Set(all).size).toBe(all.length);
    for (const serial of [plain!.serial, expiring!.serial, gone]) expect(all).toContain(hex(serial));
    expect(await store.crls.expiries(ca.id, [plain!.serial, randomBytes(16), gone])).toEqual([plain!.notAfter, undefined, intent.notAfter]);

    const publish = async () => {
      const thisUpdate = seconds();
      const number = await reserveWhole(store.crls, ca.id, thisUpdate, next(thisUpdate));
      expect(await publishWhole(store.crls, { caId: ca.id, number, thisUpdate, nextUpdate: next(thisUpdate), der: randomBytes(9) }, 0, crlEvent)).toBe(true);
    };
    await publish();
    const expiry = new Date((await store.crls.latest(ca.id))!.thisUpdate.getTime() + 500);
    // No row is given an earlier end by anybody.
    await sql('ALTER TABLE revocation DISABLE TRIGGER revocation_keep_update');
    await sql('UPDATE revocation SET not_after = $2 WHERE serial = $1', [expiring!.serial, expiry]);
    await sql('ALTER TABLE revocation ENABLE TRIGGER revocation_keep_update');
    await new Promise((resolve) => setTimeout(resolve, 1600));
    // Expired by now, but the CRL published last was from before: it stays for one more.
    expect(await listed()).toContain(hex(expiring!.serial));
    await publish();
    expect(await listed()).not.toContain(hex(expiring!.serial));
  });
});

describe('the status role', () => {
  it('answers in the order asked: good only for what is on record (I16), revoked for burned serials (I8)', async () => {
    const [good, revoked] = await issued(2);
    await revoke(revoked!, 'unspecified');
    const [burned] = await sql<{ serial: Buffer }>('SELECT serial FROM burned_serial WHERE ca_id = $1 LIMIT 1', [ledger.ca.id]);
    const answers = await status.statuses(ledger.ca.id, [randomBytes(16), revoked!.serial, good!.serial, burned!.serial, good!.serial]);
    expect(answers.map((answer) => answer.status)).toEqual(['unknown', 'revoked', 'good', 'revoked', 'good']);
    expect(await status.statuses(ledger.ca.id + 1, [good!.serial])).toEqual([{ status: 'unknown' }]);
    expect(await status.statuses(ledger.ca.id, [])).toEqual([]);
  });

  it('finds the OCSP signers that are valid, newest first', async () => {
    const { store, ca } = ledger;
    const profile = await store.profiles.ensure('ocsp-signer', '{"name":"ocsp-signer"}');
    const signers: Buffer[] = [];
    for (const [from, to] of [[-10, 5], [-10, -1], [-1, 20], [1, 20]] as const) {
      const der = randomBytes(50);
      signers.push(der);
      await sql(`INSERT INTO certificate (ca_id, serial, profile_version_id, ordinal, subject_name, spki_sha256, not_before, not_after, issued_at, der)
        VALUES ($1, $2, $3, 0, 'ocsp', '', $4, $5, now(), $6)`,
        [ca.id, randomBytes(16), profile.id, new Date(Date.now() + from * day), new Date(Date.now() + to * day), der]);
    }
    const found = await status.ocspSigners(ca.id, new Date());
    expect(found.map((der) => signers.findIndex((signer) => signer.equals(der)))).toEqual([2, 0]);
  });

  it('reads authorities and truststores', async () => {
    await ledger.store.truststores.publish('gateways', 'for gateways', [ledger.ca.id], 'PEM', (version) => event('truststore.published', `truststore:gateways/${version}`));
    expect((await status.authorities()).map(({ name }) => name)).toContain('ecu-issuing');
    expect(await status.truststore('gateways')).toMatchObject({ version: 1, pem: 'PEM' });
    await expect(status.truststore('none').catch(code)).resolves.toBe('truststore.not-found');
  });

  it('can write nothing, and read nothing else', async () => {
    const reader = new Client({ connectionString: ledger.postgres.statusDatabaseUrl.reveal() });
    await reader.connect();
    const { rows } = await reader.query<{ name: string }>(`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'`);
    const readable: string[] = [];
    for (const { name } of rows) {
      await reader.query(`SELECT FROM ${name} LIMIT 1`).then(() => readable.push(name), () => undefined);
      for (const write of [`DELETE FROM ${name}`, `TRUNCATE ${name}`, `INSERT INTO ${name} DEFAULT VALUES`]) {
        await expect(reader.query(write), write).rejects.toThrow('permission denied');
      }
    }
    for (const change of ['CREATE TABLE mine (id int)', 'CREATE SCHEMA mine', `SELECT audit_append('x', now())`]) {
      await expect(reader.query(change)).rejects.toThrow('permission denied');
    }
    await reader.end();
    expect(readable.sort()).toEqual(['burned_serial', 'ca', 'ceremony_certificate', 'certificate', 'crl', 'profile_version', 'revocation', 'revocation_filter', 'truststore', 'truststore_version']);
  });
});

describe('certificates', () => {
  it('are found by serial, and by serial and CA where two CAs used it', async () => {
    const { store } = ledger;
    const [item] = await issued(1);
    const record = await store.certificates.find(serialOf(item!));
    expect(record).toMatchObject({ ca: 'ecu-issuing', profile: 'ecu-client', ecuSerial: item!.ecuSerial, partNumber: 'PN-100-A', revocation: undefined, serial: serialOf(item!) });
    expect(record.vin).toMatch(/^WFR/);
    expect(Buffer.from(record.certificate).equals(item!.der)).toBe(true);
    const other = await store.authorities.add(selfSigned('other-ca'), event('ca.imported', 'ca:other-ca'));
    await sql(`INSERT INTO certificate (ca_id, serial, profile_version_id, ordinal, spki_sha256, not_before, not_after, issued_at, der)
      VALUES ($1, $2, $3, 0, '', now(), now(), now(), '')`, [other.id, item!.serial, ledger.batch.profileVersionId]);
    await expect(store.certificates.find(serialOf(item!)).catch(code)).resolves.toBe('certificate.ambiguous');
    expect((await store.certificates.find(serialOf(item!), 'other-ca' as CaName)).ca).toBe('other-ca');
    await expect(store.certificates.find(serialFromBytes(randomBytes(12))).catch(code)).resolves.toBe('certificate.not-found');
  });

  it('are searched by what is known of them, newest first, in pages', async () => {
    const { store, batch } = ledger;
    const vehicle = someVin();
    const begun = await store.batches.begin(batch);
    if (begun.kind !== 'new') throw new Error('known');
    const items = requests(0, 7, vehicle).map((item) => ({ ...item, partNumber: partNumber('PN-SEARCH') }));
    await store.batches.append(begun.batchId, items, []);
    await store.batches.accept(begun.batchId, sha256('x'), event('batch.accepted', 'batch:x'));
    const job = (await store.outbox.pending(1000)).filter((row) => row.job === 'issue-chunk').at(-1);
    const made = await issueChunk(ledger, BigInt((job!.payload as { chunkId: string }).chunkId));
    await revoke(made[2]!, 'superseded');
    const found = async (query: Parameters<typeof store.certificates.search>[0], now = new Date()) =>
      (await store.certificates.search(query, now, undefined, 100)).map(({ ecuSerial: serial }) => items.findIndex((item) => item.ecuSerial === serial));
    const newestFirst = [6, 5, 4, 3, 2, 1, 0];
    expect(await found({ vin: vehicle })).toEqual(newestFirst);
    expect(await found({ partNumber: 'PN-SEARCH' })).toEqual(newestFirst);
    expect(await found({ ecuSerial: items[4]!.ecuSerial! })).toEqual([4]);
    expect(await found({ serial: serialOf(made[1]!) })).toEqual([1]);
    expect(await found({ vin: vehicle, status: 'revoked' })).toEqual([2]);
    expect(await found({ vin: vehicle, status: 'valid' })).toEqual([6, 5, 4, 3, 1, 0]);
    expect(await found({ vin: vehicle, status: 'expired' })).toEqual([]);
    // Valid through the last second (I7).
    const end = made[0]!.notAfter.getTime();
    expect(await found({ vin: vehicle, status: 'expired' }, new Date(end + 999))).toEqual([]);
    expect(await found({ vin: vehicle, status: 'expired' }, new Date(end + 1000))).toEqual(newestFirst);
    expect(await found({ vin: vehicle, expiresBefore: new Date(end) })).toEqual([]);
    expect(await found({ vin: vehicle, expiresAfter: new Date(end - 1) })).toEqual(newestFirst);
    expect(await found({ vin: someVin() })).toEqual([]);
    const page = await store.certificates.search({ vin: vehicle }, new Date(), undefined, 3);
    const rest = await store.certificates.search({ vin: vehicle }, new Date(), page.at(-1)?.id, 100);
    expect([...page, ...rest].map(({ ecuSerial: serial }) => serial)).toEqual(newestFirst.map((i) => items[i]?.ecuSerial));
  });

  it('near their end are marked once, the revoked and expired ones never', async () => {
    const { store } = ledger;
    await sql(`UPDATE certificate SET renewal_due_at = now()`);
    const made = await issued(5);
    await revoke(made[0]!, 'superseded');
    const now = new Date();
    const until = new Date(made[0]!.notAfter.getTime() + 1000);
    const due = event('renewal.due', 'certificates');
    expect(await store.certificates.markRenewalDue(now, made[0]!.notAfter, 100, () => due)).toBe(0);
    const counts = [await store.certificates.markRenewalDue(now, until, 3, () => due), await store.certificates.markRenewalDue(now, until, 3, () => due)];
    expect(counts).toEqual([3, 1]);
    expect(await store.certificates.markRenewalDue(now, until, 3, () => due)).toBe(0);
    expect((await store.certificates.find(serialOf(made[1]!))).renewalDueAt).toEqual(now);
  });
});

describe('what is due for renewal', () => {
  const due = event('renewal.due', 'certificates');
  const mark = (now: Date, until: Date) => ledger.store.certificates.markRenewalDue(now, until, 100, () => due);
  const markedAt = async (item: IssuedItem) => (await ledger.store.certificates.find(serialOf(item))).renewalDueAt;

  /** One certificate for each item, in a batch of this profile. */
  async function certificates(items: readonly RequestItem[], profileName: string, notAfter: Date): Promise<IssuedItem[]> {
    const { store, key, batch } = ledger;
    const profile = await store.profiles.ensure(profileName, `{"name":"${profileName}","made":"${randomBytes(4).toString('hex')}"}`);
    const begun = await store.batches.begin({ ...batch, profileVersionId: profile.id });
    if (begun.kind !== 'new') throw new Error('known');
    await store.batches.append(begun.batchId, items, []);
    await store.batches.accept(begun.batchId, sha256('b'), event('batch.accepted', 'batch:x'));
    const [row] = await sql<{ id: string }>('SELECT id FROM chunk WHERE batch_id = $1', [begun.batchId]);
    const chunk = await store.issuance.claim(BigInt(row!.id), 30_000);
    const intent = { ...intentFor(chunk!), notAfter };
    const { intentId } = await store.issuance.recordIntent(chunk!, intent);
    const made = issuedFor(key, chunk!, intent);
    await store.issuance.complete(chunk!, intentId, made, [], event('chunk.issued', 'batch:x'));
    return made;
  }

  it('are certificates of ECUs, and not one whose ECU has a newer valid one of the profile', async () => {
    await sql('UPDATE certificate SET renewal_due_at = now() WHERE renewal_due_at IS NULL');
    const now = new Date();
    const [soon, late] = [new Date(now.getTime() + 10 * day), new Date(now.getTime() + 300 * day)];
    const ecus = requests(0, 6);
    const again = (place: number) => [{ ...ecus[place]!, ordinal: 0, csr: randomBytes(420) }];
    const [renewed, otherProfile, revokedAfter, plain, twice, both] = await certificates(ecus, 'ecu-client', soon);
    await certificates(again(0), 'ecu-client', late);
    await certificates(again(1), 'ecu-client-vin', late);
    const [gone] = await certificates(again(2), 'ecu-client', late);
    await revoke(gone!, 'superseded');
    await certificates(again(4), 'ecu-client', new Date(now.getTime() + 12 * day));
    const [newerDue] = await certificates(again(5), 'ecu-client', new Date(now.getTime() + 11 * day));
    await revoke(both!, 'superseded');
    const [server] = await certificates([{ ordinal: 0, csr: randomBytes(420) }], 'gateway-server', soon);

    expect(await mark(now, new Date(now.getTime() + 20 * day))).toBe(5);
    for (const item of [otherProfile, revokedAfter, plain, newerDue]) expect(await markedAt(item!)).toEqual(now);
    for (const item of [renewed, twice, both, server]) expect(await markedAt(item!)).toBeUndefined();
    expect(await mark(now, new Date(now.getTime() + 20 * day))).toBe(0);
  });
});

describe('the smaller ledgers', () => {
  it('truststores count versions without a gap, and only where the content changes', async () => {
    const { truststores } = ledger.store;
    const publish = (pem: string) => truststores.publish('backend', 'for the backend', [1], pem, (version) => event('truststore.published', `truststore:backend/${version}`));
    const versions = await Promise.all(['a', 'b', 'c', 'd'].map(publish));
    expect(versions.map(({ version }) => version).sort()).toEqual([1, 2, 3, 4]);
    const current = await truststores.current('backend');
    expect(await publish(current.pem)).toMatchObject({ version: 4 });
    expect(Buffer.from(current.sha256).equals(sha256(current.pem))).toBe(true);
    expect(await truststores.names()).toContain('backend');
  });

  it('truststores: of many that follow from one version one is published, and the description stays', async () => {
    const { truststores } = ledger.store;
    const told = (version: number) => event('truststore.published', `truststore:chargers/${version}`);
    await truststores.publish('chargers', 'for chargers', [1], 'first', told);
    const after = await Promise.all(['a', 'b', 'c'].map((pem) => truststores.publish('chargers', undefined, [1], pem, told, 1)));
    expect(after.map(({ version }) => version)).toEqual([2, 2, 2]);
    expect(new Set(after.map(({ pem }) => pem)).size).toBe(1);
    expect(await truststores.publish('chargers', undefined, [1], 'late', told, 1)).toMatchObject({ version: 2 });
    expect(await truststores.publish('chargers', undefined, [1], 'next', told, 2)).toMatchObject({ version: 3, pem: 'next' });
    expect(await sql(`SELECT description FROM truststore WHERE name = 'chargers'`)).toEqual([{ description: 'for chargers' }]);
  });

  it('principals: a new token ends the old one', async () => {
    const { principals } = ledger.store;
    const put = (token: string) => principals.put('auditor', ['auditor'], sha256(token), undefined, event('principal.created', 'principal:auditor'));
    const first = await put('one');
    const second = await put('two');
    expect(second.id).toBe(first.id);
    expect(await principals.byTokenSha256(sha256('one'))).toBeUndefined();
    expect(await principals.byTokenSha256(sha256('two'))).toMatchObject({ name: 'auditor', roles: ['auditor'], disabledAt: undefined });
  });

  it('suppliers and first connections', async () => {
    const { suppliers, registrations } = ledger.store;
    const { certificate } = selfSigned('supplier');
    const supplier = await suppliers.register('Bosk', certificate, event('supplier.registered', 'supplier:Bosk'));
    for (const [name, cert] of [['Bosk', selfSigned('x').certificate], ['Other', certificate]] as const) {
      await expect(suppliers.register(name, cert, event('supplier.registered', 'supplier:x')).catch(code)).resolves.toBe('supplier.conflict');
    }
    await expect(suppliers.register('Bad', randomBytes(30), event('supplier.registered', 'supplier:x')).catch(code)).resolves.toBe('supplier.certificate-invalid');
    const identity = { supplierId: supplier.id, ecuSerial: ecuSerial('FACTORY-1'), partNumber: partNumber('PN-9'), factoryKeySha256: randomBytes(32), certificateSha256: randomBytes(32) };
    const register = (change: object = {}) => registrations.register({ ...identity, ...change }, new Date(), event('ecu.registered', 'ecu:FACTORY-1')).catch(code);
    expect((await Promise.all([register(), register(), register()])).sort()).toEqual(['known', 'known', 'registered']);
    expect(await register({ factoryKeySha256: randomBytes(32) })).toBe('registration.identity-conflict');
    expect(await register({ partNumber: partNumber('PN-8') })).toBe('ecu.part-number-conflict');
    // One that a line's batch put on record before is completed.
    const [item] = await issued(1);
    expect(await register({ ecuSerial: item!.ecuSerial, partNumber: partNumber('PN-100-A') })).toBe('registered');
    await registrations.refuse({ at: new Date(), code: 'registration.issuer-unknown', detail: 'nobody knows it' });
    const [latest, ...others] = await registrations.list(undefined, 10);
    expect(latest).toMatchObject({ outcome: 'refused', code: 'registration.issuer-unknown', supplier: undefined });
    expect(others[0]).toMatchObject({ outcome: 'registered', supplier: 'Bosk' });
    expect(await registrations.list(latest!.id, 1)).toEqual([others[0]]);
  });

  it('a lease has one holder until it ends', async () => {
    const { leases } = ledger.store;
    const got = await Promise.all(Array.from({ length: 10 }, (_, i) => leases.acquire('schedule', `worker-${i}`, 300)));
    expect(got.filter(Boolean)).toHaveLength(1);
    const holder = `worker-${got.indexOf(true)}`;
    expect(await leases.acquire('schedule', holder, 300)).toBe(true);
    await leases.release('schedule', 'worker-x');
    expect(await leases.acquire('schedule', 'worker-x', 300)).toBe(false);
    await new Promise((resolve) => setTimeout(resolve, 350));
    expect(await leases.acquire('schedule', 'worker-x', 300)).toBe(true);
    await leases.release('schedule', 'worker-x');
    expect(await leases.acquire('schedule', holder, 300)).toBe(true);
  });

  it('principals: a new token leaves the CAs that it may use as they are', async () => {
    const { principals } = ledger.store;
    const put = (authorities?: string[]) => principals.put('plant-2', ['line'], randomBytes(32), undefined, event('principal.created', 'principal:plant-2'), authorities);
    const held = async () => (await sql<{ authorities: string[] }>(`SELECT authorities FROM principal WHERE name = 'plant-2'`))[0]!.authorities;
    for (const [given, expected] of [[undefined, []], [['brand-a', 'brand-b'], ['brand-a', 'brand-b']], [undefined, ['brand-a', 'brand-b']], [[], []]] as const) {
      expect(await put(given === undefined ? undefined : [...given])).toMatchObject({ authorities: expected });
      expect(await held()).toEqual(expected);
    }
  });

  it('heartbeats carry figures of those heard in the last 30 seconds', async () => {
    const { heartbeats } = ledger.store;
    const before = Date.now();
    await heartbeats.beat('signer-b', 'signer', { signaturesPerSecond: 2, 'queued.line': 7 });
    await heartbeats.beat('signer-b', 'signer', { signaturesPerSecond: 812.5, 'queued.line': 3, forecastSeconds: Infinity });
    await heartbeats.beat('signer-a', 'signer');
    await heartbeats.beat('signer-c', 'signer', { signaturesPerSecond: 1 });
    await heartbeats.beat('worker-1', 'worker', { signaturesPerSecond: 1 });
    await sql(`UPDATE heartbeat SET at = now() - interval '31 seconds' WHERE instance = 'signer-c'`);
    const told = await heartbeats.figures('signer');
    expect(told.map(({ instance, figures }) => [instance, figures])).toEqual([['signer-a', {}], ['signer-b', { signaturesPerSecond: 812.5, 'queued.line': 3 }]]);
    for (const { at } of told) expect(Math.abs(at.getTime() - before)).toBeLessThan(20_000);
    expect(await heartbeats.figures('nobody')).toEqual([]);
  });

  it('heartbeats and the outbox hint', async () => {
    const { heartbeats, outbox } = ledger.store;
    expect(await heartbeats.lastHeard('issuer')).toBeUndefined();
    await heartbeats.beat('issuer-1', 'issuer');
    await heartbeats.beat('issuer-1', 'issuer');
    expect(Math.abs((await heartbeats.lastHeard('issuer'))!.getTime() - Date.now())).toBeLessThan(2000);
    const added = new Promise<void>((resolve) => {
      const stop = outbox.onAdded(() => {
        stop();
        resolve();
      });
    });
    // The first subscription may still be connecting.
    await new Promise((resolve) => setTimeout(resolve, 300));
    await acceptedBatch(ledger, [1]);
    await added;
  });
});
