import { generateKeyPairSync, hash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PkiError } from '@fleetroot/core';
import { type ChangedRevocation, type ClientAuthority, ClientAuthorizer, type ClientKey, type ClientLedger, type ClientRecord, type RevocationChanges } from '@fleetroot/trust';
import { extension, parseCertificate, readBlockedKeys } from '@fleetroot/x509';
import { certify, named, type SoftwareCa } from '../../../test/support/software-ca.ts';

const ca = certify({ subject: named('issuing') });
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' });
let serials = 5000;
const leaf = (more: object = {}): SoftwareCa =>
  certify({ subject: named('ecu'), issuer: ca, key, serial: ++serials, extensions: [extension.keyUsage(['digitalSignature']), extension.extendedKeyUsage(['clientAuth'])], ...more });
const hexOf = (certificate: Uint8Array): string => Buffer.from(parseCertificate(certificate).serial).toString('hex');
const text = ({ certificate }: SoftwareCa): string => Buffer.from(certificate).toString('base64');

/** A ledger that answers when it is told to. */
class Ledger implements ClientLedger {
  readonly records = new Map<string, ClientRecord>();
  readonly asked: (readonly ClientKey[])[] = [];
  told: (caId: number, serial: string | undefined) => void = () => undefined;
  gap: () => void = () => undefined;
  away = false;
  /** Set: answers wait for it. */
  gate: Promise<void> | undefined;
  listed: readonly ChangedRevocation[] = [];
  looks = 0;

  put({ certificate }: SoftwareCa, more: Partial<ClientRecord> = {}): void {
    this.records.set(hexOf(certificate), {
      sha256: hash('sha256', certificate, 'buffer'), profile: 'ecu-client', ecuSerial: 'E', partNumber: 'P', vin: undefined, status: 'good', keyBlocked: false, ...more,
    });
  }

  async clients(asked: readonly ClientKey[]): Promise<readonly (ClientRecord | undefined)[]> {
    if (this.away) throw new PkiError('store.unavailable');
    this.asked.push(asked);
    const read = asked.map(({ serial }) => this.records.get(Buffer.from(serial).toString('hex')));
    await this.gate;
    return read;
  }

  async changes(): Promise<RevocationChanges> {
    this.looks++;
    if (this.away) throw new PkiError('store.unavailable');
    return { at: new Date(), changed: this.listed };
  }

  async members(): Promise<ReadonlyMap<string, readonly number[]>> {
    if (this.away) throw new PkiError('store.unavailable');
    return new Map([['mine', [1]], ['theirs', [2]]]);
  }

  listen(told: Ledger['told'], gap: () => void): () => void {
    Object.assign(this, { told, gap });
    return () => Object.assign(this, { told: () => undefined, gap: () => undefined });
  }
}

let ledger: Ledger;
let authorities: ClientAuthority[];
let authorizer: ClientAuthorizer;
let limit = 100;
const start = (): void => {
  authorizer = new ClientAuthorizer({
    ledger, authorities: async () => authorities, clock: { now: () => new Date() }, blockedKeys: readBlockedKeys(undefined), staleMs: 5000, limit,
  });
};
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'], now: new Date('2026-11-23T00:00:00Z') });
  ledger = new Ledger();
  authorities = [{ id: 1, name: 'issuing', certificate: ca.certificate, trusted: true, revoked: false }];
  limit = 100;
  start();
});
afterEach(() => {
  authorizer.close();
  vi.useRealTimers();
});

const texts = () => authorizer.texts((base64) => new Uint8Array(Buffer.from(base64, 'base64')));
const reason = async (of: ReturnType<typeof texts>, certificate: SoftwareCa, truststore?: string) => (await of.authorize(text(certificate), truststore)).reason;

