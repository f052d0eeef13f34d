import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CaState, type CertificationAuthority, type RevocationReason, revocationReasons } from '@fleetroot/authority';
import { type CaName, PkiError, serialFromBytes } from '@fleetroot/core';
import { openStatusStore, openStore, type StatusStore, type Store } from '@fleetroot/store';
import { acceptedBatch, addCa, ceremonyCertificate, day, event, intentFor, openTestLedger, type RealCa, sha256, type TestLedger } from '../support/ledger.ts';
import { certify, named, p256, type SoftwareCa } from '../support/software-ca.ts';

let ledger: TestLedger;
/** A second process, with connections of its own. */
let other: Store;
let status: StatusStore;
let client: Client;
beforeAll(async () => {
  ledger = await openTestLedger();
  other = await openStore({ databaseUrl: ledger.postgres.databaseUrl, ledgerKey: ledger.key, pool: 8 });
  status = await openStatusStore({ databaseUrl: ledger.postgres.statusDatabaseUrl, pool: 2 });
  client = new Client({ connectionString: ledger.postgres.databaseUrl.reveal() });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await status.close();
  await other.close();
  await ledger.close();
});

const code = (error: unknown): string => (error instanceof PkiError ? error.code : String(error));
const sql = async <Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> => (await client.query<Row>(text, values)).rows;
const octets = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const changed = event('ca.state-changed', 'ca:test');
const events = async () => (await ledger.store.audit.head()).seq;
const read = async (id: number): Promise<CertificationAuthority> => (await ledger.store.authorities.all()).find((ca) => ca.id === id)!;

const keyPairOf = ({ keyPem }: SoftwareCa) => ({ privateKey: createPrivateKey(keyPem), publicKey: createPublicKey(keyPem) });

function revoke(caId: number, reason: RevocationReason, revokedAt = new Date(), store = ledger.store) {
  return store.authorities.revoke({ caId, reason: revocationReasons[reason], revokedAt, principalId: ledger.batch.principalId }, event('ca.revoked', 'ca:test'));
}

let made = 0;
const fresh = (prefix: string): string => `${prefix}-${++made}`;
const ca = (parent?: RealCa, ...rest: [Parameters<typeof addCa>[3]?, Parameters<typeof addCa>[4]?]) => addCa(ledger.store, fresh(parent === undefined ? 'root' : 'sub'), parent, ...rest);

