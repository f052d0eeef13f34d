import { describe, expect, it, test } from 'vitest';
import type { AuditEvent } from '@fleetroot/audit';
import { type ErrorCode, isPkiError, PkiError } from '@fleetroot/core';
import { extension, type NamePart, parseCertificate, spkiSha256 } from '@fleetroot/x509';
import { pkiError } from '../../../test/support/error-code.ts';
import { caRights, certify, type CertificateFields, named, type SoftwareCa } from '../../../test/support/software-ca.ts';
import { checkSupplierCa, EcuPace, type FactoryIdentity, factoryIdentity, FirstConnection, type RefusedConnection, type Supplier } from '../src/index.ts';

const now = new Date('2026-11-22T12:00:00Z');
const supplierCa = certify({ subject: named('Supplier') });
const lineCa = certify({ subject: named('Line'), issuer: supplierCa });
const disabledCa = certify({ subject: named('Gone') });
const expiredCa = certify({ subject: named('Old'), notAfter: new Date('2026-02-01T00:00:00Z') });
const supplier = (id: number, ca: SoftwareCa, disabledAt?: Date): Supplier => ({ id, name: `supplier-${id}`, certificate: ca.certificate, disabledAt });
const suppliers = [supplier(1, expiredCa), supplier(2, supplierCa), supplier(3, disabledCa, now)];

const ecu = (serial = 'ECU-1', part = 'PN-1'): NamePart[] => [{ type: 'serialNumber', value: serial }, { type: 'commonName', value: part }];
const factory = (fields: Partial<CertificateFields> = {}) =>
  certify({ subject: ecu(), issuer: lineCa, extensions: [extension.keyUsage(['digitalSignature'])], ...fields });
const good = factory();

/** The two ledgers in memory, by the words of their ports. */
class Ledgers {
  readonly ecus = new Map<string, FactoryIdentity>();
  readonly refused: RefusedConnection[] = [];
  readonly events: AuditEvent[] = [];
  failure: PkiError | undefined;

  async all(): Promise<readonly Supplier[]> {
    return suppliers;
  }

  async register(identity: FactoryIdentity, _at: Date, event: AuditEvent): Promise<'registered' | 'known'> {
    if (this.failure !== undefined) throw this.failure;
    const before = this.ecus.get(identity.ecuSerial);
    if (before !== undefined && !Buffer.from(before.factoryKeySha256).equals(identity.factoryKeySha256)) throw new PkiError('registration.identity-conflict');
    if (before !== undefined && before.partNumber !== identity.partNumber) throw new PkiError('ecu.part-number-conflict');
    if (before !== undefined) return 'known';
    this.ecus.set(identity.ecuSerial, identity);
    this.events.push(event);
    return 'registered';
  }

  async refuse(refusal: RefusedConnection): Promise<void> {
    this.refused.push(refusal);
  }
}

function connection(): { ledgers: Ledgers; admit: FirstConnection['admit'] } {
  const ledgers = new Ledgers();
  const first = new FirstConnection({ suppliers: ledgers, registrations: ledgers, refusals: ledgers, pace: new EcuPace(3), clock: { now: () => now } });
  return { ledgers, admit: (chain) => first.admit(chain) };
}

const chainOf = (...certificates: SoftwareCa[]) => certificates.map(({ certificate }) => certificate);
const codeOf = (promise: Promise<unknown>): Promise<ErrorCode | undefined> =>
  promise.then(() => undefined, (error: unknown) => { if (isPkiError(error)) return error.code; throw error; });

