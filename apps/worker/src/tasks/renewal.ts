import type { CertificateLedger } from '@fleetroot/authority';
import type { Clock } from '@fleetroot/core';
import type { Logger } from '@fleetroot/telemetry';
import type { Task } from '../task.ts';

const PAGE = 1000;
/** A round ends after so many; the next one goes on. */
const PAGES = 50;
const DAY_MS = 86_400_000;

/** Puts certificates near their end into the renewal state that their ECUs ask for. */
export function renewalTask(
  certificates: Pick<CertificateLedger, 'markRenewalDue'>, windowDays: number, everyMs: number, clock: Clock, logger: Logger,
): Task {
  return {
    name: 'renewal', everyMs, runsOn: 'leader',
    async run(signal) {
      let marked = 0;
      for (let page = 0; page < PAGES && !signal.aborted; page++) {
        const now = clock.now();
        const until = new Date(now.getTime() + windowDays * DAY_MS);
        const count = await certificates.markRenewalDue(now, until, PAGE, (certificatesMarked) => ({
          action: 'renewal.due', actor: 'system:worker', at: now, subject: 'schedule:renewal',
          data: { certificates: certificatesMarked, until: until.toISOString() },
        }));
        marked += count;
        if (count < PAGE) break;
      }
      if (marked > 0) logger.info({ certificates: marked }, 'certificates are due for renewal');
    },
  };
}
