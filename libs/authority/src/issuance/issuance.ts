import { createHash } from 'node:crypto';
import type { AuditEvent } from '@fleetroot/audit';
import { Breath, type Clock, crashPoint, type ErrorCode, isPkiError, type LedgerKey, PkiError, type RandomBytes } from '@fleetroot/core';
import { type BlockedKeys, readBlockedKeys } from '@fleetroot/x509';
import type { AuthorityLedger, CertificationAuthority, ProfileLedger } from '../ports/authorities.ts';
import type { FailedItem } from '../ports/batches.ts';
import type { CaSigner } from '../ports/ca-signer.ts';
import type { ClaimedChunk, IssuanceLedger, IssuedItem } from '../ports/issuance.ts';
import { Attempt } from './attempt.ts';
import { type Candidate, certify, prepareCandidate } from './candidate.ts';
import { type Issuer, Issuers } from './issuers.ts';

/** What happened to a chunk, for metrics and logs. */
export interface IssuanceObserver {
  chunkIssued?(chunk: { readonly issued: number; readonly failed: number; readonly ms: number }): void;
  /** An error that is no PkiError: the item failed as `internal`, and this is the only place that sees why. */
  unexpected?(error: unknown, item: { readonly chunkId: bigint; readonly ordinal: number }): void;
}

export interface IssuanceParts {
  readonly ledger: IssuanceLedger;
  readonly authorities: Pick<AuthorityLedger, 'all'>;
  readonly profiles: ProfileLedger;
  readonly signer: CaSigner;
  readonly ledgerKey: LedgerKey;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Silence after which a chunk's holder counts as dead, in milliseconds. */
  readonly staleAfterMs: number;
  /** Has a CRL for each shard that certificates of the CA may name, before the first one does (I17); absent: nobody looks. */
  readonly shards?: { ensureShards(authority: CertificationAuthority, shards: number): Promise<void> };
  /** How long a chunk is tried again here, before it is left to the queue, where its HSM comes and goes; in milliseconds. */
  readonly patienceMs?: number;
  /** Compromised keys, which get no certificate; absent: none. */
  readonly blockedKeys?: BlockedKeys;
  readonly observer?: IssuanceObserver;
}

/** Items between two breaths: a millisecond of work, so that the event loop serves others in time (I25). */
const ITEMS_BETWEEN_BREATHS = 4;
/** From so many signatures on it is worth it to make the tables of the CA's key, which then serve all that follow. */
const WORTH_TABLES = 32;
/** Faults of the whole chunk that no retry mends: its items fail with them. Found before anything can be signed. */
const FINAL: readonly ErrorCode[] = ['ca.not-active', 'ca.not-found', 'profile.not-found'];
/** Of the HSM: it may be back in a moment. */
const PASSING: readonly ErrorCode[] = ['hsm.unavailable', 'hsm.deadline'];
/** Each attempt that meets the loss of the HSM burns serials: no more of them than a handful. */
const ATTEMPTS = 5;
const PATIENCE_MS = 30_000;
/** So often the holder of a chunk says that it is alive before it would count as dead: one renewal may be lost. */
const RENEWALS = 3;
const SHORTEST_RENEWAL_MS = 100;
/** So often the CA that issues is looked up anew because another generation took over meanwhile. */
const GENERATIONS = 3;
/** After a longer wait for the HSM the time of the attempt is taken anew: the ledger refuses one that is behind its clock. */
const LONG_WAIT_MS = 1000;

/** The chunk's way from requests to certificates on record; see "life of a certificate" in docs/architecture.md. */
export class Issuance {
  readonly #parts: IssuanceParts;
  readonly #issuers: Issuers;
  readonly #blockedKeys: BlockedKeys;
  readonly #breath = new Breath();

  constructor(parts: IssuanceParts) {
    this.#parts = parts;
    this.#issuers = new Issuers(parts.authorities, parts.profiles);
    this.#blockedKeys = parts.blockedKeys ?? readBlockedKeys(undefined);
  }