describe('adding a CA', () => {
  it('as the next generation of another sets both or neither', async () => {
    const [root, before] = [await ca(), await ca()];
    const made = certify({ subject: named(fresh('Next')), issuer: root.made, serial: randomBytes(16).fill(1, 0, 1) });
    const { notBefore, notAfter } = root.ca;
    const next = { ...root.ca, name: fresh('next') as CaName, parentId: root.ca.id, state: 'prepared' as const, certificate: made.certificate, notBefore, notAfter };
    const switchAt = new Date(Date.now() + 5 * day);
    const follows = (predecessorId: number) => ({ predecessorId, switchAt, event: event('ca.succession-changed', 'ca:test') });
    const seen = await events();
    expect(await ledger.store.authorities.add(next, event('ca.imported', 'ca:test'), follows(99_999)).catch(code)).toBe('ca.not-found');
    expect(await ledger.store.authorities.byName(next.name).catch(code)).toBe('ca.not-found');
    expect(await events()).toBe(seen);
    const added = await ledger.store.authorities.add(next, event('ca.imported', 'ca:test'), follows(before.ca.id));
    expect(await read(before.ca.id)).toMatchObject({ successorId: added.id, switchAt });
    expect(await events()).toBe(seen + 2n);
    // A second time changes nothing, also where the succession was taken back since.
    await ledger.store.authorities.succeed(before.ca.id, undefined, event('ca.succession-changed', 'ca:test'));
    expect((await ledger.store.authorities.add(next, event('ca.imported', 'ca:test'), follows(before.ca.id))).id).toBe(added.id);
    expect(await read(before.ca.id)).toMatchObject({ successorId: undefined });
  });

  it('keeps all that is told of it, and lists its certificate', async () => {
    const root = await ca(undefined, { keyId: undefined, labels: { brand: 'Roadster', region: 'EU' } });
    const sub = await ca(root, { state: 'prepared', signatureAlgorithm: 'ecdsa-sha384' as CertificationAuthority['signatureAlgorithm'] });
    expect(await read(root.ca.id)).toEqual(root.ca);
    expect(root.ca).toMatchObject({ keyId: undefined, parentId: undefined, labels: { brand: 'Roadster', region: 'EU' }, successorId: undefined, switchAt: undefined, revocation: undefined, signatureAlgorithm: undefined });
    expect(await ledger.store.authorities.byName(sub.ca.name)).toMatchObject({ state: 'prepared', parentId: root.ca.id, signatureAlgorithm: 'ecdsa-sha384', labels: {} });
    expect((await status.authorities()).find(({ id }) => id === root.ca.id)).toEqual(root.ca);
    const [rootOwn, subOwn] = await ledger.store.authorities.certificates(root.ca.id);
    expect(rootOwn).toMatchObject({ kind: 'ca', subjectId: root.ca.id, issuerId: root.ca.id });
    expect(subOwn).toMatchObject({ kind: 'ca', subjectId: sub.ca.id, issuerId: root.ca.id });
    expect(octets(subOwn!.certificate)).toBe(octets(sub.made.certificate));
    expect(await status.statuses(root.ca.id, [rootOwn!.serial, subOwn!.serial, randomBytes(16)])).toEqual([{ status: 'good' }, { status: 'good' }, { status: 'unknown' }]);
  });

  it('of a foreign hierarchy: the issuer is not on record', async () => {
    const foreign = certify({ subject: named('foreign root') });
    const { ca: added } = await ca(undefined, {}, { issuer: foreign });
    expect(await ledger.store.authorities.certificates(added.id)).toMatchObject([{ kind: 'ca', subjectId: added.id, issuerId: undefined }]);
  });

  it('is done by one of ten processes, and told once', async () => {
    const before = await events();
    const { made: certified } = await ca();
    const again = await events();
    expect(again).toBe(before + 1n);
    const name = fresh('raced') as CaName;
    const both = certify({ subject: named(name) });
    const one = { name, parentId: undefined, state: 'active', certificate: both.certificate, keyId: both.keyId, signatureAlgorithm: undefined, labels: {}, notBefore: new Date(), notAfter: new Date(Date.now() + day) } as const;
    const added = await Promise.all(Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? ledger.store : other).authorities.add(one, changed)));
    expect(new Set(added.map(({ id }) => id)).size).toBe(1);
    expect(await events()).toBe(again + 1n);
    expect(await ledger.store.authorities.add({ ...one, certificate: certified.certificate }, changed).catch(code)).toBe('ca.conflict');
    expect(await ledger.store.authorities.add({ ...one, name: fresh('same-key') as CaName }, changed).catch(code)).toBe('ca.conflict');
    expect(await ledger.store.authorities.add({ ...one, certificate: randomBytes(50) }, changed).catch(code)).toBe('certificate.malformed');
  });

  it('with a serial that its issuer used before, for a CA or for a leaf, leaves nothing', async () => {
    const root = await ca();
    const serial = randomBytes(15);
    await sql(`INSERT INTO certificate (ca_id, serial, profile_version_id, ordinal, spki_sha256, not_before, not_after, issued_at, der)
      VALUES ($1, $2, $3, 0, '', now(), now(), now(), '')`, [root.ca.id, Buffer.concat([Buffer.of(1), serial]), ledger.batch.profileVersionId]);
    const before = await events();
    await expect(ca(root, {}, { serial: Buffer.concat([Buffer.of(1), serial]) }).catch(code)).resolves.toBe('ca.conflict');
    const { ca: sibling } = await ca(root);
    const [own] = await ledger.store.authorities.certificates(sibling.id);
    await expect(ca(root, {}, { serial: own!.serial }).catch(code)).resolves.toBe('ca.conflict');
    expect(await events()).toBe(before + 1n);
    expect(await sql('SELECT FROM ca WHERE parent_id = $1', [root.ca.id])).toHaveLength(1);
  });
});

