import { hash } from 'node:crypto';
import type { AuditEvent } from '@fleetroot/audit';
import type { CrlLedger, ForeignCrl } from '@fleetroot/authority';

type Publishes = Pick<CrlLedger, 'reserve' | 'publish' | 'latest'>;

/** A number for one full CRL of the whole CA. */
export const reserveWhole = (crls: Publishes, caId: number, thisUpdate: Date, nextUpdate: Date): Promise<bigint> =>
  crls.reserve(caId, thisUpdate, [{ scope: 'all', kind: 'full', nextUpdate, base: undefined }]);

/** Octets that stand for a full CRL of the whole CA, swapped in after the one that is current. */
export async function publishWhole(crls: Publishes, crl: ForeignCrl, entries: number, event: AuditEvent): Promise<boolean> {
  const before = await crls.latest(crl.caId);
  const whole = { ...crl, scope: 'all', kind: 'full', baseNumber: undefined, entries, sha256: hash('sha256', crl.der, 'buffer') } as const;
  const [swapped] = await crls.publish(crl.caId, [{ crl: whole, after: before?.number }], () => event);
  return swapped ?? false;
}