  /**
   * Issues one chunk. `done`: on return its certificates and failures are durable. `held`: it was done before, or another
   * process works on it or has taken it over; nothing of this attempt was stored. Any number of deliveries of the same
   * chunk have one effect (I21). Where the HSM goes away the chunk is given back, the HSM waited for, and the chunk taken
   * again, a few times.
   * @throws PkiError after giving the chunk back, burned what may have been signed: retry `later` (HSM or database away,
   *   `ca.key-unusable`, `clock.skew`) or `stop` (`hsm.signature-invalid`, `hsm.pin-incorrect`)
   */
  async issueChunk(chunkId: bigint): Promise<'done' | 'held'> {
    const { ledger, staleAfterMs } = this.#parts;
    const chunk = await ledger.claim(chunkId, staleAfterMs);
    return chunk === undefined ? 'held' : this.#issueClaimed(chunk);
  }

  /**
   * Issues the next single request that waits in the ledger; `none`: there is none. `error` is what `issueChunk` throws: that
   * one may be tried again.
   * @param among `fresh`: of those that nobody has tried yet; else of all but these, also of those whose holder fell silent
   * @throws PkiError where the ledger is away
   */
  async issueSingle(among: 'fresh' | { readonly except: readonly bigint[] }): Promise<'done' | 'held' | 'none' | { readonly chunkId: bigint; readonly error: unknown }> {
    const { ledger, staleAfterMs } = this.#parts;
    return this.#breath.heldFor(async () => {
      const chunk = await (among === 'fresh' ? ledger.claimFreshSingle() : ledger.claimSingle(staleAfterMs, among.except));
      if (chunk === undefined) return 'none';
      return this.#issueClaimed(chunk).catch((error: unknown) => ({ chunkId: chunk.chunkId, error }));
    });
  }

  async #issueClaimed(claimed: ClaimedChunk): Promise<'done' | 'held'> {
    const { ledger, signer, staleAfterMs } = this.#parts;
    let chunk: ClaimedChunk | undefined = claimed;
    const until = performance.now() + (this.#parts.patienceMs ?? PATIENCE_MS);
    for (let attempts = 1; chunk !== undefined; attempts++) {
      const outcome = await this.#attempt(chunk);
      if (outcome === 'done' || outcome === 'held') return outcome;
      if (attempts === ATTEMPTS || performance.now() >= until) throw outcome.error;
      // Nobody holds the chunk while we wait: another issuer, whose HSM works, is welcome to it.
      await signer.ready(outcome.authority);
      chunk = await ledger.claim(claimed.chunkId, staleAfterMs);
    }
    return 'held';
  }

  /** One attempt; `error`: the HSM failed, and the chunk is nobody's again. */
  async #attempt(chunk: ClaimedChunk): Promise<'done' | 'held' | { readonly error: unknown; readonly authority: CertificationAuthority }> {
    const { ledger, staleAfterMs } = this.#parts;
    const started = performance.now();
    crashPoint('issuance.claimed');
    const attempt = new Attempt(chunk);
    // However long the HSM's queue is: who took it over meanwhile would burn what is about to be signed, and wait as long.
    const alive = setInterval(() => { ledger.renew(chunk).catch(() => undefined); }, Math.max(staleAfterMs / RENEWALS, SHORTEST_RENEWAL_MS));
    try {
      await this.#issueOrFail(attempt);
    } catch (error) {
      if (isPkiError(error) && error.code === 'store.stale-fence') return 'held';
      const free = await this.#giveBack(attempt);
      if (free && attempt.interruption === error && attempt.authority !== undefined) return { error, authority: attempt.authority };
      throw error;
    } finally {
      clearInterval(alive);
    }
    this.#parts.observer?.chunkIssued?.({ issued: attempt.issued, failed: attempt.failed.length, ms: performance.now() - started });
    return 'done';
  }

  async #issueOrFail(attempt: Attempt): Promise<void> {
    for (let generation = 1; ; generation++) {
      try {
        return await this.#issue(attempt, generation === 1 ? 'recently' : 'now');
      } catch (error) {
        if (!isPkiError(error) || !FINAL.includes(error.code) || attempt.mayBeSigned) throw error;
        const again = generation === 1 && attempt.intentId === undefined && attempt.mayKnowOld;
        if (generation < GENERATIONS && (again || await this.#wasFollowed(attempt))) continue;
        attempt.failAll(error);
        return this.#store(attempt, []);
      }
    }
  }

  /** Whether another CA issues by now than the one that the attempt was made for: nothing of the attempt is on record. */
  async #wasFollowed({ chunk, authority, intentId }: Attempt): Promise<boolean> {
    if (authority === undefined || intentId !== undefined) return false;
    try {
      return (await this.#issuers.of(chunk.caId, chunk.profileVersionId, 'now')).authority.id !== authority.id;
    } catch (error) {
      if (isPkiError(error) && FINAL.includes(error.code)) return false;
      throw error;
    }
  }

  async #issue(attempt: Attempt, known: 'now' | 'recently'): Promise<void> {
    const { ledger } = this.#parts;
    const { chunk } = attempt;
    const issuer = await this.#issuers.of(chunk.caId, chunk.profileVersionId, known);
    attempt.authority = issuer.authority;
    attempt.asOf = issuer.asOf;
    if (issuer.crlShards > 1) await this.#parts.shards?.ensureShards(issuer.authority, issuer.crlShards);

    // 1. What fixes the attempt: every serial follows from the seed, every TBS from serial, request and time.
    let prepared = await this.#prepare(attempt, issuer);
    if (prepared.candidates.length === 0) return this.#store(attempt, []);

    // 2. The intent, durable before the HSM sees the first TBS (I1). From here on a crash burns the serials (I8).
    const asked = performance.now();
    await attempt.interruptedBy(PASSING, () => this.#parts.signer.ready(issuer.authority));
    if (performance.now() - asked > LONG_WAIT_MS) prepared = await this.#prepare(attempt, issuer);
    const { candidates, seed, signedAt } = prepared;
    crashPoint('issuance.prepared');
    const { intentId, refused } = await ledger.recordIntent(chunk, {
      caId: issuer.authority.id,
      seed,
      signedAt,
      notAfter: new Date(Math.max(...candidates.map(({ notAfter }) => notAfter.getTime()))),
      keys: candidates.map(({ ordinal, spkiSha256, owner }) => ({ ordinal, spkiSha256, owner })),
    });
    attempt.intentId = intentId;
    crashPoint('issuance.intent-recorded');
    for (const { ordinal, code } of refused) attempt.failed.push({ ordinal, code, detail: new PkiError(code).message });
    const out = new Set(refused.map(({ ordinal }) => ordinal));
    const admitted = candidates.filter(({ ordinal }) => !out.has(ordinal));
    if (admitted.length === 0) return this.#store(attempt, []);

    // 3. The signatures, outside any transaction.
    const signatures = await this.#signatures(attempt, issuer, admitted);
    crashPoint('issuance.signed');

    // 4. Certificates, each shown to be what was linted; then everything in one short transaction.
    const issued = await this.#certificates(issuer, admitted, signatures);
    crashPoint('issuance.certified');
    await this.#store(attempt, issued);
  }

  async #prepare(attempt: Attempt, issuer: Issuer): Promise<{ seed: Uint8Array; signedAt: Date; candidates: readonly Candidate[] }> {
    const { ledger, clock, random, ledgerKey } = this.#parts;
    const { authority } = issuer;
    const seed = random(32);
    const signedAt = clock.now();
    if (signedAt < authority.notBefore || signedAt > authority.notAfter) {
      // The CA's time is over, or our clock is wrong: the ledger tells which, before items fail for good.
      attempt.intentId = (await ledger.recordIntent(attempt.chunk, { caId: authority.id, seed, signedAt, notAfter: signedAt, keys: [] })).intentId;
      throw new PkiError('ca.not-active', `the certificate of the CA ${authority.name} is not valid at this time`);
    }
    attempt.failed = [];
    return { seed, signedAt, candidates: await this.#candidates(attempt, issuer, (ordinal) => ledgerKey.deriveSerial({ seed, signedAt, form: 2 }, ordinal), signedAt) };
  }

  async #signatures(attempt: Attempt, { authority }: Issuer, admitted: readonly Candidate[]): Promise<readonly Uint8Array[]> {
    const ordinals = admitted.map(({ ordinal }) => ordinal);
    attempt.given = ordinals;
    try {
      return await attempt.interruptedBy(PASSING, () => this.#parts.signer.sign(authority, admitted.map(({ tbs }) => tbs), attempt.chunk.purpose));
    } catch (error) {
      const attempted = isPkiError(error) ? error.data['attempted'] : undefined;
      if (typeof attempted === 'number') attempt.given = ordinals.slice(0, attempted);
      throw error;
    }
  }

  /** The items that may be signed; the others are failures of the attempt. One item's error never is the chunk's. */
  async #candidates(
    attempt: Attempt, issuer: Issuer, serialOf: (ordinal: number) => Uint8Array, signedAt: Date,
  ): Promise<Candidate[]> {
    const { first, items, requests, chunkId } = attempt.chunk;
    const candidates: Candidate[] = [];
    for (const [i, item] of requests.entries()) {
      if (i % ITEMS_BETWEEN_BREATHS === ITEMS_BETWEEN_BREATHS - 1) await this.#breath.taken();
      // The ledger burns the serials of places first .. first + items - 1; one outside would escape it.
      if (item.ordinal < first || item.ordinal >= first + items) {
        throw new PkiError('internal', `an item of chunk ${chunkId} lies outside the chunk`);
      }
      try {
        candidates.push(prepareCandidate(issuer, item, serialOf(item.ordinal), signedAt, this.#blockedKeys));
      } catch (error) {
        if (!isPkiError(error)) this.#parts.observer?.unexpected?.(error, { chunkId, ordinal: item.ordinal });
        attempt.failed.push({ ordinal: item.ordinal, ...reasonOf(error) });
      }
    }
    return candidates;
  }

  async #certificates(issuer: Issuer, admitted: readonly Candidate[], signatures: readonly Uint8Array[]): Promise<IssuedItem[]> {
    if (signatures.length !== admitted.length) {
      throw new PkiError('hsm.signature-invalid', `the HSM made ${signatures.length} signatures where ${admitted.length} were asked for`);
    }
    const { verifier } = issuer;
    if (admitted.length >= WORTH_TABLES) while (verifier.prepareSome()) await this.#breath.taken();
    const issued: IssuedItem[] = [];
    for (let from = 0, to; from < admitted.length; from = to) {
      if (from > 0) await this.#breath.taken();
      to = from + verifier.atOnce;
      issued.push(...certify(issuer, admitted.slice(from, to), signatures.slice(from, to)));
    }
    return issued;
  }

  async #store(attempt: Attempt, issued: readonly IssuedItem[]): Promise<void> {
    attempt.issued = issued.length;
    await this.#parts.ledger.complete(attempt.chunk, attempt.intentId, issued, attempt.failed, this.#issuedEvent(attempt, issued));
    crashPoint('issuance.stored');
  }

  /**
   * The ledger burns what the attempt may have signed, and says so in the audit log. Where even this fails, false: the
   * chunk goes stale, and whoever takes it over burns all of it. The first error counts.
   */
  #giveBack(attempt: Attempt): Promise<boolean> {
    return this.#parts.ledger.release(attempt.chunk, undefined, attempt.untouched).then(() => true, () => false);
  }

  #issuedEvent({ chunk, authority, failed, intentId }: Attempt, issued: readonly IssuedItem[]): AuditEvent {
    // One digest over the certificates in order: what was issued can be shown from the log alone.
    const digest = createHash('sha256');
    for (const { der } of issued) digest.update(der);
    return {
      action: 'chunk.issued', actor: 'system:issuer', at: this.#parts.clock.now(), subject: `batch:${chunk.batchId}`,
      data: {
        chunk: chunk.chunkId.toString(), intent: intentId?.toString() ?? null, ca: authority?.id ?? chunk.caId, profileVersion: chunk.profileVersionId,
        first: chunk.first, issued: issued.length, failed: failed.length, certificatesSha256: digest.digest('hex'),
      },
    };
  }
}

function reasonOf(error: unknown): Pick<FailedItem, 'code' | 'detail'> {
  return isPkiError(error) ? { code: error.code, detail: error.message }
    : { code: 'internal', detail: 'the item could not be processed: the log of the issuer says why' };
}
