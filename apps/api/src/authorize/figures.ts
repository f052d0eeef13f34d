import type { ClientAuthorizer } from '@fleetroot/trust';
import type { Metrics } from '@fleetroot/telemetry';
import type { GatewayCheckParts } from './gateway-checks.ts';

/** Counts the authorizer's answers, and what it costs the ledger. */
export function authorizerFigures(metrics: Metrics, authorizer: Pick<ClientAuthorizer, 'figures'>): GatewayCheckParts['onAnswer'] {
  const answers = metrics.counter({ name: 'fleetroot_authorizations_total', help: 'Answers to gateways about client certificates', labels: ['form', 'reason'] });
  const remembered = metrics.gauge({ name: 'fleetroot_authorizer_remembered_certificates', help: 'Certificates whose status the authorizer remembers' });
  const lookUps = metrics.gauge({ name: 'fleetroot_authorizer_ledger_queries', help: 'Statements by which the authorizer has asked the ledger, since the start' });
  metrics.beforeScrape(() => {
    remembered.set(authorizer.figures.remembered);
    lookUps.set(authorizer.figures.lookUps);
  });
  const byName = new Map<string, { inc(): void }>();
  return (form, reason) => {
    const name = `${form} ${reason}`;
    let counter = byName.get(name);
    if (counter === undefined) byName.set(name, (counter = answers.labels({ form, reason })));
    counter.inc();
  };
}
