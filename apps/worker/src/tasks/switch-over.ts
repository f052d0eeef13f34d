import { type AuthorityLedger, type CertificationAuthority, type CrlLedger, isTrusted, type PublishedCrl } from '@fleetroot/authority';
import type { Clock } from '@fleetroot/core';
import type { Logger } from '@fleetroot/telemetry';
import { oneByOne, type Task } from '../task.ts';

export interface SwitchOverParts {
  readonly authorities: Pick<AuthorityLedger, 'all' | 'switchOver'>;
  readonly crls: Pick<CrlLedger, 'latest'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly everyMs: number;
}

/** Whether the CA is to be followed by the next generation by now. */
export const isSwitchDue = ({ state, successorId, switchAt }: Pick<CertificationAuthority, 'state' | 'successorId' | 'switchAt'>, now: Date): boolean =>
  state === 'active' && successorId !== undefined && switchAt !== undefined && switchAt <= now;

/**
 * Lets the next generation issue from its time on. It waits while that generation has no current CRL: every gateway that
 * checks would refuse what it issues (I17, I29). The ledger switches once, however many workers ask.
 */
export function switchOverTask(parts: SwitchOverParts): Task {
  return {
    name: 'switch-over', everyMs: parts.everyMs, runsOn: 'leader',
    async run(signal) {
      const all = await parts.authorities.all();
      await oneByOne(all.filter((ca) => isSwitchDue(ca, parts.clock.now())), signal, (ca) => switchOver(parts, ca, all));
    },
  };
}

async function switchOver(
  { authorities, crls, clock, logger }: SwitchOverParts, ca: CertificationAuthority, all: readonly CertificationAuthority[],
): Promise<void> {
  const now = clock.now();
  const successor = all.find(({ id }) => id === ca.successorId);
  const names = { ca: ca.name, successor: successor?.name };
  if (successor === undefined || !isTrusted(successor, all)) {
    logger.error(names, 'the generation that is to issue now is revoked or retired: the CA goes on until another successor is set');
    return;
  }
  if (!isCurrent(await crls.latest(successor.id), now)) {
    logger.warn(names, 'the switch to the next generation waits until that one has a current CRL');
    return;
  }
  const switched = await authorities.switchOver(ca.id, now, {
    action: 'ca.switched', actor: 'system:worker', at: now, subject: `ca:${ca.name}`,
    data: { successor: successor.name, switchAt: ca.switchAt?.toISOString() ?? null },
  });
  if (switched) logger.info(names, 'the next generation issues from now on');
}

const isCurrent = (crl: PublishedCrl | undefined, now: Date): boolean => crl !== undefined && now < crl.nextUpdate;
