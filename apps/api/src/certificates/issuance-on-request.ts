import { type BatchLedger, type BatchProgress, isTakenAtOnce, type ItemResult, type RequestItem, type SigningPurpose } from '@fleetroot/authority';
import { type Breath, type Clock, crashPoint, equalBytes, isPkiError, PkiError } from '@fleetroot/core';
import { type BlockedKeys, type CertificationRequest, refuseBlockedKey, spkiSha256, verifyPossession } from '@fleetroot/x509';
import type { OutboxRelay } from '../outbox-relay.ts';
import type { KnownProfile } from '../profile-catalogue.ts';

export interface SingleRequest {
  readonly principalId: number;
  /** As the audit names it: `principal:NAME`, `ecu:SERIAL`. */
  readonly actor: string;
  readonly profile: KnownProfile;
  /** The CA that is to issue. */
  readonly caId: number;
  readonly purpose: SigningPurpose;
  readonly item: RequestItem;
  readonly request: CertificationRequest;
  readonly idempotencyKey: string | undefined;
  /** Of what was sent: an Idempotency-Key is bound to it. */
  readonly bodySha256: Uint8Array;
}

export interface IssuedCertificate {
  readonly batchId: string;
  /** DER. */
  readonly certificate: Uint8Array;
}

export interface OnRequestParts {
  readonly batches: BatchLedger;
  readonly relay: OutboxRelay;
  readonly clock: Clock;
  readonly blockedKeys: BlockedKeys;
  readonly timeoutMs: number;
  /** Aborts when the process closes: nobody is kept waiting then. */
  readonly closing: AbortSignal;
  /** Bulk work holds its breath while somebody waits. */
  readonly breath: Breath;
}

/** Somebody waits: before every batch. */
const PRIORITY = 1;

/** One certificate, while its requester waits. */
export class IssuanceOnRequest {
  readonly #parts: OnRequestParts;

  constructor(parts: OnRequestParts) {
    this.#parts = parts;
  }

  /**
   * On return the certificate is on record. With an Idempotency-Key that was used before, it is the one issued then.
   * @throws PkiError `request.signature-invalid`, `key.blocked`, before anything is stored; the reason why the item failed;
   *   `issuance.timeout` with the batch in `data.batch`, where the certificate may still come to be;
   *   `idempotency.conflict`
   */
  issue(single: SingleRequest): Promise<IssuedCertificate> {
    return this.#parts.breath.heldFor(() => this.#issue(single));
  }

  async #issue(single: SingleRequest): Promise<IssuedCertificate> {
    const { batches, relay, clock, blockedKeys, timeoutMs, closing } = this.#parts;
    refuseBlockedKey(spkiSha256(single.request.spkiDer), blockedKeys);
    verifyPossession(single.request);
    const { profile } = single.profile;
    const submitted = await batches.submitOne(
      {
        principalId: single.principalId, idempotencyKey: single.idempotencyKey, caId: single.caId,
        profileVersionId: single.profile.versionId, priority: PRIORITY, purpose: single.purpose,
      },
      single.item, single.bodySha256,
      (batchId) => ({
        action: 'batch.accepted', actor: single.actor, at: clock.now(), subject: `batch:${batchId}`,
        data: { profile: profile.name, items: 1, ca: single.caId, ecu: single.item.ecuSerial ?? null },
      }),
    );
    if (submitted.kind === 'known') {
      checkSameBody(submitted.batch, profile.name, single.bodySha256);
      return this.#result(submitted.batch.id);
    }
    crashPoint('batch.accepted');
    // Of a renewal alone there is a job.
    if (!isTakenAtOnce(single.purpose)) relay.kick();
    try {
      await unlessClosing(batches.chunkDone(submitted.chunkId, timeoutMs), closing);
    } catch (error) {
      throw isPkiError(error) && error.code === 'issuance.timeout' ? late(submitted.batchId) : error;
    }
    return issued(submitted.batchId, await batches.resultOfOne(submitted.chunkId));
  }

  /** Of a request that came before, whose chunk is not known here. */
  async #result(batchId: string): Promise<IssuedCertificate> {
    const limit = AbortSignal.any([AbortSignal.timeout(this.#parts.timeoutMs), this.#parts.closing]);
    try {
      for await (const result of this.#parts.batches.results(batchId, 0, limit)) return issued(batchId, result);
    } catch (error) {
      if (!limit.aborted || isPkiError(error)) throw error;
    }
    throw late(batchId);
  }
}

function issued(batchId: string, result: ItemResult): IssuedCertificate {
  if (result.outcome === 'issued') return { batchId, certificate: result.certificate };
  throw new PkiError(result.code, result.detail, { data: { batch: batchId } });
}

function checkSameBody(batch: BatchProgress, profile: string, bodySha256: Uint8Array): void {
  if (batch.profile !== profile || batch.bodySha256 === undefined || !equalBytes(batch.bodySha256, bodySha256)) {
    throw new PkiError('idempotency.conflict', 'this Idempotency-Key was used with another body: use a new one');
  }
}

async function unlessClosing(work: Promise<void>, closing: AbortSignal): Promise<void> {
  let stop: (() => void) | undefined;
  const closed = new Promise<never>((_, reject) => {
    stop = () => reject(new PkiError('issuance.timeout'));
    closing.addEventListener('abort', stop, { once: true });
  });
  try {
    await Promise.race([work, closed]);
  } finally {
    if (stop !== undefined) closing.removeEventListener('abort', stop);
    work.catch(() => undefined);
  }
}

function late(batchId: string): PkiError {
  return new PkiError('issuance.timeout', `not issued in time; it may still be: GET /v1/batches/${batchId}/certificates`, { data: { batch: batchId } });
}
