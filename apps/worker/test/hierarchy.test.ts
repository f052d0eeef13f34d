import { beforeEach, describe, expect, it, test } from 'vitest';
import type { AuditEvent } from '@fleetroot/audit';
import type { CaState, CertificationAuthority, PublishedCrl } from '@fleetroot/authority';
import { caName, PkiError } from '@fleetroot/core';
import { createLogger } from '@fleetroot/telemetry';
import { truststorePem, type TruststoreVersion } from '@fleetroot/trust';
import { certify, named } from '../../../test/support/software-ca.ts';
import { crlAge, crlWatchTask } from '../src/tasks/crl-watch.ts';
import { isDone, retireTask } from '../src/tasks/retire.ts';
import { isSwitchDue, switchOverTask } from '../src/tasks/switch-over.ts';
import { truststoresTask } from '../src/tasks/truststores.ts';

const at = (seconds: number): Date => new Date(Date.UTC(2026, 10, 22) + seconds * 1000);
const lines: { level: string; ca?: string; msg: string }[] = [];
const logger = createLogger({ role: 'worker', level: 'debug', destination: { write: (line: string) => void lines.push(JSON.parse(line)) } });
const never = new AbortController().signal;
beforeEach(() => { lines.length = 0; });

const rootKey = certify({ subject: named('Root') });
const certificates = Array.from({ length: 5 }, (_, id) => certify({ subject: named(`CA ${id}`), issuer: rootKey }).certificate);
const ca = (id: number, more: Partial<CertificationAuthority> = {}): CertificationAuthority => ({
  id, name: caName(`ca-${id}`), state: 'active', parentId: undefined, certificate: certificates[id] ?? rootKey.certificate, keyId: Uint8Array.of(id),
  signatureAlgorithm: undefined, labels: {}, successorId: undefined, switchAt: undefined, revocation: undefined, notBefore: at(-1000), notAfter: at(100_000), ...more,
});
const crl = (from: number, until: number, caId = 1): PublishedCrl => ({
  caId, scope: 'all', kind: 'full', baseNumber: undefined, entries: 0, sha256: new Uint8Array(32), number: 1n, thisUpdate: at(from), nextUpdate: at(until), der: new Uint8Array(1),
});
const revocation = { revokedAt: at(-5), reason: 2 };

describe('the switch to the next generation', () => {
  test.each<[string, Partial<CertificationAuthority>, boolean]>([
    ['at its time', { successorId: 2, switchAt: at(0) }, true],
    ['after it', { successorId: 2, switchAt: at(-100) }, true],
    ['a moment before', { successorId: 2, switchAt: new Date(at(0).getTime() + 1) }, false],
    ['without a time', { successorId: 2 }, false],
    ['without a successor', { switchAt: at(-1) }, false],
    ['of one that is followed already', { successorId: 2, switchAt: at(-1), state: 'retiring' }, false],
    ['of one that is revoked', { successorId: 2, switchAt: at(-1), state: 'compromised' }, false],
  ])('is due %s: %s', (_, more, due) => expect(isSwitchDue(ca(1, more), at(0))).toBe(due));

  const due = { successorId: 2, switchAt: at(-1) };
  async function round(successor: Partial<CertificationAuthority>, published: PublishedCrl | undefined, more: CertificationAuthority[] = []) {
    const switched: [number, AuditEvent][] = [];
    const run = switchOverTask({
      authorities: {
        all: async () => [ca(1, due), ca(2, { state: 'prepared', ...successor }), ...more],
        switchOver: async (caId, now, event) => {
          expect(now).toEqual(at(0));
          if (caId === 4) throw new PkiError('store.unavailable');
          switched.push([caId, event]);
          return true;
        },
      },
      crls: { latest: async () => published }, clock: { now: () => at(0) }, logger, everyMs: 1,
    }).run(never);
    return { switched, error: await run.then(() => undefined, (error: unknown) => error) };
  }
  it('is made by the ledger, with an event that says by whom it is followed', async () => {
    const { switched: [one, ...others] } = await round({}, crl(-10, 10));
    expect(others).toEqual([]);
    expect(one).toEqual([1, { action: 'ca.switched', actor: 'system:worker', at: at(0), subject: 'ca:ca-1', data: { successor: 'ca-2', switchAt: at(-1).toISOString() } }]);
  });
  test.each<[string, Partial<CertificationAuthority>, PublishedCrl | undefined, string]>([
    ['it has no CRL yet', {}, undefined, 'warn'],
    ['its CRL has expired', {}, crl(-10, 0), 'warn'],
    ['it is revoked', { state: 'compromised', revocation }, crl(-10, 10), 'error'],
    ['it was retired', { state: 'retired' }, crl(-10, 10), 'error'],
    ['the CA above it is revoked', { parentId: 3 }, crl(-10, 10), 'error'],
  ])('is not made while %s', async (_, successor, published, level) => {
    expect((await round(successor, published, [ca(3, { state: 'compromised', revocation })])).switched).toEqual([]);
    expect(lines).toMatchObject([{ level, ca: 'ca-1', successor: 'ca-2' }]);
  });
  it('of one CA that fails keeps no other', async () => {
    const { switched, error } = await round({}, crl(-10, 10), [ca(4, due)].toReversed());
    expect(switched.map(([id]) => id)).toEqual([1]);
    expect(error).toMatchObject({ code: 'store.unavailable' });
  });
});

