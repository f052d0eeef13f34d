import { type AuthorityLedger, type FilterLedger, signsStatus } from '@fleetroot/authority';
import type { Clock } from '@fleetroot/core';
import type { JobProducer } from '@fleetroot/queue';
import type { Logger } from '@fleetroot/telemetry';
import type { Task } from '../task.ts';

export interface FilterParts {
  readonly authorities: Pick<AuthorityLedger, 'all'>;
  readonly filters: Pick<FilterLedger, 'madeAt'>;
  readonly producer: Pick<JobProducer, 'addMany'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly hours: number;
  readonly everyMs: number;
}

/** One that was asked for is given so long to appear before it is asked for again, in milliseconds: a large one takes a minute. */
const PATIENCE_MS = 300_000;

/**
 * Has the revocation filter of each CA whose key is online published every so many hours. It looks at what is published,
 * not at jobs: one that was lost or failed is asked for again.
 */
export function filtersTask({ authorities, filters, producer, clock, logger, hours, everyMs }: FilterParts): Task {
  const askedAt = new Map<number, number>();
  return {
    name: 'filters', everyMs, runsOn: 'leader',
    async run(signal) {
      const madeAt = await filters.madeAt();
      for (const { id, name } of (await authorities.all()).filter(signsStatus)) {
        if (signal.aborted) return;
        const now = clock.now().getTime();
        if (now - (madeAt.get(id)?.getTime() ?? -Infinity) < hours * 3_600_000) {
          askedAt.delete(id);
          continue;
        }
        if (Math.abs(now - (askedAt.get(id) ?? -Infinity)) < PATIENCE_MS) continue;
        await producer.addMany([{ name: 'publish-filter', payload: { caId: id } }]);
        askedAt.set(id, now);
        logger.info({ ca: name }, 'a revocation filter is due');
      }
    },
  };
}
