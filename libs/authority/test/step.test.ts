import { describe, expect, it } from 'vitest';
import type { AuditEvent } from '@fleetroot/audit';
import { type CaState, type CertificationAuthority, type PublishedCrl, takeStep } from '../src/index.ts';
import { testAuthority } from './support/authority.ts';

const now = new Date('2026-11-22T12:00:00Z');
const later = (hours: number): Date => new Date(now.getTime() + hours * 3_600_000);
const ca: CertificationAuthority = { ...testAuthority().authority, state: 'prepared', notBefore: later(-1), notAfter: later(1000) };
const crl = (nextUpdate: Date): PublishedCrl => ({
  caId: ca.id, scope: 'all', kind: 'full', baseNumber: undefined, entries: 0, sha256: new Uint8Array(32), number: 1n, thisUpdate: later(-1), nextUpdate, der: new Uint8Array(),
});

describe('a step of a CA by hand', () => {
  it.each<[string, CaState, Partial<CertificationAuthority>, PublishedCrl | undefined, Date | undefined, RegExp | undefined]>([
    ['is taken with a key, trust and a CRL', 'active', {}, crl(later(1)), undefined, undefined],
    ['waits for a key', 'active', { keyId: undefined }, crl(later(1)), undefined, /its key is not online/],
    ['waits for trust', 'active', { revocation: { revokedAt: now, reason: 1 } }, crl(later(1)), undefined, /is revoked, and stays so/],
    ['waits for its certificate', 'active', { notBefore: later(1) }, crl(later(1)), undefined, /not valid now/],
    ['is too late after it', 'active', { notAfter: later(-0.5) }, crl(later(1)), undefined, /not valid now/],
    ['waits for a CRL', 'active', {}, undefined, undefined, /no current CRL/],
    ['is not taken with an old CRL', 'active', {}, crl(now), undefined, /no current CRL/],
    ['to its end is taken where nothing lives', 'retired', { state: 'retiring' }, undefined, later(-1), undefined],
    ['to its end is taken where nothing was signed', 'retired', { state: 'retiring' }, undefined, undefined, undefined],
    ['to its end waits for what lives', 'retired', { state: 'retiring' }, undefined, now, /valid until 2026-11-22T12:00:00\.000Z/],
    ['out of its turn is refused', 'retiring', {}, crl(later(1)), undefined, /is prepared and cannot become retiring/],
    ['towards its end is free', 'retiring', { state: 'active', keyId: undefined }, undefined, later(5), undefined],
  ])('%s', async (_, to, over, latest, dependant, fault) => {
    const given = { ...ca, ...over };
    const { ledgers, events } = ledgersOf(given, latest, dependant);
    const step = takeStep(ledgers, given.name, to, { actor: 'cli:test', clock: { now: () => now } });
    if (fault === undefined) {
      expect(await step).toMatchObject({ before: { state: given.state }, after: { state: to } });
      expect(events).toEqual([{ action: 'ca.state-changed', actor: 'cli:test', at: now, subject: `ca:${given.name}`, data: { from: given.state, to } }]);
    } else {
      await expect(step).rejects.toMatchObject({ code: 'ca.state-refused', message: expect.stringMatching(fault) });
      expect(events).toEqual([]);
    }
  });

  it('that it has taken already changes nothing', async () => {
    const { ledgers, events } = ledgersOf({ ...ca, state: 'active' }, undefined, undefined);
    expect(await takeStep(ledgers, ca.name, 'active', { actor: 'cli:test', clock: { now: () => now } })).toMatchObject({ after: { state: 'active' } });
    expect(events).toEqual([]);
  });
});

function ledgersOf(given: CertificationAuthority, latest: PublishedCrl | undefined, dependant: Date | undefined) {
  const events: AuditEvent[] = [];
  const ledgers = {
    authorities: {
      all: async () => [given], byName: async () => given, lastDependant: async () => dependant,
      change: async (_id: number, _from: CaState, state: CaState, event: AuditEvent) => {
        events.push(event);
        return { ...given, state };
      },
    },
    crls: { latest: async () => latest },
  };
  return { ledgers, events };
}
