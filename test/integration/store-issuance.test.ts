import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifyChain } from '@fleetroot/audit';
import type { ClaimedChunk } from '@fleetroot/authority';
import { PkiError, type Secret } from '@fleetroot/core';
import { openStore } from '@fleetroot/store';
import {
  acceptedBatch, day, event, intentFor, issueChunk, issuedFor, openTestLedger, requests, selfSigned, sha256, type TestLedger,
} from '../support/ledger.ts';

let ledger: TestLedger;
let client: Client;
beforeAll(async () => {
  ledger = await openTestLedger();
  client = new Client({ connectionString: ledger.postgres.databaseUrl.reveal() });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await ledger.close();
});

const code = (error: unknown): string => (error instanceof PkiError ? error.code : String(error));
const sql = async <Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> => (await client.query<Row>(text, values)).rows;
const issuedEvent = event('chunk.issued', 'batch:test');

async function claimNew(size: number): Promise<ClaimedChunk> {
  const { chunkIds: [id] } = await acceptedBatch(ledger, [size]);
  const chunk = await ledger.store.issuance.claim(id!, 30_000);
  if (chunk === undefined) throw new Error('held');
  return chunk;
}

const goStale = (chunk: ClaimedChunk) => sql(`UPDATE chunk SET claimed_at = now() - interval '1 hour' WHERE id = $1`, [chunk.chunkId]);
const burned = async (serials: readonly Uint8Array[]) => (await sql('SELECT FROM burned_serial WHERE serial = ANY($1::bytea[])', [serials])).length;

describe('a claim', () => {
  it('gives the requests to one of twenty issuers (I21)', async () => {
    const { chunkIds: [id] } = await acceptedBatch(ledger, [5]);
    const claims = await Promise.all(Array.from({ length: 20 }, () => ledger.store.issuance.claim(id!, 30_000)));
    const won = claims.filter((claim) => claim !== undefined);
    expect(won).toHaveLength(1);
    expect(won[0]).toMatchObject({ fence: 1, first: 0, items: 5, caId: ledger.ca.id });
    expect(won[0]?.requests).toHaveLength(5);
    expect(won[0]?.requests[4]).toMatchObject({ ordinal: 4, partNumber: 'PN-100-A' });
    expect(won[0]?.requests[4]?.csr).toHaveLength(420);
  });

  it('does not take a chunk of a batch that is still being received, or one that is done', async () => {
    const { store, batch } = ledger;
    const begun = await store.batches.begin(batch);
    if (begun.kind !== 'new') throw new Error('known');
    await store.batches.append(begun.batchId, requests(0, 2), []);
    const [receiving] = await sql<{ id: string }>('SELECT id FROM chunk WHERE batch_id = $1', [begun.batchId]);
    await expect(store.issuance.claim(BigInt(receiving!.id), 0)).resolves.toBeUndefined();
    const { chunkIds: [done] } = await acceptedBatch(ledger, [1]);
    await issueChunk(ledger, done!);
    await expect(store.issuance.claim(done!, 0)).resolves.toBeUndefined();
  });

  it('takes over from a silent holder, burns what he may have signed (I8) and shuts him out', async () => {
    const { store, key } = ledger;
    const first = await claimNew(4);
    const intent = intentFor(first);
    const { intentId } = await store.issuance.recordIntent(first, intent);
    const issued = issuedFor(key, first, intent);
    await expect(store.issuance.claim(first.chunkId, 30_000)).resolves.toBeUndefined();
    await goStale(first);
    const before = await store.outbox.pending(1000);
    const second = await store.issuance.claim(first.chunkId, 30_000);
    expect(second).toMatchObject({ fence: 2 });
    expect(await burned(issued.map(({ serial }) => serial))).toBe(4);
    expect(await sql('SELECT state FROM intent WHERE id = $1', [intentId])).toEqual([{ state: 'abandoned' }]);
    expect((await store.outbox.pending(1000)).slice(before.length)).toMatchObject([{ job: 'publish-crl', payload: { caId: ledger.ca.id } }]);

    await expect(store.issuance.complete(first, intentId, issued, [], issuedEvent).catch(code)).resolves.toBe('store.stale-fence');
    await expect(store.issuance.recordIntent(first, intentFor(first)).catch(code)).resolves.toBe('store.stale-fence');
    await expect(store.issuance.release(first, undefined).catch(code)).resolves.toBe('store.stale-fence');
    expect(await sql('SELECT FROM certificate WHERE chunk_id = $1', [first.chunkId])).toHaveLength(0);

    const again = intentFor(second!);
    const recorded = await store.issuance.recordIntent(second!, again);
    await store.issuance.complete(second!, recorded.intentId, issuedFor(key, second!, again), [], issuedEvent);
    expect(await burned(issuedFor(key, second!, again).map(({ serial }) => serial))).toBe(0);
  });
});

