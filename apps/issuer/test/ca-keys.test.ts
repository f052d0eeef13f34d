import { generateKeyPairSync } from 'node:crypto';
import type { CaState, CertificationAuthority } from '@fleetroot/authority';
import { caName, PkiError, toHex } from '@fleetroot/core';
import type { Signer, SignerOptions } from '@fleetroot/hsm';
import { assembleCertificate, CertificateTemplate, encodeName } from '@fleetroot/x509';
import { describe, expect, it, vi } from 'vitest';
import { CaKeys } from '../src/ca-keys.ts';
import { Heartbeat } from '../src/heartbeat.ts';

function authority(id: number, state: CaState = 'active'): CertificationAuthority {
  const spkiDer = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'der', type: 'spki' });
  const notBefore = new Date('2026-01-01');
  const notAfter = new Date('2036-01-01');
  const tbs = CertificateTemplate.compileAuthority({
    signatureAlgorithm: 'ecdsa-sha256', issuerDer: encodeName([]), subject: [], extensions: [],
  }).build({ serial: Uint8Array.of(1), notBefore, notAfter, subject: {}, spkiDer });
  return {
    id, name: caName(`ca-${id}`), parentId: undefined, state, certificate: assembleCertificate(tbs, 'ecdsa-sha256', new Uint8Array(8)),
    keyId: Uint8Array.of(id), notBefore, notAfter,
  };
}

/** A token whose signatures are made of the message, and which says how often it was opened and closed. */
class FakeToken {
  opened: string[][] = [];
  closed: number[] = [];
  failOpen: unknown;
  failSign: unknown;
  gate: Promise<void> | undefined;

  open = async (keys: SignerOptions['keys']): Promise<Signer> => {
    const n = this.opened.push(keys.map(({ keyId }) => toHex(keyId)));
    if (this.failOpen !== undefined) throw this.failOpen;
    return {
      sessionCopies: false,
      sign: async (_keyId, _algorithm, messages) => {
        await this.gate;
        if (this.failSign !== undefined) throw this.failSign;
        return messages.map((message) => Uint8Array.of(n, ...message));
      },
      close: async () => { this.closed.push(n); },
    };
  };
}

const message = [Uint8Array.of(0x30)];