describe('one more certificate', () => {
  const add = (...given: Parameters<typeof ceremonyCertificate>) => ledger.store.authorities.addCertificate(ceremonyCertificate(...given), event('ca.certificate-imported', 'ca:test'));
  const keyOf = () => ({ key: p256() });

  it('that ends later takes the place of the one on record; the earlier one stays listed, and is known again', async () => {
    const root = await ca();
    const key = keyOf();
    const sub = await ca(root, {}, { ...key, notAfter: new Date(Date.now() + 100 * day) });
    const renew = (days: number, issuer = root.made) => certify({ subject: named(sub.ca.name), issuer, ...key, notBefore: new Date('2026-11-01T00:00:00Z'), notAfter: new Date(Date.now() + days * day) }).certificate;
    const [shorter, longer] = [renew(50), renew(200)];
    expect(await add('ca', shorter, sub.ca.id, root.ca.id)).toBe(true);
    expect(octets((await read(sub.ca.id)).certificate)).toBe(octets(sub.made.certificate));
    expect(await add('ca', longer, sub.ca.id, root.ca.id)).toBe(true);
    const now = await read(sub.ca.id);
    expect(octets(now.certificate)).toBe(octets(longer));
    expect(now.notBefore).toEqual(new Date('2026-11-01T00:00:00Z'));
    expect(now.notAfter.getTime()).toBe(ceremonyCertificate('ca', longer, 1, 1).notAfter.getTime());
    const before = await events();
    expect(await add('ca', longer, sub.ca.id, root.ca.id)).toBe(false);
    expect(await ledger.store.authorities.add({ ...sub.ca, certificate: sub.made.certificate }, changed)).toEqual(now);
    expect(await events()).toBe(before);
    expect((await ledger.store.authorities.certificates(sub.ca.id)).map(({ certificate }) => octets(certificate)).sort())
      .toEqual([sub.made.certificate, shorter, longer].map(octets).sort());
  });

  it('for the CA of another organisation, which is not on record, is known to status and depends on its issuer', async () => {
    const { ca: { id }, made: issuer } = await ca();
    const foreign = certify({ subject: named('Elsewhere'), issuer, notAfter: new Date('2033-03-03T00:00:00Z') });
    expect(await add('cross', foreign.certificate, undefined, id)).toBe(true);
    expect(await add('cross', foreign.certificate, undefined, id)).toBe(false);
    const [, cross] = await ledger.store.authorities.certificates(id);
    expect(cross).toMatchObject({ kind: 'cross', subjectId: undefined, issuerId: id });
    expect(await status.statuses(id, [cross!.serial])).toEqual([{ status: 'good' }]);
    expect(await ledger.store.authorities.lastDependant(id)).toEqual(new Date('2033-03-03T00:00:00Z'));
    await expect(client.query(`UPDATE ceremony_certificate SET issuer_id = NULL WHERE subject_id IS NULL AND issuer_id = $1`, [id])).rejects.toThrow(/ceremony_certificate_kind/);
  });

  it('of two renewals at once leaves the one that ends later', async () => {
    const root = await ca();
    const key = keyOf();
    const sub = await ca(root, {}, { ...key, notAfter: new Date(Date.now() + 10 * day) });
    const renewals = Array.from({ length: 8 }, (_, i) => certify({ subject: named(sub.ca.name), issuer: root.made, ...key, notAfter: new Date(Date.now() + (20 + i) * day) }).certificate);
    await Promise.all(renewals.map((each) => add('ca', each, sub.ca.id, root.ca.id)));
    expect(octets((await read(sub.ca.id)).certificate)).toBe(octets(renewals[7]!));
  });

  it('is refused: of another key, by another CA than the one above, with a serial used before, of a CA that is revoked', async () => {
    const [root, rootG2] = [await ca(), await ca()];
    const key = keyOf();
    const sub = await ca(root, {}, key);
    const by = (issuer: SoftwareCa, fields: object = key) => certify({ subject: named(sub.ca.name), issuer, ...fields }).certificate;
    const before = await events();
    expect(await add('ca', by(root.made, {}), sub.ca.id, root.ca.id).catch(code)).toBe('ca.conflict');
    expect(await add('ca', by(rootG2.made), sub.ca.id, rootG2.ca.id).catch(code)).toBe('ca.conflict');
    const [own] = await ledger.store.authorities.certificates(sub.ca.id);
    expect(await add('ca', by(root.made, { ...key, serial: own!.serial, notAfter: new Date(Date.now() + 9 * day) }), sub.ca.id, root.ca.id).catch(code)).toBe('ca.conflict');
    expect(await add('cross', by(rootG2.made), 99_999, rootG2.ca.id).catch(code)).toBe('ca.not-found');
    const noise = { ...ceremonyCertificate('cross', by(rootG2.made), sub.ca.id, rootG2.ca.id), certificate: randomBytes(40) };
    expect(await ledger.store.authorities.addCertificate(noise, changed).catch(code)).toBe('certificate.malformed');
    expect(await events()).toBe(before);
    expect(await add('cross', by(rootG2.made), sub.ca.id, rootG2.ca.id)).toBe(true);
    await revoke(sub.ca.id, 'superseded');
    expect(await add('cross', by(rootG2.made), sub.ca.id, rootG2.ca.id).catch(code)).toBe('ca.state-refused');
    expect(await ledger.store.authorities.certificates(sub.ca.id)).toHaveLength(2);
  });

  it('of an offline CA for our OCSP key is found by status while it is valid and not revoked', async () => {
    const root = await ca(undefined, { keyId: undefined });
    const key = keyOf();
    const signer = (from: number, to: number) => certify({ subject: named('ocsp'), issuer: root.made, extensions: [], ...key, notBefore: new Date(Date.now() + from * day), notAfter: new Date(Date.now() + to * day) }).certificate;
    const [older, newer, past, future] = [signer(-20, 5), signer(-1, 30), signer(-30, -1), signer(1, 30)];
    for (const each of [older, newer, past, future]) expect(await add('ocsp-signer', each, undefined, root.ca.id)).toBe(true);
    expect((await status.ocspSigners(root.ca.id, new Date())).map(octets)).toEqual([newer, older].map(octets));
    await sql(`INSERT INTO revocation (ca_id, serial, reason, revoked_at, not_after, principal_id) VALUES ($1, $2, 4, now(), now(), $3)`,
      [root.ca.id, ceremonyCertificate('ocsp-signer', newer, undefined, 1).serial, ledger.batch.principalId]);
    expect((await status.ocspSigners(root.ca.id, new Date())).map(octets)).toEqual([octets(older)]);
  });

  it('of its key is given to relying parties unless it has expired or is revoked; what the CA signed for others is not', async () => {
    const [root, rootG2] = [await ca(), await ca()];
    const cross = (fields: object) => certify({ subject: named(rootG2.ca.name), issuer: root.made, key: keyPairOf(rootG2.made), ...fields }).certificate;
    const [good, expired, revoked] = [cross({}), cross({ notAfter: new Date(Date.now() - day) }), cross({})];
    for (const each of [good, expired, revoked]) await add('cross', each, rootG2.ca.id, root.ca.id);
    await ledger.store.revocations.revoke({
      serial: serialFromBytes(ceremonyCertificate('cross', revoked, 1, 1).serial), ca: root.ca.name, reason: 'superseded', revokedAt: new Date(), principalId: ledger.batch.principalId,
    }, event('certificate.revoked', 'certificate:x'));
    const shown = await status.ceremonyCertificates(rootG2.ca.id, new Date());
    expect(shown.map(({ certificate }) => octets(certificate)).sort()).toEqual([good, rootG2.made.certificate].map(octets).sort());
    expect(await status.ceremonyCertificates(root.ca.id, new Date())).toMatchObject([{ kind: 'ca', subjectId: root.ca.id }]);
  });
});

