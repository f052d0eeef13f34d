import { isPkiError } from '@fleetroot/core';
import type { Issuance, IssuanceLedger } from '@fleetroot/authority';
import { retryDelayMs } from '@fleetroot/queue';
import type { Logger } from '@fleetroot/telemetry';

export interface SingleRequestsParts {
  readonly issuance: Pick<Issuance, 'issueSingle'>;
  readonly ledger: Pick<IssuanceLedger, 'onSingle'>;
  /** How many are worked on at once. */
  readonly concurrency: number;
  /** How often the ledger is looked at for what no notification told of, in milliseconds. */
  readonly everyMs: number;
  readonly logger: Logger;
  /** Called once, with an error after which this process must not sign. */
  readonly onFatal: (error: unknown) => void;
}

type Among = Parameters<Issuance['issueSingle']>[0];

interface Trouble {
  readonly failures: number;
  /** Of `performance.now`: it is not tried here before. */
  readonly notBefore: number;
}

/** Troubles remembered at most: what is forgotten is only tried sooner. */
const REMEMBERED = 1000;

/**
 * Issues the single requests that wait in the ledger, as soon as it is told of one: of all issuers the one that claims it
 * first. One whose issuer died is found when it has been silent for long enough. One that failed in a way that may pass
 * waits longer each time, and holds up no other.
 */
export class SingleRequests {
  readonly #parts: SingleRequestsParts;
  readonly #running = new Set<Promise<void>>();
  readonly #troubles = new Map<bigint, Trouble>();
  #unsubscribe: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(parts: SingleRequestsParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#unsubscribe = this.#parts.ledger.onSingle(() => this.#take(() => 'fresh'));
    const look = (): void => this.#take(() => ({ except: this.#putOff() }));
    this.#timer = setInterval(look, this.#parts.everyMs);
    look();
  }

  /** Takes no more, and waits for those in hand. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#unsubscribe?.();
    clearInterval(this.#timer);
    await Promise.all(this.#running);
  }

  #take(among: () => Among): void {
    if (this.#closed || this.#running.size >= this.#parts.concurrency) return;
    const run = this.#run(among).finally(() => this.#running.delete(run));
    this.#running.add(run);
  }

  async #run(among: () => Among): Promise<void> {
    try {
      while (!this.#closed) {
        const outcome = await this.#parts.issuance.issueSingle(among());
        if (outcome === 'none') return;
        if (outcome !== 'done' && outcome !== 'held') this.#failed(outcome.chunkId, outcome.error);
      }
    } catch (err) {
      this.#parts.logger.warn({ err }, 'the ledger was not asked for single requests');
    }
  }

  /** Those that are not tried yet. */
  #putOff(): bigint[] {
    const now = performance.now();
    return [...this.#troubles].filter(([, { notBefore }]) => notBefore > now).map(([chunkId]) => chunkId);
  }

  #failed(chunkId: bigint, err: unknown): void {
    const failures = (this.#troubles.get(chunkId)?.failures ?? 0) + 1;
    this.#troubles.delete(chunkId);
    this.#troubles.set(chunkId, { failures, notBefore: performance.now() + retryDelayMs(failures) });
    const [oldest] = this.#troubles.keys();
    if (this.#troubles.size > REMEMBERED && oldest !== undefined) this.#troubles.delete(oldest);
    const fields = { err, chunk: String(chunkId), attempt: failures };
    if (!isPkiError(err) || err.retry !== 'stop') {
      this.#parts.logger.warn(fields, 'a single request is tried again');
      return;
    }
    this.#parts.logger.error(fields, 'a single request was not issued');
    this.#closed = true;
    this.#parts.onFatal(err);
  }
}
