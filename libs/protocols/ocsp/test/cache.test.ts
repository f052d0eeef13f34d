import { describe, expect, it, test } from 'vitest';
import { caName, PkiError, toHex } from '@fleetroot/core';
import type { CertificateStatus, CertificationAuthority } from '@fleetroot/authority';
import { extension } from '@fleetroot/x509';
import { ocspRequest } from '../../../../test/support/ocsp-request.ts';
import { ocspSigner } from '../../../../test/support/ocsp-responder.ts';
import { certify, named, type SoftwareCa } from '../../../../test/support/software-ca.ts';
import { Budget } from '../src/budget.ts';
import { type AskedSerial, type OcspDeps, OcspResponder, type OcspSigner, type StoredAnswer } from '../src/index.ts';

const issuing = certify({ subject: named('Issuing') });
const signerOf = (notAfter: Date): SoftwareCa => certify({
  subject: named('OCSP'), issuer: issuing, notAfter, extensions: [extension.extendedKeyUsage(['OCSPSigning']), extension.ocspNoCheck()],
});
const signer = signerOf(new Date('2026-12-01T00:00:00Z'));
const ca: CertificationAuthority = {
  id: 7, name: caName('issuing'), parentId: undefined, state: 'active', certificate: issuing.certificate, keyId: issuing.keyId,
  signatureAlgorithm: undefined, labels: {}, successorId: undefined, switchAt: undefined, revocation: undefined, notBefore: new Date(0), notAfter: new Date(0),
};
const good: CertificateStatus = { status: 'good' };
const revoked: CertificateStatus = { status: 'revoked', revokedAt: new Date('2026-11-20T00:00:00Z'), reason: 1 };
const HOUR = 3_600_000;

/** A responder, and what it depends on, as a test would have them. */
function world(changes: Partial<OcspDeps> = {}) {
  const at = {
    now: Date.parse('2026-11-23T12:00:00Z'), status: good, signatures: 0, calls: 0, statements: 0, asked: 0, away: false,
    table: [] as (StoredAnswer & AskedSerial)[], all: [ca] as readonly CertificationAuthority[], onLookUp: () => {}, onSign: () => {}, errors: [] as unknown[],
  };
  const spy: OcspSigner = {
    certificate: signer.certificate,
    sign: async (messages) => {
      at.calls++;
      at.signatures += messages.length;
      at.onSign();
      return messages.map(signer.sign);
    },
  };
  const deps: OcspDeps = {
    ledger: {
      authorities: () => at.all,
      lookUp: async (asked) => {
        at.statements++;
        at.asked += asked.length;
        if (at.away) throw new PkiError('store.unavailable');
        const found = asked.map(({ serial }) => ({ status: serial[0] === 9 ? { status: 'unknown' } as const : at.status, stored: at.table.filter((one) => toHex(one.serial) === toHex(serial)) }));
        at.onLookUp();
        return found;
      },
      store: async (answers) => void at.table.push(...answers),
    },
    signerFor: () => spy, clock: { now: () => new Date(at.now) }, lifetimeMs: HOUR, memoryOctets: 100_000, unknownPerSecond: 5, onError: (error) => at.errors.push(error), ...changes,
  };
  const responder = new OcspResponder(deps);
  const ask = async (serial: number | Uint8Array, nonce?: Uint8Array): Promise<string> =>
    toHex((await responder.answer(ocspRequest([{ issuer: issuing.certificate, serial: typeof serial === 'number' ? Uint8Array.of(serial) : serial }], nonce))).der);
  return { at, deps, responder, ask };
}
const LATER = '30030a0103';
const said = (hex: string): string => hex === LATER ? 'tryLater' : hex.includes('8000180f') ? 'good' : hex.includes('8200180f') ? 'unknown' : 'revoked';

