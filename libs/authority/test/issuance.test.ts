import { type ErrorCode, PkiError, toHex, utf8 } from '@fleetroot/core';
import { parseCertificate, parseRequest, readBlockedKeys, spkiSha256, verifySignature } from '@fleetroot/x509';
import { beforeAll, describe, expect, it, test } from 'vitest';
import type { Issuance, RequestItem } from '../src/index.ts';
import { caEnd, csr, ecuItem, ledgerKey } from './support/authority.ts';
import { ca, issuance, now, Recorder, unexpected } from './support/issuance.ts';

let good: RequestItem[];
let broken: RequestItem;

beforeAll(async () => {
  good = await Promise.all(['p-256', 'ed25519', 'p-384'].map(async (kind, i) => ecuItem(10 + i, await csr(kind as 'p-256'))));
  const forged = await csr();
  forged[forged.length - 1] = (forged[forged.length - 1] ?? 0) ^ 1;
  broken = ecuItem(13, forged);
});

describe('a chunk', () => {
  it('goes from claim to intent to signature to store, in this order (I1)', async () => {
    const recorder = new Recorder(good);
    expect(await issuance(recorder).issueChunk(1n)).toBe('done');
    expect(recorder.calls).toEqual(['claim', 'ready', 'recordIntent', 'sign', 'complete']);
  });

  it('gives each request its certificate: its key, its serial, signed by the CA', async () => {
    const recorder = new Recorder(good);
    await issuance(recorder).issueChunk(1n);
    expect(recorder.completed?.issued.map(({ ordinal }) => ordinal)).toEqual([10, 11, 12]);
    for (const [i, item] of (recorder.completed?.issued ?? []).entries()) {
      const parsed = parseCertificate(item.der);
      const request = parseRequest(good[i]?.csr ?? new Uint8Array());
      expect(toHex(parsed.spkiDer)).toBe(toHex(request.spkiDer));
      expect(toHex(parsed.tbsDer)).toBe(toHex(recorder.signed[i] ?? new Uint8Array()));
      expect(verifySignature(ca.certificate.spkiDer, parsed.signatureAlgorithm, parsed.tbsDer, parsed.signature)).toBe(true);
      expect(toHex(parsed.serial)).toBe(toHex(ledgerKey.deriveSerial({ seed: new Uint8Array(32).fill(9), signedAt: now, form: 2 }, item.ordinal)));
      expect(item).toMatchObject({ ecuSerial: `ECU-${item.ordinal}`, subjectName: undefined, notAfter: parsed.notAfter, spkiSha256: spkiSha256(request.spkiDer) });
    }
  });

  it('records in the intent what fixes each TBS, and whose each key is', async () => {
    const recorder = new Recorder([...good, broken]);
    await issuance(recorder).issueChunk(1n);
    expect(recorder.intent).toMatchObject({ signedAt: now, seed: new Uint8Array(32).fill(9) });
    expect(recorder.intent?.keys.map(({ ordinal, owner }) => [ordinal, owner])).toEqual([[10, 'ecu:ECU-10'], [11, 'ecu:ECU-11'], [12, 'ecu:ECU-12']]);
    expect(recorder.intent?.notAfter).toEqual(recorder.completed?.issued[0]?.notAfter);
    // Built again from the intent and the requests alone, every TBS is the one that was signed (I1).
    const again = new Recorder([...good, broken]);
    await issuance(again).issueChunk(1n);
    expect(again.signed.map(toHex)).toEqual(recorder.signed.map(toHex));
  });

  it('fails an item by itself, and says why', async () => {
    const recorder = new Recorder([broken, ...good]);
    await issuance(recorder).issueChunk(1n);
    expect(recorder.completed?.issued).toHaveLength(3);
    expect(recorder.completed?.failed).toEqual([{ ordinal: 13, code: 'request.signature-invalid', detail: expect.any(String) }]);
  });

  it('gives a blocked key no certificate, though it was accepted before it was blocked', async () => {
    const recorder = new Recorder(good);
    const blocked = readBlockedKeys(utf8(toHex(spkiSha256(parseRequest(good[1]?.csr ?? new Uint8Array()).spkiDer))));
    expect(await issuance(recorder, { blockedKeys: blocked }).issueChunk(1n)).toBe('done');
    expect(recorder.completed?.failed).toEqual([{ ordinal: 11, code: 'key.blocked', detail: expect.stringContaining('compromised') }]);
    expect(recorder.completed?.issued.map(({ ordinal }) => ordinal)).toEqual([10, 12]);
    expect(recorder.signed).toHaveLength(2);
  });

  it('fails an item whose processing throws something odd, and tells the observer', async () => {
    const recorder = new Recorder([{ ...ecuItem(14, new Uint8Array()), csr: undefined as unknown as Uint8Array }, ...good]);
    unexpected.length = 0;
    await issuance(recorder).issueChunk(1n);
    expect(recorder.completed?.failed).toMatchObject([{ ordinal: 14, code: 'internal' }]);
    expect(recorder.completed?.issued).toHaveLength(3);
    expect(unexpected).toHaveLength(1);
  });

  it('signs nothing where no item is good', async () => {
    const recorder = new Recorder([broken]);
    expect(await issuance(recorder).issueChunk(1n)).toBe('done');
    expect(recorder.calls).toEqual(['claim', 'complete']);
    expect(recorder.completed).toMatchObject({ intentId: undefined, issued: [] });
  });

  it('does not sign what the ledger refuses', async () => {
    const recorder = new Recorder(good);
    recorder.refused = [{ ordinal: 11, code: 'key.other-ecu' }];
    await issuance(recorder).issueChunk(1n);
    expect(recorder.signed).toHaveLength(2);
    expect(recorder.completed?.issued.map(({ ordinal }) => ordinal)).toEqual([10, 12]);
    expect(recorder.completed?.failed).toMatchObject([{ ordinal: 11, code: 'key.other-ecu' }]);
  });

  it('with every key refused calls no HSM', async () => {
    const recorder = new Recorder(good);
    recorder.refused = good.map(({ ordinal }) => ({ ordinal, code: 'key.blocked' }));
    expect(await issuance(recorder).issueChunk(1n)).toBe('done');
    expect(recorder.calls).toEqual(['claim', 'ready', 'recordIntent', 'complete']);
    expect(recorder.completed?.intentId).toBe(77n);
  });

  it('that is done or in other hands is left alone', async () => {
    const recorder = new Recorder(good);
    expect(await issuance(recorder).issueChunk(404n)).toBe('held');
    expect(recorder.calls).toEqual(['claim']);
  });

  it('holds a digest of its certificates in the audit event, and no request', async () => {
    const recorder = new Recorder(good);
    await issuance(recorder).issueChunk(1n);
    expect(recorder.completed?.event).toEqual({
      action: 'chunk.issued', actor: 'system:issuer', at: now, subject: 'batch:b',
      data: { chunk: '1', intent: '77', ca: 3, profileVersion: 8, first: 10, issued: 3, failed: 0, certificatesSha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
    });
  });
});

describe('when something breaks', () => {
  test.each<[string, keyof Recorder['throws'], unknown, string[]]>([
    ['the clock is wrong', 'recordIntent', new PkiError('clock.skew'), ['claim', 'ready', 'recordIntent', 'release']],
    ['the answer to the intent is lost', 'recordIntent', new PkiError('store.unavailable'), ['claim', 'ready', 'recordIntent', 'release']],
    ['the HSM is away', 'sign', new PkiError('hsm.unavailable'), ['claim', 'ready', 'recordIntent', 'sign', 'release']],
    ['the HSM hangs', 'sign', new PkiError('hsm.deadline'), ['claim', 'ready', 'recordIntent', 'sign', 'release']],
    ['the HSM holds another key', 'sign', new PkiError('hsm.key-mismatch'), ['claim', 'ready', 'recordIntent', 'sign', 'release']],
    ['the store fails', 'complete', new PkiError('store.unavailable'), ['claim', 'ready', 'recordIntent', 'sign', 'complete', 'release']],
    ['a bug shows', 'complete', new TypeError('x'), ['claim', 'ready', 'recordIntent', 'sign', 'complete', 'release']],
    ['the HSM is known to be away', 'ready', new PkiError('hsm.unavailable'), ['claim', 'ready', 'release']],
  ])('%s: the chunk is given back and the error goes up', async (_what, where, error, calls) => {
    const recorder = new Recorder(good);
    recorder.throws[where] = error;
    await expect(issuance(recorder, { patienceMs: 0 }).issueChunk(1n)).rejects.toBe(error);
    expect(recorder.calls).toEqual(calls);
    expect(recorder.completed).toBeUndefined();
  });

  const gone = (attempted?: number): PkiError => new PkiError('hsm.unavailable', 'gone', attempted === undefined ? {} : { data: { attempted } });
  const [ATTEMPT, AGAIN] = [['claim', 'ready', 'recordIntent', 'sign'], ['release', 'ready']];

  test.each<[string, keyof Recorder['throws'], PkiError, string[]]>([
    ['before the intent', 'ready', gone(0), ['claim', 'ready', ...AGAIN, ...ATTEMPT, 'complete']],
    ['while it signs', 'sign', gone(1), [...ATTEMPT, ...AGAIN, ...ATTEMPT, 'complete']],
    ['and does not answer', 'sign', new PkiError('hsm.deadline'), [...ATTEMPT, ...AGAIN, ...ATTEMPT, 'complete']],
  ])('an HSM that goes away %s is waited for, and the chunk taken again: who called sees no error', async (_what, where, error, calls) => {
    const recorder = new Recorder(good);
    recorder.throwsFirst.push({ where, error, times: 1 });
    expect(await issuance(recorder).issueChunk(1n)).toBe('done');
    expect(recorder.calls).toEqual(calls);
    expect(recorder.completed?.issued).toHaveLength(3);
  });

  it('an HSM that keeps going away is not waited for without end: each attempt burns what it has signed', async () => {
    const recorder = new Recorder(good);
    recorder.throws.sign = gone(1);
    await expect(issuance(recorder).issueChunk(1n)).rejects.toBe(recorder.throws.sign);
    expect(recorder.calls.filter((call) => call === 'sign')).toHaveLength(5);
    expect(recorder.calls.at(-1)).toBe('release');
  });

  it('while we wait for the HSM another issuer may take the chunk', async () => {
    const recorder = new Recorder(good);
    recorder.throwsFirst.push({ where: 'sign', error: gone(0), times: 1 });
    const claim = recorder.claim.bind(recorder);
    recorder.claim = async (id) => (recorder.calls.includes('release') ? undefined : claim(id));
    expect(await issuance(recorder).issueChunk(1n)).toBe('held');
    expect(recorder.completed).toBeUndefined();
  });

  it('a chunk that could not be given back is not taken again: it is stale before it is anybody\'s', async () => {
    const recorder = new Recorder(good);
    recorder.throws.sign = gone(0);
    recorder.throws.release = new PkiError('store.unavailable');
    await expect(issuance(recorder).issueChunk(1n)).rejects.toBe(recorder.throws.sign);
    expect(recorder.calls).toEqual([...ATTEMPT, 'release']);
  });

  test.each<[string, keyof Recorder['throws'], PkiError, readonly number[]]>([
    ['was away before the intent', 'ready', gone(0), [10, 11, 12, 13, 14]],
    ['was never given the intent, whose answer was lost', 'recordIntent', new PkiError('store.unavailable'), [10, 11, 12, 13, 14]],
    ['was given none of it', 'sign', gone(0), [10, 11, 12, 13, 14]],
    ['was given two', 'sign', gone(2), [12, 13, 14]],
    ['may have been given all three', 'sign', gone(), [13, 14]],
    ['signed all three, which were not stored', 'complete', new PkiError('store.unavailable'), [13, 14]],
  ])('no serial is burned of what an HSM never saw that %s', async (_what, where, error, untouched) => {
    const recorder = new Recorder(good);
    recorder.throws[where] = error;
    await expect(issuance(recorder, { patienceMs: 0 }).issueChunk(1n)).rejects.toBe(error);
    expect(recorder.untouched).toEqual([untouched]);
  });

  it('after a long wait for the HSM the certificates are made for the time when it is over', async () => {
    const recorder = new Recorder(good);
    const times = [now, new Date(now.getTime() + 9000)];
    recorder.ready = async () => { await new Promise((resolve) => setTimeout(resolve, 1100)); };
    expect(await issuance(recorder, { clock: { now: () => times.shift() ?? new Date(now.getTime() + 9000) } }).issueChunk(1n)).toBe('done');
    expect(recorder.intent?.signedAt).toEqual(new Date(now.getTime() + 9000));
    expect(recorder.completed?.issued).toHaveLength(3);
  });

  test.each([undefined, new PkiError('store.unavailable')])('a chunk that waits for its signatures for long stays its holder\'s', async (error) => {
    const recorder = new Recorder(good);
    recorder.throws.renew = error;
    const sign = recorder.sign.bind(recorder);
    // Stale after a second, in these tests.
    recorder.sign = async (...call) => {
      await new Promise((resolve) => setTimeout(resolve, 1500));
      return sign(...call);
    };
    expect(await issuance(recorder).issueChunk(1n)).toBe('done');
    const { renewals } = recorder;
    expect(renewals).toBeGreaterThanOrEqual(2);
    await new Promise((resolve) => setTimeout(resolve, 800));
    expect(recorder.renewals).toBe(renewals);
  });

  it('the first error counts, also where giving back fails', async () => {
    const recorder = new Recorder(good);
    recorder.throws.sign = new PkiError('hsm.unavailable');
    recorder.throws.release = new PkiError('store.unavailable');
    await expect(issuance(recorder, { patienceMs: 0 }).issueChunk(1n)).rejects.toBe(recorder.throws.sign);
  });

  test.each(['recordIntent', 'complete'] as const)('a fence that went stale at %s ends the work quietly (I21)', async (where) => {
    const recorder = new Recorder(good);
    recorder.throws[where] = new PkiError('store.stale-fence');
    expect(await issuance(recorder).issueChunk(1n)).toBe('held');
    expect(recorder.calls).not.toContain('release');
    expect(recorder.completed).toBeUndefined();
  });

  test.each<[string, (real: readonly Uint8Array[]) => readonly Uint8Array[]]>([
    ['one flipped bit', (real) => real.map((signature, i) => (i === 1 ? signature.map((octet, j) => (j === 20 ? octet ^ 1 : octet)) : signature))],
    ['two swapped', ([a, b, ...rest]) => [b ?? new Uint8Array(), a ?? new Uint8Array(), ...rest]],
    ['one too few', (real) => real.slice(1)],
    ['one too many', (real) => [...real, new Uint8Array(70)]],
    ['an empty one', ([, ...rest]) => [new Uint8Array(), ...rest]],
  ])('signatures with %s are never handed out (I6)', async (_what, change) => {
    const recorder = new Recorder(good);
    recorder.signatures = change;
    await expect(issuance(recorder).issueChunk(1n)).rejects.toMatchObject({ code: 'hsm.signature-invalid', retry: 'stop' });
    expect(recorder.completed).toBeUndefined();
    expect(recorder.calls.at(-1)).toBe('release');
  });

  describe('of so many items that their signatures are verified by tables of the key', () => {
    const MANY = 100;
    const many = async (): Promise<Recorder> => {
      const request = await csr();
      return new Recorder(Array.from({ length: MANY }, (_, i) => ecuItem(10 + i, request)), { chunk: { items: MANY } });
    };

    it('each certificate verifies under that of the CA', async () => {
      const recorder = await many();
      await issuance(recorder).issueChunk(1n);
      const issued = recorder.completed?.issued.map(({ der }) => parseCertificate(der)) ?? [];
      expect(issued.map(({ tbsDer }) => toHex(tbsDer))).toEqual(recorder.signed.map(toHex));
      expect(issued.every(({ tbsDer, signature, signatureAlgorithm }) => verifySignature(ca.certificate.spkiDer, signatureAlgorithm, tbsDer, signature))).toBe(true);
    });

    test.each([0, 63, 64, 99])('none is handed out where the signature %i is another one\'s (I6)', async (place) => {
      const recorder = await many();
      recorder.signatures = (real) => real.map((signature, i) => (i === place ? real[(place + 1) % MANY] ?? signature : signature));
      await expect(issuance(recorder).issueChunk(1n)).rejects.toMatchObject({ code: 'hsm.signature-invalid', retry: 'stop' });
      expect(recorder.completed).toBeUndefined();
      expect(recorder.calls.at(-1)).toBe('release');
    });
  });

  it('a TBS that changed after its lint is never handed out (I6)', async () => {
    const recorder = new Recorder(good);
    const sign = recorder.sign.bind(recorder);
    recorder.sign = async (authority, tbs, purpose) => {
      const [first] = tbs;
      if (first !== undefined) first[30] = (first[30] ?? 0) ^ 1;
      return sign(authority, tbs, purpose);
    };
    await expect(issuance(recorder).issueChunk(1n)).rejects.toMatchObject({ code: 'internal' });
    expect(recorder.completed).toBeUndefined();
  });

  it('an item outside its chunk stops the chunk before its intent: its serial could not be burned', async () => {
    const recorder = new Recorder([{ ...ecuItem(99, good[0]?.csr ?? new Uint8Array()) }]);
    await expect(issuance(recorder).issueChunk(1n)).rejects.toMatchObject({ code: 'internal' });
    expect(recorder.calls).toEqual(['claim', 'release']);
  });

  test.each<[string, () => [Recorder, Issuance], ErrorCode, string[]]>([
    ['the CA does not issue (I10)', () => {
      const recorder = new Recorder(good);
      recorder.throws.recordIntent = new PkiError('ca.not-active');
      return [recorder, issuance(recorder)];
    }, 'ca.not-active', ['claim', 'ready', 'recordIntent', 'complete']],
    ['the profile version is gone', () => {
      const recorder = new Recorder(good);
      return [recorder, issuance(recorder, { profile: 'missing' })];
    }, 'profile.not-found', ['claim', 'complete']],
    ['the CA is over, and the ledger agrees on the time', () => {
      const recorder = new Recorder(good);
      return [recorder, issuance(recorder, { clock: { now: () => new Date(caEnd.getTime() + 1000) } })];
    }, 'ca.not-active', ['claim', 'recordIntent', 'complete']],
  ])('%s: every item fails, nothing is signed', async (_what, make, code, calls) => {
    const [recorder, underTest] = make();
    expect(await underTest.issueChunk(1n)).toBe('done');
    expect(recorder.calls).toEqual(calls);
    expect(recorder.completed?.issued).toEqual([]);
    expect(recorder.completed?.failed.map((item) => [item.ordinal, item.code])).toEqual([[10, code], [11, code], [12, code]]);
  });

  it('a clock that is years ahead fails no item: the ledger refuses the intent, and the chunk waits', async () => {
    const recorder = new Recorder(good);
    recorder.throws.recordIntent = new PkiError('clock.skew');
    await expect(issuance(recorder, { clock: { now: () => new Date('2040-01-01') } }).issueChunk(1n)).rejects.toMatchObject({ code: 'clock.skew' });
    expect(recorder.calls).toEqual(['claim', 'recordIntent', 'release']);
  });
});
