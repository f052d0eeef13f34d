import { expect, it } from 'vitest';
import { Metrics } from '../src/index.ts';

it('renders its own metrics and those of the process, each with the role', async () => {
  const metrics = new Metrics('issuer');
  metrics.counter({ name: 'fleetroot_things_total', help: 'Things', labels: ['kind'] }).inc({ kind: 'a' }, 2);
  metrics.gauge({ name: 'fleetroot_level', help: 'Level', collect: (gauge) => gauge.set(7) });
  metrics.histogram({ name: 'fleetroot_wait_seconds', help: 'Wait', buckets: [0.1, 1] }).observe(0.5);
  const text = await metrics.render();
  expect(text).toContain('fleetroot_things_total{kind="a",role="issuer"} 2');
  expect(text).toContain('fleetroot_level{role="issuer"} 7');
  expect(text).toContain('fleetroot_wait_seconds_bucket{le="1",role="issuer"} 1');
  expect(text).toContain('nodejs_eventloop_lag_seconds{role="issuer"}');
  expect(text).toContain('process_resident_memory_bytes{role="issuer"}');
});

it('asks those who set several at once before it reads any', async () => {
  const metrics = new Metrics('api');
  const [first, second] = ['first', 'second'].map((name) => metrics.gauge({ name, help: name, labels: ['of'] }));
  let scrapes = 0;
  metrics.beforeScrape(async () => {
    await new Promise(setImmediate);
    scrapes++;
    for (const gauge of [first, second]) gauge?.set({ of: 'x' }, scrapes);
  });
  expect(await metrics.render()).toMatch(/first\{of="x",role="api"\} 1\n[^]*second\{of="x",role="api"\} 1\n/);
  expect(await metrics.render()).toContain('second{of="x",role="api"} 2');
});
