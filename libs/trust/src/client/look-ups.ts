import { PkiError } from '@fleetroot/core';
import type { ClientKey, ClientLedger, ClientRecord } from './ports.ts';

/** Certificates that one question to the ledger asks for, at most. */
const MOST_AT_ONCE = 200;
/** Questions that may be under way at once: others gather in the next. */
const MOST_UNDER_WAY = 2;
/** Certificates that wait for a question, at most. */
const MOST_WAITING = 5000;

interface Waiting {
  readonly key: ClientKey;
  readonly resolve: (record: ClientRecord | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/** Gathers questions to the ledger: a thousand certificates that nobody has seen cost it a few statements. */
export class LookUps {
  readonly #ledger: Pick<ClientLedger, 'clients'>;
  readonly #deadlineMs: number;
  readonly #waiting: Waiting[] = [];
  #underWay = 0;
  #scheduled = false;
  #asked = 0;

  constructor(ledger: Pick<ClientLedger, 'clients'>, deadlineMs: number) {
    this.#ledger = ledger;
    this.#deadlineMs = deadlineMs;
  }

  /** Questions to the ledger so far. */
  get asked(): number {
    return this.#asked;
  }

  /** @throws PkiError `store.unavailable`, also where it does not answer in time or too many wait */
  find(key: ClientKey): Promise<ClientRecord | undefined> {
    if (this.#waiting.length >= MOST_WAITING) return Promise.reject(new PkiError('store.unavailable', 'too many certificates wait to be looked up'));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new PkiError('store.unavailable', 'the database does not answer')), this.#deadlineMs);
      this.#waiting.push({
        key,
        resolve: (record) => { clearTimeout(timer); resolve(record); },
        reject: (error) => { clearTimeout(timer); reject(error); },
      });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#underWay >= MOST_UNDER_WAY || this.#waiting.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      void this.#ask(this.#waiting.splice(0, MOST_AT_ONCE));
    });
  }

  async #ask(batch: readonly Waiting[]): Promise<void> {
    this.#underWay++;
    this.#asked++;
    this.#schedule();
    try {
      const records = await this.#ledger.clients(batch.map(({ key }) => key));
      batch.forEach(({ resolve }, place) => resolve(records[place]));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      this.#underWay--;
      this.#schedule();
    }
  }
}
