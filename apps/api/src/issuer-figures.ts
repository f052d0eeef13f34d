import { signingPurposes } from '@fleetroot/authority';
import type { Metrics } from '@fleetroot/telemetry';

/** What the issuers told with their last heartbeats; `Heartbeats` of the store. */
export interface IssuerHeartbeats {
  /** Of the processes of a role that were heard in the last 30 seconds. */
  figures(role: string): Promise<readonly { readonly instance: string; readonly figures: Readonly<Record<string, number>> }[]>;
}

/** What waits in the ledger to be issued; the issuance ledger of the store. */
export interface IssuanceBacklog {
  /** Items of accepted batches without an outcome; a purpose without any is left out. */
  backlog(): Promise<readonly { readonly purpose: string; readonly items: number }[]>;
}

/**
 * How the HSM fares, as each issuer measures it. The issuers listen on no port: their figures come by the ledger, and are up
 * to a heartbeat old. An issuer that is not heard any more, and all of them while the ledger is away, have none. Beside
 * them what waits in the ledger, of which an issuer has a few chunks in hand at a time, and how long all of it will take.
 */
export function issuerFigures(metrics: Metrics, heartbeats: IssuerHeartbeats, issuance: IssuanceBacklog): void {
  const [hsm, backlog] = [hsmFigures(metrics), backlogFigures(metrics)];
  metrics.beforeScrape(async () => {
    // Without the ledger the other metrics are the more wanted.
    const [told, waiting] = await Promise.all([heartbeats.figures('issuer').catch(() => []), issuance.backlog().catch(() => undefined)]);
    hsm(told);
    backlog(waiting, told);
  });
}

type Told = Awaited<ReturnType<IssuerHeartbeats['figures']>>;
type Waiting = Awaited<ReturnType<IssuanceBacklog['backlog']>>;

function hsmFigures(metrics: Metrics): (told: Told) => void {
  const gauge = (name: string, help: string) => metrics.gauge({ name: `fleetroot_hsm_${name}`, help, labels: ['instance'] });
  const ofInstance = {
    signaturesPerSecond: gauge('signatures_per_second', 'Signatures a second that the HSM makes for an issuer while it has work, as measured'),
    forecastSeconds: gauge('queue_seconds', 'How long the HSM will take for what waits in an issuer'),
    busyShare: gauge('busy_ratio', 'Part of the last ten seconds in which the HSM had work from an issuer, 0 to 1'),
    unusableKeys: gauge('unusable_keys', 'CAs that should sign and whose key cannot be used; the log of the issuer says why'),
  };
  const signed = metrics.counter({ name: 'fleetroot_hsm_signatures_total', help: 'Signatures by CA keys since an issuer started', labels: ['instance', 'purpose'] });
  const queued = metrics.gauge({ name: 'fleetroot_hsm_queue_signatures', help: 'Signatures that wait in an issuer for the HSM', labels: ['instance', 'purpose'] });
  return (told) => {
    for (const metric of [...Object.values(ofInstance), signed, queued]) metric.reset();
    for (const { instance, figures } of told) {
      for (const [name, metric] of Object.entries(ofInstance)) if (figures[name] !== undefined) metric.set({ instance }, figures[name]);
      for (const purpose of signingPurposes) {
        signed.inc({ instance, purpose }, figures[`signed.${purpose}`] ?? 0);
        queued.set({ instance, purpose }, figures[`queued.${purpose}`] ?? 0);
      }
    }
  };
}

function backlogFigures(metrics: Metrics): (waiting: Waiting | undefined, told: Told) => void {
  const certificates = metrics.gauge({ name: 'fleetroot_issuance_backlog_certificates', help: 'Certificates that were accepted and are not issued yet', labels: ['purpose'] });
  const seconds = metrics.gauge({ name: 'fleetroot_issuance_backlog_seconds', help: 'How long the issuers together will take for them, at the measured speed of the HSM' });
  return (waiting, told) => {
    certificates.reset();
    for (const purpose of waiting === undefined ? [] : signingPurposes) certificates.set({ purpose }, waiting?.find((one) => one.purpose === purpose)?.items ?? 0);
    const items = waiting?.reduce((all, one) => all + one.items, 0);
    const speed = told.reduce((all, { figures }) => all + (figures['signaturesPerSecond'] ?? 0), 0);
    // Unknown while the ledger is away, and before anything was measured.
    if (items === 0) seconds.set(0);
    else if (items === undefined || speed === 0) seconds.remove();
    else seconds.set(items / speed);
  };
}
