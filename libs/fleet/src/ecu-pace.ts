import { PkiError } from '@fleetroot/core';

const WINDOW_MS = 3_600_000;
/** An ECU under test in a workshop asks a few times an hour. */
const MOST_IN_A_WINDOW = 60;

/** How often one ECU is served: the key of a single one, taken out of its vehicle, must not buy certificates without end. */
export class EcuPace {
  readonly #most: number;
  #window = 0;
  #served = new Map<string, number>();

  constructor(most = MOST_IN_A_WINDOW) {
    this.#most = most;
  }

  /**
   * Counts one more for the ECU that has proven to be `who`.
   * @param who what nobody else can prove to be: its key, or the serial in a certificate of ours
   * @throws PkiError `http.too-many-requests`
   */
  count(who: string, at: Date): void {
    const window = Math.floor(at.getTime() / WINDOW_MS);
    if (window !== this.#window) {
      this.#window = window;
      this.#served = new Map();
    }
    const served = this.#served.get(who) ?? 0;
    if (served >= this.#most) throw new PkiError('http.too-many-requests', 'this ECU has asked too often: try again in an hour');
    this.#served.set(who, served + 1);
  }
}
