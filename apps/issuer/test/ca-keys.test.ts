import { generateKeyPairSync } from 'node:crypto';
import type { CaState, CertificationAuthority, SigningPurpose } from '@fleetroot/authority';
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
    signatureAlgorithm: undefined, labels: {}, successorId: undefined, switchAt: undefined, revocation: undefined,
  };
}

type Opening = Pick<SignerOptions, 'keys' | 'onUnusableKey' | 'onState'>;

/** A token whose signatures are made of the message, and which says how often it was opened and closed. */
class FakeToken {
  opened: string[][] = [];
  closed: number[] = [];
  algorithms: (readonly string[] | undefined)[] = [];
  readies = 0;
  failOpen: unknown;
  failReady: unknown;
  failSign: unknown;
  gate: Promise<void> | undefined;
  /** Keys at fault, by CKA_ID in hex. */
  readonly faults = new Map<string, PkiError>();
  /** Those that the last opening has found. */
  found = new Map<string, PkiError>();
  last: Opening | undefined;

  open = async (of: Opening): Promise<Signer> => {
    const n = this.opened.push(of.keys.map(({ keyId }) => toHex(keyId)));
    this.algorithms = of.keys.map(({ algorithms }) => algorithms);
    this.last = of;
    if (this.failOpen !== undefined) throw this.failOpen;
    const found = this.found = new Map(this.faults);
    for (const { keyId } of of.keys) this.#tell(of, keyId);
    return {
      sessionCopies: false,
      usable: (keyId) => found.get(toHex(keyId)),
      ready: async () => {
        this.readies++;
        if (this.failReady !== undefined) throw this.failReady;
      },
      sign: async (keyId, _algorithm, messages) => {
        await this.gate;
        const fault = found.get(toHex(keyId)) ?? this.failSign;
        if (fault !== undefined) throw fault;
        return messages.map((message) => Uint8Array.of(n, ...message));
      },
      close: async () => { this.closed.push(n); },
    };
  };

  #tell(of: Opening, keyId: Uint8Array): void {
    const fault = this.faults.get(toHex(keyId));
    if (fault !== undefined) of.onUnusableKey?.(keyId, fault);
  }
}

const shares: Readonly<Record<SigningPurpose, number>> = { line: 60, renewal: 15, ocsp: 10, crl: 10, administration: 5 };
const told: string[] = [];
function caKeys(token: FakeToken, list: readonly CertificationAuthority[]): CaKeys {
  told.length = 0;
  return new CaKeys({
    authorities: { all: async () => list }, open: token.open, load: { shares, inFlight: 2 }, onUnusableKey: (error) => { told.push(error.message); },
  });
}

const message = [Uint8Array.of(0x30)];