const orphans = async (silentMs = 30_000): Promise<bigint[]> => (await ledger.store.waiting.orphaned(silentMs, 100)).map(({ chunkId }) => chunkId);

describe('renew', () => {
  it('keeps a chunk from going stale, and does nothing for one that is in other hands or free', async () => {
    const { store } = ledger;
    const first = await claimNew(2);
    await goStale(first);
    await store.issuance.renew(first);
    await expect(store.issuance.claim(first.chunkId, 30_000)).resolves.toBeUndefined();
    await goStale(first);
    const second = await store.issuance.claim(first.chunkId, 30_000);
    await goStale(second!);
    await store.issuance.renew(first);
    expect(await orphans()).toContain(first.chunkId);
    await store.issuance.release(second!, undefined);
    await store.issuance.renew(second!);
    expect(await sql('SELECT state, claimed_at FROM chunk WHERE id = $1', [first.chunkId])).toEqual([{ state: 'pending', claimed_at: null }]);
    await issueChunk(ledger, first.chunkId);
  });
});

describe('a key that is proven compromised while its certificate is being signed', () => {
  const proof = (publicKeySha256: Uint8Array) => ledger.store.compromises.compromised({ publicKeySha256, proofSha256: sha256('proof'), revokedAt: new Date(), principalId: ledger.batch.principalId });
  const revocationsOf = (chunkId: bigint) => sql<{ ordinal: number; reason: number }>(
    'SELECT c.ordinal, r.reason FROM certificate c JOIN revocation r USING (ca_id, serial) WHERE c.chunk_id = $1 ORDER BY 1', [chunkId]);
  async function inFlight() {
    const chunk = await claimNew(3);
    const intent = intentFor(chunk);
    const { intentId } = await ledger.store.issuance.recordIntent(chunk, intent);
    const issued = issuedFor(ledger.key, chunk, intent);
    return { chunk, key: issued[1]!.spkiSha256, store: () => ledger.store.issuance.complete(chunk, intentId, issued, [], issuedEvent) };
  }

  it('before it is stored: it is revoked as it is stored, and a CRL is asked for', async () => {
    const { chunk, key, store } = await inFlight();
    expect(await proof(key)).toMatchObject({ changed: 0, certificates: [] });
    const before = await ledger.store.outbox.pending(1000);
    await store();
    expect(await revocationsOf(chunk.chunkId)).toEqual([{ ordinal: 1, reason: 1 }]);
    expect(await sql('SELECT FROM certificate WHERE chunk_id = $1', [chunk.chunkId])).toHaveLength(3);
    expect((await ledger.store.outbox.pending(1000)).slice(before.length)).toMatchObject([{ job: 'publish-crl', payload: { caId: ledger.ca.id } }]);
    const told = await sql<{ payload: string }>(`SELECT payload FROM audit_event WHERE payload LIKE '{"action":"certificate.revoked"%' ORDER BY seq DESC LIMIT 1`);
    expect(JSON.parse(told[0]!.payload)).toMatchObject({ actor: 'system:issuer', data: { reason: 'keyCompromise' } });
    expect(await proof(key)).toMatchObject({ changed: 0, certificates: [{}] });
  });

  it('while it is being stored: whoever comes second sees the other', async () => {
    const { chunk, key, store } = await inFlight();
    const other = new Client({ connectionString: ledger.postgres.databaseUrl.reveal() });
    await other.connect();
    // Storing gets as far as its event, with its certificates in the table, and no further.
    await other.query('BEGIN');
    await other.query('SELECT FROM audit_head FOR UPDATE');
    const stored = store();
    const waiting = async (events: string) => (await sql('SELECT FROM pg_stat_activity WHERE wait_event_type = \'Lock\' AND wait_event = ANY(string_to_array($1, \' \'))', [events])).length;
    await expect.poll(() => waiting('transactionid tuple'), { timeout: 5000 }).toBe(1);
    const proven = proof(key);
    await expect.poll(() => waiting('transactionid tuple advisory'), { timeout: 5000 }).toBe(2);
    await other.query('COMMIT');
    await other.end();
    await stored;
    expect(await proven).toMatchObject({ changed: 1, certificates: [{}] });
    expect(await revocationsOf(chunk.chunkId)).toEqual([{ ordinal: 1, reason: 1 }]);
  });

  it('at any moment', async () => {
    for (let round = 0; round < 20; round++) {
      const { chunk, key, store } = await inFlight();
      await Promise.all(round % 2 === 0 ? [store(), proof(key)] : [proof(key), store()]);
      expect(await revocationsOf(chunk.chunkId)).toEqual([{ ordinal: 1, reason: 1 }]);
    }
  });
});

