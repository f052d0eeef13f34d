import { randomBytes, randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ItemResult, NewBatch, RequestItem } from '@fleetroot/authority';
import { lot, partNumber, PkiError, type Secret } from '@fleetroot/core';
import { acceptedBatch, event, intentFor, issueChunk, issuedFor, openTestLedger, requests, sha256, someVin, type TestLedger } from '../support/ledger.ts';

let ledger: TestLedger;
beforeAll(async () => {
  ledger = await openTestLedger();
});
afterAll(() => ledger.close());

const code = (error: unknown): string => (error instanceof PkiError ? error.code : String(error));
const accepted = (batchId: string) => event('batch.accepted', `batch:${batchId}`);
const keyed = (): NewBatch => ({ ...ledger.batch, idempotencyKey: randomUUID() });

async function begin(batch: NewBatch): Promise<string> {
  const begun = await ledger.store.batches.begin(batch);
  if (begun.kind !== 'new') throw new Error('not new');
  return begun.batchId;
}

async function sql<Row extends object>(text: string, values: unknown[] = [], url: Secret = ledger.postgres.databaseUrl): Promise<Row[]> {
  const client = new Client({ connectionString: url.reveal() });
  await client.connect();
  try {
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end();
  }
}

describe('an Idempotency-Key', () => {
  it('finds the accepted batch again, with the hash of its body', async () => {
    const batch = keyed();
    const batchId = await begin(batch);
    await ledger.store.batches.append(batchId, requests(0, 3), []);
    await ledger.store.batches.accept(batchId, sha256('body'), accepted(batchId));
    const again = await ledger.store.batches.begin(batch);
    expect(again).toMatchObject({ kind: 'known', batch: { id: batchId, items: 3, state: 'accepted' } });
    expect(again.kind === 'known' && Buffer.from(sha256('body')).equals(again.batch.bodySha256 ?? Buffer.alloc(0))).toBe(true);
  });

  it('is another one for another principal', async () => {
    const other = await ledger.store.principals.put(`line-${randomUUID()}`, ['line'], sha256(randomUUID()), undefined, event('principal.created', 'principal:x'));
    const batch = keyed();
    await begin(batch);
    expect(await begin({ ...batch, principalId: other.id })).toMatch(/-/);
  });

  it('is refused while its batch is being received, and free again after discard', async () => {
    const batch = keyed();
    const batchId = await begin(batch);
    await expect(ledger.store.batches.begin(batch).catch(code)).resolves.toBe('idempotency.in-progress');
    await ledger.store.batches.discard(batchId);
    expect(await begin(batch)).not.toBe(batchId);
  });

  it('is free again when its sender has been silent for long, and the late sender finds no batch', async () => {
    const batch = keyed();
    const batchId = await begin(batch);
    await ledger.store.batches.append(batchId, requests(0, 2), [{ ordinal: 2, code: 'request.empty', detail: 'empty' }]);
    await sql(`UPDATE batch SET received_at = now() - interval '1 minute' WHERE id = $1`, [batchId]);
    expect(await begin(batch)).not.toBe(batchId);
    await expect(ledger.store.batches.append(batchId, requests(3, 1), []).catch(code)).resolves.toBe('batch.not-found');
    await expect(ledger.store.batches.progress(batchId).catch(code)).resolves.toBe('batch.not-found');
  });

  it('lets one of twenty simultaneous senders in', async () => {
    const batch = keyed();
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => ledger.store.batches.begin(batch).then(({ kind }) => kind, code)));
    expect(outcomes.filter((outcome) => outcome === 'new')).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === 'idempotency.in-progress')).toHaveLength(19);
  });

  it('names the batch of a single request in its event', async () => {
    const batch = { ...keyed(), priority: 1 };
    const submitted = await ledger.store.batches.submitOne(batch, requests(0, 1)[0]!, sha256('one'), accepted);
    const [last] = await sql<{ payload: string }>('SELECT payload FROM audit_event ORDER BY seq DESC LIMIT 1');
    expect(submitted.kind === 'new' && last?.payload.includes(`"batch:${submitted.batchId}"`)).toBe(true);
  });

  it('gives a single request one chunk, however often it comes', async () => {
    const batch = keyed();
    const [item] = requests(0, 1);
    if (item === undefined) throw new Error('no item');
    const submit = () => ledger.store.batches.submitOne(batch, item, sha256('one'), accepted);
    const outcomes = await Promise.all([submit(), submit(), submit()]);
    expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['known', 'known', 'new']);
  });
});

