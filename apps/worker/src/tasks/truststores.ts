import { type AuthorityLedger, type CertificationAuthority, withTrust } from '@fleetroot/authority';
import type { Clock } from '@fleetroot/core';
import type { Logger } from '@fleetroot/telemetry';
import { followCas, type TruststoreLedger } from '@fleetroot/trust';
import { oneByOne, type Task } from '../task.ts';

export interface TruststoreParts {
  readonly authorities: Pick<AuthorityLedger, 'all'>;
  readonly truststores: TruststoreLedger;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly everyMs: number;
}

/**
 * Makes every truststore hold what it is to hold: without CAs that are revoked or retired, and what is below them; with
 * each next generation from the day it is made; with the newest certificate of each. What has not changed gets no new
 * version. An operator who publishes at the same time is right: his version is the one that is followed.
 */
export function truststoresTask(parts: TruststoreParts): Task {
  return {
    name: 'truststores', everyMs: parts.everyMs, runsOn: 'leader',
    async run(signal) {
      const all = await parts.authorities.all();
      await oneByOne(await parts.truststores.names(), signal, (name) => reconcile(parts, name, all));
    },
  };
}

async function reconcile({ truststores, clock, logger }: TruststoreParts, name: string, all: readonly CertificationAuthority[]): Promise<void> {
  const change = await followCas(truststores, name, withTrust(all), { actor: 'system:worker', at: clock.now() });
  if (change === undefined) return;
  const { version: { version }, members, added, removed } = change;
  const about = { truststore: name, version, added, removed };
  if (members.length > 0) logger.info(about, 'a truststore follows its CAs: a new version is published');
  else logger.error(about, 'no CA of a truststore is to be trusted any more: it is empty, and gateways that take it let nobody in');
}