describe('a change of state', () => {
  it('is made from the state that was asked for, by one of many', async () => {
    const { ca: { id } } = await ca(undefined, { state: 'prepared' });
    const before = await events();
    const outcomes = await Promise.all(Array.from({ length: 10 }, (_, i) =>
      (i % 2 === 0 ? ledger.store : other).authorities.change(id, 'prepared', i % 3 === 0 ? 'retired' : 'active', changed).then(({ state }) => state, code)));
    expect(outcomes.filter((outcome) => outcome === 'ca.state-refused')).toHaveLength(9);
    expect(outcomes).toContain((await read(id)).state);
    expect(await events()).toBe(before + 1n);
    expect(await ledger.store.authorities.change(99_999, 'prepared', 'active', changed).catch(code)).toBe('ca.not-found');
  });
});

describe('who follows a CA', () => {
  const at = new Date('2027-01-01T00:00:00Z');
  const succeed = (id: number, successorId?: number) =>
    ledger.store.authorities.succeed(id, successorId === undefined ? undefined : { successorId, switchAt: at }, event('ca.succession-changed', 'ca:test'));

  it('is set, changed and taken back', async () => {
    const [a, b, c] = [await ca(), await ca(undefined, { state: 'prepared' }), await ca(undefined, { state: 'prepared' })];
    expect(await succeed(a.ca.id, b.ca.id)).toMatchObject({ successorId: b.ca.id, switchAt: at });
    expect(await succeed(a.ca.id, c.ca.id)).toMatchObject({ successorId: c.ca.id });
    expect(await succeed(a.ca.id)).toMatchObject({ successorId: undefined, switchAt: undefined });
  });

  it('is no CA that is unknown, follows another, or follows round a ring, also where two set it at once', async () => {
    const [a, b, c] = [(await ca()).ca.id, (await ca()).ca.id, (await ca()).ca.id];
    expect(await succeed(a, 99_999).catch(code)).toBe('ca.not-found');
    expect(await succeed(99_999, a).catch(code)).toBe('ca.not-found');
    expect(await succeed(a, a).catch(code)).toBe('ca.conflict');
    await succeed(a, c);
    expect(await succeed(b, c).catch(code)).toBe('ca.conflict');
    expect(await succeed(c, a).catch(code)).toBe('ca.conflict');
    await succeed(a);
    const outcomes = await Promise.all([[a, b], [b, c], [c, a]].map(([one, next]) => succeed(one!, next).then(() => 'set', code)));
    expect(outcomes.sort()).toEqual(['ca.conflict', 'set', 'set']);
  });

  it('is not changed once it has taken over: the batches of the old generation find it by this', async () => {
    const [a, b, c] = [await ca(), await ca(undefined, { state: 'prepared' }), await ca(undefined, { state: 'prepared' })];
    await succeed(a.ca.id, b.ca.id);
    expect(await ledger.store.authorities.switchOver(a.ca.id, at, changed)).toBe(true);
    expect(await succeed(a.ca.id, c.ca.id).catch(code)).toBe('ca.state-refused');
    expect(await succeed(a.ca.id).catch(code)).toBe('ca.state-refused');
    // One whose key was lost before it had a successor gets one all the same.
    const d = await ca();
    await revoke(d.ca.id, 'keyCompromise');
    expect(await succeed(d.ca.id, c.ca.id)).toMatchObject({ successorId: c.ca.id });
  });
});

