import type { LedgerKey } from '@fleetroot/core';
import { type InspectedAuthority, type InspectedCertificate, type InspectionLedger, type LedgerView, setChecks } from '../ports/inspection.ts';
import { AttemptInspector } from './attempts.ts';
import { inspectAudit, type KnownHead } from './audit.ts';
import { CertificateInspector } from './certificate.ts';
import { type ChunkRecord, inspectChunk } from './chunk.ts';
import { inspectFilters } from './filters.ts';
import { inspectCeremonies } from './hierarchy.ts';
import { inspectKeptCrls } from './kept-crls.ts';
import { inspectMissing, inspectPublishedCrl, type PublishedCrls, serve } from './published-crl.ts';
import { inspectPublishedParts } from './published-parts.ts';
import { Findings, type InspectionReport } from './report.ts';
import { inspectShards } from './shard-crls.ts';
import { type HsmRecord, SignatureAccount } from './signatures.ts';
import { eachRow, Sorted } from './sorted.ts';

export interface InspectionParts {
  readonly ledger: InspectionLedger;
  readonly ledgerKey: LedgerKey;
  /** undefined: nothing is published now; the newest CRLs of the ledger are looked at instead. */
  readonly published: PublishedCrls | undefined;
}

export interface InspectionOptions {
  /** Every signature is verified; otherwise one in `SAMPLE`, another part each day, and those of the newest day. */
  readonly full?: boolean;
  /** What the HSM signed, from the set-up of its token on. */
  readonly hsmRecord?: HsmRecord | undefined;
  /** Heads of the audit log that were kept elsewhere. */
  readonly auditHeads?: readonly KnownHead[];
  /** How long a serial that was revoked or burned may take to be on the published CRL, in milliseconds. */
  readonly crlWithinMs?: number;
  /** Part of its life after which a CRL is replaced, in percent. */
  readonly crlRefreshPercent?: number;
  readonly signal?: AbortSignal;
  /** Is told how much there is to read, then of each step. */
  readonly progress?: { begin(total: number): void; add(done: number): void };
}

/** One certificate in so many is verified in full at each inspection; after as many days, each has been. */
const SAMPLE = 1000;
const CRL_WITHIN_MS = 30_000;
const REFRESH_PERCENT = 50;
const DAY_MS = 86_400_000;

/**
 * Names every breach of the invariants that can be read from the ledger, the audit log, the published CRLs and, where it is
 * given, the record of the HSM's signatures. It only reads, and one moment of the ledger: what is under way at that
 * moment is no breach, for it is on record as being under way. Memory does not grow with the ledger.
 * @throws PkiError `store.unavailable`; the reason of `signal` once that aborts
 */
