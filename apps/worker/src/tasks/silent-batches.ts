import type { BatchLedger } from '@fleetroot/authority';
import type { Logger } from '@fleetroot/telemetry';
import { oneByOne, type Task } from '../task.ts';

/** Longer than any sender that still sends may be silent, in milliseconds. */
const SILENT_MS = 3_600_000;
/** A round takes so many; the next one goes on. */
const LIMIT = 20;

/**
 * Discards batches that nobody goes on sending: the api that received them was killed before it could, and their
 * Idempotency-Key was never used again. Nothing of them was issued.
 */
export function silentBatchesTask(batches: Pick<BatchLedger, 'silent' | 'discard'>, everyMs: number, logger: Logger): Task {
  return {
    name: 'silent-batches', everyMs, runsOn: 'leader',
    async run(signal) {
      await oneByOne(await batches.silent(SILENT_MS, LIMIT), signal, async (batch) => {
        await batches.discard(batch);
        logger.info({ batch }, 'a batch whose sender is gone was discarded');
      });
    },
  };
}
