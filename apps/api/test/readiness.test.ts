import type { CertificationAuthority } from '@fleetroot/authority';
import { caName } from '@fleetroot/core';
import { describe, expect, it } from 'vitest';
import { type ReadinessParts, readinessChecks } from '../src/readiness.ts';

const now = new Date('2026-11-22T10:00:00Z');
const root: CertificationAuthority = {
  id: 1, name: caName('root'), parentId: undefined, state: 'active', certificate: new Uint8Array(), keyId: Uint8Array.of(1), signatureAlgorithm: undefined,
  labels: {}, successorId: undefined, switchAt: undefined, revocation: undefined, notBefore: now, notAfter: now,
};
const sub: CertificationAuthority = { ...root, id: 2, name: caName('sub'), parentId: 1 };
const crl = (nextUpdate: Date) => ({ caId: 0, number: 1n, thisUpdate: now, nextUpdate, der: new Uint8Array() });
const current = crl(new Date(now.getTime() + 1));

/** Whether the api is ready with these CAs and their CRLs, by id. */
async function ready(all: readonly CertificationAuthority[], crls: Record<number, ReturnType<typeof crl>>): Promise<string> {
  const parts = { authorities: { all: async () => all }, ledger: { crls: { latest: async (id: number) => crls[id] } }, clock: { now: () => now } };
  return readinessChecks(parts as unknown as ReadinessParts)['crl']?.().then(() => 'ready', (error: Error) => error.message) ?? 'no check';
}

describe('the CRLs that make the api ready', () => {
  const revocation = { revokedAt: now, reason: 1 };
  it.each<[string, readonly CertificationAuthority[], Record<number, ReturnType<typeof crl>>, RegExp]>([
    ['are current', [root, sub], { 1: current, 2: current }, /^ready$/],
    ['are there', [root, sub], { 1: current }, /sub has no CRL/],
    ['have not expired', [root, sub], { 1: current, 2: crl(now) }, /sub has expired/],
    ['are none of a CA that waits', [root, { ...sub, state: 'prepared' }], { 1: current }, /^ready$/],
    ['are none of a CA whose key is elsewhere', [{ ...root, keyId: undefined }, sub], { 2: current }, /^ready$/],
    ['are none of a CA that is revoked, or below one: its key may be gone for good', [{ ...root, state: 'compromised', revocation }, sub], {}, /^ready$/],
  ])('%s', async (_, all, crls, outcome) => expect(await ready(all, crls)).toMatch(outcome));
});