describe('complete', () => {
  it('stores once: a second time fails and changes nothing', async () => {
    const { store, key } = ledger;
    const chunk = await claimNew(3);
    const intent = intentFor(chunk);
    const { intentId } = await store.issuance.recordIntent(chunk, intent);
    const issued = issuedFor(key, chunk, intent);
    await store.issuance.complete(chunk, intentId, issued, [], issuedEvent);
    await expect(store.issuance.complete(chunk, intentId, issued, [], issuedEvent).catch(code)).resolves.toBe('store.stale-fence');
    expect(await sql('SELECT FROM certificate WHERE chunk_id = $1', [chunk.chunkId])).toHaveLength(3);
  });

  it('stores all or nothing: a missing outcome or a serial used before undoes the certificates and the event (I22, I26)', async () => {
    const { store, key } = ledger;
    const events = async () => (await store.audit.head()).seq;
    const chunk = await claimNew(3);
    const intent = intentFor(chunk);
    const { intentId } = await store.issuance.recordIntent(chunk, intent);
    const before = await events();
    const issued = issuedFor(key, chunk, intent);
    await expect(store.issuance.complete(chunk, intentId, issued.slice(0, 2), [], issuedEvent).catch(code)).resolves.toBe('internal');
    const twice = issued.map((item) => ({ ...item, serial: issued[0]!.serial }));
    await expect(store.issuance.complete(chunk, intentId, twice, [], issuedEvent).catch(code)).resolves.toBe('internal');
    expect(await events()).toBe(before);
    expect(await sql('SELECT FROM certificate WHERE chunk_id = $1', [chunk.chunkId])).toHaveLength(0);
    await store.issuance.complete(chunk, intentId, issued, [], issuedEvent);
    expect(await events()).toBe(before + 1n);
  });

  it('keeps failures beside certificates, and burns the serial of an item that was abandoned', async () => {
    const { store, key } = ledger;
    const chunk = await claimNew(4);
    const intent = intentFor(chunk);
    const { intentId } = await store.issuance.recordIntent(chunk, intent);
    await store.issuance.complete(chunk, intentId, issuedFor(key, chunk, intent, [1, 2]), [
      { ordinal: 1, code: 'request.signature-invalid', detail: 'no possession' },
      { ordinal: 2, code: 'issuance.abandoned', detail: 'signed and not usable' },
    ], issuedEvent);
    expect(await ledger.store.batches.progress(chunk.batchId)).toMatchObject({ issued: 2, failed: 2, pending: 0, state: 'done' });
    expect(await burned([key.deriveSerial({ ...intent, form: 2 }, 1)])).toBe(0);
    expect(await burned([key.deriveSerial({ ...intent, form: 2 }, 2)])).toBe(1);
    const outcomes: string[] = [];
    for await (const result of store.batches.results(chunk.batchId, 0, AbortSignal.timeout(5000))) outcomes.push(result.outcome === 'failed' ? result.code : 'issued');
    expect(outcomes).toEqual(['issued', 'request.signature-invalid', 'issuance.abandoned', 'issued']);
  });
});

