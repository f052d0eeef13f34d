import type { Logger } from '@fleetroot/telemetry';
import type { Leases } from './ledger.ts';

const LEASE = 'worker';
/** After so long without renewal another worker takes the lead, in milliseconds. */
const TTL_MS = 15_000;
/** Renewed this often; each renewal may take as long as the next is away. */
export const RENEW_MS = 4000;
/** The lead counts as lost so much earlier than the ledger gives it away: clocks and queries are not exact. */
const MARGIN_MS = 3000;

/** Who of all workers runs the schedule: the holder of a lease in the ledger. */
export class Leadership {
  readonly #leases: Leases;
  readonly #holder: string;
  readonly #logger: Logger;
  readonly #monotonicMs: () => number;
  #heldUntil = -1;
  #lost = new AbortController();

  constructor(leases: Leases, holder: string, logger: Logger, monotonicMs: () => number = () => performance.now()) {
    this.#leases = leases;
    this.#holder = holder;
    this.#logger = logger;
    this.#monotonicMs = monotonicMs;
  }

  get held(): boolean {
    return this.#monotonicMs() < this.#heldUntil;
  }

  /** Aborts when the lead is known to be lost. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Takes or keeps the lead. Never throws: a ledger that does not answer is a lead that runs out. */
  async renew(): Promise<void> {
    const asked = this.#monotonicMs();
    try {
      const acquired = await this.#leases.acquire(LEASE, this.#holder, TTL_MS);
      this.#heldUntil = acquired ? asked + TTL_MS - MARGIN_MS : -1;
    } catch (error) {
      this.#logger.warn({ err: error }, 'the lead could not be renewed');
    }
    this.#tell();
  }

  /** Gives the lead away at once, so that another worker need not wait for its end. */
  async release(): Promise<void> {
    this.#heldUntil = -1;
    this.#tell();
    try {
      await this.#leases.release(LEASE, this.#holder);
    } catch (error) {
      this.#logger.warn({ err: error }, 'the lead could not be given away; it runs out by itself');
    }
  }

  #wasHeld = false;

  #tell(): void {
    const held = this.held;
    if (held === this.#wasHeld) return;
    this.#wasHeld = held;
    this.#logger.info({ leads: held }, held ? 'this worker runs the schedule' : 'this worker stands by');
    if (held) this.#lost = new AbortController();
    else this.#lost.abort();
  }
}
