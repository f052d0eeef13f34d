import { hash } from 'node:crypto';
import type { AuditEvent } from '@fleetroot/audit';
import {
  BATCH_PRIORITY, type BatchLedger, type BatchProgress, type DeliveryKind, type FailedItem, makeKey, type MadeKeyLedger, type NewBatch, type RequestItem, type SealKey,
} from '@fleetroot/authority';
import { type Clock, crashPoint, equalBytes, PkiError, toBase64, toHex } from '@fleetroot/core';
import type { Logger } from '@fleetroot/telemetry';
import { type BlockedKeys, encryptPrivateKey, envelopPrivateKey, openPrivateKey, type ParsedCertificate, passwordKey } from '@fleetroot/x509';
import { itemOrFailure, sentItem } from '../batches/item.ts';
import type { OutboxRelay } from '../outbox-relay.ts';
import type { KnownProfile } from '../profile-catalogue.ts';
import type { KeyBatchRequest } from './key-batch-body.ts';
import type { Turns } from './turns.ts';

export interface KeyMakingParts {
  readonly batches: BatchLedger;
  readonly madeKeys: MadeKeyLedger;
  readonly relay: OutboxRelay;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly blockedKeys: BlockedKeys;
  readonly chunkItems: number;
  /** How long keys are held, in milliseconds. */
  readonly lifetimeMs: number;
  /** Aborts when the process closes. */
  readonly closing: AbortSignal;
  /** @throws PkiError `key.recipient-refused` */
  readonly recipientOf: (pem: string) => Promise<ParsedCertificate>;
  /** Keyed hash of what identifies a submission: the ledger holds nothing that VINs could be guessed by. */
  readonly binding: (text: string) => Uint8Array;
  /** Of batches that are made. */
  readonly turns: Turns;
  /** Of passwords that are tried, the deliveries' too. Another than `turns`: a password may be tried within a turn of those. */
  readonly guesses: Turns;
}

export interface KeySubmission {
  readonly principal: { readonly id: number; readonly name: string };
  readonly idempotencyKey: string;
  readonly profile: KnownProfile;
  readonly caId: number;
  readonly request: KeyBatchRequest;
}

export interface MadeBatch {
  readonly batch: BatchProgress;
  /** False: the Idempotency-Key had opened it before. */
  readonly created: boolean;
}

/** Keys that are made at once: half of Node's pool of threads, so that the rest of the process has the other. */
const AT_ONCE = 2;

/** An item that was let through, and the key that was made for it. */
interface Made {
  readonly item: RequestItem;
  readonly envelope: Uint8Array;
  readonly spkiSha256: Uint8Array;
}

type Outcome = Made | { readonly failure: FailedItem };

/**
 * Makes keys and submits their requests as a batch. All keys are made before anything is on record, and what is on record
 * is encrypted for the receiver: a process that dies leaves nothing before its first chunk, and after that a batch that was
 * not accepted, which goes as any other does, its keys with it.
 */
export class KeyMaking {
  readonly #parts: KeyMakingParts;

  constructor(parts: KeyMakingParts) {
    this.#parts = parts;
  }

