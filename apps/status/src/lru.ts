/** What is kept takes so many octets. */
export interface Sized {
  readonly held: number;
}

/**
 * Keeps what was asked for last, up to so many octets in all. What was put in last always stays, so that something larger
 * than the limit is not read anew for each who asks: the bound is the limit and one object.
 */
export class Lru<V extends Sized> {
  readonly #limit: number;
  readonly #kept = new Map<string, V>();
  #held = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get held(): number {
    return this.#held;
  }

  hasRoomFor(octets: number): boolean {
    return this.#held + octets <= this.#limit;
  }

  /** Without counting as asked for. */
  peek(key: string): V | undefined {
    return this.#kept.get(key);
  }

  get(key: string): V | undefined {
    const value = this.#kept.get(key);
    if (value !== undefined) {
      this.#kept.delete(key);
      this.#kept.set(key, value);
    }
    return value;
  }

  set(key: string, value: V): void {
    this.delete(key);
    this.#kept.set(key, value);
    this.#held += value.held;
    this.#makeRoom(key);
  }

  /** The value has grown by so many octets. Nothing happens where it is not kept any more. */
  grown(key: string, value: V, by: number): void {
    if (this.#kept.get(key) !== value) return;
    this.#held += by;
    this.#makeRoom(key);
  }

  delete(key: string): void {
    const value = this.#kept.get(key);
    if (value === undefined) return;
    this.#kept.delete(key);
    this.#held -= value.held;
  }

  #makeRoom(keep: string): void {
    for (const key of this.#kept.keys()) {
      if (this.#held <= this.#limit) return;
      if (key !== keep) this.delete(key);
    }
  }
}
