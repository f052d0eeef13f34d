import { Metrics } from '@fleetroot/telemetry';
import { expect, it } from 'vitest';
import { fsckFigures } from '../src/fsck-figures.ts';

it('shows what the newest inspection found and how old it is, and nothing where that is not known', async () => {
  const metrics = new Metrics('api');
  let latest = async (): Promise<{ beganAt: Date; endedAt: Date; breaches: number } | undefined> => ({ beganAt: new Date(1000), endedAt: new Date(2000), breaches: 3 });
  fsckFigures(metrics, { latest: () => latest() }, { now: () => new Date(61_000) });
  const text = await metrics.render();
  expect(text).toContain('fleetroot_fsck_breaches{role="api"} 3\n');
  expect(text).toContain('fleetroot_fsck_age_seconds{role="api"} 60\n');
  for (const none of [async () => undefined, () => Promise.reject(new Error('away'))]) {
    latest = none;
    expect(await metrics.render()).not.toMatch(/^fleetroot_fsck_\w+\{/m);
  }
});