  /**
   * @throws PkiError `key.recipient-refused`, `http.too-many-requests`, `idempotency.*`, `store.unavailable`: then no key
   *   is on record
   */
  async make(submission: KeySubmission): Promise<MadeBatch> {
    const { principal, idempotencyKey, request } = submission;
    const { batches, turns } = this.#parts;
    // What was accepted once needs no key, no recipient that is still valid, and no turn (I5).
    if (await batches.wasAccepted(principal.id, idempotencyKey)) return this.#submit(submission, []);
    const recipient = request.delivery.kind === 'cms' ? await this.#parts.recipientOf(request.delivery.recipient) : undefined;
    return turns.take(principal.id, async () => this.#submit(submission, await this.#makeAll(submission, recipient), recipient));
  }

  async #makeAll({ request, profile }: KeySubmission, recipient: ParsedCertificate | undefined): Promise<Outcome[]> {
    const { items, keyType, delivery } = request;
    const underPassword = delivery.kind === 'pkcs12' ? await passwordKey(delivery.password) : undefined;
    const seal: SealKey = (pkcs8) => {
      if (underPassword !== undefined) return encryptPrivateKey(pkcs8, underPassword);
      if (recipient === undefined) throw new PkiError('internal', 'a key without a receiver');
      return envelopPrivateKey(pkcs8, recipient);
    };
    const outcomes: Outcome[] = [];
    const places = upTo(items.length);
    const work = async (): Promise<void> => {
      for (const ordinal of places) {
        if (this.#parts.closing.aborted) throw new PkiError('issuance.timeout', 'the process is closing: send the batch again');
        const { csr, ...key } = await makeKey(keyType, seal);
        const sent = sentItem({ ...items[ordinal], csr: toBase64(csr) }, `item ${ordinal + 1}`, { item: ordinal + 1 });
        const result = itemOrFailure(sent, ordinal, profile.profile, this.#parts.blockedKeys);
        outcomes[ordinal] = 'failure' in result ? result : { ...result, ...key };
      }
    };
    // Every worker has ended before the password's key is overwritten.
    const ended = await Promise.allSettled(Array.from({ length: AT_ONCE }, work));
    underPassword?.key.fill(0);
    for (const one of ended) if (one.status === 'rejected') throw one.reason;
    return outcomes;
  }

  async #submit(submission: KeySubmission, outcomes: readonly Outcome[], recipient?: ParsedCertificate): Promise<MadeBatch> {
    const { batches, relay } = this.#parts;
    const begun = await batches.begin(newBatch(submission));
    if (begun.kind === 'known') return { batch: await this.#repeated(begun.batch, submission), created: false };
    const { batchId } = begun;
    try {
      await this.#append(batchId, outcomes, submission.request.delivery.kind);
      const events = this.#events(batchId, submission, outcomes, recipient);
      const batch = await batches.accept(batchId, this.#bindingOf(submission), events.accepted, events.made);
      crashPoint('batch.accepted');
      relay.kick();
      return { batch, created: true };
    } catch (error) {
      await this.#discard(batchId);
      throw error;
    }
  }

  async #append(batchId: string, outcomes: readonly Outcome[], kind: DeliveryKind): Promise<void> {
    const { batches, chunkItems, lifetimeMs } = this.#parts;
    for (let from = 0; from < outcomes.length; from += chunkItems) {
      const some = outcomes.slice(from, from + chunkItems);
      const made = some.filter((outcome): outcome is Made => 'item' in outcome);
      const failures = some.flatMap((outcome) => ('failure' in outcome ? [outcome.failure] : []));
      await batches.append(batchId, made.map(({ item }) => item), failures, {
        kind, lifetimeMs, keys: made.map(({ item, envelope }) => ({ ordinal: item.ordinal, envelope })),
      });
      crashPoint('batch.appended');
    }
  }

  #events(batchId: string, submission: KeySubmission, outcomes: readonly Outcome[], recipient: ParsedCertificate | undefined): { accepted: AuditEvent; made: AuditEvent[] } {
    const { principal, profile, caId, request } = submission;
    const by = { actor: `principal:${principal.name}`, at: this.#parts.clock.now() };
    const receiver = recipient === undefined ? null : toHex(hash('sha256', recipient.der, 'buffer'));
    return {
      accepted: {
        action: 'batch.accepted', ...by, subject: `batch:${batchId}`,
        data: { profile: profile.profile.name, items: outcomes.length, ca: caId, keyType: request.keyType },
      },
      made: outcomes.filter((outcome): outcome is Made => 'item' in outcome).map(({ item, spkiSha256 }) => ({
        action: 'key.made', ...by, subject: `key:${batchId}/${item.ordinal}`,
        data: { ecu: item.ecuSerial ?? null, keyType: request.keyType, spki: toHex(spkiSha256), delivery: request.delivery.kind, recipient: receiver },
      })),
    };
  }

  /**
   * The batch that the key opened, where it was asked for in the same words. The password is no part of what is on record:
   * a hash of it would be a quicker way to guess it than the keys are. It is tried on a key, while one is held.
   */
  async #repeated(batch: BatchProgress, submission: KeySubmission): Promise<BatchProgress> {
    const { bodySha256 } = batch;
    if (bodySha256 === undefined) throw new PkiError('idempotency.in-progress');
    if (!equalBytes(bodySha256, this.#bindingOf(submission)) || !(await this.#samePassword(batch, submission))) {
      throw new PkiError('idempotency.conflict', 'this Idempotency-Key was used with another body, profile, CA or password: use a new one');
    }
    return batch;
  }

  async #samePassword({ id }: BatchProgress, { principal, request: { delivery } }: KeySubmission): Promise<boolean> {
    if (delivery.kind !== 'pkcs12') return true;
    const held = await this.#parts.madeKeys.anyHeld(id);
    if (held === undefined) return true;
    return (await this.#parts.guesses.take(principal.id, () => openPrivateKey(held.envelope, delivery.password))) !== undefined;
  }

  #bindingOf({ request: { delivery, ...rest } }: KeySubmission): Uint8Array {
    const receiver = delivery.kind === 'cms' ? delivery : { kind: delivery.kind };
    return this.#parts.binding(JSON.stringify({ ...rest, delivery: receiver }));
  }

  /** A batch that cannot be discarded now goes when its key is used again, or by the worker; it is never issued. */
  async #discard(batchId: string): Promise<void> {
    try {
      await this.#parts.batches.discard(batchId);
    } catch (error) {
      this.#parts.logger.warn({ err: error, batch: batchId }, 'a batch that was not accepted could not be discarded');
    }
  }
}

const newBatch = ({ principal, idempotencyKey, profile, caId }: KeySubmission): NewBatch => ({
  principalId: principal.id, idempotencyKey, caId, profileVersionId: profile.versionId, priority: BATCH_PRIORITY, purpose: 'line',
});

/** Shared by several loops; one that throws ends it for all. */
function* upTo(count: number): Generator<number> {
  for (let place = 0; place < count; place++) yield place;
}
