import { type Clock, PkiError } from '@fleetroot/core';
import type { StatusStore } from '@fleetroot/store';
import { Copy } from './copy.ts';
import { Memo } from './memo.ts';
import type { Published } from './published.ts';
import type { PublishedObject } from './representation.ts';

/** What its name fixes is of the same octets for ever, in seconds. */
const VERSION_AGE = 86_400;
/** What a newer one takes the place of, in seconds. */
const NEWEST_AGE = 300;
/** How long what was read from the ledger is served again, in milliseconds. */
const MEMO_MS = 5000;

interface PublishedDelta {
  readonly base: bigint;
  readonly version: bigint;
  readonly object: PublishedObject;
}

/** Revocation filters for vehicles: docs/filter.md. What is remembered is as much as the ledger keeps, whatever is asked for. */
export class Filters {
  readonly #published: Pick<Published, 'authorities'>;
  readonly #full: Memo<number, PublishedObject | undefined>;
  readonly #deltas: Memo<number, readonly PublishedDelta[]>;

  constructor(ledger: Pick<StatusStore, 'filter' | 'filterDeltas'>, published: Pick<Published, 'authorities'>, clock: Clock) {
    this.#published = published;
    this.#full = new Memo(async (caId) => {
      const filter = await ledger.filter(caId);
      return filter === undefined ? undefined : objectOf(filter);
    }, MEMO_MS, clock);
    this.#deltas = new Memo(async (caId) => (await ledger.filterDeltas(caId)).map((filter) =>
      ({ base: filter.baseVersion, version: filter.version, object: objectOf(filter) })), MEMO_MS, clock);
  }

  /** The full filter that deltas go with now. @throws PkiError `ca.not-found`, `filter.not-found` */
  async full(ca: string): Promise<PublishedObject> {
    const object = await this.#full.get(await this.#caId(ca));
    if (object === undefined) throw new PkiError('filter.not-found', `no filter of ${ca} is published yet`);
    return object;
  }

  /** A delta of the base with this version; without a version the newest. @throws PkiError `ca.not-found`, `filter.not-found` */
  async delta(ca: string, base: bigint, version: bigint | undefined): Promise<PublishedObject> {
    const deltas = await this.#deltas.get(await this.#caId(ca));
    const delta = deltas.find((one) => one.base === base && (version === undefined || one.version === version));
    if (delta === undefined) throw new PkiError('filter.not-found', 'no delta of this base, or no longer: fetch the full filter');
    return version === undefined ? delta.object : { ...delta.object, freshness: { ...delta.object.freshness, maxAge: VERSION_AGE } };
  }

  async #caId(name: string): Promise<number> {
    const ca = (await this.#published.authorities()).find((authority) => authority.name === name);
    if (ca === undefined) throw new PkiError('ca.not-found', 'no CA of this name');
    return ca.id;
  }
}

type StoredFilter = NonNullable<Awaited<ReturnType<StatusStore['filter']>>>;

/** Its tables are as good as random: gzip is of no use. */
const objectOf = ({ content, madeAt }: StoredFilter): PublishedObject =>
  ({ copy: new Copy(content), mediaType: 'application/octet-stream', compressible: false, freshness: { lastModified: madeAt, maxAge: NEWEST_AGE } });
