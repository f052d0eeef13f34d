import type { Clock } from '@fleetroot/core';

/**
 * Remembers what `load` gave for `ttlMs`, so that many requests cost one query. Calls at the same time share one load;
 * a failed one is forgotten at once.
 */
export class Memo<K, V> {
  readonly #load: (key: K) => Promise<V>;
  readonly #ttlMs: number;
  readonly #clock: Clock;
  readonly #known = new Map<K, { readonly until: number; readonly value: Promise<V> }>();

  constructor(load: (key: K) => Promise<V>, ttlMs: number, clock: Clock) {
    this.#load = load;
    this.#ttlMs = ttlMs;
    this.#clock = clock;
  }

  get(key: K): Promise<V> {
    const now = this.#clock.now().getTime();
    const known = this.#known.get(key);
    if (known !== undefined && now < known.until && now >= known.until - this.#ttlMs) return known.value;
    const value = this.#load(key);
    const entry = { until: now + this.#ttlMs, value };
    this.#known.set(key, entry);
    value.catch(() => {
      if (this.#known.get(key) === entry) this.#known.delete(key);
    });
    return value;
  }
}