describe('what is known', () => {
  it('is answered at once, without asking again, for 30 s at most', async () => {
    const [good, of] = [leaf(), texts()];
    ledger.put(good);
    expect(await reason(of, good)).toBe('allowed');
    for (let i = 0; i < 5; i++) expect(of.authorize(text(good))).toMatchObject({ allowed: true, ecuSerial: 'E', ca: 'issuing' });
    expect(of.authorize(text(good), 'mine')).toMatchObject({ allowed: true });
    expect(of.authorize(text(good), 'theirs')).toMatchObject({ reason: 'truststore.not-member' });
    expect(ledger.asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(29_000);
    expect(of.authorize(text(good))).toMatchObject({ allowed: true });
    await vi.advanceTimersByTimeAsync(1_100);
    ledger.put(good, { status: 'revoked' });
    expect(await reason(of, good)).toBe('certificate.revoked');
    expect(ledger.asked).toHaveLength(2);
  });
  it('does not outlive the certificate, by its last second', async () => {
    const [good, of] = [leaf({ notAfter: new Date('2026-11-23T00:00:10Z') }), texts()];
    ledger.put(good);
    expect(await reason(of, good)).toBe('allowed');
    vi.setSystemTime('2026-11-23T00:00:10.999Z');
    expect(of.authorize(text(good))).toMatchObject({ allowed: true });
    vi.setSystemTime('2026-11-23T00:00:11Z');
    expect(of.authorize(text(good))).toMatchObject({ reason: 'certificate.expired' });
  });
  it('is forgotten when it is told to have changed: one, those of a CA, all', async () => {
    const [good, of] = [leaf(), texts()];
    ledger.put(good);
    for (const tell of [() => ledger.told(1, hexOf(good.certificate)), () => ledger.told(1, undefined), () => ledger.gap()]) {
      ledger.put(good);
      ledger.gap();
      expect(await reason(of, good)).toBe('allowed');
      ledger.put(good, { status: 'held' });
      ledger.told(1, '00');
      ledger.told(2, undefined);
      expect(of.authorize(text(good))).toMatchObject({ allowed: true });
      tell();
      expect(await reason(of, good)).toBe('certificate.held');
    }
  });
  it('is forgotten when a look finds a change, or its key blocked', async () => {
    const [good, of] = [leaf(), texts()];
    for (const change of [{ caId: 1, serial: parseCertificate(good.certificate).serial }, { caId: 2, serial: Uint8Array.of(1), keySha256: hash('sha256', good.spkiDer, 'buffer') }]) {
      ledger.put(good);
      ledger.gap();
      expect(await reason(of, good)).toBe('allowed');
      ledger.put(good, { keyBlocked: true });
      ledger.listed = [{ ...change, changedAt: new Date() }];
      await vi.advanceTimersByTimeAsync(600);
      expect(await reason(of, good)).toBe('key.blocked');
      ledger.listed = [];
    }
  });
  it('never is what was read before a change that was told meanwhile', async () => {
    const [good, of] = [leaf(), texts()];
    ledger.put(good);
    const gate = Promise.withResolvers<void>();
    ledger.gate = gate.promise;
    const asked = [reason(of, good), reason(of, good)];
    await vi.waitFor(() => expect(ledger.asked).toHaveLength(1));
    ledger.put(good, { status: 'revoked' });
    ledger.told(1, hexOf(good.certificate));
    const late = reason(of, good);
    gate.resolve();
    expect(await Promise.all([...asked, late])).toEqual(['certificate.revoked', 'certificate.revoked', 'certificate.revoked']);
    expect(of.authorize(text(good))).toMatchObject({ reason: 'certificate.revoked' });
  });
  it('is refused where changes are told during every reading', async () => {
    const [good, of] = [leaf(), texts()];
    ledger.put(good);
    ledger.clients = async (asked) => {
      ledger.told(1, hexOf(good.certificate));
      return asked.map(() => ledger.records.get(hexOf(good.certificate)));
    };
    expect(await reason(of, good)).toBe('status.unavailable');
  });
  it('is bounded: what was not asked for longest goes', async () => {
    limit = 2;
    start();
    const of = texts();
    const [a, b, c] = [leaf(), leaf(), leaf()];
    for (const one of [a, b, c]) ledger.put(one);
    for (const one of [a, b, a, c]) expect(await reason(of, one)).toBe('allowed');
    expect(authorizer.figures).toEqual({ remembered: 2, lookUps: 3 });
    expect(of.authorize(text(a))).toMatchObject({ allowed: true });
    expect(of.authorize(text(b))).toBeInstanceOf(Promise);
  });
});

describe('the ledger', () => {
  it('is asked once for one certificate that many ask for, and for many at once', async () => {
    const of = texts();
    const all = Array.from({ length: 50 }, () => leaf());
    for (const one of all) ledger.put(one);
    await reason(of, leaf());
    ledger.asked.length = 0;
    expect(new Set(await Promise.all([...all, ...all].map((one) => reason(of, one))))).toEqual(new Set(['allowed']));
    expect(ledger.asked.length).toBeLessThan(5);
    expect(ledger.asked.flat()).toHaveLength(50);
  });
  it('is not asked for what no CA of ours has signed, and that is remembered', async () => {
    const of = texts();
    const stranger = leaf({ issuer: certify({ subject: named('stranger') }) });
    for (let i = 0; i < 3; i++) expect(await reason(of, stranger)).toBe('issuer.unknown');
    expect(await reason(of, leaf({ forged: true }))).toBe('certificate.signature-invalid');
    expect(ledger.asked).toHaveLength(0);
  });
  it('may be away as long as the bound says, and then nobody is let in', async () => {
    const [good, fresh, of] = [leaf(), leaf(), texts()];
    for (const one of [good, fresh]) ledger.put(one);
    expect(await reason(of, good)).toBe('allowed');
    ledger.away = true;
    await vi.advanceTimersByTimeAsync(4_000);
    expect(of.authorize(text(good))).toMatchObject({ allowed: true });
    expect(await reason(of, fresh)).toBe('status.unavailable');
    await vi.advanceTimersByTimeAsync(2_000);
    expect(of.authorize(text(good))).toMatchObject({ allowed: false, reason: 'status.unavailable' });
    ledger.away = false;
    await vi.advanceTimersByTimeAsync(600);
    expect(await reason(of, good)).toBe('allowed');
    expect(await reason(of, fresh)).toBe('allowed');
  });
  it('that hangs is waited for no longer than its deadline', async () => {
    const [good, of] = [leaf(), texts()];
    ledger.put(good);
    ledger.gate = new Promise(() => undefined);
    const answer = reason(of, good);
    await vi.advanceTimersByTimeAsync(1);
    await vi.waitFor(() => expect(ledger.asked).toHaveLength(1));
    await vi.advanceTimersByTimeAsync(1_600);
    expect(await answer).toBe('status.unavailable');
  });
  it('is looked at while somebody asks only, and nothing is known after that', async () => {
    const [good, of] = [leaf(), texts()];
    ledger.put(good);
    await reason(of, good);
    await vi.advanceTimersByTimeAsync(62_000);
    const looks = ledger.looks;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(ledger.looks).toBe(looks);
    ledger.put(good, { status: 'revoked' });
    expect(await reason(of, good)).toBe('certificate.revoked');
  });
  it('whose clock is far from ours is not trusted', async () => {
    const [good, of] = [leaf(), texts()];
    ledger.put(good);
    ledger.changes = async () => ({ at: new Date(Date.now() + 120_000), changed: [] });
    expect(await reason(of, good)).toBe('clock.skew');
  });
});

describe('a CA', () => {
  it.each([
    ['ca.revoked', { revoked: true, trusted: false }], ['ca.not-trusted', { trusted: false }],
  ] as const)('%s from the next look on', async (expected, change) => {
    const [good, of] = [leaf(), texts()];
    ledger.put(good);
    expect(await reason(of, good)).toBe('allowed');
    authorities = authorities.map((one) => ({ ...one, ...change }));
    await vi.advanceTimersByTimeAsync(600);
    expect(of.authorize(text(good))).toMatchObject({ reason: expected });
  });
  it('that is not known yet is known as soon as it is on record', async () => {
    const [good, of] = [leaf(), texts()];
    ledger.put(good);
    const known = authorities;
    authorities = [];
    expect(await reason(of, good)).toBe('issuer.unknown');
    authorities = known;
    await vi.advanceTimersByTimeAsync(600);
    expect(await reason(of, good)).toBe('allowed');
  });
});

it('a key of the blocklist is refused', async () => {
  const good = leaf();
  ledger.put(good);
  authorizer = new ClientAuthorizer({
    ledger, authorities: async () => authorities, clock: { now: () => new Date() }, staleMs: 5000, limit: 10,
    blockedKeys: readBlockedKeys(Buffer.from(`${hash('sha256', good.spkiDer)}\n`)),
  });
  expect(await reason(texts(), good)).toBe('key.blocked');
});