describe('switching over', () => {
  const at = new Date('2026-12-01T03:00:00Z');
  async function pair(from: CaState = 'active', to: CaState = 'prepared'): Promise<[number, number]> {
    const [a, b] = [await ca(), await ca(undefined, { state: 'prepared' })];
    await ledger.store.authorities.succeed(a.ca.id, { successorId: b.ca.id, switchAt: at }, changed);
    await sql('UPDATE ca SET state = $2 WHERE id = $1', [a.ca.id, from]);
    await sql('UPDATE ca SET state = $2 WHERE id = $1', [b.ca.id, to]);
    return [a.ca.id, b.ca.id];
  }

  const cases: [CaState, CaState, number, boolean][] = [
    ['active', 'prepared', 0, true],
    ['active', 'prepared', 1, true],
    ['active', 'prepared', -1, false],
    ['active', 'active', 0, false],
    ['active', 'retired', 0, false],
    ['active', 'compromised', 0, false],
    ['prepared', 'prepared', 0, false],
    ['retiring', 'prepared', 0, false],
    ['retired', 'prepared', 0, false],
    ['compromised', 'prepared', 0, false],
  ];
  it.each(cases)('from one that is %s to one that is %s, %d ms after the time: %s', async (from, to, ms, outcome) => {
    const [a, b] = await pair(from, to);
    const before = await events();
    expect(await ledger.store.authorities.switchOver(a, new Date(at.getTime() + ms), event('ca.switched', 'ca:a'))).toBe(outcome);
    expect([(await read(a)).state, (await read(b)).state]).toEqual(outcome ? ['retiring', 'active'] : [from, to]);
    expect(await events()).toBe(before + (outcome ? 1n : 0n));
  });

  it('of a CA without a successor, or of none, does nothing', async () => {
    expect(await ledger.store.authorities.switchOver((await ca()).ca.id, at, changed)).toBe(false);
    expect(await ledger.store.authorities.switchOver(99_999, at, changed)).toBe(false);
  });

  it('by twenty at once in two processes has one effect', async () => {
    const [a, b] = await pair();
    const before = await events();
    const outcomes = await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? ledger.store : other).authorities.switchOver(a, at, event('ca.switched', 'ca:a'))));
    expect(outcomes.filter(Boolean)).toHaveLength(1);
    expect([(await read(a)).state, (await read(b)).state]).toEqual(['retiring', 'active']);
    expect(await events()).toBe(before + 1n);
  });

  it('and revoking at once leave one active CA, and the revoked one is not it', async () => {
    for (let round = 0; round < 5; round++) {
      const [a, b] = await pair();
      const [switched] = await Promise.all([ledger.store.authorities.switchOver(a, at, changed), revoke(b, 'keyCompromise', new Date(), other)]);
      expect([(await read(a)).state, (await read(b)).state]).toEqual([switched ? 'retiring' : 'active', 'compromised']);
    }
  });

  it('ends the issuing of the old generation at once: an intent afterwards is refused, and the new one takes the chunk', async () => {
    const [a, b] = await pair();
    const { chunkIds } = await acceptedBatch({ ...ledger, batch: { ...ledger.batch, caId: a } }, Array.from({ length: 12 }, () => 3));
    const chunks = await Promise.all(chunkIds.map((id) => ledger.store.issuance.claim(id, 30_000)));
    let switchedAt: number | undefined;
    const switchSoon = async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(await other.authorities.switchOver(a, at, changed)).toBe(true);
      switchedAt = performance.now();
    };
    const switching = switchSoon();
    const attempts: { asked: number; outcome: string }[] = [];
    for (const chunk of chunks) {
      const asked = performance.now();
      const intent = { ...intentFor(chunk!), caId: a };
      const outcome = await ledger.store.issuance.recordIntent(chunk!, intent).then(() => 'recorded', code);
      attempts.push({ asked, outcome });
      if (outcome === 'ca.not-active') await ledger.store.issuance.recordIntent(chunk!, { ...intent, caId: b });
      if (attempts.length === 6) await switching;
    }
    expect(attempts.filter(({ asked }) => asked > switchedAt!).length).toBeGreaterThanOrEqual(6);
    for (const { asked, outcome } of attempts) if (asked > switchedAt!) expect(outcome).toBe('ca.not-active');
    const rows = await sql<{ ca_id: number; n: number }>('SELECT ca_id, count(*)::int AS n FROM intent WHERE ca_id = ANY($1::int[]) GROUP BY 1', [[a, b]]);
    expect(rows.reduce((sum, { n }) => sum + n, 0)).toBe(12);
    expect(rows.find(({ ca_id }) => ca_id === b)!.n).toBe(attempts.filter(({ outcome }) => outcome === 'ca.not-active').length);
  });
});

