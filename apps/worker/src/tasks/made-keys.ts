import type { MadeKeyLedger } from '@fleetroot/authority';
import type { Clock } from '@fleetroot/core';
import type { Logger } from '@fleetroot/telemetry';
import type { Task } from '../task.ts';

/** A transaction deletes so many: each has its audit event, and the chain's head is locked meanwhile. */
const LIMIT = 200;

/** Deletes private keys that were made here and that nobody acknowledged in time, and those of items without a certificate. */
export function madeKeysTask(madeKeys: Pick<MadeKeyLedger, 'deleteDue'>, everyMs: number, clock: Clock, logger: Logger): Task {
  return {
    name: 'made-keys', everyMs, runsOn: 'leader',
    async run(signal) {
      for (let deleted = LIMIT; deleted === LIMIT && !signal.aborted;) {
        deleted = await madeKeys.deleteDue(LIMIT, ({ batchId, ordinal, why }) => ({
          action: 'key.deleted', actor: 'system:worker', at: clock.now(), subject: `key:${batchId}/${ordinal}`, data: { why },
        }));
        if (deleted > 0) logger.info({ keys: deleted }, 'private keys that were not called for were deleted');
      }
    },
  };
}