describe('a first connection', () => {
  it('registers the ECU once, with one event; a second changes nothing', async () => {
    const { ledgers, admit } = connection();
    const first = await admit(chainOf(good, lineCa));
    expect(first).toMatchObject({ outcome: 'registered', identity: { supplierId: 2, ecuSerial: 'ECU-1', partNumber: 'PN-1' } });
    expect(Buffer.from(first.identity.factoryKeySha256)).toEqual(Buffer.from(spkiSha256(good.spkiDer)));
    expect(await admit(chainOf(good, lineCa, supplierCa))).toMatchObject({ outcome: 'known' });
    expect(ledgers.events).toMatchObject([{ action: 'ecu.registered', subject: 'ecu:ECU-1', at: now, data: { supplier: 'supplier-2', partNumber: 'PN-1' } }]);
    expect(ledgers.refused).toEqual([]);
  });
  it('is served so often and no more, and that is no refusal', async () => {
    const { ledgers, admit } = connection();
    for (let time = 0; time < 3; time++) await admit(chainOf(good, lineCa));
    expect(await codeOf(admit(chainOf(good, lineCa)))).toBe('http.too-many-requests');
    expect(ledgers.refused).toEqual([]);
  });

  const stranger = certify({ subject: named('Stranger') });
  const otherLine = certify({ subject: named('Line'), issuer: disabledCa });
  test.each<[ErrorCode, string, () => SoftwareCa[], Partial<RefusedConnection>]>([
    ['registration.certificate-missing', 'no certificate', () => [], {}],
    ['registration.issuer-unknown', 'a supplier that nobody registered', () => [factory({ issuer: stranger }), stranger], {}],
    ['registration.issuer-unknown', 'a chain that lacks its intermediate', () => [good], {}],
    ['registration.supplier-disabled', 'a disabled supplier', () => [factory({ issuer: disabledCa })], { supplierId: 3 }],
    ['registration.supplier-disabled', 'a disabled supplier, by an intermediate', () => [factory({ issuer: otherLine }), otherLine], { supplierId: 3 }],
    ['registration.issuer-unknown', 'an expired certificate of a disabled supplier', () => [factory({ issuer: disabledCa, notAfter: new Date('2026-02-01T00:00:00Z') })], {}],
    ['registration.certificate-expired', 'an expired certificate', () => [factory({ notAfter: new Date('2026-11-22T11:59:59Z') }), lineCa], {}],
    ['registration.certificate-expired', 'one that is not valid yet', () => [factory({ notBefore: new Date('2026-11-22T12:00:01Z') }), lineCa], {}],
    ['registration.certificate-expired', 'a supplier CA that has expired', () => [factory({ issuer: expiredCa })], {}],
    ['registration.path-invalid', 'a certificate that another key signed', () => [factory({ issuer: supplierCa, forged: true })], {}],
    ['registration.path-invalid', 'a certificate for servers', () => [factory({ extensions: [extension.extendedKeyUsage(['serverAuth'])] }), lineCa], {}],
    ['registration.path-invalid', 'a CA that connects', () => [lineCa], {}],
    ['registration.identity-missing', 'a certificate without ECU serial', () => [factory({ subject: named('PN-1') }), lineCa], { supplierId: 2 }],
    ['registration.identity-missing', 'an ECU serial with a space', () => [factory({ subject: ecu('ECU 1') }), lineCa], { supplierId: 2 }],
  ])('%s: %s', async (code, _, chain, known) => {
    const { ledgers, admit } = connection();
    expect(await codeOf(admit(chainOf(...chain())))).toBe(code);
    expect(ledgers.refused).toMatchObject([{ at: now, code, ...known }]);
    expect(ledgers.ecus.size).toBe(0);
  });

  it('registration.path-invalid: what is no certificate at all', async () => {
    const { ledgers, admit } = connection();
    expect(await codeOf(admit([Uint8Array.of(0x30, 0x80)]))).toBe('registration.path-invalid');
    expect(await codeOf(admit([good.certificate, Uint8Array.of(1)]))).toBe('registration.path-invalid');
    expect(ledgers.refused).toHaveLength(2);
  });

  it('registration.identity-conflict: the ECU serial under another key; and another part number', async () => {
    const { ledgers, admit } = connection();
    await admit(chainOf(good, lineCa));
    expect(await codeOf(admit(chainOf(factory(), lineCa)))).toBe('registration.identity-conflict');
    expect(ledgers.refused).toMatchObject([{ code: 'registration.identity-conflict', supplierId: 2, ecuSerial: 'ECU-1' }]);
    expect(ledgers.refused[0]?.certificateSha256).toHaveLength(32);
  });

  it('is not refused, nor recorded as such, because the ledger is away', async () => {
    const { ledgers, admit } = connection();
    ledgers.failure = new PkiError('store.unavailable');
    expect(await codeOf(admit(chainOf(good, lineCa)))).toBe('store.unavailable');
    expect(ledgers.refused).toEqual([]);
  });

  it('says that the ledger is away where the refusal could not be kept', async () => {
    const { ledgers, admit } = connection();
    ledgers.refuse = () => Promise.reject(new PkiError('store.unavailable'));
    expect(await codeOf(admit([]))).toBe('store.unavailable');
  });
});

describe('the identity in a factory certificate', () => {
  test.each<[string, NamePart[], boolean]>([
    ['serialNumber and commonName', ecu(), true],
    ['more beside them', [{ type: 'organizationName', value: 'Supplier' }, ...ecu()], true],
    ['no commonName', [{ type: 'serialNumber', value: 'ECU-1' }], false],
    ['two serialNumbers', [...ecu(), { type: 'serialNumber', value: 'ECU-2' }], false],
    ['a part number with a slash', ecu('ECU-1', 'PN/1'), false],
  ])('%s', (_, subject, found) => {
    const leaf = parseCertificate(factory({ subject }).certificate);
    if (found) expect(factoryIdentity(leaf)).toEqual({ ecuSerial: 'ECU-1', partNumber: 'PN-1' });
    else expect(pkiError(() => factoryIdentity(leaf))?.code).toBe('registration.identity-missing');
  });
});

describe('the CA of a supplier', () => {
  test.each<[string, SoftwareCa, string | undefined]>([
    ['a root', supplierCa, undefined],
    ['an intermediate', lineCa, undefined],
    ['a factory certificate', good, 'not-a-ca'],
    ['an expired CA', expiredCa, 'expired'],
    ['a CA without key usage', certify({ subject: named('Bare'), extensions: [extension.basicConstraints({ ca: true })] }), 'key-usage'],
    ['a CA for servers', certify({ subject: named('Web'), extensions: [...caRights, extension.extendedKeyUsage(['serverAuth'])] }), 'eku'],
  ])('%s', (_, ca, reason) => {
    const error = pkiError(() => checkSupplierCa(ca.certificate, now));
    expect(error?.data['reason']).toBe(reason);
    expect(error?.code).toBe(reason === undefined ? undefined : 'supplier.certificate-invalid');
  });
  test('what is no certificate', () => expect(pkiError(() => checkSupplierCa(Uint8Array.of(1), now))?.code).toBe('supplier.certificate-invalid'));
});