describe('a retiring CA', () => {
  const hour = 3600;
  test.each<[string, Date | undefined, Partial<CertificationAuthority>, PublishedCrl | undefined, boolean]>([
    ['whose certificates live', at(1), {}, crl(-10, hour), false],
    ['whose last one ended, before a CRL that is younger', at(-2 * hour), {}, crl(-3 * hour, -hour), false],
    ['whose last one ended, with a CRL of that moment', at(-2 * hour), {}, crl(-2 * hour, -hour), false],
    ['whose last one ended less than a CRL\'s life ago', at(-hour), {}, crl(-10, hour - 10), false],
    ['whose last one ended longer ago', at(-hour - 1), {}, crl(-10, hour - 10), true],
    ['without a CRL', at(-9 * hour), {}, undefined, false],
    ['that has signed nothing and was followed just now', undefined, { switchAt: at(-1) }, crl(0, hour), false],
    ['that has signed nothing and was followed long ago', undefined, { switchAt: at(-2 * hour) }, crl(-10, hour), true],
    ['that has signed nothing and is followed by none', undefined, {}, undefined, true],
  ])('%s is done: %s', (_, last, more, published, done) => expect(isDone(last, ca(1, more), published, at(0))).toBe(done));

  const task = (state: CaState, change: (event: AuditEvent) => Promise<void>, last: Date | undefined = at(-9000)) => retireTask({
    authorities: {
      all: async () => [ca(1, { state })], lastDependant: async () => last,
      change: async (id, from, to, event) => {
        expect([id, from, to]).toEqual([1, 'retiring', 'retired']);
        await change(event);
        return ca(1, { state: 'retired' });
      },
    },
    crls: { latest: async () => crl(-10, 100) }, clock: { now: () => at(0) }, logger, everyMs: 1,
  });
  test.each<[CaState, number]>([['retiring', 1], ['active', 0], ['prepared', 0], ['retired', 0], ['compromised', 0]])('of state %s is retired %i times', async (state, times) => {
    const events: AuditEvent[] = [];
    await task(state, async (event) => void events.push(event)).run(never);
    expect(events).toEqual(Array.from({ length: times }, () =>
      ({ action: 'ca.retired', actor: 'system:worker', at: at(0), subject: 'ca:ca-1', data: { lastDependant: at(-9000).toISOString() } })));
  });
  it('that somebody else has changed meanwhile is no fault; a ledger that is away is', async () => {
    await task('retiring', () => Promise.reject(new PkiError('ca.state-refused'))).run(never);
    expect(lines).toEqual([]);
    await expect(task('retiring', () => Promise.reject(new PkiError('store.unavailable'))).run(never)).rejects.toMatchObject({ code: 'store.unavailable' });
  });
});