describe('the keys of the CAs', () => {
  it('are opened once, those of every CA that signs', async () => {
    const token = new FakeToken();
    const list = [authority(1), authority(2, 'retiring'), authority(3, 'retired'), authority(4, 'compromised'), authority(5, 'prepared')];
    const keys = new CaKeys({ authorities: { all: async () => list }, open: token.open });
    await keys.open();
    await Promise.all(list.slice(0, 2).map((ca) => keys.sign(ca, message)));
    expect(token.opened).toEqual([['01', '02']]);
    for (const ca of list.slice(2)) await expect(keys.ready(ca)).rejects.toMatchObject({ code: 'ca.not-active' });
    expect(token.opened).toHaveLength(1);
  });

  it('open nothing while the ledger has no CA, and find the first one when it comes', async () => {
    const token = new FakeToken();
    const list: CertificationAuthority[] = [];
    const keys = new CaKeys({ authorities: { all: async () => list }, open: token.open });
    await keys.open();
    expect([token.opened, keys.working]).toEqual([[], false]);
    list.push(authority(1));
    await keys.open();
    expect([token.opened, keys.working]).toEqual([[['01']], true]);
  });

  it('take up a CA that came later, and let what is being signed end first', async () => {
    const token = new FakeToken();
    const list = [authority(1)];
    const keys = new CaKeys({ authorities: { all: async () => list }, open: token.open });
    await keys.open();
    let release = (): void => undefined;
    token.gate = new Promise((resolve) => { release = resolve; });
    const [first] = list as [CertificationAuthority];
    const slow = keys.sign(first, message);
    await new Promise(setImmediate);
    const second = authority(2);
    list.push(second);
    await keys.ready(second);
    expect([token.opened, token.closed]).toEqual([[['01'], ['01', '02']], []]);
    release();
    expect((await slow)[0]).toEqual(Uint8Array.of(1, 0x30));
    expect(token.closed).toEqual([1]);
    expect((await keys.sign(second, message))[0]).toEqual(Uint8Array.of(2, 0x30));
  });

  it('that failed are reached anew before the next intent, by all who wait together', async () => {
    const token = new FakeToken();
    const ca = authority(1);
    const keys = new CaKeys({ authorities: { all: async () => [ca] }, open: token.open });
    await keys.open();
    token.failSign = new PkiError('hsm.deadline');
    await expect(keys.sign(ca, message)).rejects.toBe(token.failSign);
    expect(keys.working).toBe(false);
    token.failSign = undefined;
    await Promise.all([keys.ready(ca), keys.ready(ca), keys.open()]);
    expect([token.opened.length, token.closed, keys.working]).toEqual([2, [1], true]);
  });

  it('are not asked for again at once where the token is away', async () => {
    const token = new FakeToken();
    token.failOpen = new PkiError('hsm.unavailable');
    const ca = authority(1);
    const keys = new CaKeys({ authorities: { all: async () => [ca] }, open: token.open });
    for (let i = 0; i < 5; i++) await expect(keys.ready(ca)).rejects.toBe(token.failOpen);
    expect(token.opened).toHaveLength(1);
  });

  it('are never asked for again after a refused PIN', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const token = new FakeToken();
    token.failOpen = new PkiError('hsm.pin-incorrect');
    const ca = authority(1);
    const keys = new CaKeys({ authorities: { all: async () => [ca] }, open: token.open });
    for (let i = 0; i < 5; i++) {
      await expect(keys.open()).rejects.toMatchObject({ code: 'hsm.pin-incorrect' });
      vi.advanceTimersByTime(3_600_000);
    }
    expect(token.opened).toHaveLength(1);
    vi.useRealTimers();
  });

  it('whose token was there and is gone are waited for; one that never was there is a fault of the set-up (I23)', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const token = new FakeToken();
    const ca = authority(1);
    const keys = new CaKeys({ authorities: { all: async () => [ca] }, open: token.open });
    await keys.open();
    token.failSign = new PkiError('hsm.token-not-found');
    token.failOpen = new PkiError('hsm.token-not-found');
    await expect(keys.sign(ca, message)).rejects.toMatchObject({ code: 'hsm.unavailable' });
    await expect(keys.ready(ca)).rejects.toMatchObject({ code: 'hsm.unavailable' });
    token.failSign = token.failOpen = undefined;
    vi.advanceTimersByTime(1000);
    await keys.ready(ca);
    expect(keys.working).toBe(true);
    vi.useRealTimers();

    token.failOpen = new PkiError('hsm.token-not-found');
    await expect(new CaKeys({ authorities: { all: async () => [ca] }, open: token.open }).open()).rejects.toBe(token.failOpen);
  });

  it('are closed with the issuer, and stay so', async () => {
    const token = new FakeToken();
    const ca = authority(1);
    const keys = new CaKeys({ authorities: { all: async () => [ca] }, open: token.open });
    await keys.open();
    await keys.close();
    expect(token.closed).toEqual([1]);
    await expect(keys.ready(ca)).rejects.toMatchObject({ code: 'hsm.unavailable' });
  });
});

describe('the heartbeat', () => {
  it('beats only while the HSM works, and tries to bring it back', async () => {
    const beats: string[] = [];
    const keys = { working: false, open: async () => { beats.push('open'); } };
    const heartbeat = new Heartbeat({ keys, beat: async () => { beats.push('beat'); }, onError: (error) => { beats.push(String(error)); }, everyMs: 5 });
    heartbeat.start();
    await heartbeat.stop();
    expect(beats).toEqual(['open']);
    keys.working = true;
    heartbeat.start();
    await heartbeat.stop();
    expect(beats).toEqual(['open', 'open', 'beat']);
    keys.open = async () => { throw new PkiError('hsm.unavailable'); };
    heartbeat.start();
    await heartbeat.stop();
    expect(beats.at(-1)).toContain('HSM is not available');
  });
});