describe('release', () => {
  it('burns the open intent and makes the chunk free again', async () => {
    const { store, key } = ledger;
    const chunk = await claimNew(2);
    const intent = intentFor(chunk);
    await store.issuance.recordIntent(chunk, intent);
    await store.issuance.release(chunk, event('intent.abandoned', 'batch:test'));
    expect(await burned(issuedFor(key, chunk, intent).map(({ serial }) => serial))).toBe(2);
    expect(await store.issuance.claim(chunk.chunkId, 30_000)).toMatchObject({ fence: 2 });
  });

  it.each([[[0, 1, 2, 3], 0, 0], [[2, 3], 2, 1], [[], 4, 1], [[3, 99, -1], 3, 1]])(
    'burns no serial of the places %j, which the HSM was never given: %i of four are burned, %i CRL is asked for', async (untouched, count, crls) => {
      const { store, key } = ledger;
      const chunk = await claimNew(4);
      const intent = intentFor(chunk);
      const { intentId } = await store.issuance.recordIntent(chunk, intent);
      const before = (await store.outbox.pending(10_000)).length;
      const events = (await store.audit.head()).seq;
      await store.issuance.release(chunk, undefined, untouched);
      const serials = [0, 1, 2, 3].map((ordinal) => key.deriveSerial({ ...intent, form: 2 }, ordinal));
      expect(await burned(serials)).toBe(count);
      expect((await store.outbox.pending(10_000)).slice(before)).toMatchObject(Array.from({ length: crls }, () => ({ job: 'publish-crl' })));
      expect((await store.audit.head()).seq).toBe(events + 1n);
      const places = untouched.filter((place) => place >= 0 && place < 4);
      expect(await burned(places.map((place) => serials[place]!))).toBe(0);
      expect(await sql('SELECT state, untouched FROM intent WHERE id = $1', [intentId])).toEqual([{ state: 'abandoned', untouched: places }]);
      expect(await store.issuance.claim(chunk.chunkId, 30_000)).toMatchObject({ fence: 2 });
    });

  it('is seen by the search for chunks that nobody works on', async () => {
    const chunk = await claimNew(1);
    expect(await orphans()).not.toContain(chunk.chunkId);
    await goStale(chunk);
    expect(await orphans()).toContain(chunk.chunkId);
    await issueChunk(ledger, chunk.chunkId);
    expect(await orphans(0)).not.toContain(chunk.chunkId);
  });
});

describe('the generation that signs', () => {
  it('is the one of the intent, whatever CA the batch was accepted for: its serials, its clock, its burned serials', async () => {
    const { store, key } = ledger;
    const next = await store.authorities.add(selfSigned('ecu-issuing-g2'), event('ca.imported', 'ca:ecu-issuing-g2'));
    const { chunkIds: [one, two] } = await acceptedBatch(ledger, [2, 2]);
    const chunk = await store.issuance.claim(one!, 30_000);
    expect(chunk).toMatchObject({ caId: ledger.ca.id });
    const intent = { ...intentFor(chunk!), caId: next.id };
    const { intentId } = await store.issuance.recordIntent(chunk!, intent);
    await store.issuance.complete(chunk!, intentId, issuedFor(key, chunk!, intent), [], issuedEvent);
    expect(await sql('SELECT DISTINCT ca_id FROM certificate WHERE chunk_id = $1', [one])).toEqual([{ ca_id: next.id }]);
    expect(await sql('SELECT ca_id FROM intent WHERE id = $1', [intentId])).toEqual([{ ca_id: next.id }]);
    expect(await sql('SELECT last_signed_at FROM ca WHERE id = $1', [next.id])).toEqual([{ last_signed_at: intent.signedAt }]);
    const [found] = await store.certificates.search({ ecuSerial: chunk!.requests[0]!.ecuSerial! }, new Date(), undefined, 10);
    expect(found).toMatchObject({ ca: 'ecu-issuing-g2' });
    const second = await store.issuance.claim(two!, 30_000);
    const lost = { ...intentFor(second!), caId: next.id };
    await store.issuance.recordIntent(second!, lost);
    await store.issuance.release(second!, undefined);
    expect(await sql('SELECT DISTINCT ca_id FROM burned_serial WHERE serial = $1', [key.deriveSerial({ ...lost, form: 2 }, 2)])).toEqual([{ ca_id: next.id }]);
    expect((await store.outbox.pending(10_000)).at(-1)).toMatchObject({ job: 'publish-crl', payload: { caId: next.id } });
  });

  it.each(['prepared', 'retiring', 'retired', 'compromised'])('is judged, and not the CA of the batch: one that is %s is refused, and one that is active is not', async (state) => {
    const { store } = ledger;
    const next = await store.authorities.add({ ...selfSigned(`judged-${state}`), state: 'active' }, event('ca.imported', 'ca:judged'));
    const chunk = await claimNew(1);
    await sql('UPDATE ca SET state = $2 WHERE id = $1', [next.id, state]);
    expect(await store.issuance.recordIntent(chunk, { ...intentFor(chunk), caId: next.id }).catch(code)).toBe('ca.not-active');
    await sql(`UPDATE ca SET state = CASE id WHEN $1 THEN 'active' ELSE $3 END WHERE id = ANY($2::int[])`, [next.id, [next.id, ledger.ca.id], state]);
    try {
      await expect(store.issuance.recordIntent(chunk, { ...intentFor(chunk), caId: next.id })).resolves.toMatchObject({ refused: [] });
    } finally {
      await sql(`UPDATE ca SET state = 'active' WHERE id = $1`, [ledger.ca.id]);
    }
  });

  it('has its key here', async () => {
    const offline = await ledger.store.authorities.add({ ...selfSigned('offline'), keyId: undefined }, event('ca.imported', 'ca:offline'));
    const chunk = await claimNew(1);
    await expect(ledger.store.issuance.recordIntent(chunk, { ...intentFor(chunk), caId: offline.id }).catch(code)).resolves.toBe('ca.not-active');
  });
});