describe('the keys of the CAs', () => {
  it('are opened once, those of every CA that signs', async () => {
    const token = new FakeToken();
    const offline = { ...authority(6), keyId: undefined };
    const list = [authority(1), authority(2, 'retiring'), authority(5, 'prepared'), authority(3, 'retired'), authority(4, 'compromised'), offline];
    const keys = caKeys(token, list);
    await keys.open();
    await Promise.all(list.slice(0, 3).map((ca) => keys.sign(ca, message, 'line')));
    expect(token.opened).toEqual([['01', '02', '05']]);
    for (const ca of list.slice(3)) await expect(keys.ready(ca)).rejects.toMatchObject({ code: 'ca.not-active' });
    expect(token.opened).toHaveLength(1);
  });

  it('open nothing while the ledger has no CA, and find the first one when it comes', async () => {
    const token = new FakeToken();
    const list: CertificationAuthority[] = [];
    const keys = caKeys(token, list);
    await keys.open();
    expect([token.opened, keys.working]).toEqual([[], false]);
    list.push(authority(1));
    await keys.open();
    expect([token.opened, keys.working]).toEqual([[['01']], true]);
  });

  it('take up a CA that came later, and let what is being signed end first', async () => {
    const token = new FakeToken();
    const list = [authority(1)];
    const keys = caKeys(token, list);
    await keys.open();
    let release = (): void => undefined;
    token.gate = new Promise((resolve) => { release = resolve; });
    const [first] = list as [CertificationAuthority];
    const slow = keys.sign(first, message, 'line');
    await new Promise(setImmediate);
    const second = authority(2);
    list.push(second);
    await keys.ready(second);
    expect([token.opened, token.closed]).toEqual([[['01'], ['01', '02']], []]);
    release();
    expect((await slow)[0]).toEqual(Uint8Array.of(1, 0x30));
    expect(token.closed).toEqual([1]);
    expect((await keys.sign(second, message, 'line'))[0]).toEqual(Uint8Array.of(2, 0x30));
  });

  it('are waited for before the next intent where the HSM is away; the signer heals, and nothing is opened anew', async () => {
    const token = new FakeToken();
    const ca = authority(1);
    const keys = caKeys(token, [ca]);
    await keys.open();
    token.failSign = new PkiError('hsm.deadline', 'no answer', { data: { attempted: 1 } });
    await expect(keys.sign(ca, message, 'line')).rejects.toMatchObject({ code: 'hsm.deadline', data: { attempted: 1 } });
    token.last?.onState?.('away', new PkiError('hsm.unavailable'));
    expect(keys.working).toBe(false);
    token.failReady = new PkiError('hsm.unavailable');
    await expect(keys.ready(ca)).rejects.toBe(token.failReady);
    // The heartbeat tries as well, so that an issuer without work finds its way back.
    await expect(keys.open()).rejects.toBe(token.failReady);
    token.failReady = token.failSign = undefined;
    token.last?.onState?.('ready');
    await keys.ready(ca);
    expect([token.opened.length, token.closed, keys.working]).toEqual([1, [], true]);
  });

  it('are not asked for again at once where the token is away', async () => {
    const token = new FakeToken();
    token.failOpen = new PkiError('hsm.unavailable');
    const ca = authority(1);
    const keys = caKeys(token, [ca]);
    for (let i = 0; i < 5; i++) await expect(keys.ready(ca)).rejects.toBe(token.failOpen);
    expect(token.opened).toHaveLength(1);
  });

  it('are never asked for again after a refused PIN', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const token = new FakeToken();
    token.failOpen = new PkiError('hsm.pin-incorrect');
    const ca = authority(1);
    const keys = caKeys(token, [ca]);
    for (let i = 0; i < 5; i++) {
      await expect(keys.open()).rejects.toMatchObject({ code: 'hsm.pin-incorrect' });
      vi.advanceTimersByTime(3_600_000);
    }
    expect(token.opened).toHaveLength(1);
    vi.useRealTimers();
  });

  it('are not asked for again after the PIN was refused at a re-login', async () => {
    const token = new FakeToken();
    const ca = authority(1);
    const keys = caKeys(token, [ca]);
    await keys.open();
    token.last?.onState?.('away', new PkiError('hsm.pin-incorrect'));
    expect(keys.working).toBe(false);
    for (const call of [() => keys.open(), () => keys.ready(ca), () => keys.sign(ca, message, 'line')]) await expect(call()).rejects.toMatchObject({ code: 'hsm.pin-incorrect' });
    expect([token.opened.length, token.readies]).toEqual([1, 0]);
  });

  it('whose token was there and is gone are waited for; one that never was there is a fault of the set-up (I23)', async () => {
    const token = new FakeToken();
    const list = [authority(1)];
    const keys = caKeys(token, list);
    await keys.open();
    token.failSign = token.failOpen = new PkiError('hsm.token-not-found');
    const [ca] = list as [CertificationAuthority];
    await expect(keys.sign(ca, message, 'line')).rejects.toMatchObject({ code: 'hsm.unavailable' });
    const late = authority(2);
    list.push(late);
    await expect(keys.ready(late)).rejects.toMatchObject({ code: 'hsm.unavailable' });
    await expect(caKeys(token, [ca]).open()).rejects.toBe(token.failOpen);
  });

  it('sign by the algorithm of their CA', async () => {
    const token = new FakeToken();
    await caKeys(token, [authority(1), { ...authority(2), signatureAlgorithm: 'rsa-pss-sha256' }]).open();
    expect(token.algorithms).toEqual([['ecdsa-sha256'], ['rsa-pss-sha256']]);
  });

  it('of a CA that came while nobody asked for it are found by the heartbeat', async () => {
    const token = new FakeToken();
    const list = [authority(1)];
    const keys = caKeys(token, list);
    await keys.open();
    await keys.open();
    list.push(authority(2, 'prepared'));
    await keys.open();
    expect(token.opened).toEqual([['01'], ['01', '02']]);
  });

  it('tell their figures', async () => {
    const token = new FakeToken();
    token.faults.set('02', new PkiError('hsm.key-not-found'));
    const [ca, ...others] = [authority(1), authority(2), authority(3)] as [CertificationAuthority, ...CertificationAuthority[]];
    const keys = caKeys(token, [ca, ...others]);
    expect(keys.figures()).toMatchObject({ unusableKeys: 0, 'signed.crl': 0 });
    await keys.open();
    await keys.sign(ca, message, 'crl');
    expect(keys.figures()).toMatchObject({ unusableKeys: 1, 'signed.crl': 1, 'signed.line': 0, 'queued.crl': 0, forecastSeconds: 0 });
  });

  it('are closed with the issuer, and stay so', async () => {
    const token = new FakeToken();
    const ca = authority(1);
    const keys = caKeys(token, [ca]);
    await keys.open();
    await keys.close();
    expect(token.closed).toEqual([1]);
    await expect(keys.ready(ca)).rejects.toMatchObject({ code: 'hsm.unavailable' });
  });
});