describe('appending', () => {
  it('takes ordinals only where the last chunk ended', async () => {
    const batchId = await begin(keyed());
    await ledger.store.batches.append(batchId, requests(0, 3), []);
    for (const items of [requests(2, 2), requests(4, 2), [...requests(3, 1), ...requests(3, 1)]]) {
      await expect(ledger.store.batches.append(batchId, items, []).catch(code)).resolves.toBe('internal');
    }
    expect((await ledger.store.batches.progress(batchId)).items).toBe(3);
  });

  it('is done at once where no item is good; an empty batch is refused', async () => {
    const failed = await begin(keyed());
    await ledger.store.batches.append(failed, [], [{ ordinal: 0, code: 'vin.invalid', detail: 'check digit' }]);
    expect(await ledger.store.batches.accept(failed, sha256('x'), accepted(failed))).toMatchObject({ state: 'done', failed: 1, pending: 0 });
    const empty = await begin(keyed());
    await expect(ledger.store.batches.accept(empty, sha256('x'), accepted(empty)).catch(code)).resolves.toBe('batch.empty');
  });
});

/** Accepts the batch and issues all of it; the failures by their ordinal. */
async function issueAll(batchId: string): Promise<Record<number, string>> {
  await ledger.store.batches.accept(batchId, sha256('b'), accepted(batchId));
  for (const { id } of await sql<{ id: string }>(`SELECT id FROM chunk WHERE batch_id = $1 AND state = 'pending' ORDER BY first`, [batchId])) {
    await issueChunk(ledger, BigInt(id));
  }
  const failures = await sql<{ ordinal: number; code: string }>('SELECT ordinal, code FROM failure f JOIN chunk c ON c.id = f.chunk_id WHERE c.batch_id = $1', [batchId]);
  return Object.fromEntries(failures.map(({ ordinal, code: why }) => [ordinal, why]));
}

const onRecord = async () => (await sql<{ ecus: number; vehicles: number; keys: number }>(
  'SELECT (SELECT count(*)::int FROM ecu) AS ecus, (SELECT count(*)::int FROM vehicle) AS vehicles, (SELECT count(*)::int FROM subject_key) AS keys'))[0]!;
const other = (item: RequestItem, change: Partial<RequestItem>): RequestItem => ({ ...item, csr: randomBytes(420), ...change });

