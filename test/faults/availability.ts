import { setTimeout as sleep } from 'node:timers/promises';
import type { Product } from '../support/product.ts';

const EVERY_MS = 250;
const BACK_WITHIN_MS = 120_000;

interface Answer { readonly status: string; readonly ms: number; readonly retryAfter: boolean }

/** Asks the api how a batch stands, all the while. */
export class Availability {
  readonly #product: Product;
  readonly #batchId: string;
  /** When what was not answered yet was asked. */
  readonly #waiting = new Set<number>();
  #open = true;
  readonly #running: Promise<void>;
  readonly #settled: Answer[] = [];

  constructor(product: Product, batchId: string) {
    this.#product = product;
    this.#batchId = batchId;
    this.#running = this.#run();
  }

  /** What was answered until now, of what was asked while all was away. */
  end(): { readonly statuses: string; readonly slowestMs: number; readonly withoutRetryAfter: number } {
    this.#open = false;
    const refused = this.#settled.filter(({ status }) => status !== '200');
    const count = new Map<string, number>();
    for (const { status } of this.#settled) count.set(status, (count.get(status) ?? 0) + 1);
    return {
      statuses: Array.from(count, ([status, times]) => `${times} x ${status}`).join(', '),
      // What is still waited for counts by its age.
      slowestMs: Math.max(0, ...refused.map(({ ms }) => ms), ...Array.from(this.#waiting, (began) => performance.now() - began)),
      withoutRetryAfter: refused.filter(({ retryAfter }) => !retryAfter).length,
    };
  }

  /** Milliseconds from now until the api answers as ever. @throws where it does not */
  async back(): Promise<number> {
    await this.#running;
    const began = performance.now();
    for (;;) {
      if ((await this.#ask()).status === '200') return performance.now() - began;
      if (performance.now() - began > BACK_WITHIN_MS) throw new Error(`the api did not come back\n${this.#product.output().slice(-4000)}`);
      await sleep(100);
    }
  }

  async #run(): Promise<void> {
    while (this.#open) {
      const asked = this.#ask();
      const began = performance.now();
      this.#waiting.add(began);
      void this.#keep(asked, began);
      await sleep(EVERY_MS);
    }
  }

  async #keep(asked: Promise<Answer>, began: number): Promise<void> {
    const answer = await asked;
    this.#waiting.delete(began);
    if (this.#open) this.#settled.push(answer);
  }

  async #ask(): Promise<Answer> {
    const began = performance.now();
    const answer = await this.#product.fetch('GET', `/v1/batches/${this.#batchId}`, 'line').then(async (response) => {
      await response.arrayBuffer();
      return { status: String(response.status), retryAfter: response.headers.has('retry-after') };
    }, () => ({ status: 'no answer', retryAfter: false }));
    return { ...answer, ms: performance.now() - began };
  }
}
