import { isPkiError, PkiError } from '@fleetroot/core';
import type { Database } from './database.ts';
import type { Listener } from './listener.ts';

const POLL_MS = 250;

/**
 * Waits for chunks to be done: by notification, and by a look at all awaited chunks every 250 ms for what a
 * notification missed. One query a look, however many wait.
 */
export class ChunkWatch {
  readonly #database: Database;
  readonly #listener: Listener;
  readonly #waiting = new Map<string, Set<() => void>>();
  #unsubscribe: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(database: Database, listener: Listener) {
    this.#database = database;
    this.#listener = listener;
  }

  /**
   * Resolves with true when the chunk is done, with false when `signal` aborts first.
   * @throws PkiError `batch.not-found` where there is no such chunk
   */
  async done(chunkId: bigint, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    const wait = this.#register(chunkId, signal);
    try {
      // Looked at after registering: a chunk that is done in between has either been seen here or wakes us.
      if (await this.#isDone(chunkId)) return true;
      return await wait.promise;
    } finally {
      wait.cancel();
    }
  }

  async #isDone(chunkId: bigint): Promise<boolean> {
    let rows;
    try {
      rows = await this.#database.query<{ state: string }>('SELECT state FROM chunk WHERE id = $1', [chunkId]);
    } catch (error) {
      // While the database is away nobody can tell; the next looks will.
      if (isPkiError(error) && error.code === 'store.unavailable') return false;
      throw error;
    }
    if (rows[0] === undefined) throw new PkiError('batch.not-found');
    return rows[0].state === 'done';
  }

  #register(chunkId: bigint, signal: AbortSignal): { readonly promise: Promise<boolean>; cancel(): void } {
    const key = String(chunkId);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const wake = (): void => resolve(true);
    const abort = (): void => resolve(false);
    const wakers = this.#waiting.get(key) ?? new Set();
    wakers.add(wake);
    this.#waiting.set(key, wakers);
    signal.addEventListener('abort', abort, { once: true });
    this.#unsubscribe ??= this.#listener.subscribe('fleetroot_chunk', (id) => this.#wake(id));
    this.#timer ??= setInterval(() => void this.#look(), POLL_MS).unref();
    return {
      promise,
      cancel: () => {
        signal.removeEventListener('abort', abort);
        wakers.delete(wake);
        if (wakers.size === 0 && this.#waiting.get(key) === wakers) this.#waiting.delete(key);
        if (this.#waiting.size > 0) return;
        clearInterval(this.#timer);
        this.#timer = undefined;
      },
    };
  }

  #wake(key: string): void {
    for (const wake of this.#waiting.get(key) ?? []) wake();
  }

  async #look(): Promise<void> {
    if (this.#waiting.size === 0) return;
    try {
      const rows = await this.#database.query<{ id: bigint }>(
        `SELECT id FROM chunk WHERE id = ANY($1::bigint[]) AND state = 'done'`, [[...this.#waiting.keys()]]);
      for (const { id } of rows) this.#wake(String(id));
    } catch {
      // The database is away: the next look finds out.
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#unsubscribe?.();
  }
}