describe('the last that depends on a CA', () => {
  const last = (id: number) => ledger.store.authorities.lastDependant(id);

  it('is the latest of its leaves, CAs below and cross-certificates, and never its own certificate', async () => {
    const root = await ca();
    expect(await last(root.ca.id)).toBeUndefined();
    const sub = await ca(root, {}, { notAfter: new Date('2031-05-05T00:00:00Z') });
    expect(await last(root.ca.id)).toEqual(new Date('2031-05-05T00:00:00Z'));
    expect(await last(sub.ca.id)).toBeUndefined();
    const rootG2 = await ca();
    const cross = certify({ subject: named(rootG2.ca.name), issuer: root.made, key: keyPairOf(rootG2.made), notAfter: new Date('2032-01-01T00:00:00Z') });
    await ledger.store.authorities.addCertificate(ceremonyCertificate('cross', cross.certificate, rootG2.ca.id, root.ca.id), changed);
    expect(await last(root.ca.id)).toEqual(new Date('2032-01-01T00:00:00Z'));
    const { chunkIds: [id] } = await acceptedBatch({ ...ledger, batch: { ...ledger.batch, caId: sub.ca.id } }, [2]);
    const chunk = await ledger.store.issuance.claim(id!, 30_000);
    const intent = intentFor(chunk!);
    await ledger.store.issuance.recordIntent(chunk!, intent);
    await ledger.store.issuance.release(chunk!, undefined);
    // Abandoned: a certificate of it may exist.
    expect(await last(sub.ca.id)).toEqual(intent.notAfter);
  });

  it('is found by an index among 100,000 intents', async () => {
    const { ca: { id } } = await ca();
    await sql(`INSERT INTO intent (chunk_id, fence, ca_id, profile_version_id, seed, signed_at, not_after, first, items, state)
      SELECT -n, 1, $1::int + n % 2 * 1000000, 1, '', now(), '2030-01-01'::timestamptz + n * interval '1 second', 0, 250, 'stored' FROM generate_series(1, 100000) AS n`, [id]);
    try {
      await sql('ANALYZE intent');
      const [{ 'QUERY PLAN': plan }] = (await sql<{ 'QUERY PLAN': object }>(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT max(not_after) FROM intent WHERE ca_id = ${id}`)) as [{ 'QUERY PLAN': object }];
      expect(JSON.stringify(plan)).toContain('intent_ca_id_not_after_idx');
      expect(JSON.stringify(plan)).not.toContain('Seq Scan');
      const [{ Plan: top }] = plan as [{ Plan: { 'Shared Hit Blocks': number; 'Shared Read Blocks': number } }];
      expect(top['Shared Hit Blocks'] + top['Shared Read Blocks']).toBeLessThan(20);
      expect(await last(id)).toEqual(new Date(Date.parse('2030-01-01T00:00:00Z') + 100_000_000));
    } finally {
      await sql('DELETE FROM intent WHERE chunk_id < 0');
    }
  });
});

describe('revoking a CA', () => {
  const revocations = (caId: number) => sql<{ serial: Buffer; reason: number; revoked_at: Date }>('SELECT serial, reason, revoked_at FROM revocation WHERE ca_id = $1 ORDER BY serial', [caId]);
  const crlJobs = async () => (await ledger.store.outbox.pending(10_000)).filter(({ job }) => job === 'publish-crl').map(({ payload }) => (payload as { caId: number }).caId);
  const past = new Date('2026-11-20T10:00:00.000Z');

  const outcomes: [RevocationReason, CaState][] = [
    ['keyCompromise', 'compromised'], ['cACompromise', 'compromised'],
    ['unspecified', 'retired'], ['superseded', 'retired'], ['cessationOfOperation', 'retired'], ['affiliationChanged', 'retired'], ['privilegeWithdrawn', 'retired'],
  ];
  it.each(outcomes)('for %s makes it %s, lists its certificate at its issuer and asks for that CRL', async (reason, state) => {
    const root = await ca();
    const sub = await ca(root);
    const [before, jobs] = [await events(), await crlJobs()];
    expect(await revoke(sub.ca.id, reason, past)).toEqual({ changed: true, offlineIssuers: [] });
    expect(await read(sub.ca.id)).toMatchObject({ state, revocation: { revokedAt: past, reason: revocationReasons[reason] } });
    const [own] = await ledger.store.authorities.certificates(sub.ca.id);
    expect(await status.statuses(root.ca.id, [own!.serial])).toEqual([{ status: 'revoked', revokedAt: past, reason: revocationReasons[reason] }]);
    expect((await crlJobs()).slice(jobs.length)).toEqual([root.ca.id]);
    expect(await events()).toBe(before + 1n);
    const listed: string[] = [];
    for await (const { serial } of ledger.store.crls.entries(root.ca.id)) listed.push(octets(serial));
    expect(listed).toEqual([octets(own!.serial)]);
  });

  it('lists every unexpired certificate of its key at each issuer on record, and tells which sign offline', async () => {
    const [online, offline, retired] = [await ca(), await ca(undefined, { keyId: undefined }), await ca(undefined, { state: 'retired' })];
    const sub = await ca(online);
    const key = keyPairOf(sub.made);
    const by = (issuer: RealCa | undefined, kind: 'ca' | 'cross', fields: object = {}) => {
      const { certificate } = certify({ subject: named(sub.ca.name), issuer: issuer?.made ?? certify({ subject: named('foreign') }), key, ...fields });
      return ledger.store.authorities.addCertificate(ceremonyCertificate(kind, certificate, sub.ca.id, issuer?.ca.id), changed);
    };
    await by(online, 'ca', { notAfter: new Date(Date.now() + 4000 * day) });
    await by(offline, 'cross');
    await by(offline, 'cross');
    await by(offline, 'cross', { notAfter: new Date(Date.now() - day) });
    await by(retired, 'cross');
    await by(undefined, 'cross');
    const jobs = await crlJobs();
    expect(await revoke(sub.ca.id, 'cACompromise', past)).toEqual({ changed: true, offlineIssuers: [offline.ca.name] });
    expect(await revocations(online.ca.id)).toHaveLength(2);
    expect(await revocations(offline.ca.id)).toHaveLength(2);
    expect(await revocations(retired.ca.id)).toHaveLength(1);
    expect((await crlJobs()).slice(jobs.length)).toEqual([online.ca.id]);
    expect(await revoke(sub.ca.id, 'cACompromise')).toEqual({ changed: false, offlineIssuers: [offline.ca.name] });
  });

  it('that signed its own certificate changes its state alone', async () => {
    const root = await ca();
    const jobs = await crlJobs();
    expect(await revoke(root.ca.id, 'keyCompromise', past)).toEqual({ changed: true, offlineIssuers: [] });
    expect(await read(root.ca.id)).toMatchObject({ state: 'compromised', revocation: { revokedAt: past, reason: 1 } });
    expect(await revocations(root.ca.id)).toEqual([]);
    expect(await crlJobs()).toEqual(jobs);
  });

  const again: [RevocationReason, RevocationReason, 'same' | 'changed' | 'revocation.conflict', CaState][] = [
    ['superseded', 'superseded', 'same', 'retired'],
    ['keyCompromise', 'keyCompromise', 'same', 'compromised'],
    ['superseded', 'keyCompromise', 'changed', 'compromised'],
    ['unspecified', 'superseded', 'changed', 'retired'],
    ['keyCompromise', 'superseded', 'revocation.conflict', 'compromised'],
    ['superseded', 'cessationOfOperation', 'revocation.conflict', 'retired'],
    ['superseded', 'certificateHold', 'revocation.conflict', 'retired'],
    ['superseded', 'removeFromCRL', 'revocation.conflict', 'retired'],
  ];
  it.each(again)('for %s, then for %s: %s; the date stays (I12)', async (first, second, outcome, state) => {
    const root = await ca();
    const sub = await ca(root);
    await revoke(sub.ca.id, first, past);
    const [before, jobs] = [await events(), await crlJobs()];
    const told = await revoke(sub.ca.id, second).then(({ changed: yes }) => (yes ? 'changed' : 'same'), code);
    expect(told).toBe(outcome);
    const reason = revocationReasons[outcome === 'changed' ? second : first];
    expect(await read(sub.ca.id)).toMatchObject({ state, revocation: { revokedAt: past, reason } });
    expect(await revocations(root.ca.id)).toMatchObject([{ reason, revoked_at: past }]);
    expect(await events()).toBe(before + (outcome === 'changed' ? 1n : 0n));
    expect((await crlJobs()).length - jobs.length).toBe(outcome === 'changed' ? 1 : 0);
  });

  it.each(['certificateHold', 'removeFromCRL'] as const)('for %s is refused: it is for good', async (reason) => {
    const root = await ca();
    expect(await revoke(root.ca.id, reason).catch(code)).toBe('revocation.conflict');
    expect(await read(root.ca.id)).toEqual(root.ca);
  });

  it('of which a cross-certificate was revoked before keeps that date, and that reason unless its own is stronger', async () => {
    const [root, weak, strong] = [await ca(), await ca(), await ca()];
    const sub = await ca(root);
    for (const [issuer, reason] of [[weak, 'superseded'], [strong, 'keyCompromise']] as const) {
      const cross = ceremonyCertificate('cross', certify({ subject: named('x'), issuer: issuer.made, key: keyPairOf(sub.made) }).certificate, sub.ca.id, issuer.ca.id);
      await ledger.store.authorities.addCertificate(cross, changed);
      await ledger.store.revocations.revoke({ serial: serialFromBytes(cross.serial), ca: issuer.ca.name, reason, revokedAt: past, principalId: ledger.batch.principalId }, changed);
    }
    const now = new Date();
    await revoke(sub.ca.id, 'privilegeWithdrawn', now);
    expect(await revocations(weak.ca.id)).toMatchObject([{ reason: 9, revoked_at: past }]);
    expect(await revocations(strong.ca.id)).toMatchObject([{ reason: 1, revoked_at: past }]);
    expect(await revocations(root.ca.id)).toMatchObject([{ reason: 9, revoked_at: now }]);
  });

  it('by ten at once in two processes, beside one of its cross-certificates, has one effect', async () => {
    const [root, rootG2] = [await ca(), await ca()];
    const sub = await ca(root);
    const cross = ceremonyCertificate('cross', certify({ subject: named('x'), issuer: rootG2.made, key: keyPairOf(sub.made) }).certificate, sub.ca.id, rootG2.ca.id);
    await ledger.store.authorities.addCertificate(cross, changed);
    const before = await events();
    const one = ledger.store.revocations.revoke({ serial: serialFromBytes(cross.serial), ca: rootG2.ca.name, reason: 'keyCompromise', revokedAt: past, principalId: ledger.batch.principalId }, changed);
    const many = await Promise.all(Array.from({ length: 10 }, (_, i) => revoke(sub.ca.id, 'keyCompromise', past, i % 2 === 0 ? ledger.store : other)));
    const { changed: first } = await one;
    expect(many.filter((each) => each.changed)).toHaveLength(1);
    expect(await revocations(rootG2.ca.id)).toHaveLength(1);
    expect(await revocations(root.ca.id)).toHaveLength(1);
    expect(await events()).toBe(before + (first ? 2n : 1n));
  });

  it('happens whole or not at all: an event that cannot be told undoes it (I26)', async () => {
    const root = await ca();
    const sub = await ca(root);
    const jobs = await crlJobs();
    await sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$`);
    await sql('CREATE TRIGGER refuse BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION refuse()');
    try {
      expect(await revoke(sub.ca.id, 'keyCompromise').catch(code)).toBe('internal');
    } finally {
      await sql('DROP FUNCTION refuse CASCADE');
    }
    expect(await read(sub.ca.id)).toEqual(sub.ca);
    expect(await revocations(root.ca.id)).toEqual([]);
    expect(await crlJobs()).toEqual(jobs);
  });

  it('ends its issuing and that of every CA below (I10), and its key is certified for nobody (I11)', async () => {
    const root = await ca();
    const sub = await ca(root);
    const leafOf = await ca(sub);
    const sibling = await ca(root);
    const intentOf = async (caId: number, spkiSha256?: Uint8Array) => {
      const { chunkIds: [id] } = await acceptedBatch({ ...ledger, batch: { ...ledger.batch, caId } }, [1]);
      const chunk = await ledger.store.issuance.claim(id!, 30_000);
      const intent = intentFor(chunk!);
      const keys = intent.keys.map((key) => (spkiSha256 === undefined ? key : { ...key, spkiSha256 }));
      return ledger.store.issuance.recordIntent(chunk!, { ...intent, keys }).then(({ refused }) => refused.map(({ code: why }) => why), code);
    };
    expect(await intentOf(leafOf.ca.id)).toEqual([]);
    await revoke(sub.ca.id, 'cACompromise');
    expect(await intentOf(sub.ca.id)).toBe('ca.not-active');
    expect(await intentOf(leafOf.ca.id)).toBe('ca.not-active');
    expect(await intentOf(sibling.ca.id)).toEqual([]);
    expect(await intentOf(sibling.ca.id, sha256(sub.made.spkiDer))).toEqual(['key.blocked']);
  });

  it('cannot be undone by hand', async () => {
    const { ca: { id } } = await ca();
    await revoke(id, 'superseded');
    expect(await ledger.store.authorities.change(id, 'retired', 'active', changed).catch(code)).toBe('ca.state-refused');
    expect((await read(id)).state).toBe('retired');
    await expect(revoke(99_999, 'superseded').catch(code)).resolves.toBe('ca.not-found');
  });
});
