import { CrlEntries } from '@fleetroot/x509';
import type { CrlScope, ListedEntry } from '../ports/crl.ts';
import { revocationReasons } from '../ports/status.ts';

/** The serials of one run, scope by scope, as the ledger gives them. Holds a page at a time. */
export class ListedScopes {
  readonly #pages: AsyncIterator<readonly ListedEntry[]>;
  #page: readonly ListedEntry[] = [];
  #at = 0;
  #ended = false;

  constructor(pages: AsyncIterable<readonly ListedEntry[]>) {
    this.#pages = pages[Symbol.asyncIterator]();
  }

  /** Gives `visit` every entry of the scope; those of scopes that come before it are passed over. */
  async read(scope: CrlScope, visit: (entry: ListedEntry) => void): Promise<void> {
    const [shards, shard] = scope === 'all' ? [Infinity, Infinity] : placeOf(scope);
    for (;;) {
      if (this.#at >= this.#page.length && !await this.#fill()) return;
      for (; this.#at < this.#page.length; this.#at++) {
        const entry = this.#page[this.#at] as ListedEntry;
        if (entry.shards > shards || (entry.shards === shards && entry.shard > shard)) return;
        if (scope === 'all' || (entry.shards === shards && entry.shard === shard)) visit(entry);
      }
    }
  }

  async close(): Promise<void> {
    await this.#pages.return?.();
  }

  async #fill(): Promise<boolean> {
    while (!this.#ended && this.#at >= this.#page.length) {
      const next = await this.#pages.next();
      this.#ended = next.done === true;
      this.#page = next.done === true ? [] : next.value;
      this.#at = 0;
    }
    return !this.#ended;
  }
}

/** Shards and shard of a scope that is not `all`. */
export function placeOf(scope: Exclude<CrlScope, 'all'>): [number, number] {
  const [shards = 1, shard = 0] = scope.split('/').map(Number);
  return [shards, shard];
}

interface Wanted {
  /** Of certificates that end then or later, and changed then or later; milliseconds. */
  readonly endingFrom: number;
  readonly changedFrom: number;
}

/** The entries of one CRL, chosen from those of its scope. */
export class ScopeEntries {
  readonly entries: CrlEntries;
  readonly #wanted: Wanted;
  readonly #delta: boolean;
  #last: Uint8Array = new Uint8Array(0);

  constructor(delta: boolean, wanted: Wanted) {
    this.entries = new CrlEntries({ delta });
    this.#delta = delta;
    this.#wanted = wanted;
  }

  offer({ serial, reason, revokedAt, invalidityDate, notAfter, changedAt, released }: ListedEntry): void {
    if (notAfter < this.#wanted.endingFrom || changedAt < this.#wanted.changedFrom || (released && !this.#delta)) return;
    // A serial is in one of the ledger's tables only; were it in both, it must not be on the CRL twice.
    if (Buffer.compare(serial, this.#last) === 0) return;
    this.#last = serial;
    this.entries.add(released
      // RFC 5280 section 5.3.1: off the CRL that the delta starts from.
      ? { serial, revokedAt: new Date(revokedAt), reason: revocationReasons.removeFromCRL }
      : { serial, revokedAt: new Date(revokedAt), reason, invalidityDate: invalidityDate === null ? undefined : new Date(invalidityDate) });
  }
}
