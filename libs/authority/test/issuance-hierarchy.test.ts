// Who issues for a CA as the hierarchy changes, and what the CAs above let it certify.
import { constants, generateKeyPairSync, sign } from 'node:crypto';
import { PkiError } from '@fleetroot/core';
import { algorithmIdentifier, extension, parseCertificate, verifySignature } from '@fleetroot/x509';
import { beforeAll, describe, expect, it, test, vi } from 'vitest';
import { caRights, certify, named, type SoftwareCa } from '../../../test/support/software-ca.ts';
import type { CaSigner, CertificationAuthority, RequestItem } from '../src/index.ts';
import { csr, ecuItem } from './support/authority.ts';
import { onRecord } from './support/hierarchy.ts';
import { type Given, issuance, Recorder } from './support/issuance.ts';

const rootKey = certify({ subject: named('Root') });
const firstKey = certify({ subject: named('ECU issuing'), issuer: rootKey });
const secondKey = certify({ subject: named('ECU issuing G2'), issuer: rootKey });
const root = onRecord('root', rootKey, { keyId: undefined });
const second = onRecord('ecu-issuing-g2', secondKey, { parentId: root.id, state: 'prepared' });
const first = onRecord('ecu-issuing', firstKey, { parentId: root.id, successorId: second.id, switchAt: new Date('2026-11-22T10:00:00Z') });
/** After the switch. */
const followed = [root, { ...first, state: 'retiring' as const }, { ...second, state: 'active' as const }];

const keys = new Map([[root.id, rootKey], [first.id, firstKey], [second.id, secondKey]]);
const signer: Pick<CaSigner, 'sign'> = {
  sign: async ({ id }, tbs) => tbs.map((message) => (keys.get(id) as SoftwareCa).sign(message)),
};
let good: RequestItem[];
beforeAll(async () => { good = [ecuItem(10, await csr()), ecuItem(11, await csr())]; });

const chunkOf = (ca: CertificationAuthority, requests = good): Recorder => new Recorder(requests, { signer, chunk: { caId: ca.id } });

async function issue(recorder: Recorder, all: () => readonly CertificationAuthority[], given: Given = {}): Promise<void> {
  expect(await issuance(recorder, { all, ...given }).issueChunk(1n)).toBe('done');
}

const signedBy = (recorder: Recorder, key: SoftwareCa): boolean => (recorder.completed?.issued ?? []).every(({ der }) => {
  const { tbsDer, signature, signatureAlgorithm, issuerDer } = parseCertificate(der);
  return verifySignature(key.spkiDer, signatureAlgorithm, tbsDer, signature) && Buffer.compare(issuerDer, key.subjectDer) === 0;
});

