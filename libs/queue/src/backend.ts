import { createPostgresBackend, type Processor, type JobType, Queue, Worker, type JobsOptions } from 'bullmq';
import { PkiError, type Secret } from '@fleetroot/core';
import type { JobName } from './jobs.ts';
import { MAX_ATTEMPTS, retryDelayMs } from './retry.ts';

/** Where BullMQ keeps its jobs: schema `bullmq` of a PostgreSQL database, or a Redis. */
export type QueueOptions =
  | { readonly kind: 'postgres'; readonly databaseUrl: Secret }
  | { readonly kind: 'redis'; readonly url: Secret };

/**
 * The queue that the settings `queueBackend`, `databaseUrl` and `redisUrl` name.
 * @throws PkiError `config.invalid` where it is Redis and its URL is missing
 */
export function queueOptions(settings: { readonly queueBackend: string; readonly databaseUrl: Secret; readonly redisUrl: Secret | undefined }): QueueOptions {
  if (settings.queueBackend !== 'redis') return { kind: 'postgres', databaseUrl: settings.databaseUrl };
  if (settings.redisUrl === undefined) {
    throw new PkiError('config.invalid', 'FLEETROOT_REDIS_URL_FILE is not set, and FLEETROOT_QUEUE is redis (see docs/operations.md)');
  }
  return { kind: 'redis', url: settings.redisUrl };
}

/** What we need of BullMQ's Queue, whichever backend it stands on. */
export interface JobQueue {
  add(name: string, data: object, options: JobsOptions): Promise<unknown>;
  addBulk(jobs: { name: string; data: object; opts: JobsOptions }[]): Promise<unknown>;
  getVersion(): Promise<string | null>;
  getJobCountByTypes(...types: JobType[]): Promise<number>;
  waitUntilReady(): Promise<unknown>;
  close(): Promise<void>;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/** What we need of BullMQ's Worker. */
export interface JobWorker {
  run(): Promise<void>;
  waitUntilReady(): Promise<unknown>;
  close(): Promise<void>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'stalled', listener: (jobId: string) => void): unknown;
}

export interface WorkerTiming {
  readonly concurrency: number;
  /** A job whose process fell silent for so long may be given to another, in milliseconds. */
  readonly lockMs: number;
}

/** Failed jobs are kept for a look at them: for a week, and a thousand of a name at most. */
const KEEP_FAILED = { age: 7 * 24 * 3600, count: 1000 };

const defaultJobOptions: JobsOptions = {
  attempts: MAX_ATTEMPTS, backoff: { type: 'fleetroot' }, removeOnComplete: true, removeOnFail: KEEP_FAILED, stackTraceLimit: 1,
};

/** One BullMQ queue for each job name. BullMQ's tables are made, or brought up to date, on the first connection. */
export function openQueue(options: QueueOptions, name: JobName): JobQueue {
  return options.kind === 'postgres'
    ? new Queue(name, { connection: postgres(options.databaseUrl, 2), defaultJobOptions }, createPostgresBackend)
    : new Queue(name, { connection: redis(options.url), defaultJobOptions });
}

export function openWorker(options: QueueOptions, name: JobName, processor: Processor, timing: WorkerTiming): JobWorker {
  const common = {
    autorun: false,
    concurrency: timing.concurrency,
    lockDuration: timing.lockMs,
    lockRenewTime: Math.floor(timing.lockMs / 3),
    // A first check marks what is active, a later one takes what is marked and has no lock: a killed process's job is
    // back after 6 s + 2 * 4 s + 2 s at most. The worker is faster where it had claimed its chunk.
    stalledInterval: Math.floor((timing.lockMs * 2) / 3),
    // A chunk is fenced in the ledger; that its job was dropped again and again is no reason to leave it.
    maxStalledCount: MAX_INT4,
    runRetryDelay: 1000,
    // Longest wait for a job, in seconds; a job that came back from a killed process may be found only then.
    drainDelay: 2,
    settings: { backoffStrategy: (attempts: number) => retryDelayMs(attempts) },
  };
  return options.kind === 'postgres'
    ? new Worker(name, processor, { ...common, connection: postgres(options.databaseUrl, timing.concurrency + 2) }, createPostgresBackend)
    : new Worker(name, processor, { ...common, connection: { ...redis(options.url), maxRetriesPerRequest: null } });
}

/** The SQL functions of the PostgreSQL backend take an `integer`. */
const MAX_INT4 = 2 ** 31 - 1;

/** Milliseconds after which a connection that says nothing counts as cut: its user waits for good otherwise. */
const QUERY_WITHIN_MS = 15_000;

type PostgresConnection = {
  readonly connectionString: string;
  readonly schema: string;
  readonly migrate: true;
  readonly max: number;
  readonly connectionTimeoutMillis: number;
  readonly query_timeout: number;
  readonly keepAlive: true;
  readonly options: string;
};

function postgres(url: Secret, max: number): PostgresConnection {
  return {
    connectionString: url.reveal(), schema: 'bullmq', migrate: true, max, connectionTimeoutMillis: 5000, query_timeout: QUERY_WITHIN_MS, keepAlive: true,
    // What a crash of PostgreSQL takes back of the queue is in the ledger, and asked for again (I20): nobody waits for the disk.
    options: '-c synchronous_commit=off',
  };
}

/** Tries again every second while Redis is away; BullMQ's default grows to 20 s. */
function redis(url: Secret): { url: string; retryStrategy: () => number } {
  return { url: url.reveal(), retryStrategy: () => 1000 };
}

/**
 * Waits for the queue, but not for ever: a Redis client waits out an outage inside the call.
 * @throws PkiError `queue.unavailable`
 */
export async function withinDeadline<T>(work: Promise<T>, deadlineMs: number, kind: QueueOptions['kind']): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${deadlineMs} ms`)), deadlineMs);
  });
  try {
    return await Promise.race([work, late]);
  } catch (cause) {
    work.catch(() => undefined);
    const where = kind === 'postgres' ? 'PostgreSQL' : 'Redis';
    throw new PkiError('queue.unavailable', `the queue does not answer: check that ${where} is up and can be reached`, { cause });
  } finally {
    clearTimeout(timer);
  }
}