describe('an answer without a nonce', () => {
  it('is looked up and signed once, whoever asks at once', async () => {
    const { at, ask } = world();
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask(1)));
    expect(new Set(answers).size).toBe(1);
    await ask(1);
    expect(at).toMatchObject({ signatures: 1, asked: 1, statements: 1 });
  });
  it('comes at once where it is in memory', async () => {
    const { responder, ask } = world();
    await ask(1);
    const reply = responder.answer(ocspRequest([{ issuer: issuing.certificate, serial: Uint8Array.of(1) }]));
    expect(reply).not.toBeInstanceOf(Promise);
    expect(reply).toMatchObject({ source: 'memory' });
    expect(responder.recall((reply as { name: string }).name)).toEqual(reply);
  });
  it('comes from the table after a restart, without a signature', async () => {
    const first = world();
    const before = await first.ask(1);
    const second = world();
    second.at.table = first.at.table;
    expect(await second.ask(1)).toBe(before);
    expect(second.at.signatures).toBe(0);
  });
  test.each<[string, (at: ReturnType<typeof world>['at']) => void]>([
    ['that says another status', (at) => { at.status = revoked; }],
    ['that has ended', (at) => { at.now += HOUR; }],
    ['of a CA that is revoked by now', (at) => { at.all = [{ ...ca, state: 'compromised', revocation: { revokedAt: new Date(0), reason: 2 } }]; }],
  ])('is signed anew where the table has one %s', async (_, change) => {
    const first = world();
    await first.ask(1);
    const second = world();
    second.at.table = first.at.table;
    change(second.at);
    await second.ask(1);
    expect(second.at.signatures).toBe(1);
  });
  it('is made anew at half its life, behind the back of who asks', async () => {
    const { at, ask } = world();
    const before = await ask(1);
    at.now += HOUR / 2 - 1000;
    expect(await ask(1)).toBe(before);
    expect(at.signatures).toBe(1);
    at.now += 1000;
    expect(await ask(1)).toBe(before);
    await expect.poll(() => at.signatures).toBe(2);
    await expect.poll(() => ask(1)).not.toBe(before);
    expect(at.signatures).toBe(2);
  });
  it('is given out while the ledger is away, until it ends', async () => {
    const { at, ask } = world();
    const before = await ask(1);
    at.away = true;
    at.now += HOUR - 1000;
    expect(await ask(1)).toBe(before);
    expect(said(await ask(2))).toBe('tryLater');
    at.now += 1000;
    expect(said(await ask(1))).toBe('tryLater');
  });
  it('is kept within so many octets: what was not asked for longest leaves', async () => {
    const { at, responder, ask } = world({ memoryOctets: 30_000 });
    await ask(1);
    for (let i = 0; i < 200; i++) {
      await ask(Uint8Array.of(2, i, 1));
      await ask(1);
    }
    expect(responder.remembered.octets).toBeLessThanOrEqual(30_000);
    expect(responder.remembered.entries).toBeGreaterThan(5);
    expect(at.signatures).toBe(201);
  });
});

describe('a change that is told', () => {
  test.each<[string, string | undefined]>([['of the serial', '01'], ['of the CA', undefined]])('%s is seen in the next answer', async (_, serial) => {
    const { at, responder, ask } = world();
    expect(said(await ask(1))).toBe('good');
    at.status = revoked;
    responder.told(7, serial);
    expect([said(await ask(1)), said(await ask(1, new Uint8Array(8)))]).toEqual(['revoked', 'revoked']);
  });
  it('of nothing costs a look, and no signature', async () => {
    const { at, responder, ask } = world();
    const before = await ask(1);
    responder.told(7);
    expect(await ask(1)).toBe(before);
    expect(at).toMatchObject({ signatures: 1, statements: 2 });
  });
  // The status was read, the revocation is told of, and only then is there an answer to be kept.
  test.each<[string, 'onLookUp' | 'onSign']>([['the look-up', 'onLookUp'], ['the signature', 'onSign']])('during %s leaves no answer of before in memory', async (_, when) => {
    const { at, responder, ask } = world();
    at[when] = () => {
      at[when] = () => {};
      at.status = revoked;
      responder.told(7, '01');
    };
    expect(said(await ask(1))).toBe('revoked');
    expect(said(await ask(1))).toBe('revoked');
  });
  it('without end is answered, and nothing is kept', async () => {
    const { at, responder, ask } = world();
    at.onSign = () => responder.told(7, '01');
    at.onLookUp = () => responder.told(7, '01');
    expect(said(await ask(1))).toBe('good');
    expect(responder.remembered.entries).toBe(0);
  });
  it('during an answer to a nonce leaves no status of before in memory', async () => {
    const { at, responder, ask } = world();
    at.onLookUp = () => {
      at.onLookUp = () => {};
      at.status = revoked;
      responder.told(7, '01');
    };
    await ask(1, new Uint8Array(8));
    expect(said(await ask(1, new Uint8Array(8)))).toBe('revoked');
  });
});

