import { generateKeyPairSync } from 'node:crypto';
import { caName } from '@fleetroot/core';
import { encodeName, extension, parseCertificate } from '@fleetroot/x509';
import { describe, expect, it, test } from 'vitest';
import { certify, type CertificateFields, named, type SoftwareCa } from '../../../test/support/software-ca.ts';
import { type CertificationAuthority, chainConstraints, chainFault, successionFault } from '../src/index.ts';
import { onRecord } from './support/hierarchy.ts';

const now = new Date('2026-11-22T10:00:00Z');
const organisation = (name: string, commonName: string) => [
  { type: 'organizationName' as const, value: name }, { type: 'commonName' as const, value: commonName },
];
const uses = (...names: Parameters<typeof extension.keyUsage>[0]) => extension.keyUsage(names);
const both = uses('keyCertSign', 'cRLSign');
const ca = (pathLength?: number) => extension.basicConstraints(pathLength === undefined ? { ca: true } : { ca: true, pathLength });

const rootKey = certify({ subject: named('Root'), extensions: [ca(1), both] });
const root = onRecord('root', rootKey);
const midKey = certify({ subject: named('Mid'), issuer: rootKey, extensions: [ca(), both] });
const mid = onRecord('mid', midKey, { parentId: root.id });
const tightKey = certify({
  subject: organisation('Brand', 'Tight'), issuer: rootKey,
  extensions: [ca(), both, extension.nameConstraints({ permitted: [{ kind: 'directory', value: encodeName([{ type: 'organizationName', value: 'Brand' }]) }] })],
});
const tight = onRecord('tight', tightKey, { parentId: root.id });
const all = [root, mid, tight];

const fault = (fields: CertificateFields, issuer: CertificationAuthority | undefined, records: readonly CertificationAuthority[] = all) =>
  chainFault(parseCertificate(certify(fields).certificate), issuer, records, now);

describe('a CA certificate that comes on record', () => {
  test.each<[string, CertificateFields, CertificationAuthority | undefined]>([
    ['a root', { subject: named('Other') }, undefined],
    ['a subordinate', { subject: named('Sub'), issuer: rootKey, extensions: [ca(0), both] }, root],
    ['one that begins later', { subject: named('Sub'), issuer: rootKey, notBefore: new Date('2027-01-01T00:00:00Z') }, root],
  ])('%s is accepted', (_, fields, issuer) => expect(fault(fields, issuer)).toBeUndefined());

  test.each<[string, CertificateFields, CertificationAuthority | undefined, RegExp]>([
    ['of no CA', { subject: named('Sub'), issuer: rootKey, extensions: [extension.basicConstraints({ ca: false }), uses('digitalSignature')] }, root, /not the certificate of a CA/],
    ['without keyCertSign', { subject: named('Sub'), issuer: rootKey, extensions: [ca(), uses('cRLSign')] }, root, /lacks keyCertSign/],
    ['without cRLSign', { subject: named('Sub'), issuer: rootKey, extensions: [ca(), uses('keyCertSign')] }, root, /lacks cRLSign/],
    ['without key usage', { subject: named('Sub'), extensions: [ca()] }, undefined, /lacks keyCertSign/],
    ['with OCSPSigning (I19)', { subject: named('Sub'), issuer: rootKey, extensions: [ca(), both, extension.extendedKeyUsage(['OCSPSigning'])] }, root, /OCSPSigning/],
    ['forged', { subject: named('Sub'), issuer: rootKey, forged: true }, root, /does not verify/],
    ['forged, a root', { subject: named('Other'), forged: true }, undefined, /own key/],
    ['below a CA that may have none below', { subject: named('Leaf CA'), issuer: midKey }, mid, /4\.2\.1\.9/],
    ['that outlives its issuer', { subject: named('Sub'), issuer: rootKey, notAfter: new Date('2031-01-01T00:00:00Z') }, root, /after its issuer root/],
    ['expired', { subject: named('Old'), notAfter: new Date('2026-02-01T00:00:00Z') }, undefined, /expired/],
    ['of a weak key', { subject: named('Weak'), key: generateKeyPairSync('rsa', { modulusLength: 1024 }) }, undefined, /RSA|weak|key/],
    ['with a critical extension that nobody knows', { subject: named('Odd'), extensions: [ca(), both, { oid: '1.2.3.4', critical: true, value: Uint8Array.of(5, 0) }] }, undefined, /critical/],
    ['with the serial number 0', { subject: named('Zero'), serial: 0 }, undefined, /serial/],
  ])('%s is refused', (_, fields, issuer, why) => expect(fault(fields, issuer)).toMatch(why));

  it('keeps to the name constraints of the CAs above', () => {
    const free = certify({ subject: named('Free root') });
    const top = onRecord('free', free);
    const brandKey = certify({
      subject: organisation('Brand', 'CA'), issuer: free,
      extensions: [ca(), both, extension.nameConstraints({ permitted: [{ kind: 'directory', value: encodeName([{ type: 'organizationName', value: 'Brand' }]) }] })],
    });
    const brand = onRecord('brand', brandKey, { parentId: top.id });
    expect(fault({ subject: organisation('Other', 'Plant'), issuer: brandKey }, brand, [top, brand])).toMatch(/4\.2\.1\.10/);
    expect(fault({ subject: organisation('BRAND', 'Plant'), issuer: brandKey }, brand, [top, brand])).toBeUndefined();
  });

  test.each([
    ['revoked', { revocation: { revokedAt: now, reason: 1 }, state: 'compromised' as const }, /root is revoked/],
    ['retired', { state: 'retired' as const }, /root above it is retired/],
  ])('below a root that is %s it is refused', (_, fields, why) => {
    const fallen = { ...root, ...fields };
    expect(fault({ subject: named('Sub'), issuer: rootKey, extensions: [ca(0), both] }, fallen, [fallen])).toMatch(why);
    expect(fault({ subject: named('Sub'), issuer: midKey, extensions: [ca(0), both] }, mid, [fallen, mid])).toMatch(/root above it is/);
  });
});

