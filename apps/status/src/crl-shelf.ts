import { hash } from 'node:crypto';
import { crlKey, type CrlHead, type CrlKind, type CrlScope, type PublishedLedger } from '@fleetroot/authority';
import { equalBytes, Lru, PkiError } from '@fleetroot/core';
import { Copy } from './copy.ts';
import type { LedgerView } from './ledger-view.ts';
import { within } from './patience.ts';

/** One published CRL, whole, in memory. */
export interface ShelvedCrl {
  readonly head: CrlHead;
  readonly copy: Copy;
  readonly dated: boolean;
  readonly held: number;
}

export interface CrlShelfParts {
  readonly view: Pick<LedgerView, 'crls'>;
  readonly ledger: Pick<PublishedLedger, 'crlContent'>;
  /** Octets in memory, their gzip included, apart from the one that was asked for last. */
  readonly limit: number;
  readonly onError?: (error: unknown) => void;
}

/** A newer one is waited for so long while the one before is there to be served, in milliseconds. */
const PATIENCE_MS = 400;
/** Read ahead at once. */
const READERS = 2;

/**
 * The CRLs in memory. One is read whole, compared with the SHA-256 on record, and then put in the place of the one
 * before at once: whoever asks gets the one or the other (I15).
 */
export class CrlShelf {
  readonly #parts: CrlShelfParts;
  readonly #lru: Lru<string, ShelvedCrl>;
  readonly #loads = new Map<string, { readonly number: bigint; readonly began: number; readonly done: Promise<ShelvedCrl | undefined> }>();
  readonly #ahead = new Map<string, CrlHead>();
  #readers = 0;

  constructor(parts: CrlShelfParts) {
    this.#parts = parts;
    this.#lru = new Lru(parts.limit, (_, { held }) => held);
  }

  /** Octets in memory. */
  get held(): number {
    return this.#lru.weight;
  }

  /** Reads ahead what is new and asked for, or fits beside what is. */
  renew(heads: readonly CrlHead[]): void {
    for (const head of heads) this.#ahead.set(crlKey(head), head);
    while (this.#readers < READERS && this.#ahead.size > 0) void this.#readAhead();
  }

  /**
   * The newest CRL that can be had; the one before it while the newest is on its way, or the ledger away. undefined before
   * the first. @throws PkiError `store.unavailable` where none is in memory
   */
  async get(caId: number, scope: CrlScope, kind: CrlKind): Promise<ShelvedCrl | undefined> {
    const head = this.#parts.view.crls.get(caId, scope, kind);
    if (head === undefined) return undefined;
    const key = crlKey(head);
    const kept = this.#lru.get(key);
    if (kept !== undefined && kept.head.number >= head.number) return kept;
    const load = this.#load(head);
    if (kept === undefined) return load.done;
    return within(PATIENCE_MS, load.done, load.began, () => kept).then((loaded) => loaded ?? kept);
  }

  /** A delta of a full CRL that is not served yet would be of no use to who fetches both (RFC 5280 section 5.2.4). */
  async #withFull({ caId, scope, baseNumber }: CrlHead): Promise<void> {
    const newest = this.#parts.view.crls.get(caId, scope, 'full');
    if (baseNumber === undefined || newest === undefined) return;
    const served = this.#lru.peek(crlKey(newest));
    if (served !== undefined && served.head.number < baseNumber) await this.#load(newest).done;
  }

  async #readAhead(): Promise<void> {
    this.#readers++;
    try {
      for (const [key, head] of this.#ahead) {
        this.#ahead.delete(key);
        const lru = this.#lru;
        if (lru.peek(key) === undefined && !lru.hasRoomFor(estimate(head))) continue;
        // It is read by who asks for it.
        await this.#load(head).done.catch(() => undefined);
      }
    } finally {
      this.#readers--;
    }
  }

  #load(head: CrlHead): { readonly began: number; readonly done: Promise<ShelvedCrl | undefined> } {
    const key = crlKey(head);
    const under = this.#loads.get(key);
    if (under !== undefined && under.number >= head.number) return under;
    const kept = this.#lru.peek(key);
    if (kept !== undefined && kept.head.number >= head.number) return { began: 0, done: Promise.resolve(kept) };
    const load = { number: head.number, began: performance.now(), done: this.#withFull(head).then(() => this.#read(head, key)) };
    this.#loads.set(key, load);
    const over = (): void => {
      if (this.#loads.get(key) === load) this.#loads.delete(key);
    };
    load.done.then(over, (error: unknown) => {
      over();
      this.#parts.onError?.(error);
    });
    return load;
  }

  async #read(head: CrlHead, key: string): Promise<ShelvedCrl | undefined> {
    const content = await this.#parts.ledger.crlContent(head);
    // Newer ones were published since: the next look knows of them.
    if (content === undefined) return this.#lru.peek(key);
    const sha256 = hash('sha256', content.der, 'buffer');
    if (!equalBytes(sha256, head.sha256)) throw new PkiError('crl.invalid', `the CRL ${key}, number ${head.number}, is not the one whose SHA-256 is on record: run fleetroot fsck`);
    const lru = this.#lru;
    const copy = new Copy(content.der, (by) => lru.grown(key, shelved, by), sha256);
    const shelved: ShelvedCrl = {
      head, copy, dated: content.dated,
      get held() {
        return copy.held;
      },
    };
    const before = lru.peek(key);
    if (before !== undefined && before.head.number >= head.number) return before;
    lru.set(key, shelved);
    if (before?.copy.wasAskedForGzip === true) void copy.gzip();
    return shelved;
  }
}

/** Octets of a CRL of so many entries, roughly. */
const estimate = ({ entries }: CrlHead): number => 500 + entries * 45;
