import { type BatchLedger, UPLOAD_LIFE_MS } from '@fleetroot/authority';
import type { Logger } from '@fleetroot/telemetry';
import { oneByOne, type Task } from '../task.ts';

/** Longer than any sender that still sends may be silent. */
const SILENCE = { streamedMs: 3_600_000, inPartsMs: UPLOAD_LIFE_MS };
/** A round takes so many; the next one goes on. */
const LIMIT = 20;

/**
 * Discards batches that nobody goes on sending: the api that received them was killed before it could, and their
 * Idempotency-Key was never used again; or an upload, whose sender did not come back. Nothing of them was issued.
 */
export function silentBatchesTask(batches: Pick<BatchLedger, 'silent' | 'discard'>, everyMs: number, logger: Logger): Task {
  return {
    name: 'silent-batches', everyMs, runsOn: 'leader',
    async run(signal) {
      await oneByOne(await batches.silent(SILENCE, LIMIT), signal, async (batch) => {
        await batches.discard(batch);
        logger.info({ batch }, 'a batch whose sender is gone was discarded');
      });
    },
  };
}
