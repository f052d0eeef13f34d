import { PkiError } from '@fleetroot/core';
import { type JobQueue, openQueue, type QueueOptions, withinDeadline } from './backend.ts';
import { jobKey, jobNames, type JobName, type JobPayload, parsePayload } from './jobs.ts';

export interface AddOptions {
  /** 1 is served first; absent, before all that have one. */
  readonly priority?: number;
  /** In place of the catalogue's key, which says what counts as the same request. */
  readonly jobId?: string;
  /** Not before so many milliseconds from now. */
  readonly delayMs?: number;
}

export type NewJob = { readonly [N in JobName]: { readonly name: N; readonly payload: JobPayload<N> } & AddOptions }[JobName];

export interface ProducerSettings {
  /** How long one call may take, in milliseconds. */
  readonly deadlineMs?: number;
  /** Told of lost connections; they heal by themselves. */
  readonly onError?: (error: Error) => void;
}

/**
 * Puts jobs into the queue. A job on return is as durable as the backend makes it; nothing depends on that (I20).
 * After `queue.unavailable` the job may nevertheless be there, or come to be: adding it again is harmless.
 */
export class JobProducer {
  readonly #options: QueueOptions;
  readonly #deadlineMs: number;
  readonly #onError: (error: Error) => void;
  readonly #queues = new Map<JobName, JobQueue>();

  constructor(options: QueueOptions, settings: ProducerSettings = {}) {
    this.#options = options;
    this.#deadlineMs = settings.deadlineMs ?? 5000;
    this.#onError = settings.onError ?? (() => undefined);
  }

  /** @throws PkiError `queue.unavailable`; `internal` where the payload is not the catalogue's */
  async add<N extends JobName>(name: N, payload: JobPayload<N>, options: AddOptions = {}): Promise<void> {
    await this.addMany([{ name, payload, ...options } as NewJob]);
  }

  /** Adds all jobs of one name at once; of several names, one name after the other. Throws what `add` throws. */
  async addMany(jobs: readonly NewJob[]): Promise<void> {
    const entries = jobs.map((job) => ({ name: job.name, entry: toEntry(job) }));
    for (const name of new Set(jobs.map((job) => job.name))) {
      const bulk = entries.filter((job) => job.name === name).map((job) => job.entry);
      await this.#within(name, (queue) => queue.addBulk(bulk));
    }
  }

  /** Jobs of a name that wait, for whatever, or are in work. @throws PkiError `queue.unavailable` */
  async waiting(name: JobName): Promise<number> {
    let count = 0;
    await this.#within(name, async (queue) => {
      count = await queue.getJobCountByTypes('waiting', 'prioritized', 'delayed', 'active');
    });
    return count;
  }

  /** @throws PkiError `queue.unavailable` */
  async ping(): Promise<void> {
    for (const name of jobNames) await this.#within(name, (queue) => queue.getVersion());
  }

  async close(): Promise<void> {
    const queues = [...this.#queues.values()];
    this.#queues.clear();
    await Promise.all(queues.map((queue) => quietly(queue)));
  }

  async #within(name: JobName, call: (queue: JobQueue) => Promise<unknown>): Promise<void> {
    const queue = this.#queue(name);
    let ready = false;
    const work = queue.waitUntilReady().then(() => {
      ready = true;
      return call(queue);
    });
    try {
      await withinDeadline(work, this.#deadlineMs, this.#options.kind);
    } catch (error) {
      // The PostgreSQL backend remembers a failed first connection for ever: the next call takes a new one.
      if (!ready && this.#queues.get(name) === queue) {
        this.#queues.delete(name);
        void quietly(queue);
      }
      throw error;
    }
  }

  #queue(name: JobName): JobQueue {
    const known = this.#queues.get(name);
    if (known !== undefined) return known;
    const queue = openQueue(this.#options, name);
    queue.on('error', this.#onError);
    this.#queues.set(name, queue);
    return queue;
  }
}

function toEntry(job: NewJob): { name: string; data: object; opts: object } {
  const payload = parsePayload(job.name, job.payload);
  if (payload === undefined) throw new PkiError('internal', `the payload of a ${job.name} job is not that of the catalogue`);
  const id = job.jobId ?? jobKey(job.name, payload);
  return {
    name: job.name,
    data: payload,
    opts: {
      // BullMQ's own `jobId` would also shut out a new job while a failed one of that id is kept to be looked at.
      // Asked for anew, a job that is put off comes at once: it may be put off by a clock that was wrong, for ever.
      deduplication: { id, replace: job.delayMs === undefined },
      ...(job.priority === undefined ? {} : { priority: job.priority }),
      ...(job.delayMs === undefined ? {} : { delay: job.delayMs }),
    },
  };
}

async function quietly(queue: JobQueue): Promise<void> {
  try {
    await queue.close();
  } catch {
    // It is being thrown away; a connection that is gone already is closed enough.
  }
}