describe('what a CA may certify', () => {
  const tbsOf = (issuer: SoftwareCa, fields: Partial<CertificateFields>) => parseCertificate(certify({
    subject: named('ecu'), issuer, extensions: [extension.basicConstraints({ ca: false }), uses('digitalSignature'), extension.extendedKeyUsage(['clientAuth'])], ...fields,
  }).certificate).tbsDer;

  it('is not limited where no CA above says so, and costs nothing', () => expect(chainConstraints(mid, all)).toBeUndefined());

  it('keeps to the name constraints of every CA above, however many leaves there are', () => {
    const limits = chainConstraints(tight, all);
    const good = tbsOf(tightKey, { subject: organisation('Brand', 'ecu') });
    for (let i = 0; i < 30_000; i++) if (limits?.refusal(good) !== undefined) throw new Error(`leaf ${i} was refused`);
    expect(limits?.refusal(tbsOf(tightKey, { subject: organisation('Other', 'ecu') }))).toMatch(/4\.2\.1\.10/);
  }, 30_000);

  it('keeps to the excluded DNS names of a root', () => {
    const key = certify({ subject: named('R'), extensions: [ca(), both, extension.nameConstraints({ excluded: [{ kind: 'dns', value: 'example.org' }] })] });
    const limits = chainConstraints(onRecord('r', key), []);
    const withName = (value: string) => tbsOf(key, { extensions: [extension.subjectAltName([{ kind: 'dns', value }], false)] });
    expect(limits?.refusal(withName('a.example.org'))).toMatch(/4\.2\.1\.10/);
    expect(limits?.refusal(withName('a.example.com'))).toBeUndefined();
  });

  it('keeps to the extended key usages of the CAs, an OCSP signer excepted', () => {
    const key = certify({ subject: named('R'), extensions: [ca(), both, extension.extendedKeyUsage(['clientAuth'])] });
    const limits = chainConstraints(onRecord('r', key), []);
    const use = (purpose: 'clientAuth' | 'serverAuth' | 'OCSPSigning') => limits?.refusal(tbsOf(key, { extensions: [extension.extendedKeyUsage([purpose])] }));
    expect([use('clientAuth'), use('OCSPSigning')]).toEqual([undefined, undefined]);
    expect(use('serverAuth')).toMatch(/4\.2\.1\.12/);
  });

  it('needs the policy that a CA above requires', () => {
    // requireExplicitPolicy 0 (RFC 5280 section 4.2.1.11).
    const explicit = { oid: '2.5.29.36', critical: true, value: Uint8Array.of(0x30, 3, 0x80, 1, 0) };
    const top = certify({ subject: named('R'), extensions: [ca(), both] });
    const key = certify({ subject: named('S'), issuer: top, extensions: [ca(), both, explicit, extension.certificatePolicies(['1.3.6.1.4.1.99999.1'])] });
    const records = [onRecord('r', top)];
    const limits = chainConstraints(onRecord('s', key, { parentId: records[0]?.id }), records);
    expect(limits?.refusal(tbsOf(key, {}))).toMatch(/4\.2\.1\.11/);
    expect(limits?.refusal(tbsOf(key, { extensions: [extension.certificatePolicies(['1.3.6.1.4.1.99999.1'])] }))).toBeUndefined();
    expect(limits?.refusal(tbsOf(key, { extensions: [extension.certificatePolicies(['1.3.6.1.4.1.99999.2'])] }))).toMatch(/4\.2\.1\.11/);
  });

  it('is nothing where the chain itself is not valid', () => {
    const deepKey = certify({ subject: named('Deep'), issuer: midKey });
    const deep = onRecord('deep', deepKey, { parentId: mid.id });
    expect(chainConstraints(deep, [...all, deep])?.refusal(tbsOf(deepKey, {}))).toMatch(/may certify nothing.*4\.2\.1\.9/);
  });
});