export async function inspect({ ledger, ledgerKey, published }: InspectionParts, options: InspectionOptions = {}): Promise<InspectionReport> {
  const beganAt = new Date();
  const signal = options.signal ?? new AbortController().signal;
  const findings = new Findings();
  const account = options.hsmRecord === undefined ? undefined : new SignatureAccount(options.hsmRecord, findings);
  const full = options.full ?? false;
  // Before the moment that is looked at, so that it lists nothing that is not on record then.
  const names = published === undefined ? [] : await ledger.inspect(async (view) => (await view.authorities()).map(({ name }) => name));
  const before = new Map(await Promise.all(names.map(async (name) => [name, published === undefined ? { fault: '' } : await serve(published, name)] as const)));

  const auditHead = await ledger.inspect(async (view) => {
    options.progress?.begin(view.totals.certificates + view.totals.events);
    const add = (done: number): void => {
      signal.throwIfAborted();
      options.progress?.add(done);
    };
    const authorities = await view.authorities();
    // PostgreSQL works on the sets while this process works on the rows.
    const [head] = await allOrFirstError([
      inspectRows({ view, authorities, ledgerKey, findings, account, full, add, options }),
      inspectSets(view, findings, signal),
    ]);
    const around = { view, authorities, findings, account, full };
    let lost = await view.lostSignatures();
    for (const ca of authorities) {
      signal.throwIfAborted();
      lost += await inspectFilters(ca, around);
      const allKept = await inspectKeptCrls(ca, around);
      const [kept] = allKept;
      await inspectShards(ca, allKept, view, findings, view.at.getTime() - (options.crlWithinMs ?? CRL_WITHIN_MS));
      if (kept === undefined) continue;
      const delta = allKept.find(({ scope, kind }) => scope === 'all' && kind === 'delta')?.newest;
      if (published !== undefined) {
        const surroundings = {
          view, authorities, findings, published, before, signal, withinMs: options.crlWithinMs ?? CRL_WITHIN_MS, refreshPercent: options.crlRefreshPercent ?? REFRESH_PERCENT,
        };
        // Whoever does not answer is named once.
        if (await inspectPublishedCrl(ca, { ...kept, delta }, surroundings)) await inspectPublishedParts(ca, allKept, surroundings);
      } else if (kept.newest !== undefined) {
        await inspectMissing(ca, kept.newest, { ...kept, delta }, view, findings);
      }
    }
    account?.end(lost, authorities.filter(({ keyId }) => keyId !== undefined).length);
    return head;
  }, signal).catch((error: unknown) => {
    // Whose connections were taken away says that the database is.
    signal.throwIfAborted();
    throw error;
  });
  signal.throwIfAborted();
  if (!full) findings.notes.push(`signature, lint and extensions were checked of ${findings.checked['certificatesInFull'] ?? 0} certificates: one in ${SAMPLE}, and those of the newest day`);
  if (published === undefined) findings.notes.push('nothing is published now: the newest CRLs of the ledger were looked at, and not whether they are current');
  if (account === undefined) findings.notes.push('there is no record of what the HSM signed: I2 was not looked at');
  return { beganAt, endedAt: new Date(), checked: findings.checked, notes: findings.notes, auditHead, breaches: findings.breaches, more: findings.more };
}

interface RowSurroundings {
  readonly view: LedgerView;
  readonly authorities: readonly InspectedAuthority[];
  readonly ledgerKey: LedgerKey;
  readonly findings: Findings;
  readonly account: SignatureAccount | undefined;
  readonly full: boolean;
  readonly add: (done: number) => void;
  readonly options: InspectionOptions;
}

async function inspectRows(around: RowSurroundings): Promise<KnownHead> {
  const { view, authorities, findings, account, options } = around;
  inspectCeremonies(await view.ceremonyCertificates(), authorities, findings, account);
  const head = await inspectAudit(view, options.auditHeads ?? [], findings, around.add);
  await inspectChunks(around);
  return head;
}

/** All that belongs to chunks, side by side in the order of chunks: each row is read once. */
async function inspectChunks({ view, authorities, ledgerKey, findings, account, full, add }: RowSurroundings): Promise<void> {
  const attempts = new AttemptInspector(authorities, findings);
  const certificates = new CertificateInspector({ authorities, profiles: await view.profiles(), findings, account, inFull: sample(view.at, full) });
  const shownUntil = await view.shownUntil();
  const around = { key: ledgerKey, findings, archived: view.archived, shownUntil: (caId: number) => shownUntil.get(caId) ?? -Infinity };
  const streams = {
    chunks: new Sorted(view.chunks()), intents: new Sorted(view.intents()), certificates: new Sorted(view.certificates()),
    failures: new Sorted(view.failures()), burned: new Sorted(view.burned()), events: new Sorted(view.chunkEvents()),
  };
  try {
    for (let record = await nextChunk(streams); record !== undefined; record = await nextChunk(streams)) {
      for (const intent of record.intents) attempts.inspect(intent);
      for (const certificate of record.certificates) certificates.inspect(certificate);
      inspectChunk(record, around);
      if (record.chunk !== undefined) findings.count('chunks');
      add(record.certificates.length);
    }
    await inspectLoose(streams, certificates, findings, add);
    attempts.end(view.at);
  } finally {
    await Promise.all(Object.values(streams).map((stream) => stream.close()));
  }
}

