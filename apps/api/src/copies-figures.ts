import type { Metrics } from '@fleetroot/telemetry';

interface Heartbeats {
  figures(role: string): Promise<readonly { readonly instance: string; readonly figures: Readonly<Record<string, number>> }[]>;
}

/** How the copies of what is published stand, as the worker that leads has told in the last half minute; absent where it has not. */
export function copiesFigures(metrics: Metrics, heartbeats: Heartbeats): void {
  const failed = metrics.gauge({ name: 'fleetroot_copies_failed', help: 'Objects of a copy that are not what is published', labels: ['target'] });
  const behind = metrics.gauge({ name: 'fleetroot_copies_behind_seconds', help: 'Seconds since all of a copy was what is published', labels: ['target'] });
  metrics.beforeScrape(async () => {
    const told = await heartbeats.figures('copies').catch(() => []);
    failed.reset();
    behind.reset();
    for (const { instance, figures } of told) {
      const target = instance.replace(/^copies-/, '');
      failed.set({ target }, figures['failed'] ?? 0);
      behind.set({ target }, figures['behindSeconds'] ?? 0);
    }
  });
}
