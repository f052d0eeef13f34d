import type { RevocationJobLedger } from '@fleetroot/authority';
import type { Clock } from '@fleetroot/core';
import type { Logger } from '@fleetroot/telemetry';
import { oneByOne, type Task } from '../task.ts';

/** Jobs that take turns, a page each; the others wait until one of these is over. */
const AT_ONCE = 8;
/** Whoever revokes a part number waits for it. */
const EVERY_MS = 1_000;

/** Goes on with every large revocation that runs, page by page; one that was cut off goes on where its last commit was. */
export function revocationsTask(jobs: Pick<RevocationJobLedger, 'running' | 'runPage'>, clock: Clock, logger: Logger): Task {
  return {
    name: 'revocations', everyMs: EVERY_MS, runsOn: 'leader',
    async run(signal) {
      for (let ids = await jobs.running(AT_ONCE); ids.length > 0 && !signal.aborted; ids = await jobs.running(AT_ONCE)) {
        await oneByOne(ids, signal, async (id) => {
          const { over } = await jobs.runPage(id, clock.now());
          if (over) logger.info({ revocation: id }, 'a large revocation is over');
        });
      }
    },
  };
}
