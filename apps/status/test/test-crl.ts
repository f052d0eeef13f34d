import { hash } from 'node:crypto';
import type { CrlHead } from '@fleetroot/authority';

export type TestCrl = CrlHead & { readonly der: Uint8Array };

/** A CRL on record whose octets are any. */
export const crlOf = (head: Partial<CrlHead>, der: Uint8Array): TestCrl => ({
  caId: 1, scope: 'all', kind: 'full', number: 1n, baseNumber: undefined, thisUpdate: new Date('2026-11-22T00:00:00Z'), nextUpdate: new Date('2026-11-23T00:00:00Z'),
  entries: 0, ...head, sha256: hash('sha256', der, 'buffer'), der,
});
