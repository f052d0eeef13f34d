import { Busy } from './busy.ts';
import type { OcspSigner } from './ports.ts';

/** Messages that one call to the signer carries at most. */
const BATCH = 64;
/** Calls that are under way: one is signed while the next is made ready. */
const CALLS = 2;
/** What waits at most, of each kind: about a second's work. */
const WAITING = 4000;

interface Waiting {
  readonly message: Uint8Array;
  readonly resolve: (signature: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Signatures by one signer, many a call: what comes in while a call is under way goes with the next. A client that waits
 * comes before what is made ahead.
 */
export class Signatures {
  readonly #signer: OcspSigner;
  readonly #now: Waiting[] = [];
  readonly #ahead: Waiting[] = [];
  #calls = 0;
  #scheduled = false;

  constructor(signer: OcspSigner) {
    this.#signer = signer;
  }

  /** @throws Busy where too many wait; whatever the signer throws */
  sign(message: Uint8Array, ahead: boolean): Promise<Uint8Array> {
    const queue = ahead ? this.#ahead : this.#now;
    if (queue.length >= WAITING) return Promise.reject(new Busy());
    return new Promise((resolve, reject) => {
      queue.push({ message, resolve, reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#calls >= CALLS) return;
    this.#scheduled = true;
    // After all that has arrived by now was read.
    setImmediate(() => {
      this.#scheduled = false;
      void this.#call();
    });
  }

  async #call(): Promise<void> {
    const batch = this.#now.splice(0, BATCH);
    if (batch.length < BATCH) batch.push(...this.#ahead.splice(0, BATCH - batch.length));
    if (batch.length === 0) return;
    this.#calls++;
    if (this.#now.length > 0 || this.#ahead.length > 0) this.#schedule();
    try {
      const signatures = await this.#signer.sign(batch.map(({ message }) => message));
      for (const [i, { resolve, reject }] of batch.entries()) {
        const signature = signatures[i];
        if (signature === undefined) reject(new Error('the signer gave no signature'));
        else resolve(signature);
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      this.#calls--;
      if (this.#now.length > 0 || this.#ahead.length > 0) this.#schedule();
    }
  }
}
