import { fileURLToPath } from 'node:url';
import type { AuditEvent } from '@fleetroot/audit';
import { type ErrorCode, PkiError, toHex, utf8 } from '@fleetroot/core';
import { parseCertificate, parseRequest, readBlockedKeys, spkiSha256, verifySignature } from '@fleetroot/x509';
import { beforeAll, describe, expect, it, test } from 'vitest';
import {
  type CaSigner, type ClaimedChunk, type FailedItem, Issuance, type IssuanceLedger, type IssuedItem, type NewIntent,
  profileDocument, readProfileFolder, type RecordedIntent, type RequestItem,
} from '../src/index.ts';
import { caEnd, csr, ecuItem, ledgerKey, testAuthority } from './support/authority.ts';

const now = new Date('2026-11-22T10:00:00.500Z');
const profiles = readProfileFolder(fileURLToPath(new URL('../../../hsm-config/profiles', import.meta.url)), { statusUrl: 'http://status.example' });
const ca = testAuthority();
let good: RequestItem[];
let broken: RequestItem;

beforeAll(async () => {
  good = await Promise.all(['p-256', 'ed25519', 'p-384'].map(async (kind, i) => ecuItem(10 + i, await csr(kind as 'p-256'))));
  const forged = await csr();
  forged[forged.length - 1] = (forged[forged.length - 1] ?? 0) ^ 1;
  broken = ecuItem(13, forged);
});

interface Completed {
  readonly intentId: bigint | undefined;
  readonly issued: readonly IssuedItem[];
  readonly failed: readonly FailedItem[];
  readonly event: AuditEvent;
}

/** Writes down who was called in which order. It decides nothing: the real ledger is tested in test/integration. */
class Recorder implements IssuanceLedger, CaSigner {
  readonly calls: string[] = [];
  readonly throws: Partial<Record<'claim' | 'ready' | 'recordIntent' | 'sign' | 'complete' | 'release', unknown>> = {};
  refused: RecordedIntent['refused'] = [];
  signatures: (real: readonly Uint8Array[]) => readonly Uint8Array[] = (real) => real;
  intent: NewIntent | undefined;
  completed: Completed | undefined;
  signed: readonly Uint8Array[] = [];
  readonly requests: readonly RequestItem[];

  constructor(requests: readonly RequestItem[]) {
    this.requests = requests;
  }

  #call(name: keyof Recorder['throws']): void {
    this.calls.push(name);
    if (this.throws[name] !== undefined) throw this.throws[name];
  }

  async claim(chunkId: bigint): Promise<ClaimedChunk | undefined> {
    this.#call('claim');
    return chunkId === 404n ? undefined : { chunkId, batchId: 'b', fence: 2, caId: 3, profileVersionId: 8, first: 10, items: 5, requests: this.requests };
  }

  async recordIntent(_chunk: ClaimedChunk, intent: NewIntent): Promise<RecordedIntent> {
    this.#call('recordIntent');
    this.intent = intent;
    return { intentId: 77n, refused: this.refused };
  }

  async ready(): Promise<void> {
    this.#call('ready');
  }

  async sign(authority: Parameters<CaSigner['sign']>[0], tbs: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    this.signed = tbs;
    this.#call('sign');
    return this.signatures(await ca.signer.sign(authority, tbs));
  }

  async complete(_chunk: ClaimedChunk, intentId: bigint | undefined, issued: readonly IssuedItem[], failed: readonly FailedItem[], event: AuditEvent): Promise<void> {
    this.#call('complete');
    this.completed = { intentId, issued, failed, event };
  }

  async release(): Promise<void> {
    this.#call('release');
  }

  async stale(): Promise<readonly bigint[]> {
    return [];
  }
}

const unexpected: unknown[] = [];
function issuance(recorder: Recorder, profile = 'ecu-client', at = now, blockedKeys = readBlockedKeys(undefined)): Issuance {
  const document = profiles.get(profile);
  return new Issuance({
    ledger: recorder, signer: recorder, ledgerKey, clock: { now: () => at }, random: (n) => new Uint8Array(n).fill(9), staleAfterMs: 1000,
    blockedKeys,
    authorities: { all: async () => [ca.authority], byName: async () => ca.authority, add: async () => ca.authority },
    profiles: {
      ensure: async () => { throw new Error('not here'); },
      byId: async (id) => {
        if (document === undefined) throw new PkiError('profile.not-found');
        return { id, name: profile, document: profileDocument(document) };
      },
    },
    observer: { unexpected: (error) => { unexpected.push(error); } },
  });
}

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
      expect(toHex(parsed.serial)).toBe(toHex(ledgerKey.deriveSerial(new Uint8Array(32).fill(9), item.ordinal)));
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
    expect(await issuance(recorder, 'ecu-client', now, blocked).issueChunk(1n)).toBe('done');
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
    await expect(issuance(recorder).issueChunk(1n)).rejects.toBe(error);
    expect(recorder.calls).toEqual(calls);
    expect(recorder.completed).toBeUndefined();
  });

  it('the first error counts, also where giving back fails', async () => {
    const recorder = new Recorder(good);
    recorder.throws.sign = new PkiError('hsm.unavailable');
    recorder.throws.release = new PkiError('store.unavailable');
    await expect(issuance(recorder).issueChunk(1n)).rejects.toBe(recorder.throws.sign);
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

  it('a TBS that changed after its lint is never handed out (I6)', async () => {
    const recorder = new Recorder(good);
    const sign = recorder.sign.bind(recorder);
    recorder.sign = async (authority, tbs) => {
      const [first] = tbs;
      if (first !== undefined) first[30] = (first[30] ?? 0) ^ 1;
      return sign(authority, tbs);
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
      return [recorder, issuance(recorder, 'missing')];
    }, 'profile.not-found', ['claim', 'complete']],
    ['the CA is over, and the ledger agrees on the time', () => {
      const recorder = new Recorder(good);
      return [recorder, issuance(recorder, 'ecu-client', new Date(caEnd.getTime() + 1000))];
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
    await expect(issuance(recorder, 'ecu-client', new Date('2040-01-01')).issueChunk(1n)).rejects.toMatchObject({ code: 'clock.skew' });
    expect(recorder.calls).toEqual(['claim', 'recordIntent', 'release']);
  });
});
