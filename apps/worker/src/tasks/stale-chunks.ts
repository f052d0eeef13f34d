import type { IssuanceLedger } from '@fleetroot/authority';
import type { JobProducer } from '@fleetroot/queue';
import type { Logger } from '@fleetroot/telemetry';
import type { Task } from '../task.ts';

/** A round asks for so many at most; the oldest first, so that the next round finds the others. */
const LIMIT = 500;
/** That of an ordinary batch. */
const PRIORITY = 10;

/**
 * Asks again for chunks that nobody has worked on for too long: their job was lost with an emptied queue (I20), had
 * failed too often, or was in the hands of an issuer that died. Where the job still waits, nothing is added.
 */
export function staleChunksTask(
  issuance: Pick<IssuanceLedger, 'stale'>, producer: Pick<JobProducer, 'addMany'>, staleAfterMs: number, everyMs: number, logger: Logger,
): Task {
  return {
    name: 'stale-chunks', everyMs, runsOn: 'leader',
    async run() {
      const chunks = await issuance.stale(staleAfterMs, LIMIT);
      if (chunks.length === 0) return;
      await producer.addMany(chunks.map((id) => ({ name: 'issue-chunk', payload: { chunkId: String(id) }, priority: PRIORITY })));
      logger.debug({ chunks: chunks.length }, 'chunks that nobody worked on were asked for again');
    },
  };
}