describe('an answer to a nonce', () => {
  it('is signed each time, and looked up once; many a call', async () => {
    const { at, ask } = world();
    await ask(1);
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => ask(1, new Uint8Array(8).fill(i))));
    expect(new Set(answers).size).toBe(100);
    expect(at).toMatchObject({ signatures: 101, asked: 1 });
    expect(at.calls).toBeLessThan(10);
  });
  it('says when its status was known to be so', async () => {
    const known = Date.parse('2026-11-23T12:20:00Z');
    const { at, ask } = world({ knownUntil: () => known });
    await ask(1);
    at.now += HOUR / 2;
    at.away = true;
    expect(await ask(1, new Uint8Array(8))).toContain(Buffer.from('20261123122000Z').toString('hex'));
    at.now = known + HOUR;
    expect(said(await ask(1, new Uint8Array(8)))).toBe('tryLater');
  });
});

describe('serials that are not on record', () => {
  const flood = (n: number) => Array.from({ length: n }, (_, i) => Uint8Array.of(9, i >> 8, i & 255, 1));
  it('are signed for within the budget, looked up in few statements, and kept nowhere for long', async () => {
    const { at, responder, ask } = world();
    const answers = (await Promise.all(flood(2000).map((serial) => ask(serial)))).map(said);
    expect(answers.filter((one) => one === 'unknown').length).toBeLessThan(20);
    expect(answers.filter((one) => one === 'tryLater').length).toBeGreaterThan(1900);
    expect(at.signatures).toBeLessThan(20);
    expect(at.statements).toBeLessThan(20);
    expect(responder.remembered.entries).toBe(0);
    expect(at.table).toEqual([]);
    expect(at.errors).toEqual([]);
  });
  it('are looked up each time: one that is issued is good at once (I17)', async () => {
    const { at, deps, ask } = world();
    const lookUp = deps.ledger.lookUp;
    let issued = false;
    (deps.ledger as { lookUp: typeof lookUp }).lookUp = async (asked) => issued ? asked.map(() => ({ status: good, stored: [] })) : lookUp(asked);
    const serial = Uint8Array.of(9, 1);
    expect([await ask(serial), await ask(serial)].map(said)).toEqual(['unknown', 'unknown']);
    expect(at).toMatchObject({ signatures: 1, asked: 2 });
    issued = true;
    expect(said(await ask(serial))).toBe('good');
  });
});

describe('the clock', () => {
  it('that goes back a little is not followed, and further back nothing is signed', async () => {
    const { at, ask } = world();
    await ask(1, new Uint8Array(8));
    at.now -= 4000;
    expect(await ask(1, new Uint8Array(8))).toContain(`180f${Buffer.from('20261123120000Z').toString('hex')}3`);
    at.now -= 2000;
    expect(said(await ask(1, new Uint8Array(8)))).toBe('tryLater');
    expect(at.errors).toMatchObject([{ code: 'clock.skew' }]);
  });
  it('that is not to be believed is not signed by', async () => {
    const { ask, at } = world({ checkClock: () => { throw new PkiError('clock.skew'); } });
    expect(said(await ask(1))).toBe('tryLater');
    expect(at.signatures).toBe(0);
  });
  it('past the signer\'s certificate gives no answer', async () => {
    const { at, ask } = world({ signerFor: () => ocspSigner(signer) });
    at.now = Date.parse('2026-12-01T00:00:01Z');
    expect(said(await ask(1))).toBe('tryLater');
  });
});

test('answers to come are made by each hash, and not again while they have half their life left', async () => {
  const { at, responder, ask } = world();
  await responder.prepare(7, [Uint8Array.of(1), Uint8Array.of(2)], true);
  expect(at.signatures).toBe(4);
  expect(at.table).toHaveLength(4);
  await responder.prepare(7, [Uint8Array.of(1), Uint8Array.of(2)], false);
  await ask(1);
  expect(at.signatures).toBe(4);
  at.now += HOUR / 2 + 1000;
  await responder.prepare(7, [Uint8Array.of(1)], false);
  expect(at.signatures).toBe(6);
});

it('spends what a second gives, and no more', () => {
  let now = 0;
  const budget = new Budget(3, () => now);
  const take = () => [budget.take(), budget.take(), budget.take(), budget.take()].filter(Boolean).length;
  expect(take()).toBe(3);
  now += 500;
  expect(take()).toBe(1);
  now += 60_000;
  expect(take()).toBe(3);
});
