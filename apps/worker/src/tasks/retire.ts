import type { AuthorityLedger, CertificationAuthority, CrlLedger, PublishedCrl } from '@fleetroot/authority';
import { type Clock, isPkiError } from '@fleetroot/core';
import type { Logger } from '@fleetroot/telemetry';
import { oneByOne, type Task } from '../task.ts';

export interface RetireParts {
  readonly authorities: Pick<AuthorityLedger, 'all' | 'lastDependant' | 'change'>;
  readonly crls: Pick<CrlLedger, 'latest'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly everyMs: number;
}

/**
 * Whether a retiring CA has done its last: what it signed has expired, a CRL that is younger than that is published (an
 * entry stays until a CRL beyond the certificate's validity has shown it, RFC 5280 section 3.3), and relying parties
 * have had the life of that CRL to fetch it. A CA that has signed nothing waits for as long from its switch on: what was
 * being signed at that moment is on record by then.
 * @param last the latest end of what it has signed
 */
export function isDone(
  last: Date | undefined, { switchAt }: Pick<CertificationAuthority, 'switchAt'>, crl: Pick<PublishedCrl, 'thisUpdate' | 'nextUpdate'> | undefined, now: Date,
): boolean {
  const end = last ?? switchAt;
  if (end === undefined) return true;
  return crl !== undefined && crl.thisUpdate > end && now.getTime() > end.getTime() + crl.nextUpdate.getTime() - crl.thisUpdate.getTime();
}

/** Retires the CAs that nothing unexpired chains to any more. */
export function retireTask(parts: RetireParts): Task {
  return {
    name: 'retire', everyMs: parts.everyMs, runsOn: 'leader',
    async run(signal) {
      await oneByOne((await parts.authorities.all()).filter(({ state }) => state === 'retiring'), signal, (ca) => retire(parts, ca));
    },
  };
}

async function retire({ authorities, crls, clock, logger }: RetireParts, ca: CertificationAuthority): Promise<void> {
  const last = await authorities.lastDependant(ca.id);
  const now = clock.now();
  if (!isDone(last, ca, await crls.latest(ca.id), now)) return;
  try {
    await authorities.change(ca.id, 'retiring', 'retired', {
      action: 'ca.retired', actor: 'system:worker', at: now, subject: `ca:${ca.name}`, data: { lastDependant: last?.toISOString() ?? null },
    });
    logger.info({ ca: ca.name }, 'nothing unexpired chains to the CA any more: it is retired');
  } catch (error) {
    // Somebody was faster: another worker, a revocation, or an operator who has made it active again.
    if (!isPkiError(error) || error.code !== 'ca.state-refused') throw error;
  }
}