describe('a key that cannot be used', () => {
  it.each(['hsm.key-not-found', 'hsm.key-mismatch', 'hsm.mechanism-missing'] as const)('(%s) stops its own CA and no other', async (code) => {
    const token = new FakeToken();
    token.faults.set('01', new PkiError(code, 'this is why'));
    const [broken, well] = [authority(1), authority(2)];
    const keys = caKeys(token, [broken, well]);
    await keys.open();
    expect(keys.working).toBe(true);
    expect(told).toEqual([expect.stringMatching(/the key of the CA ca-1 cannot be used: this is why/)]);
    await expect(keys.ready(broken)).rejects.toMatchObject({ code: 'ca.key-unusable', retry: 'later', message: told[0] });
    await expect(keys.sign(broken, message, 'line')).rejects.toMatchObject({ code: 'ca.key-unusable', data: { attempted: 0 } });
    await keys.ready(well);
    expect(await keys.sign(well, message, 'line')).toHaveLength(1);
  });

  it('that shows in the middle of the work is told as well', async () => {
    const token = new FakeToken();
    const ca = authority(1);
    const keys = caKeys(token, [ca, authority(2)]);
    await keys.open();
    const fault = new PkiError('hsm.key-mismatch', 'another key');
    let release = (): void => undefined;
    token.gate = new Promise((resolve) => { release = resolve; });
    const signed = keys.sign(ca, message, 'line');
    await new Promise(setImmediate);
    token.found.set('01', fault);
    token.last?.onUnusableKey?.(Uint8Array.of(1), fault);
    token.last?.onUnusableKey?.(Uint8Array.of(1), fault);
    release();
    await expect(signed).rejects.toMatchObject({ code: 'ca.key-unusable' });
    expect(told).toHaveLength(1);
    expect(keys.figures()).toMatchObject({ unusableKeys: 1 });
  });

  it('leaves an issuer that has no other without work', async () => {
    const token = new FakeToken();
    token.faults.set('01', new PkiError('hsm.key-not-found'));
    const keys = caKeys(token, [authority(1)]);
    await keys.open();
    expect(keys.working).toBe(false);
  });

  it('is tried anew after a minute, without a restart', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const token = new FakeToken();
    token.faults.set('01', new PkiError('hsm.key-not-found'));
    const ca = authority(1);
    const keys = caKeys(token, [ca]);
    await keys.open();
    token.faults.clear();
    vi.advanceTimersByTime(30_000);
    await keys.open();
    expect(token.opened).toHaveLength(1);
    vi.advanceTimersByTime(31_000);
    await keys.open();
    expect([token.opened.length, token.closed, keys.working]).toEqual([2, [1], true]);
    await keys.ready(ca);
    vi.useRealTimers();
  });
});

it('lets nobody log in again once a PIN was refused, neither the signer that is open', async () => {
  const token = new FakeToken();
  const list = [authority(1)];
  const keys = caKeys(token, list);
  await keys.open();
  list.push(authority(2));
  token.failOpen = new PkiError('hsm.pin-incorrect');
  await expect(keys.open()).rejects.toMatchObject({ code: 'hsm.pin-incorrect' });
  expect([token.opened.length, token.closed]).toEqual([2, [1]]);
});

describe('the heartbeat', () => {
  it('beats only while the HSM works, and tries to bring it back', async () => {
    const beats: string[] = [];
    const keys = { working: false, open: async () => { beats.push('open'); }, figures: () => ({ unusableKeys: 0 }) };
    const heartbeat = new Heartbeat({ keys, beat: async (figures) => { beats.push(`beat ${JSON.stringify(figures)}`); }, onError: (error) => { beats.push(String(error)); }, everyMs: 5 });
    heartbeat.start();
    await heartbeat.stop();
    expect(beats).toEqual(['open']);
    keys.working = true;
    heartbeat.start();
    await heartbeat.stop();
    expect(beats).toEqual(['open', 'open', 'beat {"unusableKeys":0}']);
    keys.open = async () => { throw new PkiError('hsm.unavailable'); };
    heartbeat.start();
    await heartbeat.stop();
    expect(beats.at(-1)).toContain('HSM is not available');
  });
});
