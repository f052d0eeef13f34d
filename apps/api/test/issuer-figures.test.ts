import { Metrics } from '@fleetroot/telemetry';
import { expect, it } from 'vitest';
import { issuerFigures } from '../src/issuer-figures.ts';

const told = (instance: string, figures: Record<string, number>) => ({ instance, at: new Date(), figures });

it('shows what each issuer told last, and forgets who is silent', async () => {
  const metrics = new Metrics('api');
  let answer = async () => [
    told('issuer-a', { signaturesPerSecond: 812.5, busyShare: 0.5, forecastSeconds: 3, unusableKeys: 1, 'signed.line': 90, 'signed.crl': 2, 'queued.line': 40 }),
    told('issuer-b', {}),
  ];
  let waiting = async () => [{ purpose: 'line', items: 800 }, { purpose: 'renewal', items: 12.5 }];
  issuerFigures(metrics, { figures: async (role) => (role === 'issuer' ? answer() : []) }, { backlog: async () => waiting() });
  for (let scrape = 0; scrape < 2; scrape++) {
    const text = await metrics.render();
    for (const line of [
      'fleetroot_hsm_signatures_per_second{instance="issuer-a",role="api"} 812.5', 'fleetroot_hsm_queue_seconds{instance="issuer-a",role="api"} 3',
      'fleetroot_hsm_busy_ratio{instance="issuer-a",role="api"} 0.5', 'fleetroot_hsm_unusable_keys{instance="issuer-a",role="api"} 1',
      'fleetroot_hsm_signatures_total{instance="issuer-a",purpose="line",role="api"} 90', 'fleetroot_hsm_signatures_total{instance="issuer-a",purpose="crl",role="api"} 2',
      'fleetroot_issuance_backlog_certificates{purpose="line",role="api"} 800', 'fleetroot_issuance_backlog_certificates{purpose="ocsp",role="api"} 0',
      'fleetroot_issuance_backlog_seconds{role="api"} 1', 'fleetroot_hsm_queue_signatures{instance="issuer-a",purpose="line",role="api"} 40', 'fleetroot_hsm_signatures_total{instance="issuer-b",purpose="line",role="api"} 0',
    ]) expect(text).toContain(`${line}\n`);
    expect(text).toContain('# TYPE fleetroot_hsm_signatures_total counter');
    expect(text).not.toContain('fleetroot_hsm_unusable_keys{instance="issuer-b"');
  }
  waiting = async () => { throw new Error('the ledger is away'); };
  answer = async () => { throw new Error('the ledger is away'); };
  const text = await metrics.render();
  expect(text).not.toMatch(/instance="issuer-a"|fleetroot_issuance_backlog_[a-z]+\{/);
  expect(text).toContain('process_resident_memory_bytes');
});