describe('truststores', () => {
  interface Published { caIds: readonly number[]; description: string | undefined; basedOn: number | undefined; event: AuditEvent }
  async function round(cas: readonly CertificationAuthority[], caIds: readonly number[], pem = truststorePem(cas.filter(({ id }) => caIds.includes(id)))) {
    const published: Published[] = [];
    const current: TruststoreVersion = { truststore: 'ecu', version: 7, caIds, sha256: new Uint8Array(32), pem, createdAt: at(-100) };
    await truststoresTask({
      authorities: { all: async () => cas },
      truststores: {
        names: async () => ['ecu'], current: async () => current,
        publish: async (truststore, description, ids, text, event, basedOn) => {
          published.push({ caIds: ids, description, basedOn, event: event(8) });
          return { ...current, truststore, version: 8, caIds: ids, pem: text };
        },
      },
      clock: { now: () => at(0) }, logger, everyMs: 1,
    }).run(never);
    return published;
  }
  it('that hold what they are to hold get no new version', async () => expect(await round([ca(1), ca(2)], [1, 2])).toEqual([]));
  test.each<[string, CertificationAuthority[], number[], number[], string[], string[]]>([
    ['lose a revoked CA and what is below it', [ca(1), ca(2, { parentId: 1, state: 'compromised', revocation }), ca(3, { parentId: 2 })], [1, 2, 3], [1], [], ['ca-2', 'ca-3']],
    ['lose one that is retired', [ca(1), ca(2, { state: 'retired' })], [1, 2], [1], [], ['ca-2']],
    ['take in the next generation', [ca(1, { successorId: 2 }), ca(2, { state: 'prepared' }), ca(3)], [1, 3], [1, 2, 3], ['ca-2'], []],
  ])('%s', async (_, cas, members, expected, added, removed) => {
    const [one, ...others] = await round(cas, members);
    expect(others).toEqual([]);
    expect(one).toMatchObject({ caIds: expected, description: undefined, basedOn: 7, event: { action: 'truststore.published', subject: 'truststore:ecu', data: { version: 8, added, removed } } });
  });
  it('take the newest certificate of a CA', async () => {
    expect(await round([ca(1)], [1], truststorePem([ca(2)]))).toMatchObject([{ caIds: [1], event: { data: { added: [], removed: [] } } }]);
  });
  it('that nothing is left in are told of as an error', async () => {
    expect(await round([ca(1, { state: 'compromised', revocation })], [1])).toMatchObject([{ caIds: [] }]);
    expect(lines).toMatchObject([{ level: 'error', truststore: 'ecu' }]);
  });
});

describe('the watch over CRLs', () => {
  test.each<[string, PublishedCrl | undefined, string]>([
    ['none', undefined, 'missing'], ['new', crl(0, 100), 'fresh'], ['a moment before half', crl(-49, 51), 'fresh'], ['half', crl(-50, 50), 'half'],
    ['almost three quarters', crl(-74, 26), 'half'], ['three quarters', crl(-75, 25), 'three quarters'], ['at its end', crl(-100, 0), 'expired'],
  ])('finds one that is %s', (_, published, age) => expect(crlAge(published, at(0))).toBe(age));

  const watch = (one: Partial<CertificationAuthority>, published: () => PublishedCrl | undefined, now = { seconds: 0 }) => crlWatchTask({
    authorities: { all: async () => [ca(1, one)] }, crls: { heads: async () => [published() ?? []].flat() }, clock: { now: () => at(now.seconds) }, logger, everyMs: 1,
  });
  const offline = { keyId: undefined };
  test.each<[string, Partial<CertificationAuthority>, PublishedCrl | undefined, string[]]>([
    ['a fresh one', offline, crl(0, 100), []],
    ['one that was imported and is at half of its life', offline, crl(-50, 50), ['warn']],
    ['at three quarters', offline, crl(-75, 25), ['error']],
    ['expired', offline, crl(-101, -1), ['error']],
    ['none of an offline CA', offline, undefined, ['error']],
    ['one of ours at half, which is asked for', {}, crl(-50, 50), []],
    ['one of ours that does not come yet', {}, undefined, []],
    ['one of ours at three quarters: it was asked for in vain', {}, crl(-75, 25), ['error']],
    ['that of a CA that is revoked', { ...offline, state: 'compromised', revocation }, crl(-101, -1), []],
    ['that of a CA that is retired', { ...offline, state: 'retired' }, crl(-101, -1), []],
  ])('says of %s: %#', async (_, one, published, levels) => {
    await watch(one, () => published).run(never);
    expect(lines.map(({ level }) => level)).toEqual(levels);
  });
  it('says it once an hour, and at once when it grows worse', async () => {
    const now = { seconds: 0 };
    const task = watch(offline, () => crl(-5000, 5000), now);
    const said: [number, string][] = [];
    for (const seconds of [0, 10, 2400, 2500, 2510, 6000, 6200]) {
      now.seconds = seconds;
      lines.length = 0;
      await task.run(never);
      for (const { level } of lines) said.push([seconds, level]);
    }
    expect(said).toEqual([[0, 'warn'], [2500, 'error'], [6000, 'error']]);
  });
});
