import { type AuthorityLedger, type CrlLedger, dueScopes, signsStatus } from '@fleetroot/authority';
import { type Clock, LATE_COMMIT_MS } from '@fleetroot/core';
import type { JobProducer } from '@fleetroot/queue';
import type { Logger } from '@fleetroot/telemetry';
import type { Task } from '../task.ts';

export interface CrlParts {
  readonly authorities: Pick<AuthorityLedger, 'all'>;
  readonly crls: Pick<CrlLedger, 'heads' | 'scopes' | 'changes'>;
  readonly producer: Pick<JobProducer, 'addMany'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Part of its lifetime after which a CRL is published anew, in percent. */
  readonly refreshPercent: number;
  readonly everyMs: number;
}

/** CRLs that were asked for are given so long to appear before they are asked for again, in milliseconds. */
const PATIENCE_MS = 30_000;
/** What changed has a job of its own, which is given so long before it counts as lost, in milliseconds. */
const OF_ITS_OWN_MS = 10_000;
/** thisUpdate is in whole seconds: what changed in that second is on the CRL, or has a job that is under way. */
const SAME_SECOND_MS = 1000;

/**
 * Has the CRLs of each CA whose key is online, full ones and deltas, from the day it is made, published before those before
 * end. It looks at what is published and what changed, not at jobs (I14): a job that was lost or failed is asked for again
 * as long as an object is old, or lacks a change.
 */
export function crlsTask(parts: CrlParts): Task {
  const askedAt = new Map<number, number>();
  /** By CA: changes before that are published, in milliseconds. */
  const shownUntil = new Map<number, number>();
  return {
    name: 'crls', everyMs: parts.everyMs, runsOn: 'leader',
    async run(signal) {
      for (const { id, name } of (await parts.authorities.all()).filter(signsStatus)) {
        if (signal.aborted) return;
        const now = parts.clock.now();
        const until = now.getTime() - OF_ITS_OWN_MS;
        const due = await dueOf(parts, id, now, shownUntil.get(id));
        if (due.length === 0) {
          askedAt.delete(id);
          shownUntil.set(id, until);
          continue;
        }
        const asked = askedAt.get(id);
        if (asked !== undefined && Math.abs(now.getTime() - asked) < PATIENCE_MS) continue;
        await parts.producer.addMany([{ name: 'publish-crl', payload: { caId: id }, priority: 1 }]);
        askedAt.set(id, now.getTime());
        parts.logger.info({ ca: name, crls: due.length }, asked === undefined ? 'CRLs are due' : 'CRLs are due still');
      }
    },
  };
}

/** @param shownUntil as it was found last; absent: whatever the oldest delta may lack */
async function dueOf({ crls, refreshPercent }: CrlParts, caId: number, now: Date, shownUntil: number | undefined) {
  const [scopes, heads] = await Promise.all([crls.scopes(caId), crls.heads(caId)]);
  const oldest = Math.min(...heads.filter(({ kind }) => kind === 'delta').map(({ thisUpdate }) => thisUpdate.getTime()), now.getTime());
  // A transaction that was under way when we looked last may have been committed since.
  const since = new Date(Math.max(oldest, (shownUntil ?? 0) - LATE_COMMIT_MS));
  const changes = (await crls.changes(caId, since, now)).filter(({ newestAt }) => newestAt.getTime() <= now.getTime() - OF_ITS_OWN_MS);
  return dueScopes({ scopes, heads, changes }, { now, refreshPercent, overlapMs: -SAME_SECOND_MS });
}
