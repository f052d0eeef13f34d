import { type JobProducer, type Outbox, relayOutbox } from '@fleetroot/queue';
import type { Logger } from '@fleetroot/telemetry';

/**
 * Publishes the outbox right after a commit, so that nobody waits for the worker's round. Calls that come while it runs
 * are served by one more run. What fails is left to the worker: the row is still there (I20).
 */
export class OutboxRelay {
  readonly #outbox: Outbox;
  readonly #producer: Pick<JobProducer, 'addMany'>;
  readonly #logger: Logger;
  #running: Promise<void> | undefined;
  #again = false;

  constructor(outbox: Outbox, producer: Pick<JobProducer, 'addMany'>, logger: Logger) {
    this.#outbox = outbox;
    this.#producer = producer;
    this.#logger = logger;
  }

  /** Returns at once. */
  kick(): void {
    if (this.#running !== undefined) {
      this.#again = true;
      return;
    }
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Resolves when nothing is being published any more. */
  async close(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    do {
      this.#again = false;
      try {
        const { refused } = await relayOutbox(this.#outbox, this.#producer);
        for (const { id, job } of refused) this.#logger.error({ row: String(id), job }, 'an outbox row was no job of the catalogue, and was removed');
      } catch (error) {
        this.#logger.warn({ err: error }, 'the outbox was not published; the worker will do it');
      }
    } while (this.#again);
  }
}
