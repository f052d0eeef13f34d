import type { CaKeys } from './ca-keys.ts';

export interface HeartbeatParts {
  readonly keys: Pick<CaKeys, 'working' | 'open' | 'figures'>;
  readonly beat: (figures: Readonly<Record<string, number>>) => Promise<void>;
  /** A beat that failed, or an HSM that is still away. */
  readonly onError: (error: unknown) => void;
  readonly everyMs: number;
}

/**
 * Says in the ledger that this issuer can sign, which is what /readyz of the api asks, and how its HSM fares. While the
 * HSM is away it says nothing and tries to reach it, so that an issuer without work finds its way back as well.
 */
export class Heartbeat {
  readonly #parts: HeartbeatParts;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;

  constructor(parts: HeartbeatParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#tick();
    this.#timer = setInterval(() => { this.#tick(); }, this.#parts.everyMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
  }

  #tick(): void {
    this.#beating ??= this.#beat().catch(this.#parts.onError).finally(() => { this.#beating = undefined; });
  }

  async #beat(): Promise<void> {
    const { keys, beat } = this.#parts;
    await keys.open();
    if (keys.working) await beat(keys.figures());
  }
}
