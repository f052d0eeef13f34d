import { toHex } from '@fleetroot/core';
import { Busy } from './busy.ts';
import type { AskedSerial, OcspLedger, RecordedSerial } from './ports.ts';

/** Serials that one statement asks for at most. */
const BATCH = 500;
/** Statements at once: the pool has other users. */
const STATEMENTS = 2;
/** Serials that wait at most. */
const WAITING = 4000;
/** After a failure the next statement waits so long, and who asks meanwhile is told at once, in milliseconds. */
const PAUSE_MS = 250;

interface Waiting {
  readonly asked: AskedSerial;
  readonly promise: Promise<RecordedSerial>;
  readonly resolve: (recorded: RecordedSerial) => void;
  readonly reject: (error: unknown) => void;
}

/** Look-ups in the ledger, many a statement: a flood of serials costs a few statements, and no more memory than a bound. */
export class LookUps {
  readonly #ledger: Pick<OcspLedger, 'lookUp'>;
  /** By CA and serial: who asks for one that waits already waits with it. */
  readonly #waiting = new Map<string, Waiting>();
  #statements = 0;
  #scheduled = false;
  #failed: { readonly error: unknown; readonly until: number } | undefined;

  constructor(ledger: Pick<OcspLedger, 'lookUp'>) {
    this.#ledger = ledger;
  }

  /** What the ledger says at a moment after this call. @throws Busy; whatever the ledger throws */
  get(asked: AskedSerial): Promise<RecordedSerial> {
    if (this.#failed !== undefined && performance.now() < this.#failed.until) return Promise.reject(this.#failed.error);
    const key = `${asked.caId}/${toHex(asked.serial)}`;
    const known = this.#waiting.get(key);
    if (known !== undefined) return known.promise;
    if (this.#waiting.size >= WAITING) return Promise.reject(new Busy());
    const { promise, resolve, reject } = Promise.withResolvers<RecordedSerial>();
    this.#waiting.set(key, { asked, promise, resolve, reject });
    this.#schedule();
    return promise;
  }

  #schedule(): void {
    if (this.#scheduled || this.#statements >= STATEMENTS || this.#waiting.size === 0) return;
    this.#scheduled = true;
    // After all that has arrived by now was read.
    setImmediate(() => {
      this.#scheduled = false;
      void this.#ask();
    });
  }

  async #ask(): Promise<void> {
    const batch: Waiting[] = [];
    for (const [key, one] of this.#waiting) {
      if (batch.length === BATCH) break;
      this.#waiting.delete(key);
      batch.push(one);
    }
    this.#statements++;
    this.#schedule();
    try {
      const recorded = await this.#ledger.lookUp(batch.map(({ asked }) => asked));
      for (const [i, { resolve }] of batch.entries()) resolve(recorded[i] ?? { status: { status: 'unknown' }, stored: [] });
      this.#failed = undefined;
    } catch (error) {
      this.#failed = { error, until: performance.now() + PAUSE_MS };
      for (const { reject } of batch) reject(error);
    } finally {
      this.#statements--;
      this.#schedule();
    }
  }
}
