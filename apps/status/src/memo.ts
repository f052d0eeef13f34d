import { type Clock, isPkiError } from '@fleetroot/core';
import { within } from './patience.ts';

interface Known<V> {
  readonly value: V;
  readonly at: number;
}

/** A load that takes longer is not waited for where there is what was known before, in milliseconds. */
const PATIENCE_MS = 1500;

/**
 * Remembers what `load` gave for `ttlMs`, so that many requests cost one query. Calls at the same time share one load.
 * While the ledger is away (`store.unavailable`, or no answer) what was known before is given; of another failure nothing
 * is remembered.
 */
export class Memo<K, V> {
  readonly #load: (key: K) => Promise<V>;
  readonly #ttlMs: number;
  readonly #clock: Clock;
  readonly #known = new Map<K, Known<V>>();
  readonly #loads = new Map<K, { readonly began: number; readonly value: Promise<V> }>();

  constructor(load: (key: K) => Promise<V>, ttlMs: number, clock: Clock) {
    this.#load = load;
    this.#ttlMs = ttlMs;
    this.#clock = clock;
  }

  async get(key: K): Promise<V> {
    const now = this.#clock.now().getTime();
    const known = this.#known.get(key);
    if (known !== undefined && now < known.at + this.#ttlMs && now >= known.at) return known.value;
    const load = this.#loads.get(key) ?? this.#begin(key);
    if (known === undefined) return load.value;
    const outcome = load.value.then((value) => ({ value }), (error: unknown) => ({ error }));
    const first = await within(PATIENCE_MS, outcome, load.began, () => known);
    if ('value' in first) return first.value;
    if (!isPkiError(first.error) || first.error.code !== 'store.unavailable') {
      this.#known.delete(key);
      throw first.error;
    }
    // Asked for again after the same time as ever, not by each call.
    this.#known.set(key, { value: known.value, at: this.#clock.now().getTime() });
    return known.value;
  }

  #begin(key: K): { readonly began: number; readonly value: Promise<V> } {
    const at = this.#clock.now().getTime();
    const load = { began: performance.now(), value: this.#load(key) };
    this.#loads.set(key, load);
    const over = (): void => void this.#loads.delete(key);
    load.value.then((value) => this.#known.set(key, { value, at }), () => undefined).finally(over);
    return load;
  }
}