describe('what is burned of a CA that was revoked meanwhile', () => {
  it('stays revoked, and no CRL is asked for that nobody signs', async () => {
    const { store } = ledger;
    const gone = await store.authorities.add(selfSigned('gone'), event('ca.imported', 'ca:gone'));
    const chunk = await claimNew(2);
    const intent = { ...intentFor(chunk), caId: gone.id };
    await store.issuance.recordIntent(chunk, intent);
    await store.authorities.revoke({ caId: gone.id, reason: 1, revokedAt: new Date(), principalId: ledger.batch.principalId }, event('ca.revoked', 'ca:gone'));
    const before = (await store.outbox.pending(10_000)).length;
    await store.issuance.release(chunk, undefined);
    expect(await burned(issuedFor(ledger.key, chunk, intent).map(({ serial }) => serial))).toBe(2);
    expect((await store.outbox.pending(10_000)).length).toBe(before);
  });
});

describe('what a batch is for', () => {
  const { signal } = new AbortController();

  it('comes with its chunks, and is counted while it waits', async () => {
    const { store, batch } = ledger;
    const count = async (purpose: string) => (await store.issuance.backlog()).find((line) => line.purpose === purpose)?.items ?? 0;
    const before = await count('renewal');
    const renewal = { ...ledger, batch: { ...batch, purpose: 'renewal' as const } };
    const { batchId, chunkIds } = await acceptedBatch(renewal, [3, 4]);
    expect(await count('renewal')).toBe(before + 7);
    const chunk = await store.issuance.claim(chunkIds[0]!, 30_000);
    expect(chunk).toMatchObject({ purpose: 'renewal' });
    expect(await count('renewal')).toBe(before + 7);
    await store.issuance.release(chunk!, undefined);
    for (const id of chunkIds) await issueChunk(renewal, id);
    for await (const { outcome } of store.batches.results(batchId, 0, signal)) expect(outcome).toBe('issued');
    expect(await count('renewal')).toBe(before);
    const one = await store.batches.submitOne({ ...batch, purpose: 'ocsp' }, requests(0, 1)[0]!, Buffer.alloc(32), () => event('batch.accepted', 'batch:x'));
    if (one.kind !== 'new') throw new Error('known');
    expect(await store.issuance.claim(one.chunkId, 30_000)).toMatchObject({ purpose: 'ocsp' });
    await expect(store.batches.begin({ ...batch, purpose: 'nothing' as 'line' }).catch(code)).resolves.toBe('internal');
  });

  it('does not count what is still being received, or refused by registration', async () => {
    const { store, batch } = ledger;
    const crl = async () => (await store.issuance.backlog()).find(({ purpose }) => purpose === 'crl')?.items ?? 0;
    const begun = await store.batches.begin({ ...batch, purpose: 'crl' });
    if (begun.kind !== 'new') throw new Error('known');
    await store.batches.append(begun.batchId, requests(0, 2), [{ ordinal: 2, code: 'request.malformed', detail: 'x' }]);
    expect(await crl()).toBe(0);
    await store.batches.accept(begun.batchId, Buffer.alloc(32), event('batch.accepted', 'batch:x'));
    expect(await crl()).toBe(2);
  });

  it('is counted by the open chunks alone, however many are done', async () => {
    const { batchId } = await acceptedBatch(ledger, [1]);
    await sql(`INSERT INTO chunk (batch_id, first, items, state, failed) SELECT $1, n, 1, 'done', 1 FROM generate_series(1, 50000) AS n`, [batchId]);
    try {
      await sql('ANALYZE chunk');
      const [{ 'QUERY PLAN': plan }] = (await sql(`EXPLAIN (FORMAT JSON) SELECT b.purpose, sum(c.items - c.failed)::int AS items FROM chunk c JOIN batch b ON b.id = c.batch_id
        WHERE c.state <> 'done' AND b.state = 'accepted' GROUP BY b.purpose`)) as [{ 'QUERY PLAN': object }];
      expect(JSON.stringify(plan)).toMatch(/chunk_(?:oldest_)?open/);
    } finally {
      await sql('DELETE FROM chunk WHERE batch_id = $1 AND failed = 1', [batchId]);
    }
  });
});

