import { type Clock, toHex } from '@fleetroot/core';
import type { ClientAuthority, ClientLedger } from './ports.ts';
import type { ClientReason } from './reason.ts';
import type { StatusMemory } from './status-memory.ts';
import { AuthorityReader, type Surroundings } from './surroundings.ts';

/** How often the ledger is looked at while anybody asks, in milliseconds: what no notification told of is known then. */
const LOOK_MS = 500;
/** After so long without a question nobody looks any more. */
const IDLE_MS = 60_000;
/** Changes are looked for from so long before the last look on: a transaction gets its times before it is committed. */
const OVERLAP_MS = 10_000;
/** How far the clocks of this process and of the database may be apart: far more than what any clock drifts unnoticed. */
const MOST_SKEW_MS = 60_000;
/** Between a change that was told and the look that follows it. */
const SOON_MS = 20;

export interface StatusWatchParts {
  readonly ledger: Pick<ClientLedger, 'changes' | 'members' | 'listen'>;
  readonly authorities: () => Promise<readonly ClientAuthority[]>;
  readonly memory: StatusMemory;
  readonly clock: Clock;
  /** For so long, in milliseconds, what is known is believed while the database is away. */
  readonly staleMs: number;
}

/**
 * Keeps what is known of revocations no older than half a second: by notifications, and by looking. Begins at the first
 * question and rests when nobody asks.
 */
export class StatusWatch {
  readonly #parts: StatusWatchParts;
  readonly #reader = new AuthorityReader();
  #surroundings: Surroundings | undefined;
  /** When the last look that was answered began; of `performance.now`. */
  #freshAt = -Infinity;
  #skewed = false;
  #since: Date | undefined;
  #usedAt = -Infinity;
  #looking: Promise<void> | undefined;
  #again = false;
  #timer: NodeJS.Timeout | undefined;
  #unlisten: (() => void) | undefined;
  #closed = false;

  constructor(parts: StatusWatchParts) {
    this.#parts = parts;
  }

  /** Says that somebody asks. Undefined: all is known; else it will be when the promise resolves, or cannot be now. */
  use(now: number): Promise<void> | undefined {
    this.#usedAt = now;
    if (this.#unlisten !== undefined && this.#surroundings !== undefined) return undefined;
    this.#begin();
    return this.#look();
  }

  /** What to judge by; or why nothing can be judged. */
  at(now: number): Surroundings | ClientReason {
    if (this.#surroundings === undefined || now - this.#freshAt > this.#parts.staleMs) return 'status.unavailable';
    return this.#skewed ? 'clock.skew' : this.#surroundings;
  }

  close(): void {
    this.#closed = true;
    this.#rest();
  }

  #begin(): void {
    if (this.#closed || this.#unlisten !== undefined) return;
    const { ledger, memory } = this.#parts;
    this.#unlisten = ledger.listen((caId, serialHex) => {
      if (serialHex === undefined) memory.forgetCa(caId);
      else memory.forget(caId, serialHex);
      // A CA may be revoked, or a key blocked, with it.
      this.#next(SOON_MS);
    }, () => memory.forgetAll());
  }

  /** All is forgotten: nobody tells what changes from now on. */
  #rest(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#unlisten?.();
    this.#unlisten = undefined;
    this.#surroundings = undefined;
    this.#since = undefined;
    this.#parts.memory.forgetAll();
  }

  #next(ms: number): void {
    if (this.#closed) return;
    if (this.#looking !== undefined) {
      this.#again ||= ms === SOON_MS;
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (performance.now() - this.#usedAt > IDLE_MS) this.#rest();
      else void this.#look();
    }, ms);
    this.#timer.unref();
  }

  #look(): Promise<void> {
    this.#looking ??= this.#lookOnce().catch(() => undefined).finally(() => {
      this.#looking = undefined;
      const soon = this.#again;
      this.#again = false;
      this.#next(soon ? SOON_MS : LOOK_MS);
    });
    return this.#looking;
  }

  async #lookOnce(): Promise<void> {
    const { ledger, authorities, memory, clock } = this.#parts;
    const began = performance.now();
    const [changes, all, members] = await Promise.all([ledger.changes(this.#since), authorities(), ledger.members()]);
    if (this.#closed) return;
    for (const caId of changes.many) memory.forgetCa(caId);
    for (const { caId, serial } of changes.changed) memory.forget(caId, toHex(serial));
    memory.forgetKeys(new Set(changes.changed.flatMap(({ keySha256 }) => (keySha256 === undefined ? [] : [toHex(keySha256)]))));
    this.#since = new Date(changes.at.getTime() - OVERLAP_MS);
    this.#skewed = Math.abs(clock.now().getTime() - changes.at.getTime()) > MOST_SKEW_MS + performance.now() - began;
    this.#surroundings = {
      authorities: this.#reader.read(all), truststores: new Map([...members].map(([name, ids]) => [name, new Set(ids)])),
    };
    this.#freshAt = began;
  }
}
