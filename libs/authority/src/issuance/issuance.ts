import { createHash } from 'node:crypto';
import { setImmediate as breathe } from 'node:timers/promises';
import type { AuditEvent } from '@fleetroot/audit';
import { type Clock, type ErrorCode, isPkiError, type LedgerKey, PkiError, type RandomBytes } from '@fleetroot/core';
import { type BlockedKeys, readBlockedKeys } from '@fleetroot/x509';
import type { AuthorityLedger, ProfileLedger } from '../ports/authorities.ts';
import type { FailedItem } from '../ports/batches.ts';
import type { CaSigner } from '../ports/ca-signer.ts';
import type { ClaimedChunk, IssuanceLedger, IssuedItem } from '../ports/issuance.ts';
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
  readonly authorities: AuthorityLedger;
  readonly profiles: ProfileLedger;
  readonly signer: CaSigner;
  readonly ledgerKey: LedgerKey;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Silence after which a chunk's holder counts as dead, in milliseconds. */
  readonly staleAfterMs: number;
  /** Compromised keys, which get no certificate; absent: none. */
  readonly blockedKeys?: BlockedKeys;
  readonly observer?: IssuanceObserver;
}

/** Items between two breaths: some ten milliseconds of work, so that the event loop serves others in time (I25). */
const ITEMS_BETWEEN_BREATHS = 50;
/** Faults of the whole chunk that no retry mends: its items fail with them. Found before anything can be signed. */
const FINAL: readonly ErrorCode[] = ['ca.not-active', 'ca.not-found', 'profile.not-found'];

/** The chunk's way from requests to certificates on record; see "life of a certificate" in docs/architecture.md. */
export class Issuance {
  readonly #parts: IssuanceParts;
  readonly #issuers: Issuers;
  readonly #blockedKeys: BlockedKeys;

  constructor(parts: IssuanceParts) {
    this.#parts = parts;
    this.#issuers = new Issuers(parts.authorities, parts.profiles);
    this.#blockedKeys = parts.blockedKeys ?? readBlockedKeys(undefined);
  }

  /**
   * Issues one chunk. `done`: on return its certificates and failures are durable. `held`: it was done before, or another
   * process works on it or has taken it over; nothing of this attempt was stored. Any number of deliveries of the same
   * chunk have one effect (I21).
   * @throws PkiError after giving the chunk back, its serials burned: retry `later` (HSM or database away, `clock.skew`)
   *   or `stop` (`hsm.signature-invalid`, `hsm.key-mismatch`)
   */
  async issueChunk(chunkId: bigint): Promise<'done' | 'held'> {
    const { ledger, staleAfterMs } = this.#parts;
    const started = performance.now();
    const chunk = await ledger.claim(chunkId, staleAfterMs);
    if (chunk === undefined) return 'held';
    const attempt = new Attempt(chunk);
    try {
      await this.#issueOrFail(attempt);
    } catch (error) {
      if (isPkiError(error) && error.code === 'store.stale-fence') return 'held';
      await this.#giveBack(attempt);
      throw error;
    }
    this.#parts.observer?.chunkIssued?.({ issued: attempt.issued, failed: attempt.failed.length, ms: performance.now() - started });
    return 'done';
  }

