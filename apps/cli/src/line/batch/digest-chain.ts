import { hash } from 'node:crypto';

const SIZE = 32;

/**
 * The digest of a batch as it grows: d(0) is 32 zero octets, d(i+1) = SHA-256(d(i) || SHA-256(line i)), a line without
 * its end. The API keeps the same one, so that both sides can compare what arrived at any item.
 */
export class DigestChain {
  /** The digest so far, then the hash of the next line. */
  readonly #state: Buffer = Buffer.alloc(2 * SIZE);

  /** @param hex where to go on from; none: from the beginning */
  constructor(hex?: string) {
    if (hex !== undefined) this.#state.write(hex, 'hex');
  }

  push(line: Uint8Array): void {
    hash('sha256', line, 'buffer').copy(this.#state, SIZE);
    hash('sha256', this.#state, 'buffer').copy(this.#state, 0);
  }

  get hex(): string {
    return this.#state.toString('hex', 0, SIZE);
  }
}