describe('a succession', () => {
  const old = onRecord('issuing', certify({ subject: named('Issuing') }));
  const next = onRecord('issuing-g2', certify({ subject: named('Issuing G2') }), { state: 'prepared' });
  const soon = new Date('2026-12-01T00:00:00Z');
  const at = (ca: CertificationAuthority, successor: CertificationAuthority, switchAt = soon, others: readonly CertificationAuthority[] = []) =>
    successionFault(ca, successor, switchAt, [ca, successor, ...others], now);

  it('is one of an active CA by a prepared one', () => expect(at(old, next)).toBeUndefined());
  it('may be due at once', () => expect(at(old, next, new Date(now.getTime() - 1000))).toBeUndefined());
  it('of one that has ended is due at once, or later', () => expect(at({ ...old, notAfter: new Date(now.getTime() - 1) }, next)).toBeUndefined());
  test.each<[string, () => string | undefined, RegExp]>([
    ['by itself', () => at(old, old), /itself/],
    ['by one that issues already', () => at(old, { ...next, state: 'active' }), /only a prepared one/],
    ['of one that is followed already and retires', () => at({ ...old, state: 'retiring' }, next), /only an active one/],
    ['by one that is revoked', () => at(old, { ...next, revocation: { revokedAt: now, reason: 4 } }), /revoked/],
    ['by one without a key here', () => at(old, { ...next, keyId: undefined }), /same purpose/],
    ['by the same key', () => at(old, { ...old, id: 999, name: caName('renewed'), state: 'prepared' }), /renewal/],
    ['in a circle', () => at(old, { ...next, successorId: old.id }), /already/],
    ['by one that follows another', () => at(old, next, soon, [onRecord('other', certify({ subject: named('Other') }), { successorId: next.id })]), /follows other/],
    ['in the past', () => at(old, next, new Date('2026-11-01T00:00:00Z')), /past/],
    ['after its own end', () => at({ ...old, notAfter: new Date(soon.getTime() - 1) }, next), /ends at .* before switchAt/],
    ['after the end of the next', () => at(old, next, new Date('2031-01-01T00:00:00Z')), /not valid at switchAt/],
  ])('%s is refused', (_, run, why) => expect(run()).toMatch(why));
});
