import { type CrlPlace, crlPlace } from '@fleetroot/authority';
import type { Metrics } from '@fleetroot/telemetry';

interface Heartbeats {
  figures(role: string): Promise<readonly { readonly figures: Readonly<Record<string, number>> }[]>;
}

const OF_A_CRL = /^(age|life) (.+)$/;
const OF_A_CA = /^faults (.+)$/;

/** CRLs as the worker that leads has fetched them from where everybody does (I14); absent where it was not heard in the last half minute. */
export function crlFigures(metrics: Metrics, heartbeats: Heartbeats): void {
  const labels = ['ca', 'scope', 'kind'] as const;
  const ofCrl = {
    age: metrics.gauge({ name: 'fleetroot_crl_served_age_seconds', help: 'Seconds since thisUpdate of a CRL as it is served', labels }),
    life: metrics.gauge({ name: 'fleetroot_crl_served_life_ratio', help: 'Part of its life that a CRL as it is served has behind it: 0.5 is due, 0.75 is late, 1 has expired', labels }),
  };
  const faults = metrics.gauge({ name: 'fleetroot_crl_served_faults', help: 'CRLs of a CA that were fetched last and are missing, unreadable, expired or not the newest', labels: ['ca'] });
  metrics.beforeScrape(async () => {
    const told = await heartbeats.figures('crl-watch').catch(() => []);
    for (const gauge of [ofCrl.age, ofCrl.life, faults]) gauge.reset();
    for (const [name, value] of told.flatMap(({ figures }) => Object.entries(figures))) {
      const [, which, path] = OF_A_CRL.exec(name) ?? [];
      const place: CrlPlace | undefined = path === undefined ? undefined : crlPlace(path);
      if (place !== undefined) ofCrl[which === 'age' ? 'age' : 'life'].set({ ...place }, value);
      const [, ca] = OF_A_CA.exec(name) ?? [];
      if (ca !== undefined) faults.set({ ca }, value);
    }
  });
}
