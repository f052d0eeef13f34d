import { createHash, type Hash } from 'node:crypto';
import { BATCH_PRIORITY, type BatchLedger, type BatchProgress } from '@fleetroot/authority';
import { type Breath, type Clock, crashPoint, equalBytes, PkiError } from '@fleetroot/core';
import type { Logger } from '@fleetroot/telemetry';
import type { BlockedKeys } from '@fleetroot/x509';
import type { OutboxRelay } from '../outbox-relay.ts';
import type { KnownProfile } from '../profile-catalogue.ts';
import { Intake } from './intake.ts';
import { sentItem, sentItemOfLine, type SentItem } from './item.ts';
import { LineSplitter } from './line-splitter.ts';

/** Who sends what, under which key. */
export interface Submission {
  readonly principal: { readonly id: number; readonly name: string };
  readonly idempotencyKey: string;
  readonly profile: KnownProfile;
  /** The CA that the sender asked for, by name; undefined: none. */
  readonly ca: string | undefined;
  /** The CA that is to issue. */
  readonly caId: number;
  /** The batch whose failed items it sends again. */
  readonly resendOf: string | undefined;
}

/** The items of a body, as they come; each step may wait for the ledger. `hash` has seen the body at its end. */
type Items = (hash: Hash) => AsyncGenerator<readonly SentItem[]>;

export interface Received {
  readonly batch: BatchProgress;
  /** False: the Idempotency-Key had opened it before. */
  readonly created: boolean;
}

export interface ReceptionParts {
  readonly batches: BatchLedger;
  readonly relay: OutboxRelay;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly blockedKeys: BlockedKeys;
  readonly chunkItems: number;
  readonly maxItems: number;
  readonly breath: Breath;
}

/** Takes batches in: all of a body, or nothing of it. */
export class BatchReception {
  readonly #parts: ReceptionParts;
  readonly #receiving = new Set<Promise<Received>>();

  constructor(parts: ReceptionParts) {
    this.#parts = parts;
  }

  /**
   * One item a line. Reads as fast as the ledger writes.
   * @throws PkiError `batch.*`, `idempotency.*`, and what reading `body` throws: then nothing stays stored
   */
  receiveLines(submission: Submission, body: AsyncIterable<Buffer>): Promise<Received> {
    const { breath } = this.#parts;
    return this.#receive(submission, async function* (hash) {
      const splitter = new LineSplitter();
      for await (const chunk of body) {
        await breath.taken();
        hash.update(chunk);
        yield Array.from(splitter.push(chunk), (line) => sentItemOfLine(line, splitter.number));
      }
      yield Array.from(splitter.end(), (line) => sentItemOfLine(line, splitter.number));
    });
  }

  /** The items of a JSON body that was read whole; `octets` are what its key is bound to. Throws as `receiveLines`. */
  receiveItems(submission: Submission, items: readonly unknown[], octets: Buffer): Promise<Received> {
    return this.#receive(submission, async function* (hash) {
      hash.update(octets);
      yield items.map((item, i) => sentItem(item, `item ${i + 1}`, { item: i + 1 }));
    });
  }

  /**
   * Resolves when nothing is being received any more. The ledger is closed after that: a batch whose sender was cut off has
   * been discarded by then, and its key is free.
   */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#receiving);
  }

  async #receive(submission: Submission, items: Items): Promise<Received> {
    const receiving = this.#take(submission, items);
    this.#receiving.add(receiving);
    try {
      return await receiving;
    } finally {
      this.#receiving.delete(receiving);
    }
  }

  async #take(submission: Submission, items: Items): Promise<Received> {
    const { batches } = this.#parts;
    const { principal, idempotencyKey, profile } = submission;
    const begun = await batches.begin({
      principalId: principal.id, idempotencyKey, caId: submission.caId, profileVersionId: profile.versionId,
      priority: BATCH_PRIORITY, purpose: 'line', resendOf: submission.resendOf,
    });
    if (begun.kind === 'known') return { batch: await this.#repeated(begun.batch, submission, items), created: false };
    const { batchId } = begun;
    const intake = new Intake((good, bad) => batches.append(batchId, good, bad), profile.profile, this.#parts);
    try {
      const bodySha256 = await this.#fill(intake, items, submission);
      const batch = await batches.accept(batchId, bodySha256, {
        action: 'batch.accepted', actor: `principal:${principal.name}`, at: this.#parts.clock.now(), subject: `batch:${batchId}`,
        data: { profile: profile.profile.name, items: intake.count, ca: submission.caId, resendOf: submission.resendOf ?? null },
      });
      crashPoint('batch.accepted');
      this.#parts.relay.kick();
      return { batch, created: true };
    } catch (error) {
      await intake.settle();
      await this.#discard(batchId);
      throw error;
    }
  }

  async #fill(intake: Intake, items: Items, submission: Submission): Promise<Uint8Array> {
    const hash = hashOf(submission);
    for await (const some of items(hash)) {
      for (const item of some) {
        if (intake.full) await intake.write();
        intake.add(item);
      }
    }
    if (intake.count === 0) throw new PkiError('batch.empty', 'the body has no item');
    await intake.finish();
    return hash.digest();
  }

  /** The body is read to its end for its hash alone. */
  async #repeated(batch: BatchProgress, submission: Submission, items: Items): Promise<BatchProgress> {
    const hash = hashOf(submission);
    for await (const some of items(hash)) void some;
    if (batch.bodySha256 === undefined) throw new PkiError('idempotency.in-progress');
    if (batch.profile !== submission.profile.profile.name || !equalBytes(batch.bodySha256, hash.digest())) {
      throw new PkiError('idempotency.conflict', 'this Idempotency-Key was used with another body, profile, CA or batch to send again: use a new one');
    }
    return batch;
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

/** What a key is bound to: the body, and what was asked for beside it. No body begins like one of these lines. */
function hashOf({ ca, resendOf }: Submission): Hash {
  const hash = createHash('sha256');
  if (ca !== undefined) hash.update(`ca ${ca}\n`);
  if (resendOf !== undefined) hash.update(`resend ${resendOf}\n`);
  return hash;
}
