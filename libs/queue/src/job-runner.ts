import { type Job, UnrecoverableError } from 'bullmq';
import { PkiError } from '@fleetroot/core';
import { type JobWorker, openWorker, type QueueOptions, withinDeadline } from './backend.ts';
import { jobCatalogue, jobNames, type JobName, type JobPayload, type JobRole, parsePayload } from './jobs.ts';
import { JobProducer, type NewJob } from './job-producer.ts';
import { retryDelayMs, verdict } from './retry.ts';

export type JobHandler<N extends JobName> = (payload: JobPayload<N>) => Promise<void>;

/** A handler for each job of the role, and no other. */
export type JobHandlers = { readonly [N in JobName]?: JobHandler<N> };

/** Pino's shape, as far as we use it. */
export interface RunnerLog {
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface RunnerSettings {
  /** Jobs of one name that this process works on at once. */
  readonly concurrency: number;
  readonly log?: RunnerLog;
  /** Called once, after an error that says `stop`: end the process. The default throws it where nobody catches it. */
  readonly onFatal?: (error: unknown) => void;
  /** A job whose process fell silent for so long goes to another, in milliseconds (6 s); it is renewed three times as often. */
  readonly lockMs?: number;
  /** How long `close` waits for the jobs in hand, in milliseconds. */
  readonly closeWithinMs?: number;
}

/** As long as a chunk's holder may be silent: by then its process is dead, or has stood still. */
const LOCK_MS = 6000;

const SILENT: RunnerLog = { warn: () => undefined, error: () => undefined };

/**
 * Runs the jobs of one role. A job may be delivered more than once and to two processes at once (I21); handlers claim
 * their work in the ledger. What becomes of a handler's error says its `retry`:
 * - `later` (and any error that is not a PkiError): tried again with growing delays, 20 times;
 * - `never`: the job failed and is kept to be looked at;
 * - `stop`: the job goes back for another process, and `onFatal` is called.
 * Only the error's code is kept in the queue, never its message.
 */
export class JobRunner {
  readonly #options: QueueOptions;
  readonly #handlers: ReadonlyMap<JobName, (payload: unknown) => Promise<void>>;
  readonly #settings: RunnerSettings;
  readonly #log: RunnerLog;
  readonly #producer: JobProducer;
  #workers: readonly JobWorker[] = [];
  #fatal = false;

  /** @throws PkiError `queue.handler` where a job of the role has no handler, or a handler has no job of the role */
  constructor(options: QueueOptions, role: JobRole, handlers: JobHandlers, settings: RunnerSettings) {
    this.#options = options;
    this.#handlers = checkHandlers(role, handlers);
    this.#settings = settings;
    this.#log = settings.log ?? SILENT;
    this.#producer = new JobProducer(options, { onError: (error) => this.#log.warn({ err: error }, 'queue connection') });
  }

  /** Resolves once jobs are being taken. @throws PkiError `queue.unavailable` */
  async start(): Promise<void> {
    const timing = { concurrency: this.#settings.concurrency, lockMs: this.#settings.lockMs ?? LOCK_MS };
    this.#workers = [...this.#handlers.keys()].map((name) => {
      const worker = openWorker(this.#options, name, (job) => this.#run(name, job), timing);
      worker.on('error', (error) => this.#log.warn({ err: error, job: name }, 'queue connection'));
      worker.on('stalled', (jobId) => this.#log.warn({ job: name, jobId }, 'job taken from a process that fell silent'));
      return worker;
    });
    try {
      await withinDeadline(Promise.all(this.#workers.map((worker) => worker.waitUntilReady())), 10_000, this.#options.kind);
    } catch (error) {
      void this.close();
      throw error;
    }
    for (const worker of this.#workers) void worker.run().catch((error: unknown) => this.#die(error));
  }

  /**
   * Takes no more jobs and waits for those in hand, but no longer than `closeWithinMs` (7 s). A job that is cut off
   * comes back once its lock has run out.
   */
  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const closed = Promise.allSettled(this.#workers.map((worker) => worker.close()));
    await Promise.race([closed, new Promise((resolve) => {
      timer = setTimeout(resolve, this.#settings.closeWithinMs ?? 7000);
    })]);
    clearTimeout(timer);
    await this.#producer.close();
  }

  async #run(name: JobName, job: Job): Promise<void> {
    const payload = parsePayload(name, job.data);
    const handler = this.#handlers.get(name);
    if (payload === undefined || handler === undefined) {
      this.#log.error({ job: name, jobId: job.id }, 'job with a payload that is not of the catalogue');
      throw new UnrecoverableError('payload');
    }
    const again = jobCatalogue[name].whileActive === 'queued';
    // Before the handler reads the ledger: a request from here on gets a job of its own. One that was folded into this
    // job until now was committed before, so the handler sees what it is about.
    if (again) await job.removeDeduplicationKey();
    try {
      await handler(payload);
    } catch (error) {
      await this.#failed({ name, payload } as NewJob, job, error, again);
    }
  }

  async #failed(request: NewJob, job: Job, error: unknown, again: boolean): Promise<void> {
    const { code, retry } = verdict(error);
    const fields = { err: error, job: request.name, jobId: job.id, attempt: job.attemptsMade + 1 };
    if (retry === 'later') this.#log.warn(fields, 'job is tried again');
    else this.#log.error(fields, 'job failed');
    if (retry === 'never') throw new UnrecoverableError(code);
    if (retry === 'stop') this.#die(error);
    if (again) {
      // Tried again as a new request, which folds into one that waits already: retries of a job without its key would
      // pile up beside those that keep being asked for.
      await this.#producer.addMany([{ ...request, delayMs: retryDelayMs(3) }]);
      return;
    }
    throw new Error(code);
  }

  #die(error: unknown): void {
    if (this.#fatal) return;
    this.#fatal = true;
    if (this.#settings.onFatal !== undefined) this.#settings.onFatal(error);
    else setImmediate(() => { throw error; });
  }
}

function checkHandlers(role: JobRole, handlers: JobHandlers): ReadonlyMap<JobName, (payload: unknown) => Promise<void>> {
  const wanted = jobNames.filter((name) => jobCatalogue[name].role === role);
  const given = Object.keys(handlers).filter((name) => handlers[name as JobName] !== undefined);
  const missing = wanted.filter((name) => !given.includes(name));
  const foreign = given.filter((name) => !(wanted as readonly string[]).includes(name));
  if (missing.length > 0 || foreign.length > 0) {
    const faults = [...missing.map((name) => `no handler for ${name}`), ...foreign.map((name) => `${name} is no job of this role`)];
    throw new PkiError('queue.handler', `the ${role} cannot start: ${faults.join(', ')}`);
  }
  return new Map(wanted.map((name) => [name, handlers[name] as (payload: unknown) => Promise<void>]));
}
