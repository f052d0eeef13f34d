import { Metrics } from '@fleetroot/telemetry';
import { expect, it } from 'vitest';
import { copiesFigures } from '../src/copies-figures.ts';

it('shows how the copies stand by target, and nothing where nobody tells', async () => {
  const metrics = new Metrics('api');
  let told = async (): Promise<readonly { instance: string; figures: Record<string, number> }[]> => [{ instance: 'copies-s3', figures: { objects: 9, failed: 2, behindSeconds: 61 } }];
  copiesFigures(metrics, { figures: () => told() });
  const text = await metrics.render();
  expect(text).toContain('fleetroot_copies_failed{target="s3",role="api"} 2\n');
  expect(text).toContain('fleetroot_copies_behind_seconds{target="s3",role="api"} 61\n');
  for (const none of [async () => [], () => Promise.reject(new Error('away'))]) {
    told = none;
    expect(await metrics.render()).not.toMatch(/^fleetroot_copies_\w+\{/m);
  }
});
