/** An entry, and those that were asked for just before and just after it. */
interface Link<K, V> {
  readonly key: K;
  readonly value: V;
  weight: number;
  older: Link<K, V> | undefined;
  newer: Link<K, V> | undefined;
}

/**
 * A map of bounded weight: of so many octets, or of so many entries where no weight is given. Where it is over its limit,
 * what was not asked for longest goes. What was put in last stays even if it alone is heavier than the limit, so that it
 * is not made anew for each who asks: the bound is the limit, or that one entry.
 *
 * The order is a chain of its own: deleting and adding anew in a Map leaves holes at its beginning, which each look for
 * the oldest entry would walk over.
 */
export class Lru<K, V> {
  readonly #limit: number;
  readonly #weightOf: (key: K, value: V) => number;
  readonly #links = new Map<K, Link<K, V>>();
  #oldest: Link<K, V> | undefined;
  #newest: Link<K, V> | undefined;
  #weight = 0;

  /** @param weightOf asked once, when the value is put in; each counts as one where it is absent */
  constructor(limit: number, weightOf: (key: K, value: V) => number = () => 1) {
    this.#limit = limit;
    this.#weightOf = weightOf;
  }

  get size(): number {
    return this.#links.size;
  }

  /** Of all entries. */
  get weight(): number {
    return this.#weight;
  }

  hasRoomFor(weight: number): boolean {
    return this.#weight + weight <= this.#limit;
  }

  get(key: K): V | undefined {
    const link = this.#links.get(key);
    if (link === undefined) return undefined;
    if (link !== this.#newest) {
      this.#unchain(link);
      this.#append(link);
    }
    return link.value;
  }

  /** Without counting as asked for. */
  peek(key: K): V | undefined {
    return this.#links.get(key)?.value;
  }

  set(key: K, value: V): void {
    this.delete(key);
    const link = { key, value, weight: this.#weightOf(key, value), older: undefined, newer: undefined };
    this.#links.set(key, link);
    this.#append(link);
    this.#weight += link.weight;
    this.#makeRoom(link);
  }

  /** The value weighs so much more than before. Nothing happens where it is not kept any more. */
  grown(key: K, value: V, by: number): void {
    const link = this.#links.get(key);
    if (link?.value !== value) return;
    link.weight += by;
    this.#weight += by;
    this.#makeRoom(link);
  }

  delete(key: K): void {
    const link = this.#links.get(key);
    if (link !== undefined) this.#drop(link);
  }

  /** In no order that means anything. Those that are there may be deleted on the way. */
  *entries(): IterableIterator<[K, V]> {
    for (const [key, { value }] of this.#links) yield [key, value];
  }

  #makeRoom(keep: Link<K, V>): void {
    while (this.#weight > this.#limit) {
      const link = this.#oldest === keep ? keep.newer : this.#oldest;
      if (link === undefined) return;
      this.#drop(link);
    }
  }

  #drop(link: Link<K, V>): void {
    this.#links.delete(link.key);
    this.#unchain(link);
    this.#weight -= link.weight;
  }

  #append(link: Link<K, V>): void {
    link.older = this.#newest;
    link.newer = undefined;
    if (this.#newest === undefined) this.#oldest = link;
    else this.#newest.newer = link;
    this.#newest = link;
  }

  #unchain({ older, newer }: Link<K, V>): void {
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
  }
}