describe('who issues', () => {
  test.each<[string, readonly CertificationAuthority[], CertificationAuthority, SoftwareCa]>([
    ['the CA itself, until it is followed', [root, first, second], first, firstKey],
    ['the generation that has followed it', followed, second, secondKey],
  ])('%s', async (_what, all, by, key) => {
    const recorder = chunkOf(first);
    await issue(recorder, () => all);
    expect(recorder.signers).toEqual([by.id]);
    expect(recorder.intent?.caId).toBe(by.id);
    expect(recorder.completed?.issued).toHaveLength(2);
    expect(signedBy(recorder, key)).toBe(true);
    expect(recorder.completed?.event.data).toMatchObject({ ca: by.id });
  });

  it('the next generation, where the switch comes between look-up and intent: no item fails', async () => {
    const recorder = chunkOf(first);
    let all: readonly CertificationAuthority[] = [root, first, second];
    const recordIntent = recorder.recordIntent.bind(recorder);
    recorder.recordIntent = async (chunk, intent) => {
      if (intent.caId !== first.id) return recordIntent(chunk, intent);
      all = followed;
      throw new PkiError('ca.not-active', 'it is retiring');
    };
    await issue(recorder, () => all);
    expect(recorder.completed?.failed).toEqual([]);
    expect(recorder.intent?.caId).toBe(second.id);
    expect(signedBy(recorder, secondKey)).toBe(true);
  });

  it('a CA that the ledger refuses though nobody follows it does not go round in circles', async () => {
    const recorder = chunkOf(first);
    recorder.throws.recordIntent = new PkiError('ca.not-active');
    await issue(recorder, () => [root, first]);
    expect(recorder.calls.filter((call) => call === 'recordIntent')).toHaveLength(1);
    expect(recorder.completed?.failed).toHaveLength(2);
  });

  it('what was known of the CAs half a second ago fails no item: they are read anew first', async () => {
    let all: readonly CertificationAuthority[] = [root, { ...first, state: 'prepared' }];
    const recorder = chunkOf(first);
    const underTest = issuance(recorder, { all: () => all });
    await underTest.issueChunk(1n);
    expect(recorder.completed?.failed).toHaveLength(2);
    all = [root, first];
    await underTest.issueChunk(1n);
    expect(recorder.completed?.failed).toEqual([]);
    // The other way round: the ledger refuses it with the intent.
    all = [root, { ...first, state: 'retired' }];
    recorder.throws.recordIntent = new PkiError('ca.not-active');
    await underTest.issueChunk(1n);
    expect(recorder.completed?.failed.map(({ code }) => code)).toEqual(['ca.not-active', 'ca.not-active']);
  });

  test.each<[string, Partial<CertificationAuthority>, Partial<CertificationAuthority>, RegExp]>([
    ['is prepared', { state: 'prepared', successorId: undefined }, {}, /ecu-issuing is prepared/],
    ['is retired, and nobody follows', { state: 'retired', successorId: undefined }, {}, /ecu-issuing is retired/],
    ['is compromised', { state: 'compromised', successorId: undefined }, {}, /ecu-issuing is compromised/],
    ['has its key elsewhere', { keyId: undefined, successorId: undefined }, {}, /no generation after it issues/],
    ['is revoked, and active for all that', { revocation: { revokedAt: new Date(), reason: 4 } }, {}, /ecu-issuing is revoked/],
    ['has a root that is revoked', {}, { revocation: { revokedAt: new Date(), reason: 1 } }, /root is revoked/],
    ['has a root that is retired', {}, { state: 'retired' }, /root is retired/],
  ])('nobody, where the CA %s: each item fails, nothing is signed (I10)', async (_what, ofCa, ofRoot, why) => {
    const recorder = chunkOf(first);
    await issue(recorder, () => [{ ...root, ...ofRoot }, { ...first, ...ofCa }, second]);
    expect(recorder.calls).toEqual(['claim', 'complete']);
    expect(recorder.completed?.failed.map(({ code }) => code)).toEqual(['ca.not-active', 'ca.not-active']);
    expect(recorder.completed?.failed[0]?.detail).toMatch(why);
  });

  test.each<[string, Partial<CertificationAuthority>]>([
    ['before it issues', { state: 'prepared' }], ['while it does', {}], ['after it', { state: 'retiring' }],
  ])('an OCSP signer is certified by the very CA it answers for, %s (I19)', async (_what, fields) => {
    const recorder = new Recorder([{ ordinal: 10, csr: await csr() }], { signer, chunk: { caId: first.id, purpose: 'ocsp' } });
    await issue(recorder, () => [root, { ...first, ...fields }, { ...second, state: 'active' }], { profile: 'ocsp-signer' });
    expect(recorder.completed?.failed).toEqual([]);
    expect(signedBy(recorder, firstKey)).toBe(true);
    expect(recorder.purposes).toEqual(['ocsp']);
  });

  it('a CA whose certificate was renewed issues by the new one, without a restart', async () => {
    const renewed = certify({ subject: named('ECU issuing'), issuer: rootKey, key: firstKeys(), notAfter: new Date('2029-06-01T00:00:00Z') });
    const own = onRecord('own', certify({ subject: named('ECU issuing'), issuer: rootKey, key: firstKeys(), notAfter: new Date('2026-12-01T00:00:00Z') }), { parentId: root.id });
    keys.set(own.id, renewed);
    let all: readonly CertificationAuthority[] = [root, own];
    const recorder = chunkOf(own);
    const underTest = issuance(recorder, { all: () => all });
    await underTest.issueChunk(1n);
    // A leaf never outlives its issuer (I7).
    expect(recorder.completed?.issued[0]?.notAfter).toEqual(new Date('2026-12-01T00:00:00Z'));
    all = [root, { ...own, certificate: renewed.certificate, notAfter: new Date('2029-06-01T00:00:00Z') }];
    const { now } = performance;
    const later = vi.spyOn(performance, 'now').mockImplementation(() => now.call(performance) + 1000);
    await underTest.issueChunk(1n);
    later.mockRestore();
    expect(recorder.completed?.issued[0]?.notAfter.getTime()).toBeGreaterThan(Date.parse('2027-01-01'));
  });

  it('a CA of an RSA key may sign by PSS', async () => {
    const key = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const rsaKey = certify({ subject: named('RSA issuing'), issuer: rootKey, key });
    const pss = onRecord('rsa', rsaKey, { parentId: root.id, signatureAlgorithm: 'rsa-pss-sha256' });
    const recorder = new Recorder(good, {
      chunk: { caId: pss.id },
      signer: { sign: async (_ca, tbs) => tbs.map((message) => sign('sha256', message, { key: key.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 })) },
    });
    await issue(recorder, () => [root, pss]);
    expect(recorder.completed?.failed).toEqual([]);
    expect(signedBy(recorder, rsaKey)).toBe(true);
    expect(parseCertificate(recorder.completed?.issued[0]?.der ?? new Uint8Array(0)).signatureAlgorithm).toBe('rsa-pss-sha256');
    expect(algorithmIdentifier('rsa-pss-sha256').length).toBeGreaterThan(20);
  });
});

