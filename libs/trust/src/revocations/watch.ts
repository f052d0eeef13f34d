import { type Clock, LATE_COMMIT_MS, toHex } from '@fleetroot/core';
import type { ChangedRevocation, RevocationFeed } from './ports.ts';

/** Who must hear what may have another status now. */
export interface RevocationHearer {
  /** @param serial in hex */
  certificate(caId: number, serial: string): void;
  /** Whatever the CA has issued. */
  authority(caId: number): void;
  /** Anything: what changed was not heard, or nobody looks from now on. */
  all(): void;
  /** Whatever has one of these keys, which are blocked now: the SHA-256 of its SubjectPublicKeyInfo, in hex. */
  keys?(sha256: ReadonlySet<string>): void;
}

export interface RevocationWatchParts {
  readonly ledger: RevocationFeed;
  readonly clock: Clock;
  readonly hearer: RevocationHearer;
  /** Changes of one CA in the overlap that are told one by one; where there are as many, all of the CA is told of. */
  readonly oneByOne: number;
  /** Looked at with the ledger's changes: reads, and returns what is to be done once the whole look has worked. */
  readonly beside?: () => Promise<() => void>;
  /** Time between a change that was heard of and the look that follows it, in milliseconds; absent: as any other. */
  readonly soonMs?: number;
  /** Asked before each look but the first; false: the watch rests until `start`. */
  readonly wanted?: () => boolean;
  /** Once when looking begins to fail, and not again before it has worked. */
  readonly onFailure?: (error: unknown) => void;
}

/** How often the ledger is looked at, in milliseconds: what no notification told of is known then. */
const LOOK_MS = 500;
/** The process's clock and the database's may differ by as much, and the process's clock may step by as much, in milliseconds: far more than what any clock drifts unnoticed. */
const SKEW_MS = 60_000;

/**
 * Tells what is revoked, held or released as soon as the ledger notifies of it, and within half a second where it does not.
 * However long the ledger was away, it is looked at from the last look on.
 */
export class RevocationWatch {
  readonly #parts: RevocationWatchParts;
  /** changed_at by CA and serial, of what was told of and is inside the overlap. */
  #seen = new Map<string, number>();
  /** The ledger's time at the last look that worked. */
  #lookedAt: number | undefined;
  #began: { readonly time: number; readonly moment: number } | undefined;
  /** The clock's time less a time that never steps, when both were known to be right. */
  #offset: number | undefined;
  #skewed = false;
  #failing = false;
  #looking: Promise<void> | undefined;
  #again = false;
  #timer: NodeJS.Timeout | undefined;
  #unlisten: (() => void) | undefined;
  #closed = false;

  constructor(parts: RevocationWatchParts) {
    this.#parts = parts;
  }

  /** Begins to listen and to look, unless it does. */
  start(): void {
    if (this.#closed || this.#unlisten !== undefined) return;
    const { ledger, hearer, soonMs } = this.#parts;
    this.#unlisten = ledger.listen((caId, serial) => {
      if (serial === undefined) hearer.authority(caId);
      else hearer.certificate(caId, serial);
      if (soonMs !== undefined) this.#next(soonMs);
    }, () => hearer.all());
    void this.look();
  }

  /** Ends for good; a look that is under way is waited for, and tells nothing any more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#rest();
    await this.#looking;
  }

  /** When the last look that worked began: by the clock, in Unix milliseconds, and by `performance.now`. undefined: none has since it rested. */
  get began(): { readonly time: number; readonly moment: number } | undefined {
    return this.#began;
  }

  /** Whether the clock is not the database's, as far as anybody can tell. */
  get skewed(): boolean {
    if (this.#skewed || this.#offset === undefined) return this.#skewed;
    return Math.abs(this.#parts.clock.now().getTime() - performance.now() - this.#offset) > SKEW_MS;
  }

  /** One look; one that is under way is waited for instead. Never rejects. */
  look(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined;
      const soon = this.#again;
      this.#again = false;
      this.#next(soon ? this.#parts.soonMs ?? LOOK_MS : LOOK_MS);
    });
    return this.#looking;
  }

  #rest(): void {
    clearTimeout(this.#timer);
    this.#unlisten?.();
    this.#unlisten = undefined;
    this.#lookedAt = undefined;
    this.#began = undefined;
    this.#seen = new Map();
    this.#parts.hearer.all();
  }

  #next(ms: number): void {
    if (this.#unlisten === undefined) return;
    if (this.#looking !== undefined) {
      this.#again ||= ms < LOOK_MS;
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#parts.wanted?.() ?? true) void this.look();
      else this.#rest();
    }, ms);
    this.#timer.unref();
  }

  async #lookOnce(): Promise<void> {
    try {
      await this.#look();
      this.#failing = false;
    } catch (error) {
      if (!this.#failing && !this.#closed) this.#parts.onFailure?.(error);
      this.#failing = true;
    }
  }

  async #look(): Promise<void> {
    const { ledger, clock, hearer, oneByOne, beside } = this.#parts;
    const began = { time: clock.now().getTime(), moment: performance.now() };
    const since = this.#lookedAt === undefined ? undefined : new Date(this.#lookedAt - LATE_COMMIT_MS);
    const changes = ledger.changes(since, oneByOne).then((found) => {
      this.#compareClocks(began.time, found.at.getTime());
      return found;
    });
    const [{ at, changed }, done] = await Promise.all([changes, beside?.()]);
    if (this.#closed) return;
    done?.();
    // The ledger's clock went back: what changed meanwhile may have times that are not looked at.
    if (this.#lookedAt !== undefined && at.getTime() < this.#lookedAt) hearer.all();
    this.#tellNew(changed);
    this.#lookedAt = at.getTime();
    this.#began = began;
  }

  #compareClocks(began: number, databaseNow: number): void {
    const ended = this.#parts.clock.now().getTime();
    this.#skewed = databaseNow < began - SKEW_MS || databaseNow > ended + SKEW_MS;
    if (!this.#skewed) this.#offset = ended - performance.now();
  }

  #tellNew(changed: readonly ChangedRevocation[]): void {
    const { hearer, oneByOne } = this.#parts;
    const seen = new Map<string, number>();
    const counts = new Map<number, number>();
    const fresh = new Map<number, string[]>();
    const keys = new Set<string>();
    for (const { caId, serial, changedAt, keySha256 } of changed) {
      const hex = toHex(serial);
      const name = `${caId}/${hex}`;
      seen.set(name, changedAt.getTime());
      counts.set(caId, (counts.get(caId) ?? 0) + 1);
      if (this.#seen.get(name) === changedAt.getTime()) continue;
      const ofCa = fresh.get(caId);
      if (ofCa === undefined) fresh.set(caId, [hex]);
      else ofCa.push(hex);
      // A blocked key may be that of another CA's certificate.
      if (keySha256 !== undefined) keys.add(toHex(keySha256));
    }
    this.#seen = seen;
    for (const [caId, serials] of fresh) {
      // Where there were more than could be read, some that are new were not.
      if ((counts.get(caId) ?? 0) >= oneByOne) hearer.authority(caId);
      else for (const serial of serials) hearer.certificate(caId, serial);
    }
    if (keys.size > 0) hearer.keys?.(keys);
  }
}