interface ChunkStreams {
  readonly chunks: Sorted<NonNullable<ChunkRecord['chunk']>>;
  readonly intents: Sorted<ChunkRecord['intents'][number]>;
  readonly certificates: Sorted<InspectedCertificate>;
  readonly failures: Sorted<ChunkRecord['failures'][number]>;
  readonly burned: Sorted<ChunkRecord['burned'][number]>;
  readonly events: Sorted<ChunkRecord['events'][number]>;
}

/** The next chunk that any of the streams knows of. */
async function nextChunk({ chunks, intents, certificates, failures, burned, events }: ChunkStreams): Promise<ChunkRecord | undefined> {
  const heads = [
    (await chunks.peek())?.id, (await intents.peek())?.chunkId, (await certificates.peek())?.chunkId, (await failures.peek())?.chunkId,
    (await burned.peek())?.chunkId, (await events.peek())?.chunkId,
  ].filter((id): id is bigint => id !== undefined && id !== null);
  const [first, ...others] = heads;
  if (first === undefined) return undefined;
  const id = others.reduce((least, other) => (other < least ? other : least), first);
  const [chunk] = await chunks.takeWhile((row) => row.id === id);
  const ofChunk = (row: { readonly chunkId: bigint | null }): boolean => row.chunkId === id;
  return {
    id, chunk, intents: await intents.takeWhile(ofChunk), certificates: await certificates.takeWhile(ofChunk),
    failures: await failures.takeWhile(ofChunk), burned: await burned.takeWhile(ofChunk), events: await events.takeWhile(ofChunk),
  };
}

/** What belongs to no chunk comes last. */
async function inspectLoose({ certificates, burned }: ChunkStreams, inspector: CertificateInspector, findings: Findings, add: (done: number) => void): Promise<void> {
  const tell = (serial: Uint8Array, what: string): void => findings.breach(what === 'burned' ? 'intent-burned' : 'intent-stored', `serial ${Buffer.from(serial).toString('hex')}`, what === 'burned' ? 'is burned, and no intent tells why' : 'came from no chunk, and so from no intent');
  for (let row = await certificates.peek(); row !== undefined; row = await certificates.peek()) {
    await certificates.takeWhile((one) => one === row);
    inspector.inspect(row);
    tell(row.serial, 'certificate');
    add(1);
  }
  for (let row = await burned.peek(); row !== undefined; row = await burned.peek()) {
    await burned.takeWhile((one) => one === row);
    tell(row.serial, 'burned');
  }
}

/** The last octets of a serial are as good as random; each day it is another part of them. */
function sample(at: Date, full: boolean): (certificate: InspectedCertificate) => boolean {
  if (full) return () => true;
  const part = Math.floor(at.getTime() / DAY_MS) % SAMPLE;
  const newest = at.getTime() - DAY_MS;
  return ({ serial, issuedAt }) => issuedAt >= newest || ((serial.at(-1) ?? 0) * 65_536 + (serial.at(-2) ?? 0) * 256 + (serial.at(-3) ?? 0)) % SAMPLE === part;
}

async function inspectSets(view: LedgerView, findings: Findings, signal: AbortSignal): Promise<void> {
  for (const check of setChecks) {
    signal.throwIfAborted();
    await eachRow(view.breaches(check), ({ subject, detail }) => findings.breach(check, subject, detail));
    findings.count('setChecks');
  }
}

/** Waits for both, also where one fails: what still reads must not outlive what it reads from. */
async function allOrFirstError<A>(works: readonly [Promise<A>, ...Promise<unknown>[]]): Promise<[A]> {
  const settled = await Promise.allSettled(works);
  for (const one of settled) if (one.status === 'rejected') throw one.reason;
  return [await works[0]];
}
