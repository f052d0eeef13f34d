import { type AuthorityLedger, type CrlLedger, type PublishedCrl, signsStatus } from '@fleetroot/authority';
import type { Clock } from '@fleetroot/core';
import type { JobProducer } from '@fleetroot/queue';
import type { Logger } from '@fleetroot/telemetry';
import type { Task } from '../task.ts';

export interface CrlParts {
  readonly authorities: Pick<AuthorityLedger, 'all'>;
  readonly crls: Pick<CrlLedger, 'latest'>;
  readonly producer: Pick<JobProducer, 'addMany'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Part of its lifetime after which a CRL is published anew, in percent. */
  readonly refreshPercent: number;
  readonly everyMs: number;
}

/** A CRL that was asked for is given so long to appear before it is asked for again, in milliseconds. */
const PATIENCE_MS = 30_000;

/** True where the published CRL is missing or in the later part of its life. */
export function isCrlDue(latest: Pick<PublishedCrl, 'thisUpdate' | 'nextUpdate'> | undefined, now: Date, refreshPercent: number): boolean {
  if (latest === undefined) return true;
  const lifetime = latest.nextUpdate.getTime() - latest.thisUpdate.getTime();
  return now.getTime() >= latest.thisUpdate.getTime() + (lifetime * refreshPercent) / 100;
}

/**
 * Has a CRL of each CA whose key is online, from the day it is made, published before the one before ends. It looks at what is published, not at jobs (I14): a job
 * that was lost or failed is asked for again as long as the object is old.
 */
export function crlsTask(parts: CrlParts): Task {
  const askedAt = new Map<number, number>();
  return {
    name: 'crls', everyMs: parts.everyMs, runsOn: 'leader',
    async run(signal) {
      for (const { id, name } of (await parts.authorities.all()).filter(signsStatus)) {
        if (signal.aborted) return;
        const now = parts.clock.now();
        if (!isCrlDue(await parts.crls.latest(id), now, parts.refreshPercent)) {
          askedAt.delete(id);
          continue;
        }
        const asked = askedAt.get(id);
        if (asked !== undefined && Math.abs(now.getTime() - asked) < PATIENCE_MS) continue;
        await parts.producer.addMany([{ name: 'publish-crl', payload: { caId: id }, priority: 1 }]);
        askedAt.set(id, now.getTime());
        parts.logger.info({ ca: name }, asked === undefined ? 'a CRL is due' : 'a CRL is due still');
      }
    },
  };
}