const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const firstKeys = () => pair;

describe('what the CAs above let a CA certify', () => {
  const constrained = (where: 'root' | 'ca'): { all: CertificationAuthority[]; ca: CertificationAuthority } => {
    const constraint = extension.nameConstraints({ permitted: [{ kind: 'dns', value: 'brand-a.example' }] });
    const topKey = certify({ subject: named('Top'), extensions: [...caRights, ...(where === 'root' ? [constraint] : [])] });
    const caKey = certify({ subject: named('Server issuing'), issuer: topKey, extensions: [...caRights, ...(where === 'ca' ? [constraint] : [])] });
    const top = onRecord('top', topKey);
    const ca = onRecord('servers', caKey, { parentId: top.id });
    keys.set(ca.id, caKey);
    return { all: [top, ca], ca };
  };
  const server = async (ordinal: number, name: string): Promise<RequestItem> => ({ ordinal, csr: await csr('p-256', [{ kind: 'dns', value: name }]) });

  test.each(['root', 'ca'] as const)('a name outside the name constraints of the %s fails its item, before the intent', async (where) => {
    const { all, ca } = constrained(where);
    const requests = [await server(10, 'gw.brand-a.example'), await server(11, 'gw.brand-b.example'), await server(12, 'brand-a.example.evil.example')];
    const recorder = new Recorder(requests, { signer, chunk: { caId: ca.id } });
    await issue(recorder, () => all, { profile: 'gateway-server' });
    expect(recorder.completed?.issued.map(({ ordinal }) => ordinal)).toEqual([10]);
    expect(recorder.completed?.failed.map(({ ordinal, code }) => [ordinal, code])).toEqual([[11, 'request.name-refused'], [12, 'request.name-refused']]);
    expect(recorder.completed?.failed[0]?.detail).toMatch(/the CA servers .*4\.2\.1\.10/);
    expect(recorder.intent?.keys.map(({ ordinal }) => ordinal)).toEqual([10]);
  });

  it('a line that is longer than the root allows issues nothing (RFC 5280 section 4.2.1.9)', async () => {
    const topKey = certify({ subject: named('Short root'), extensions: [extension.basicConstraints({ ca: true, pathLength: 0 }), extension.keyUsage(['keyCertSign', 'cRLSign'])] });
    const caKey = certify({ subject: named('Too deep'), issuer: topKey });
    const top = onRecord('short-root', topKey);
    const ca = onRecord('too-deep', caKey, { parentId: top.id });
    const recorder = chunkOf(ca);
    await issue(recorder, () => [top, ca]);
    expect(recorder.calls).toEqual(['claim', 'complete']);
    expect(recorder.completed?.failed[0]).toMatchObject({ code: 'ca.not-active', detail: expect.stringContaining('4.2.1.9') });
  });

  it('a CA with path length 0 issues to leaves', async () => {
    const topKey = certify({ subject: named('Root of one'), extensions: [extension.basicConstraints({ ca: true, pathLength: 1 }), extension.keyUsage(['keyCertSign', 'cRLSign'])] });
    const caKey = certify({ subject: named('The one'), issuer: topKey, extensions: [extension.basicConstraints({ ca: true, pathLength: 0 }), extension.keyUsage(['keyCertSign', 'cRLSign'])] });
    const top = onRecord('root-of-one', topKey);
    const ca = onRecord('the-one', caKey, { parentId: top.id });
    keys.set(ca.id, caKey);
    const recorder = chunkOf(ca);
    await issue(recorder, () => [top, ca]);
    expect(recorder.completed?.issued).toHaveLength(2);
  });
});
