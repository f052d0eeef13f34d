import { chunkJob, type OpenChunk, type WaitingChunks } from '@fleetroot/authority';
import type { JobProducer, NewJob } from '@fleetroot/queue';
import type { Logger } from '@fleetroot/telemetry';
import type { Task } from '../task.ts';

/** How often it is asked whether an issuer died with chunks in its hands. */
const ORPHANS_EVERY_MS = 2000;
/** Chunks a page. */
const PAGE = 500;
/** Pages a round; the next one goes on. */
const PAGES = 40;
/** A chunk that waits for longer than this, in milliseconds, is asked for even where the queue seems to hold a job for each: one of them may have another twice. */
const LONG_MS = 60_000;
const LONG_LIMIT = 100;

const jobFor = ({ chunkId, purpose, priority }: OpenChunk): NewJob => ({ name: chunkJob(purpose), payload: { chunkId: String(chunkId) }, priority });

/**
 * Asks for chunks whose issuer died. Its job is still in its hands as far as the queue knows, and takes in whatever asks for
 * the same: so the request has a key of its own, which the fence makes another one for each holder.
 */
export function orphanedChunksTask(
  chunks: Pick<WaitingChunks, 'orphaned'>, producer: Pick<JobProducer, 'addMany'>, silentMs: number, logger: Logger,
): Task {
  return {
    name: 'orphaned-chunks', everyMs: ORPHANS_EVERY_MS, runsOn: 'leader',
    async run() {
      const orphans = await chunks.orphaned(silentMs, PAGE);
      if (orphans.length === 0) return;
      await producer.addMany(orphans.map((chunk) => ({ ...jobFor(chunk), jobId: `chunk-${chunk.chunkId}-after-${chunk.fence}` })));
      logger.info({ chunks: orphans.length }, 'chunks whose issuer fell silent were asked for again');
    },
  };
}

/**
 * Asks again for chunks whose job is lost: with an emptied queue (I20), or because it had failed too often. Where there are
 * fewer jobs than open chunks some are missing; which ones the queue cannot tell, so all are asked for, and those that have a
 * job add none.
 */
export function forgottenChunksTask(
  chunks: Pick<WaitingChunks, 'open' | 'pending'>, producer: Pick<JobProducer, 'addMany' | 'waiting'>, graceMs: number, everyMs: number, logger: Logger,
): Task {
  return {
    name: 'forgotten-chunks', everyMs, runsOn: 'leader',
    async run(signal) {
      if (await isMissing(chunks, producer, graceMs)) {
        const asked = await askForAll(chunks, producer, graceMs, signal);
        logger.info({ chunks: asked }, 'jobs were missing from the queue: all chunks that wait were asked for again');
        return;
      }
      const waiting = await chunks.pending(LONG_MS, undefined, LONG_LIMIT);
      if (waiting.length > 0) await producer.addMany(waiting.map(jobFor));
    },
  };
}

/** The jobs are counted first: one that ends in between is missing from both. */
async function isMissing(chunks: Pick<WaitingChunks, 'open'>, producer: Pick<JobProducer, 'waiting'>, graceMs: number): Promise<boolean> {
  const jobs = new Map<ReturnType<typeof chunkJob>, number>();
  for (const name of ['issue-chunk', 'renew-chunk'] as const) jobs.set(name, await producer.waiting(name));
  for (const { purpose, chunks: count } of await chunks.open(graceMs)) {
    const name = chunkJob(purpose);
    jobs.set(name, (jobs.get(name) ?? 0) - count);
  }
  return [...jobs.values()].some((spare) => spare < 0);
}

async function askForAll(chunks: Pick<WaitingChunks, 'pending'>, producer: Pick<JobProducer, 'addMany'>, graceMs: number, signal: AbortSignal): Promise<number> {
  let asked = 0;
  let last: OpenChunk | undefined;
  for (let page = 0; page < PAGES && !signal.aborted; page++) {
    const waiting = await chunks.pending(graceMs, last, PAGE);
    await producer.addMany(waiting.map(jobFor));
    asked += waiting.length;
    last = waiting.at(-1);
    if (waiting.length < PAGE) break;
  }
  return asked;
}