describe('ECUs and vehicles', () => {
  it.each<[string, (batchId: string, batch: NewBatch) => Promise<unknown>]>([
    ['discarded', (batchId) => ledger.store.batches.discard(batchId)],
    ['silent, and its key used again', async (batchId, batch) => {
      await sql(`UPDATE batch SET received_at = now() - interval '1 minute' WHERE id = $1`, [batchId]);
      await begin(batch);
    }],
    ['still being received', async () => undefined],
  ])('of a batch that is %s are not on record, and the right batch finds no conflict', async (_, end) => {
    const before = await onRecord();
    const batch = keyed();
    const wrong = await begin(batch);
    const items = requests(0, 3);
    await ledger.store.batches.append(wrong, items.map((item) => other(item, { partNumber: partNumber('PN-WRONG'), vin: someVin() })), []);
    await end(wrong, batch);
    expect(await onRecord()).toEqual(before);
    const right = await begin(keyed());
    await ledger.store.batches.append(right, items, []);
    expect(await issueAll(right)).toEqual({});
    expect(await onRecord()).toEqual({ ecus: before.ecus + 3, vehicles: before.vehicles + 1, keys: before.keys + 3 });
  });

  it('on record otherwise make the item fail, which leaves no vehicle and no key behind', async () => {
    const [known, placeless] = requests(0, 2);
    const first = await begin(keyed());
    await ledger.store.batches.append(first, [known!, { ordinal: 1, ecuSerial: placeless!.ecuSerial!, partNumber: placeless!.partNumber!, csr: placeless!.csr }], []);
    expect(await issueAll(first)).toEqual({});
    const fresh = requests(0, 1)[0]!;
    const second = await begin(keyed());
    const before = await onRecord();
    await ledger.store.batches.append(second, [
      other(known!, { ordinal: 0 }),
      other(known!, { ordinal: 1, partNumber: partNumber('PN-OTHER') }),
      other(known!, { ordinal: 2, vin: someVin() }),
      other(fresh, { ordinal: 3 }),
      other(fresh, { ordinal: 4, vin: someVin() }),
      other(placeless!, { ordinal: 5, vin: fresh.vin! }),
    ], []);
    expect(await issueAll(second)).toEqual({ 1: 'ecu.part-number-conflict', 2: 'ecu.vehicle-conflict', 4: 'ecu.vehicle-conflict' });
    expect(await onRecord()).toEqual({ ecus: before.ecus + 1, vehicles: before.vehicles + 1, keys: before.keys + 3 });
    expect(await sql('SELECT FROM ecu JOIN vehicle v ON v.id = vehicle_id WHERE serial = $1', [placeless!.ecuSerial])).toHaveLength(1);
  });

  it('have the lot that a line gave first, and that alone: another fails the item, and leaves nothing behind', async () => {
    const [plain, lotted, moved, twice] = requests(0, 4);
    const [seven, eight] = [lot('L 7'), lot('L 8')];
    const lotOf = async (item: RequestItem | undefined): Promise<unknown> => (await sql<{ lot: string | null }>('SELECT lot FROM ecu WHERE serial = $1', [item!.ecuSerial]))[0]?.lot;
    const first = await begin(keyed());
    await ledger.store.batches.append(first, [
      plain!, { ...lotted!, lot: seven }, { ...moved!, ordinal: 2 }, { ...twice!, ordinal: 3 }, other(twice!, { ordinal: 4, lot: eight }),
    ], []);
    expect(await issueAll(first)).toEqual({});
    expect([await lotOf(plain), await lotOf(lotted), await lotOf(twice)]).toEqual([null, 'L 7', 'L 8']);
    const second = await begin(keyed());
    await ledger.store.batches.append(second, [
      other(plain!, { ordinal: 0, lot: eight }),
      other(lotted!, { ordinal: 1, lot: eight }),
      other(lotted!, { ordinal: 2 }),
      other(moved!, { ordinal: 3, lot: eight, vin: someVin() }),
      other(lotted!, { ordinal: 4, lot: seven }),
    ], []);
    expect(await issueAll(second)).toEqual({ 1: 'ecu.lot-conflict', 3: 'ecu.vehicle-conflict' });
    expect([await lotOf(plain), await lotOf(lotted), await lotOf(moved)]).toEqual(['L 8', 'L 7', null]);
    await expect(ledger.store.batches.submitOne(keyed(), other(plain!, { lot: seven }), sha256('z'), accepted).catch(code)).resolves.toBe('ecu.lot-conflict');
  });

  it('are not put on record by an item whose key is another ECU\'s', async () => {
    const [one] = requests(0, 1);
    const first = await begin(keyed());
    await ledger.store.batches.append(first, [one!], []);
    expect(await issueAll(first)).toEqual({});
    const before = await onRecord();
    const second = await begin(keyed());
    await ledger.store.batches.append(second, [{ ...requests(0, 1)[0]!, csr: one!.csr }], []);
    expect(await issueAll(second)).toEqual({ 0: 'key.other-ecu' });
    expect(await onRecord()).toEqual(before);
  });

  it('keep a key that one of two items of an ECU was refused for', async () => {
    const [one] = requests(0, 1);
    const batchId = await begin(keyed());
    await ledger.store.batches.append(batchId, [one!, { ...one!, ordinal: 1, partNumber: partNumber('PN-OTHER') }], []);
    const before = await onRecord();
    expect(await issueAll(batchId)).toEqual({ 1: 'ecu.part-number-conflict' });
    expect(await onRecord()).toEqual({ ecus: before.ecus + 1, vehicles: before.vehicles + 1, keys: before.keys + 1 });
  });

  it.each(['ecu.part-number-conflict', 'ecu.vehicle-conflict'] as const)('of two batches that differ: the one issued first is right, the other fails with %s', async (expected) => {
    const [item] = requests(0, 1);
    const change = expected === 'ecu.part-number-conflict' ? { partNumber: partNumber('PN-OTHER') } : { vin: someVin() };
    const [a, b] = [await begin(keyed()), await begin(keyed())];
    await ledger.store.batches.append(a, [item!], []);
    await ledger.store.batches.append(b, [other(item!, change)], []);
    expect(await issueAll(b)).toEqual({});
    expect(await issueAll(a)).toEqual({ 0: expected });
  });

  it('of a single request that conflicts: refused at once, and nothing is stored', async () => {
    const [known] = requests(0, 1);
    const submitted = await ledger.store.batches.submitOne(keyed(), known!, sha256('x'), accepted);
    if (submitted.kind !== 'new') throw new Error('not new');
    await issueChunk(ledger, submitted.chunkId);
    for (const [change, expected] of [[{ vin: someVin() }, 'ecu.vehicle-conflict'], [{ partNumber: partNumber('PN-OTHER') }, 'ecu.part-number-conflict']] as const) {
      const batch = keyed();
      await expect(ledger.store.batches.submitOne(batch, other(known!, change), sha256('y'), accepted).catch(code)).resolves.toBe(expected);
      expect(await sql('SELECT FROM batch WHERE idempotency_key = $1', [batch.idempotencyKey])).toHaveLength(0);
    }
  });

  it('that are new are registered once by twelve issuers at once, in any order', async () => {
    const shared = [...requests(0, 40, someVin()), ...requests(40, 40, someVin())];
    const before = await onRecord();
    const chunks = await Promise.all(Array.from({ length: 12 }, async (_, i) => {
      const batchId = await begin(keyed());
      const order = i % 2 === 0 ? shared : [...shared].reverse();
      await ledger.store.batches.append(batchId, order.map((item, ordinal) => other(item, { ordinal })), []);
      await ledger.store.batches.accept(batchId, sha256('b'), accepted(batchId));
      const [chunk] = await sql<{ id: string }>('SELECT id FROM chunk WHERE batch_id = $1', [batchId]);
      return BigInt(chunk!.id);
    }));
    const issued = await Promise.all(chunks.map((id) => issueChunk(ledger, id)));
    expect(issued.map(({ length }) => length)).toEqual(chunks.map(() => 80));
    expect(await onRecord()).toEqual({ ecus: before.ecus + 80, vehicles: before.vehicles + 2, keys: before.keys + 960 });
  });
});

