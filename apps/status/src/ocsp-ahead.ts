import { toHex } from '@fleetroot/core';

export interface OcspAheadParts {
  readonly prepare: (caId: number, serials: readonly Uint8Array[], remember: boolean) => Promise<void>;
  readonly caIds: () => Promise<readonly number[]>;
  readonly newestRevoked: (caId: number, limit: number) => Promise<readonly Uint8Array[]>;
  readonly onFailure: (error: unknown) => void;
  /** Between two rounds over the revoked: a quarter of an answer's life, so that none is found in its last half. */
  readonly roundMs: number;
}

/** Serials that were told of and wait; what is beyond is signed when it is asked for. */
const WAITING = 10_000;
/** Revoked certificates of a CA whose answers are made ahead: those that changed last. */
const AHEAD = 5000;
/** Serials at once, two signatures each, and the pause after them: at most 200 signatures a second. */
const AT_ONCE = 50;
const PAUSE_MS = 500;

/**
 * Makes answers before they are asked for, in the background and never fast: those of serials that were told of, and round
 * after round those of the revoked.
 */
export class OcspAhead {
  readonly #parts: OcspAheadParts;
  readonly #told = new Map<string, { readonly caId: number; readonly serial: Uint8Array }>();
  #toldRunning: Promise<void> | undefined;
  #round: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  readonly #closing = new AbortController();

  constructor(parts: OcspAheadParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#again(2000);
  }

  add(caId: number, serial: Uint8Array): void {
    if (this.#told.size >= WAITING || this.#closing.signal.aborted) return;
    this.#told.set(`${caId}/${toHex(serial)}`, { caId, serial });
    this.#toldRunning ??= this.#makeTold().catch(this.#parts.onFailure).finally(() => {
      this.#toldRunning = undefined;
    });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    await Promise.all([this.#toldRunning, this.#round]);
  }

  #again(afterMs: number): void {
    if (this.#closing.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#round = this.#makeRevoked().catch(this.#parts.onFailure).finally(() => this.#again(this.#parts.roundMs));
    }, afterMs);
  }

  async #makeTold(): Promise<void> {
    // Those that were told of together are made together.
    await this.#pause(50);
    while (this.#told.size > 0 && !this.#closing.signal.aborted) {
      const some = [...this.#told].slice(0, AT_ONCE);
      for (const [name] of some) this.#told.delete(name);
      const byCa = Map.groupBy(some.map(([, one]) => one), ({ caId }) => caId);
      for (const [caId, of] of byCa) await this.#parts.prepare(caId, of.map(({ serial }) => serial), true);
      if (this.#told.size > 0) await this.#pause(PAUSE_MS);
    }
  }

  async #makeRevoked(): Promise<void> {
    for (const caId of await this.#parts.caIds()) {
      const serials = await this.#parts.newestRevoked(caId, AHEAD);
      for (let at = 0; at < serials.length && !this.#closing.signal.aborted; at += AT_ONCE) {
        await this.#parts.prepare(caId, serials.slice(at, at + AT_ONCE), false);
        await this.#pause(PAUSE_MS);
      }
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closing.signal.aborted) return resolve();
      const timer = setTimeout(resolve, ms);
      this.#closing.signal.addEventListener('abort', () => {
        clearTimeout(timer);
        resolve();
      }, { once: true });
    });
  }
}
