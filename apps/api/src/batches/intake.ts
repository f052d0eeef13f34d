import type { FailedItem, Profile, RequestItem } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';
import type { BlockedKeys } from '@fleetroot/x509';
import { itemOrFailure, type SentItem } from './item.ts';

/** Makes one chunk durable. */
export type ChunkSink = (items: readonly RequestItem[], failures: readonly FailedItem[]) => Promise<void>;

export interface IntakeRules {
  readonly chunkItems: number;
  readonly maxItems: number;
  readonly blockedKeys: BlockedKeys;
}

/**
 * Fills the chunks of one open batch. While one chunk is written the next is read, and no further: memory holds two
 * chunks, however long the batch.
 */
export class Intake {
  readonly #sink: ChunkSink;
  readonly #profile: Profile;
  readonly #rules: IntakeRules;
  #items: RequestItem[] = [];
  #failures: FailedItem[] = [];
  #count: number;
  #writing: Promise<void> = Promise.resolve();

  /** @param sink called with one chunk at a time  @param first place of the first item that comes */
  constructor(sink: ChunkSink, profile: Profile, rules: IntakeRules, first = 0) {
    this.#sink = sink;
    this.#count = first;
    this.#profile = profile;
    this.#rules = rules;
  }

  /** Items of the batch, those from before included. */
  get count(): number {
    return this.#count;
  }

  /** A chunk is full: `write` it before the next `add`. */
  get full(): boolean {
    return this.#items.length + this.#failures.length >= this.#rules.chunkItems;
  }

  /** @throws PkiError `batch.too-many-items` */
  add(sent: SentItem): void {
    const { maxItems, blockedKeys } = this.#rules;
    if (this.#count >= maxItems) {
      throw new PkiError('batch.too-many-items', `a batch has at most ${maxItems} items: send the rest as another batch`, { data: { limit: maxItems } });
    }
    const result = itemOrFailure(sent, this.#count, this.#profile, blockedKeys);
    if ('item' in result) this.#items.push(result.item);
    else this.#failures.push(result.failure);
    this.#count++;
  }

  /** Hands the chunk over; resolves when the one before it is durable. Throws what its append threw. */
  async write(): Promise<void> {
    await this.#writing;
    if (this.#items.length + this.#failures.length === 0) return;
    this.#writing = this.#sink(this.#items, this.#failures);
    // It is awaited by the next write, or by `settle`; until then its failure is nobody's fault.
    this.#writing.catch(() => undefined);
    this.#items = [];
    this.#failures = [];
  }

  /** Writes what is left; resolves when all of it is durable. */
  async finish(): Promise<void> {
    await this.write();
    await this.#writing;
  }

  /** Resolves when nothing is being written any more, however that went. */
  async settle(): Promise<void> {
    await this.#writing.catch(() => undefined);
  }
}