const SILENCE = { streamedMs: 3_600_000, inPartsMs: 86_400_000 };

describe('batches whose sender is gone', () => {
  it('are found after a while, the oldest first and no more than asked for; those heard of late or accepted are not', async () => {
    const { batches } = ledger.store;
    await sql(`DELETE FROM batch WHERE state = 'receiving'`);
    const silent = [await begin(keyed()), await begin(keyed()), await begin(keyed())];
    const heard = await begin(keyed());
    const done = await begin(keyed());
    await batches.append(done, requests(0, 1), []);
    await batches.accept(done, sha256('b'), accepted(done));
    for (const [i, id] of [...silent, done].entries()) await sql(`UPDATE batch SET received_at = now() - interval '1 hour' - $2 * interval '1 second' WHERE id = $1`, [id, i]);
    expect(await batches.silent(SILENCE, 2)).toEqual([silent[2], silent[1]]);
    expect(await batches.silent(SILENCE, 10)).toEqual([silent[2], silent[1], silent[0]]);
    for (const id of await batches.silent(SILENCE, 10)) await batches.discard(id);
    expect(await batches.silent(SILENCE, 10)).toEqual([]);
    expect(await batches.progress(heard)).toMatchObject({ state: 'receiving' });
    expect(await batches.progress(done)).toMatchObject({ state: 'accepted' });
  });
});

