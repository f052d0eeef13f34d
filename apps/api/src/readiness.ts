import { isTrusted, signsStatus } from '@fleetroot/authority';
import type { Clock } from '@fleetroot/core';
import { NotReady } from '@fleetroot/http';
import type { JobProducer } from '@fleetroot/queue';
import type { Authorities } from './authorities.ts';
import type { DeviceListener } from './device/device-listener.ts';
import type { Ledger } from './ledger.ts';

/** An issuer that was silent for longer is no issuer; they beat every few seconds. */
const ISSUER_SILENT_MS = 20_000;

export interface ReadinessParts {
  readonly ledger: Ledger;
  readonly producer: Pick<JobProducer, 'ping'>;
  readonly authorities: Authorities;
  readonly clock: Clock;
  readonly device: Pick<DeviceListener, 'check'>;
}

/** What must be there before a line may count on this process. */
export function readinessChecks({ ledger, producer, authorities, clock, device }: ReadinessParts): Record<string, () => Promise<void>> {
  return {
    database: () => ledger.ping(),
    queue: () => producer.ping(),
    'issuing-ca': async () => {
      // Throws where no generation of it issues.
      await authorities.issuing();
    },
    issuer: async () => {
      const heard = await ledger.heartbeats.lastHeard('issuer');
      if (heard === undefined) throw new NotReady('no issuer was ever heard of');
      const silent = clock.now().getTime() - heard.getTime();
      if (silent > ISSUER_SILENT_MS) throw new NotReady(`no issuer was heard of for ${Math.round(silent / 1000)} s`);
    },
    crl: async () => {
      const now = clock.now();
      const all = await authorities.all();
      for (const ca of all) {
        // Of a prepared one nothing is in the field; that of a CA whose key is elsewhere nobody here can renew, and the
        // worker tells of its age; below a revoked one nobody trusts what it issued: no line stops for any of them.
        if (!signsStatus(ca) || ca.state === 'prepared' || !isTrusted(ca, all)) continue;
        const crl = await ledger.crls.latest(ca.id);
        if (crl === undefined) throw new NotReady(`the CA ${ca.name} has no CRL yet`);
        if (crl.nextUpdate <= now) throw new NotReady(`the CRL of the CA ${ca.name} has expired`);
      }
    },
    'device-listener': async () => device.check(),
  };
}
