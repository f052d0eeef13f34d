import type { Clock } from '@fleetroot/core';
import type { Metrics } from '@fleetroot/telemetry';
import type { Ledger } from './ledger.ts';

/** What the newest nightly inspection found, and how old it is: an operator is to be alarmed by either. */
export function fsckFigures(metrics: Metrics, inspections: Ledger['inspections'], clock: Clock): void {
  const breaches = metrics.gauge({ name: 'fleetroot_fsck_breaches', help: 'Breaches of the invariants that the newest inspection of the ledger found; absent before the first' });
  const age = metrics.gauge({ name: 'fleetroot_fsck_age_seconds', help: 'Seconds since the newest inspection of the ledger began; absent before the first' });
  metrics.beforeScrape(async () => {
    // Without the ledger the other metrics are the more wanted.
    const latest = await inspections.latest().catch(() => undefined);
    if (latest === undefined) {
      breaches.remove();
      age.remove();
      return;
    }
    breaches.set(latest.breaches);
    age.set(Math.max(0, (clock.now().getTime() - latest.beganAt.getTime()) / 1000));
  });
}
