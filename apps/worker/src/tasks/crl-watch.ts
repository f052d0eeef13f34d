import { type AuthorityLedger, type CrlLedger, isTrusted, type PublishedCrl } from '@fleetroot/authority';
import type { Clock } from '@fleetroot/core';
import type { Logger } from '@fleetroot/telemetry';
import type { Task } from '../task.ts';

export interface CrlWatchParts {
  readonly authorities: Pick<AuthorityLedger, 'all'>;
  readonly crls: Pick<CrlLedger, 'latest'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly everyMs: number;
}

/** How much of its life a published CRL has behind it. */
export type CrlAge = 'fresh' | 'half' | 'three quarters' | 'expired' | 'missing';

/** What is said already is said again after so long, in milliseconds. */
const AGAIN_MS = 3_600_000;

export function crlAge(latest: Pick<PublishedCrl, 'thisUpdate' | 'nextUpdate'> | undefined, now: Date): CrlAge {
  if (latest === undefined) return 'missing';
  const part = (now.getTime() - latest.thisUpdate.getTime()) / (latest.nextUpdate.getTime() - latest.thisUpdate.getTime());
  return part >= 1 ? 'expired' : part >= 0.75 ? 'three quarters' : part >= 0.5 ? 'half' : 'fresh';
}

const WHAT = {
  half: 'the CRL of a CA has half of its life behind it', 'three quarters': 'the CRL of a CA has three quarters of its life behind it',
  expired: 'the CRL of a CA has expired: gateways refuse every client', missing: 'a CA has no CRL: gateways that check it refuse every client',
} as const satisfies Record<Exclude<CrlAge, 'fresh'>, string>;

/**
 * Tells the operator of CRLs that grow old, by what is published and not by what was asked for (I14). Nobody but him can
 * renew that of a CA whose key is not online. That of another is told of once it is so old that the crls task has asked
 * for the next one in vain.
 */
export function crlWatchTask(parts: CrlWatchParts): Task {
  const told = new Map<number, { readonly age: CrlAge; readonly at: number }>();
  return {
    name: 'crl-watch', everyMs: parts.everyMs, runsOn: 'leader',
    async run(signal) {
      const all = await parts.authorities.all();
      for (const ca of all.filter((one) => isTrusted(one, all))) {
        if (signal.aborted) return;
        const online = ca.keyId !== undefined;
        const latest = await parts.crls.latest(ca.id);
        const now = parts.clock.now();
        const age = crlAge(latest, now);
        if (age === 'fresh' || (online && (age === 'half' || age === 'missing'))) {
          told.delete(ca.id);
          continue;
        }
        const before = told.get(ca.id);
        if (before?.age === age && Math.abs(now.getTime() - before.at) < AGAIN_MS) continue;
        told.set(ca.id, { age, at: now.getTime() });
        const text = `${WHAT[age]}; ${online ? 'see why the issuer publishes none' : 'have a ceremony sign the next one, and import it'}`;
        parts.logger[age === 'half' ? 'warn' : 'error']({ ca: ca.name, nextUpdate: latest?.nextUpdate.toISOString() }, text);
      }
    },
  };
}