describe('an intent', () => {
  const intentOn = async (change: Partial<ReturnType<typeof intentFor>>) => {
    const chunk = await claimNew(1);
    return ledger.store.issuance.recordIntent(chunk, { ...intentFor(chunk), ...change }).then(() => 'recorded', code);
  };

  it.each([[-3_600_000, 'clock.skew'], [3_600_000, 'clock.skew'], [-400 * day, 'clock.skew'], [-7000, 'clock.skew'], [7000, 'clock.skew'], [-2000, 'recorded']])(
    'of a process whose clock is %d ms off: %s (I24)', async (offset, outcome) => {
      expect(await intentOn({ signedAt: new Date(Date.now() + offset) })).toBe(outcome);
    });

  it('is refused behind the time the CA last signed for (I24)', async () => {
    await sql(`UPDATE ca SET last_signed_at = now() + interval '1 minute' WHERE id = $1`, [ledger.ca.id]);
    expect(await intentOn({})).toBe('clock.skew');
    await sql('UPDATE ca SET last_signed_at = NULL WHERE id = $1', [ledger.ca.id]);
    expect(await intentOn({})).toBe('recorded');
  });

  it.each(['prepared', 'retiring', 'retired', 'compromised'])('of a CA that is %s is refused (I10)', async (state) => {
    await sql('UPDATE ca SET state = $2 WHERE id = $1', [ledger.ca.id, state]);
    try {
      expect(await intentOn({})).toBe('ca.not-active');
    } finally {
      await sql(`UPDATE ca SET state = 'active' WHERE id = $1`, [ledger.ca.id]);
    }
  });

  it.each([['retiring', 'recorded'], ['prepared', 'recorded'], ['retired', 'ca.not-active'], ['compromised', 'ca.not-active']])('of a CA that is %s, for its OCSP signer: %s', async (state, outcome) => {
    const profile = await ledger.store.profiles.ensure('ocsp-signer', '{"name":"ocsp-signer"}');
    await sql('UPDATE ca SET state = $2 WHERE id = $1', [ledger.ca.id, state]);
    try {
      const chunk = await claimNew(1);
      expect(await ledger.store.issuance.recordIntent({ ...chunk, profileVersionId: profile.id }, intentFor(chunk)).then(() => 'recorded', code)).toBe(outcome);
    } finally {
      await sql(`UPDATE ca SET state = 'active' WHERE id = $1`, [ledger.ca.id]);
    }
  });

  it('may not outlive its CA (I7)', async () => {
    expect(await intentOn({ notAfter: new Date(Date.now() + 4000 * day) })).toBe('internal');
  });

  it('refuses a key under another owner, in one chunk, in another, and one that is blocked (I11)', async () => {
    const { store } = ledger;
    const chunk = await claimNew(4);
    const intent = intentFor(chunk);
    const [a, b, c, d] = intent.keys;
    const keys = [a!, { ...b!, spkiSha256: a!.spkiSha256 }, c!, d!];
    expect((await store.issuance.recordIntent(chunk, { ...intent, keys })).refused).toEqual([{ ordinal: 1, code: 'key.other-ecu' }]);
    await sql('UPDATE subject_key SET blocked = true WHERE spki_sha256 = $1', [Buffer.from(c!.spkiSha256)]);
    const next = await claimNew(3);
    const more = intentFor(next);
    const second = [
      { ...more.keys[0]!, spkiSha256: a!.spkiSha256, owner: a!.owner },
      { ...more.keys[1]!, spkiSha256: c!.spkiSha256, owner: c!.owner },
      { ...more.keys[2]!, spkiSha256: d!.spkiSha256 },
    ];
    expect((await store.issuance.recordIntent(next, { ...more, keys: second })).refused).toEqual([
      { ordinal: 1, code: 'key.blocked' }, { ordinal: 2, code: 'key.other-ecu' },
    ]);
  });

  it('gives a key to one of two ECUs that ask at the same time', async () => {
    const chunks = [await claimNew(30), await claimNew(30)];
    const intents = chunks.map(intentFor);
    const stolen = { ...intents[1]!, keys: intents[1]!.keys.map((item, i) => ({ ...item, spkiSha256: intents[0]!.keys[29 - i]!.spkiSha256 })) };
    const [one, two] = await Promise.all([ledger.store.issuance.recordIntent(chunks[0]!, intents[0]!), ledger.store.issuance.recordIntent(chunks[1]!, stolen)]);
    expect(one.refused.length + two.refused.length).toBe(30);
  });

  // So many that they are put on record under a savepoint, if all are new.
  describe('of many items', () => {
    const owned = async (keys: readonly { readonly spkiSha256: Uint8Array }[]) =>
      (await sql('SELECT FROM subject_key WHERE spki_sha256 = ANY($1::bytea[])', [keys.map(({ spkiSha256 }) => spkiSha256)])).length;

    it('takes back the key of an item whose ECU is on record otherwise, and no other', async () => {
      const chunk = await claimNew(100);
      const { keys, ...intent } = intentFor(chunk);
      await sql(`INSERT INTO ecu (serial, part_number) VALUES ($1, 'PN-OTHER')`, [chunk.requests[70]!.ecuSerial]);
      const { refused } = await ledger.store.issuance.recordIntent(chunk, { ...intent, keys });
      expect(refused).toEqual([{ ordinal: 70, code: 'ecu.part-number-conflict' }]);
      expect(await owned(keys)).toBe(99);
      expect(await owned([keys[70]!])).toBe(0);
    });

    it('refuses the one key that is another\'s, and again where some of the next are (I11)', async () => {
      const first = await claimNew(100);
      const intent = intentFor(first);
      expect((await ledger.store.issuance.recordIntent(first, intent)).refused).toEqual([]);
      for (const stolen of [3, 5]) {
        const next = await claimNew(100);
        const more = intentFor(next);
        const keys = more.keys.map((item, i) => (i % 50 === stolen ? { ...item, spkiSha256: intent.keys[i]!.spkiSha256 } : item));
        expect((await ledger.store.issuance.recordIntent(next, { ...more, keys })).refused).toEqual([
          { ordinal: stolen, code: 'key.other-ecu' }, { ordinal: stolen + 50, code: 'key.other-ecu' },
        ]);
        expect(await sql('SELECT DISTINCT owner FROM subject_key WHERE spki_sha256 = $1', [Buffer.from(intent.keys[stolen]!.spkiSha256)])).toEqual([{ owner: intent.keys[stolen]!.owner }]);
        expect(await sql('SELECT FROM ecu WHERE serial = ANY($1)', [next.requests.map(({ ecuSerial }) => ecuSerial)])).toHaveLength(98);
      }
    });

    it('gives each key to one of two chunks that ask at the same time', async () => {
      const chunks = [await claimNew(100), await claimNew(100)];
      const intents = chunks.map(intentFor);
      const stolen = { ...intents[1]!, keys: intents[1]!.keys.map((item, i) => ({ ...item, spkiSha256: intents[0]!.keys[99 - i]!.spkiSha256 })) };
      const outcomes = await Promise.all([ledger.store.issuance.recordIntent(chunks[0]!, intents[0]!), ledger.store.issuance.recordIntent(chunks[1]!, stolen)]);
      expect(outcomes.flatMap(({ refused }) => refused)).toHaveLength(100);
    });

    it('that take back what they put there leave the keys of others alone', async () => {
      const first = await claimNew(100);
      const intent = intentFor(first);
      await ledger.store.issuance.recordIntent(first, intent);
      const next = await claimNew(100);
      const more = intentFor(next);
      // A known key of its own, under the same owner, and an ECU that does not fit: the key stays, for it was there.
      const keys = more.keys.map((item, i) => (i === 7 ? { ...item, spkiSha256: intent.keys[7]!.spkiSha256, owner: intent.keys[7]!.owner } : item));
      await sql(`INSERT INTO ecu (serial, part_number) VALUES ($1, 'PN-OTHER')`, [next.requests[7]!.ecuSerial]);
      expect((await ledger.store.issuance.recordIntent(next, { ...more, keys })).refused).toEqual([{ ordinal: 7, code: 'ecu.part-number-conflict' }]);
      expect(await owned([intent.keys[7]!])).toBe(1);
      expect(await owned(more.keys)).toBe(99);
    });
  });
});