describe('an upload', () => {
  it('is found as silent a day after its last part, and no earlier', async () => {
    const { batches, uploads } = ledger.store;
    const { upload: { id } } = await uploads.open(keyed());
    const age = (ms: number) => sql(`UPDATE batch SET received_at = clock_timestamp() - $2 * interval '1 millisecond' WHERE id = $1`, [id, ms]);
    await age(86_400_000 - 60_000);
    expect(await batches.silent(SILENCE, 100)).not.toContain(id);
    await age(86_400_000 + 60_000);
    expect(await batches.silent(SILENCE, 100)).toContain(id);
    await uploads.append(id, { received: 0, digest: Buffer.alloc(32) }, { items: requests(0, 1), failures: [], digest: sha256('1') });
    expect(await batches.silent(SILENCE, 100)).not.toContain(id);
  });

  it('is not opened anew by its key, however long its sender is away', async () => {
    const batch = keyed();
    const { upload: { id } } = await ledger.store.uploads.open(batch);
    await sql(`UPDATE batch SET received_at = now() - interval '1 hour' WHERE id = $1`, [id]);
    await expect(ledger.store.batches.begin(batch).catch(code)).resolves.toBe('idempotency.conflict');
    expect(await ledger.store.uploads.open(batch)).toMatchObject({ created: false, upload: { id } });
  });

  it('takes a chunk at its place and digest alone, one of many that come at once', async () => {
    const { uploads } = ledger.store;
    const { upload: { id } } = await uploads.open(keyed());
    const zero = Buffer.alloc(32);
    const add = (received: number, digest: Uint8Array) => uploads.append(id, { received, digest }, { items: requests(received, 3), failures: [], digest: sha256(digest, String(received)) }).then(() => 'taken', code);
    const outcomes = await Promise.all(Array.from({ length: 6 }, () => add(0, zero)));
    expect(outcomes.toSorted()).toEqual(['taken', ...Array.from({ length: 5 }, () => 'upload.offset')]);
    expect(await add(3, zero)).toBe('upload.offset');
    expect(await add(3, sha256(zero, '0'))).toBe('taken');
    expect(await ledger.store.batches.progress(id)).toMatchObject({ items: 6, pending: 6, state: 'receiving' });
    const at = { received: 6, digest: sha256(sha256(zero, '0'), '3') };
    const accepts = await Promise.all(Array.from({ length: 4 }, () => uploads.accept(id, at, accepted(id))));
    expect(accepts.map(({ created }) => created).toSorted()).toEqual([false, false, false, true]);
    expect(await sql(`SELECT FROM audit_event WHERE payload LIKE '%' || $1 || '%'`, [`batch:${id}`])).toHaveLength(1);
    expect(await add(6, at.digest)).toBe('upload.accepted');
  });
});