  async #issueOrFail(attempt: Attempt): Promise<void> {
    try {
      await this.#issue(attempt);
    } catch (error) {
      if (!isPkiError(error) || !FINAL.includes(error.code) || attempt.mayBeSigned) throw error;
      attempt.failAll(error);
      await this.#store(attempt, []);
    }
  }

  async #issue(attempt: Attempt): Promise<void> {
    const { ledger, signer, clock, random, ledgerKey } = this.#parts;
    const { chunk } = attempt;
    const issuer = await this.#issuers.of(chunk.caId, chunk.profileVersionId);

    // 1. What fixes the attempt: every serial follows from the seed, every TBS from serial, request and time.
    const seed = random(32);
    const signedAt = clock.now();
    if (signedAt < issuer.authority.notBefore || signedAt > issuer.authority.notAfter) {
      // The CA's time is over, or our clock is wrong: the ledger tells which, before items fail for good.
      attempt.intentId = (await ledger.recordIntent(chunk, { seed, signedAt, notAfter: signedAt, keys: [] })).intentId;
      throw new PkiError('ca.not-active', `the certificate of the CA ${issuer.authority.name} is not valid at this time`);
    }
    const candidates = await this.#candidates(attempt, issuer, (ordinal) => ledgerKey.deriveSerial(seed, ordinal), signedAt);
    if (candidates.length === 0) return this.#store(attempt, []);

    // 2. The intent, durable before the HSM sees the first TBS (I1). From here on a crash burns the serials (I8).
    await signer.ready(issuer.authority);
    const { intentId, refused } = await ledger.recordIntent(chunk, {
      seed,
      signedAt,
      notAfter: new Date(Math.max(...candidates.map(({ notAfter }) => notAfter.getTime()))),
      keys: candidates.map(({ ordinal, spkiSha256, owner }) => ({ ordinal, spkiSha256, owner })),
    });
    attempt.intentId = intentId;
    for (const { ordinal, code } of refused) attempt.failed.push({ ordinal, code, detail: new PkiError(code).message });
    const out = new Set(refused.map(({ ordinal }) => ordinal));
    const admitted = candidates.filter(({ ordinal }) => !out.has(ordinal));
    if (admitted.length === 0) return this.#store(attempt, []);

    // 3. The signatures, outside any transaction.
    attempt.mayBeSigned = true;
    const signatures = await signer.sign(issuer.authority, admitted.map(({ tbs }) => tbs));

    // 4. Certificates, each shown to be what was linted; then everything in one short transaction.
    await this.#store(attempt, await this.#certificates(issuer, admitted, signatures));
  }

  /** The items that may be signed; the others are failures of the attempt. One item's error never is the chunk's. */
  async #candidates(
    attempt: Attempt, issuer: Issuer, serialOf: (ordinal: number) => Uint8Array, signedAt: Date,
  ): Promise<Candidate[]> {
    const { first, items, requests, chunkId } = attempt.chunk;
    const candidates: Candidate[] = [];
    for (const [i, item] of requests.entries()) {
      if (i % ITEMS_BETWEEN_BREATHS === ITEMS_BETWEEN_BREATHS - 1) await breathe();
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
    const issued: IssuedItem[] = [];
    for (const [i, candidate] of admitted.entries()) {
      if (i % ITEMS_BETWEEN_BREATHS === ITEMS_BETWEEN_BREATHS - 1) await breathe();
      issued.push(certify(issuer, candidate, signatures[i] ?? new Uint8Array(0)));
    }
    return issued;
  }

  async #store(attempt: Attempt, issued: readonly IssuedItem[]): Promise<void> {
    attempt.issued = issued.length;
    await this.#parts.ledger.complete(attempt.chunk, attempt.intentId, issued, attempt.failed, this.#issuedEvent(attempt, issued));
  }

  /**
   * The ledger burns what the attempt may have signed, and says so in the audit log. Where even this fails, the chunk
   * goes stale and whoever takes it over burns it. The first error counts.
   */
  async #giveBack({ chunk }: Attempt): Promise<void> {
    await this.#parts.ledger.release(chunk, undefined).catch(() => undefined);
  }

  #issuedEvent({ chunk, failed, intentId }: Attempt, issued: readonly IssuedItem[]): AuditEvent {
    // One digest over the certificates in order: what was issued can be shown from the log alone.
    const digest = createHash('sha256');
    for (const { der } of issued) digest.update(der);
    return {
      action: 'chunk.issued', actor: 'system:issuer', at: this.#parts.clock.now(), subject: `batch:${chunk.batchId}`,
      data: {
        chunk: chunk.chunkId.toString(), intent: intentId?.toString() ?? null, ca: chunk.caId, profileVersion: chunk.profileVersionId,
        first: chunk.first, issued: issued.length, failed: failed.length, certificatesSha256: digest.digest('hex'),
      },
    };
  }
}

/** One attempt at one chunk: what is known so far, for whoever must end it. */
class Attempt {
  readonly chunk: ClaimedChunk;
  failed: FailedItem[] = [];
  issued = 0;
  intentId: bigint | undefined;
  mayBeSigned = false;

  constructor(chunk: ClaimedChunk) {
    this.chunk = chunk;
  }

  /** Every item that registration let through fails for the same reason. */
  failAll(error: PkiError): void {
    this.failed = this.chunk.requests.map(({ ordinal }) => ({ ordinal, code: error.code, detail: error.message }));
  }
}

function reasonOf(error: unknown): Pick<FailedItem, 'code' | 'detail'> {
  return isPkiError(error) ? { code: error.code, detail: error.message }
    : { code: 'internal', detail: 'the item could not be processed: the log of the issuer says why' };
}
