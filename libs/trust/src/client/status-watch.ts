import type { Clock } from '@fleetroot/core';
import { RevocationWatch } from '../revocations/watch.ts';
import type { ClientAuthority, ClientLedger } from './ports.ts';
import type { ClientReason } from './reason.ts';
import type { StatusMemory } from './status-memory.ts';
import { AuthorityReader, type Surroundings } from './surroundings.ts';

/** After so long without a question nobody looks any more. */
const IDLE_MS = 60_000;
/** Changes of one CA that are told one by one. */
const ONE_BY_ONE = 5000;
/** A CA may be revoked, or a key blocked, with what was told: it is looked for so soon. */
const SOON_MS = 20;

export interface StatusWatchParts {
  readonly ledger: Pick<ClientLedger, 'changes' | 'members' | 'listen'>;
  readonly authorities: () => Promise<readonly ClientAuthority[]>;
  readonly memory: StatusMemory;
  readonly clock: Clock;
  /** For so long, in milliseconds, what is known is believed while the database is away. */
  readonly staleMs: number;
}

/** Keeps what is known of revocations true. Begins at the first question and rests when nobody asks. */
export class StatusWatch {
  readonly #parts: StatusWatchParts;
  readonly #reader = new AuthorityReader();
  readonly #watch: RevocationWatch;
  #surroundings: Surroundings | undefined;
  /** Of `performance.now`. */
  #usedAt = -Infinity;

  constructor(parts: StatusWatchParts) {
    this.#parts = parts;
    const { ledger, memory, clock } = parts;
    this.#watch = new RevocationWatch({
      ledger, clock, oneByOne: ONE_BY_ONE, soonMs: SOON_MS, wanted: () => performance.now() - this.#usedAt <= IDLE_MS, beside: () => this.#read(),
      hearer: {
        certificate: (caId, serial) => memory.forget(caId, serial), authority: (caId) => memory.forgetCa(caId),
        all: () => memory.forgetAll(), keys: (keys) => memory.forgetKeys(keys),
      },
    });
  }

  /** Says that somebody asks. Undefined: all is known; else it will be when the promise resolves, or cannot be now. */
  use(now: number): Promise<void> | undefined {
    this.#usedAt = now;
    if (this.#watch.began !== undefined) return undefined;
    this.#watch.start();
    return this.#watch.look();
  }

  /** What to judge by; or why nothing can be judged. */
  at(now: number): Surroundings | ClientReason {
    const { began } = this.#watch;
    if (began === undefined || this.#surroundings === undefined || now - began.moment > this.#parts.staleMs) return 'status.unavailable';
    return this.#watch.skewed ? 'clock.skew' : this.#surroundings;
  }

  close(): void {
    void this.#watch.close();
  }

  async #read(): Promise<() => void> {
    const { ledger, authorities } = this.#parts;
    const [all, members] = await Promise.all([authorities(), ledger.members()]);
    return () => {
      this.#surroundings = { authorities: this.#reader.read(all), truststores: new Map([...members].map(([name, ids]) => [name, new Set(ids)])) };
    };
  }
}
