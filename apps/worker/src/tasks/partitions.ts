import type { Clock } from '@fleetroot/core';
import type { LedgerArchive } from '@fleetroot/store';
import type { Logger } from '@fleetroot/telemetry';
import type { Task } from '../task.ts';

/** Years before they begin: there is no hurry, and a round costs next to nothing. */
const EVERY_MS = 3_600_000;

/** Makes the ledger's partitions of the next years, so that none is ever missing. */
export function partitionsTask(archive: Pick<LedgerArchive, 'addPartitions'>, clock: Clock, logger: Logger): Task {
  return {
    name: 'partitions', everyMs: EVERY_MS, runsOn: 'leader',
    async run() {
      const made = await archive.addPartitions(clock.now());
      if (made > 0) logger.info({ partitions: made }, 'the ledger has partitions for more years');
    },
  };
}
