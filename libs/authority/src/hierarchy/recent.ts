import type { AuthorityLedger, CertificationAuthority } from '../ports/authorities.ts';

/** So old, in milliseconds, may be what is known of the CAs where their state is judged once more before anything comes of it. */
const RECENT_MS = 500;

/** What the ledger said of the CAs at one time. */
export interface AuthorityReading {
  /** Of `performance.now`. */
  readonly at: number;
  readonly all: Promise<readonly CertificationAuthority[]>;
}

/** The CAs on record, read anew or as they were half a second ago at most. */
export class RecentAuthorities {
  readonly #ledger: Pick<AuthorityLedger, 'all'>;
  #last: AuthorityReading | undefined;

  constructor(ledger: Pick<AuthorityLedger, 'all'>) {
    this.#ledger = ledger;
  }

  /** @param known `now`: read anew; `recently`: it may be half a second old. A reading that fails is nobody else's. */
  read(known: 'now' | 'recently'): AuthorityReading {
    const now = performance.now();
    if (known === 'recently' && this.#last !== undefined && now - this.#last.at < RECENT_MS) return this.#last;
    const reading = { at: now, all: this.#ledger.all() };
    this.#last = reading;
    reading.all.catch(() => {
      if (this.#last === reading) this.#last = undefined;
    });
    return reading;
  }
}
