import { fileURLToPath } from 'node:url';
import type { AuditEvent } from '@fleetroot/audit';
import { type Clock, PkiError } from '@fleetroot/core';
import type { BlockedKeys } from '@fleetroot/x509';
import {
  type CaSigner, type CertificationAuthority, type ClaimedChunk, type FailedItem, Issuance, type IssuanceLedger, type IssuedItem, type NewIntent,
  type Profile, profileDocument, readProfileFolder, type RecordedIntent, type RequestItem, type SigningPurpose,
} from '../../src/index.ts';
import { ledgerKey, testAuthority } from './authority.ts';

export const now = new Date('2026-11-22T10:00:00.500Z');
const profiles = readProfileFolder(fileURLToPath(new URL('../../../../hsm-config/profiles', import.meta.url)), { statusUrl: 'http://status.example' });
/** The CA of a chunk unless a test says otherwise. */
export const ca = testAuthority();

interface Completed {
  readonly intentId: bigint | undefined;
  readonly issued: readonly IssuedItem[];
  readonly failed: readonly FailedItem[];
  readonly event: AuditEvent;
}

/** Writes down who was called in which order. It decides nothing: the real ledger is tested in test/integration. */
export class Recorder implements IssuanceLedger, CaSigner {
  readonly calls: string[] = [];
  readonly throws: Partial<Record<'claim' | 'ready' | 'recordIntent' | 'sign' | 'complete' | 'release' | 'renew', unknown>> = {};
  refused: RecordedIntent['refused'] = [];
  renewals = 0;
  signatures: (real: readonly Uint8Array[]) => readonly Uint8Array[] = (real) => real;
  intent: NewIntent | undefined;
  completed: Completed | undefined;
  signed: readonly Uint8Array[] = [];
  readonly purposes: SigningPurpose[] = [];
  readonly signers: number[] = [];
  /** The places that each `release` called untouched. */
  readonly untouched: (readonly number[] | undefined)[] = [];
  /** What a call throws the first so many times. */
  readonly throwsFirst: { readonly where: keyof Recorder['throws']; readonly error: unknown; times: number }[] = [];
  readonly requests: readonly RequestItem[];
  readonly #signer: Pick<CaSigner, 'sign'>;
  readonly #chunk: Partial<ClaimedChunk>;

  constructor(requests: readonly RequestItem[], { signer = ca.signer, chunk = {} }: { signer?: Pick<CaSigner, 'sign'>; chunk?: Partial<ClaimedChunk> } = {}) {
    this.requests = requests;
    this.#signer = signer;
    this.#chunk = chunk;
  }

  #call(name: keyof Recorder['throws']): void {
    this.calls.push(name);
    const first = this.throwsFirst.find(({ where, times }) => where === name && times > 0);
    if (first !== undefined) {
      first.times--;
      throw first.error;
    }
    if (this.throws[name] !== undefined) throw this.throws[name];
  }

  claimFreshSingle(): Promise<ClaimedChunk | undefined> {
    return this.claim(7n);
  }

  claimSingle(): Promise<ClaimedChunk | undefined> {
    return this.claim(7n);
  }

  onSingle(): () => void {
    return () => undefined;
  }

  async claim(chunkId: bigint): Promise<ClaimedChunk | undefined> {
    this.#call('claim');
    return chunkId === 404n ? undefined : { chunkId, batchId: 'b', fence: 2, caId: 3, purpose: 'line', profileVersionId: 8, first: 10, items: 5, requests: this.requests, ...this.#chunk };
  }

  async recordIntent(_chunk: ClaimedChunk, intent: NewIntent): Promise<RecordedIntent> {
    this.#call('recordIntent');
    this.intent = intent;
    return { intentId: 77n, refused: this.refused };
  }

  async ready(): Promise<void> {
    this.#call('ready');
  }

  async sign(authority: CertificationAuthority, tbs: readonly Uint8Array[], purpose: SigningPurpose): Promise<readonly Uint8Array[]> {
    this.signed = tbs;
    this.purposes.push(purpose);
    this.signers.push(authority.id);
    this.#call('sign');
    return this.signatures(await this.#signer.sign(authority, tbs, purpose));
  }

  async complete(_chunk: ClaimedChunk, intentId: bigint | undefined, issued: readonly IssuedItem[], failed: readonly FailedItem[], event: AuditEvent): Promise<void> {
    this.#call('complete');
    this.completed = { intentId, issued, failed, event };
  }

  async release(_chunk: ClaimedChunk, _event: AuditEvent | undefined, untouched?: readonly number[]): Promise<void> {
    this.untouched.push(untouched);
    this.#call('release');
  }

  /** Not among the calls: it comes when its time comes. */
  async renew(): Promise<void> {
    this.renewals++;
    if (this.throws.renew !== undefined) throw this.throws.renew;
  }
}

/** What the observer was told. */
export const unexpected: unknown[] = [];
export interface Given {
  /** By name, or one that is no file. */
  readonly profile?: string | Profile;
  readonly clock?: Clock;
  readonly blockedKeys?: BlockedKeys;
  readonly patienceMs?: number;
  /** The CAs on record, asked each time. */
  readonly all?: () => readonly CertificationAuthority[];
}

export function issuance(recorder: Recorder, { profile = 'ecu-client', clock = { now: () => now }, blockedKeys, patienceMs, all = () => [ca.authority] }: Given = {}): Issuance {
  const document = typeof profile === 'string' ? profiles.get(profile) : profile;
  return new Issuance({
    ledger: recorder, signer: recorder, ledgerKey, clock, random: (n) => new Uint8Array(n).fill(9), staleAfterMs: 1000,
    ...(blockedKeys === undefined ? {} : { blockedKeys }), ...(patienceMs === undefined ? {} : { patienceMs }),
    authorities: { all: async () => all() },
    profiles: {
      ensure: async () => { throw new Error('not here'); },
      byId: async (id) => {
        if (document === undefined) throw new PkiError('profile.not-found');
        return { id, name: document.name, document: profileDocument(document) };
      },
    },
    observer: { unexpected: (error) => { unexpected.push(error); } },
  });
}