describe('a cancelled batch', () => {
  const cancelled = (batchId: string) => event('batch.cancelled', `batch:${batchId}`);
  const cancel = (batchId: string) => ledger.store.batches.cancel(batchId, () => cancelled(batchId));

  it('ends with the chunks in work; one that is given back, or whose issuer died, is not signed again', async () => {
    const { store, key } = ledger;
    const { batchId, chunkIds } = await acceptedBatch(ledger, [3, 3, 3, 3]);
    const [finishing, givenBack, orphan] = await Promise.all(chunkIds.slice(0, 3).map((id) => store.issuance.claim(id, 30_000)));
    const intents = new Map<bigint, { intent: ReturnType<typeof intentFor>; intentId: bigint }>();
    for (const chunk of [finishing!, givenBack!, orphan!]) {
      const intent = intentFor(chunk);
      intents.set(chunk.chunkId, { intent, intentId: (await store.issuance.recordIntent(chunk, intent)).intentId });
    }
    expect(await cancel(batchId)).toMatchObject({ changed: true, batch: { state: 'accepted', items: 12, issued: 0, failed: 3, pending: 9, cancelledAt: expect.any(Date) } });
    await store.issuance.release(givenBack!, undefined);
    expect(await store.issuance.claim(givenBack!.chunkId, 30_000)).toBeUndefined();
    await sql(`UPDATE chunk SET claimed_at = now() - interval '1 hour' WHERE id = $1`, [orphan!.chunkId]);
    expect(await store.issuance.claim(orphan!.chunkId, 30_000)).toBeUndefined();
    expect(await store.batches.progress(batchId)).toMatchObject({ state: 'accepted', failed: 9, pending: 3 });
    const { intent, intentId } = intents.get(finishing!.chunkId)!;
    await store.issuance.complete(finishing!, intentId, issuedFor(key, finishing!, intent), [], event('chunk.issued', `batch:${batchId}`));
    expect(await store.batches.summary(batchId)).toMatchObject({ state: 'done', issued: 3, failed: 9, pending: 0, failures: { 'batch.cancelled': 9 } });
    // What may have been signed of the others is burned (I8).
    expect(await sql('SELECT FROM burned_serial WHERE intent_id = ANY($1)', [[givenBack!, orphan!].map(({ chunkId }) => String(intents.get(chunkId)!.intentId))])).toHaveLength(6);
    expect(await sql(`SELECT FROM intent i JOIN chunk c ON c.id = i.chunk_id WHERE c.batch_id = $1 AND i.state = 'open'`, [batchId])).toHaveLength(0);
    const results: ItemResult[] = [];
    for await (const result of store.batches.results(batchId, 0, AbortSignal.timeout(5000))) results.push(result);
    expect(results.map((result) => (result.outcome === 'issued' ? 'issued' : result.code))).toEqual([...Array.from({ length: 3 }, () => 'issued'), ...Array.from({ length: 9 }, () => 'batch.cancelled')]);
  });

  it('keeps its sums, and ends, whatever issuers do at the same time', async () => {
    for (let round = 0; round < 5; round++) {
      const { batchId, chunkIds } = await acceptedBatch(ledger, Array.from({ length: 16 }, () => 2));
      const issuers = chunkIds.map(async (id) => {
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
        const chunk = await ledger.store.issuance.claim(id, 30_000);
        if (chunk === undefined) return 0;
        const intent = intentFor(chunk);
        const { intentId } = await ledger.store.issuance.recordIntent(chunk, intent);
        await ledger.store.issuance.complete(chunk, intentId, issuedFor(ledger.key, chunk, intent), [], event('chunk.issued', `batch:${batchId}`));
        return 2;
      });
      const cancels = Promise.all([cancel(batchId), cancel(batchId)]);
      const [issued, outcomes] = [await Promise.all(issuers), await cancels];
      const total = issued.reduce((sum: number, n) => sum + n, 0);
      // Those that a claim came to nothing for are found by the next one: there is none here, so none may be left.
      expect(await ledger.store.batches.progress(batchId)).toMatchObject({ state: 'done', issued: total, failed: 32 - total, pending: 0 });
      expect(outcomes.filter(({ changed }) => changed)).toHaveLength(1);
    }
  });

  it('is not one that is done, and its event is in the same transaction (I26)', async () => {
    const { batchId, chunkIds: [id] } = await acceptedBatch(ledger, [1]);
    await expect(ledger.store.batches.cancel(batchId, () => { throw new PkiError('internal', 'no event'); }).catch(code)).resolves.toBe('internal');
    expect(await ledger.store.batches.progress(batchId)).toMatchObject({ state: 'accepted', pending: 1, cancelledAt: undefined });
    await issueChunk(ledger, id!);
    const head = await ledger.store.audit.head();
    expect(await cancel(batchId)).toMatchObject({ changed: false, batch: { state: 'done', issued: 1, cancelledAt: undefined } });
    expect(await ledger.store.audit.head()).toEqual(head);
    await expect(cancel(randomUUID()).catch(code)).resolves.toBe('batch.not-found');
  });
});