describe('the audit log', () => {
  it('is a chain that holds, and breaks where a row was changed or the end cut off', async () => {
    const { store } = ledger;
    const verify = async () => verifyChain(store.audit.events(), await store.audit.head());
    expect(await verify()).toMatchObject({ events: Number((await store.audit.head()).seq) });
    expect((await verify()).breach).toBeUndefined();
    for (const change of [`UPDATE audit_event SET payload = '{}' WHERE seq = 3`, 'DELETE FROM audit_event WHERE seq = 3', 'TRUNCATE audit_event']) {
      await expect(sql(change)).rejects.toThrow('append-only');
    }
    await asSuperuser(ledger.postgres.adminUrl, async (admin) => {
      await admin.query('ALTER TABLE audit_event DISABLE TRIGGER ALL');
      const { rows: [row] } = await admin.query<{ payload: string }>('SELECT payload FROM audit_event WHERE seq = 3');
      await admin.query(`UPDATE audit_event SET payload = replace(payload, 'system', 'nobody') WHERE seq = 3`);
      expect((await verify()).breach).toEqual({ seq: 3n, what: 'hash' });
      await admin.query('UPDATE audit_event SET payload = $1 WHERE seq = 3', [row?.payload]);
      expect((await verify()).breach).toBeUndefined();
      const { rows: [last] } = await admin.query('DELETE FROM audit_event WHERE seq = (SELECT max(seq) FROM audit_event) RETURNING *');
      expect((await verify()).breach).toMatchObject({ what: 'head' });
      await admin.query('INSERT INTO audit_event (seq, at, payload, prev_hash, hash) VALUES ($1, $2, $3, $4, $5)', [last.seq, last.at, last.payload, last.prev_hash, last.hash]);
      await admin.query('ALTER TABLE audit_event ENABLE TRIGGER ALL');
    });
    expect((await verify()).breach).toBeUndefined();
  });

  it('takes events from many connections without a gap', async () => {
    const { store } = ledger;
    const before = (await store.audit.head()).seq;
    await Promise.all(Array.from({ length: 60 }, (_, i) => store.audit.append(event('truststore.published', `truststore:é${i}`))));
    expect((await store.audit.head()).seq).toBe(before + 60n);
    expect((await verifyChain(store.audit.events(), await store.audit.head())).breach).toBeUndefined();
  });
});

