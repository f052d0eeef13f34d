import { PkiError, toHex } from '@fleetroot/core';
import type { RefusedConnection, RegistrationLedger } from './ports.ts';

const WINDOW_MS = 60_000;
/** A line of ECUs whose supplier is not registered yet is told so; strangers cannot fill the ledger. */
const MOST_IN_A_WINDOW = 300;
/** An ECU that knocks without end is seen to do so, and no more. */
const SAME_IN_A_WINDOW = 5;

/**
 * Keeps refusals on record, of strangers above all, who cost nothing: the same one some times a minute, and so many of
 * all in a minute and no more.
 */
export class Refusals implements Pick<RegistrationLedger, 'refuse'> {
  readonly #ledger: Pick<RegistrationLedger, 'refuse'>;
  readonly #most: number;
  #window = 0;
  #total = 0;
  /** Of this minute, those of one identity each. */
  #kept = new Map<string, Promise<void>[]>();

  constructor(ledger: Pick<RegistrationLedger, 'refuse'>, most = MOST_IN_A_WINDOW) {
    this.#ledger = ledger;
    this.#most = most;
  }

  /**
   * On return the refusal is on record, now or since up to a minute ago.
   * @throws PkiError `http.too-many-requests`: nothing was recorded, and the caller must not be told the reason either
   */
  async refuse(refusal: RefusedConnection): Promise<void> {
    this.#turnTo(Math.floor(refusal.at.getTime() / WINDOW_MS));
    const identity = identityOf(refusal);
    const same = this.#kept.get(identity) ?? [];
    if (same.length < SAME_IN_A_WINDOW) {
      if (this.#total >= this.#most) throw new PkiError('http.too-many-requests', 'too many refused connections: try again in a minute');
      this.#total++;
      same.push(this.#ledger.refuse(refusal));
      this.#kept.set(identity, same);
    }
    try {
      await same.at(-1);
    } catch (error) {
      // What failed to be kept does not count as kept.
      this.#kept.delete(identity);
      throw error;
    }
  }

  #turnTo(window: number): void {
    if (window === this.#window) return;
    this.#window = window;
    this.#total = 0;
    this.#kept = new Map();
  }
}

const identityOf = ({ code, supplierId, ecuSerial, certificateSha256 }: RefusedConnection): string =>
  JSON.stringify([code, supplierId, ecuSerial, certificateSha256 === undefined ? undefined : toHex(certificateSha256)]);