describe('turns', () => {
  const turnsOf = async (batchId: string) => (await sql<{ turn: number }>('SELECT turn FROM chunk WHERE batch_id = $1 ORDER BY first', [batchId])).map(({ turn }) => turn);

  it('begin where the others are now; those of one principal follow each other; single requests and chunks given back count for nobody', async () => {
    const { store } = ledger;
    await sql(`DELETE FROM batch WHERE state <> 'done'`);
    await sql('DELETE FROM outbox');
    const second = await store.principals.put('line-2', ['line'], randomBytes(32), undefined, event('principal.created', 'principal:line-2'));
    const submit = async (principalId: number, chunks: number): Promise<string> => {
      const batchId = await begin({ ...keyed(), principalId });
      for (let i = 0; i < chunks; i++) await store.batches.append(batchId, requests(i, 1), []);
      await store.batches.accept(batchId, sha256('b'), accepted(batchId));
      return batchId;
    };
    const { principalId } = ledger.batch;
    const first = await submit(principalId, 6);
    expect(await turnsOf(first)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(await turnsOf(await submit(principalId, 2))).toEqual([6, 7]);
    const [a, b, c] = (await sql<{ id: string }>('SELECT id FROM chunk WHERE batch_id = $1 ORDER BY first', [first])).map(({ id }) => BigInt(id));
    await issueChunk(ledger, a!);
    // Given back: it has had its turn.
    await store.issuance.release((await store.issuance.claim(b!, 30_000))!, undefined);
    await store.batches.submitOne({ ...keyed(), priority: 1 }, requests(0, 1)[0]!, sha256('one'), accepted);
    expect(await turnsOf(await submit(second.id, 3))).toEqual([2, 3, 4]);
    await issueChunk(ledger, c!);
    expect(await turnsOf(await submit(second.id, 1))).toEqual([5]);
    const rows = (await store.outbox.pending(1000)).filter(({ job }) => job === 'issue-chunk');
    expect(rows.map(({ priority }) => priority)).toEqual(rows.map(({ priority }) => priority).toSorted((x, y) => x - y));
    expect(rows).toHaveLength((await store.outbox.pending(1000)).length);
    expect(new Set(rows.map(({ priority }) => priority))).toEqual(new Set([10, 11, 12, 13, 14, 15, 16, 17]));
    await sql(`DELETE FROM batch WHERE state <> 'done'`);
    expect(await turnsOf(await submit(principalId, 1))).toEqual([0]);
  });
});

describe('chunks that wait', () => {
  it('are told with the queue, priority and holder of their job, by turn and page by page', async () => {
    const { store } = ledger;
    await sql(`DELETE FROM batch WHERE state <> 'done'`);
    const line = await acceptedBatch(ledger, [1, 1, 1]);
    const renewal = await begin({ ...keyed(), purpose: 'renewal', priority: 1 });
    await store.batches.append(renewal, requests(0, 1), []);
    await store.batches.accept(renewal, sha256('b'), accepted(renewal));
    expect(await store.waiting.open(60_000)).toEqual([]);
    expect(await store.waiting.open(-1000)).toEqual([{ purpose: 'line', priority: 10, chunks: 3 }, { purpose: 'renewal', priority: 1, chunks: 1 }]);
    const pages: unknown[] = [];
    for (let last; ;) {
      const page = await store.waiting.pending(-1000, last, 2);
      pages.push(...page.map(({ purpose, priority, turn, fence }) => [purpose, priority, turn, fence]));
      last = page.at(-1);
      if (page.length < 2) break;
    }
    expect(pages).toEqual([['line', 10, 0, 0], ['renewal', 1, 0, 0], ['line', 11, 1, 0], ['line', 12, 2, 0]]);
    await store.issuance.claim(line.chunkIds[1]!, 30_000);
    expect(await store.waiting.orphaned(60_000, 10)).toEqual([]);
    expect(await store.waiting.orphaned(-1000, 10)).toEqual([{ chunkId: line.chunkIds[1], purpose: 'line', priority: 11, turn: 1, fence: 1 }]);
    expect(await store.waiting.pending(-1000, undefined, 10)).toHaveLength(3);
    expect(await store.waiting.open(-1000)).toContainEqual({ purpose: 'line', priority: 10, chunks: 3 });
  });
});

describe('the way of a batch', () => {
  it('keeps issued + failed + pending = items at every moment (I22), and streams results while it runs', async () => {
    const { store } = ledger;
    const { batchId, chunkIds } = await acceptedBatch(ledger, [40, 30, 50]);
    const results: ItemResult[] = [];
    const reading = (async () => {
      for await (const result of store.batches.results(batchId, 0, AbortSignal.timeout(20_000))) results.push(result);
    })();
    const sums: number[] = [];
    // Out of order: the reader waits for the first chunk.
    const certificates = new Map<number, Uint8Array>();
    for (const place of [2, 0, 1]) {
      for (const { ordinal, der } of await issueChunk(ledger, chunkIds[place]!)) certificates.set(ordinal, der);
      const { issued, failed, pending, items } = await store.batches.progress(batchId);
      sums.push(issued + failed + pending - items);
      if (place === 0) await vi.waitFor(() => expect(results).toHaveLength(40));
      else if (place === 2) expect(results).toHaveLength(0);
    }
    await reading;
    expect(sums).toEqual([0, 0, 0]);
    expect(results.map(({ ordinal }) => ordinal)).toEqual(Array.from({ length: 120 }, (_, i) => i));
    for (const result of results) {
      expect(result.outcome === 'issued' && Buffer.from(certificates.get(result.ordinal) ?? []).equals(result.certificate)).toBe(true);
    }
    expect(await store.batches.progress(batchId)).toMatchObject({ state: 'done', issued: 120, pending: 0 });
    const rest: number[] = [];
    for await (const { ordinal } of store.batches.results(batchId, 65, AbortSignal.timeout(5000))) rest.push(ordinal);
    expect(rest).toEqual(Array.from({ length: 55 }, (_, i) => 65 + i));
  });

  it('is done after its last chunk, also when all end at the same time', async () => {
    const { batchId, chunkIds } = await acceptedBatch(ledger, Array.from({ length: 12 }, () => 3));
    await Promise.all(chunkIds.map((id) => issueChunk(ledger, id)));
    expect(await ledger.store.batches.progress(batchId)).toMatchObject({ state: 'done', issued: 36, pending: 0 });
  });

  it('tells who waits for a chunk at once, in time, and who waits too long', async () => {
    const { chunkIds: [id] } = await acceptedBatch(ledger, [1]);
    if (id === undefined) throw new Error('no chunk');
    await expect(ledger.store.batches.chunkDone(id, 300).catch(code)).resolves.toBe('issuance.timeout');
    const waiting = Array.from({ length: 10 }, () => ledger.store.batches.chunkDone(id, 10_000));
    await issueChunk(ledger, id);
    await Promise.all(waiting);
    await ledger.store.batches.chunkDone(id, 1000);
    await expect(ledger.store.batches.chunkDone(999_999_999n, 1000).catch(code)).resolves.toBe('batch.not-found');
  });

  it('ends a stream whose reader is gone', async () => {
    const { batchId } = await acceptedBatch(ledger, [2]);
    const abort = new AbortController();
    const reading = (async () => {
      for await (const result of ledger.store.batches.results(batchId, 0, abort.signal)) expect(result).toBe('nothing');
    })();
    setTimeout(() => abort.abort(), 50);
    await reading;
  });
});

it('holds no VIN and no request in clear, in any column of any table (I31)', async () => {
  const { store } = ledger;
  const vehicle = someVin();
  const marked = requests(0, 2, vehicle).map((item) => ({ ...item, csr: Buffer.from(`request of ${vehicle}, not to be seen`) }));
  const batchId = await begin(keyed());
  await store.batches.append(batchId, marked, []);
  await store.batches.accept(batchId, sha256('x'), accepted(batchId));
  // With the intent recorded the vehicle is on record, and the requests are still there.
  const [{ id } = { id: '' }] = await sql<{ id: string }>('SELECT id FROM chunk WHERE batch_id = $1', [batchId]);
  const chunk = await store.issuance.claim(BigInt(id), 30_000);
  await store.issuance.recordIntent(chunk!, intentFor(chunk!));
  const tables = await sql<{ name: string }>(`SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`);
  expect(tables.length).toBeGreaterThan(20);
  const hex = (text: string) => Buffer.from(text).toString('hex');
  for (const { name } of tables) {
    // A row as text shows bytea as hexadecimal.
    const hits = await sql(`SELECT 1 FROM ${name} AS t WHERE t::text ILIKE ANY($1::text[])`, [[vehicle, hex(vehicle), hex('not to be seen')].map((text) => `%${text}%`)]);
    expect(hits, name).toHaveLength(0);
  }
  // The search is able to find: an ECU serial is there in clear.
  expect(await sql(`SELECT 1 FROM ecu AS t WHERE t::text ILIKE $1`, [`%${marked[0]?.ecuSerial}%`])).toHaveLength(1);
  // And the sealed requests are gone once the chunk is done.
  const { chunkIds } = await acceptedBatch(ledger, [1]);
  await issueChunk(ledger, chunkIds[0]!);
  expect(await sql('SELECT FROM chunk WHERE id = $1 AND sealed IS NULL', [chunkIds[0]])).toHaveLength(1);
});