describe('opening', () => {
  it('refuses a database that takes a serial twice (I3)', async () => {
    await sql('ALTER TABLE certificate DROP CONSTRAINT certificate_pkey');
    try {
      await expect(openStore({ databaseUrl: ledger.postgres.databaseUrl, ledgerKey: ledger.key, pool: 2 }).catch(code)).resolves.toBe('store.migration');
    } finally {
      await sql('ALTER TABLE certificate ADD CONSTRAINT certificate_pkey PRIMARY KEY (ca_id, serial)');
    }
    const store = await openStore({ databaseUrl: ledger.postgres.databaseUrl, ledgerKey: ledger.key, pool: 2 });
    await store.close();
    expect(await sql('SELECT FROM certificate WHERE ca_id = 0')).toHaveLength(0);
  });

  it('refuses a database that was not migrated', async () => {
    await expect(openStore({ databaseUrl: ledger.postgres.adminUrl, ledgerKey: ledger.key, pool: 2 }).catch(code)).resolves.toBe('store.migration');
  });
});

describe('authorities', () => {
  it('records a CA once; the same name with another certificate is refused', async () => {
    const ca = selfSigned('another-ca');
    const added = await Promise.all([1, 2, 3].map(() => ledger.store.authorities.add(ca, event('ca.imported', 'ca:another-ca'))));
    expect(new Set(added.map(({ id }) => id)).size).toBe(1);
    expect(Buffer.from(added[0]!.certificate).equals(ca.certificate)).toBe(true);
    await expect(ledger.store.authorities.add({ ...selfSigned('another-ca') }, event('ca.imported', 'ca:another-ca')).catch(code)).resolves.toBe('ca.conflict');
    await expect(ledger.store.authorities.add({ ...ca, name: 'same-key' as typeof ca.name }, event('ca.imported', 'ca:same-key')).catch(code)).resolves.toBe('ca.conflict');
  });
});

async function asSuperuser(adminUrl: Secret, work: (admin: Client) => Promise<void>): Promise<void> {
  const url = new URL(adminUrl.reveal());
  url.pathname = '/fleetroot';
  const admin = new Client({ connectionString: url.href });
  await admin.connect();
  try {
    await work(admin);
  } finally {
    await admin.end();
  }
}
