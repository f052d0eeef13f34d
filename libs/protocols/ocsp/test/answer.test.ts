import { describe, expect, it, test } from 'vitest';
import { caName, PkiError, toHex } from '@fleetroot/core';
import type { CertificateStatus, CertificationAuthority } from '@fleetroot/authority';
import { DerReader, extension } from '@fleetroot/x509';
import { ocspRequest, type OcspQuestion } from '../../../../test/support/ocsp-request.ts';
import { certify, named, type SoftwareCa } from '../../../../test/support/software-ca.ts';
import { answerOcsp, type OcspDeps } from '../src/index.ts';

const now = new Date('2026-11-22T12:00:00.750Z');
const root = certify({ subject: named('Root') });
const issuing = certify({ subject: named('Issuing'), issuer: root });
const stranger = certify({ subject: named('Issuing') });
const signerOf = (ca: SoftwareCa, notAfter = new Date('2026-12-01T00:00:00Z')) => certify({
  subject: named('OCSP'), issuer: ca, notAfter,
  extensions: [extension.extendedKeyUsage(['OCSPSigning']), extension.keyUsage(['digitalSignature']), extension.ocspNoCheck()],
});
const signer = signerOf(issuing);

const authority = (id: number, ca: SoftwareCa): CertificationAuthority => ({
  id, name: caName(`ca-${id}`), parentId: undefined, state: 'active', certificate: ca.certificate, keyId: ca.keyId,
  notBefore: new Date(0), notAfter: new Date(0),
});
const authorities = [authority(1, root), authority(2, issuing)];
const recorded = new Map<string, CertificateStatus>([
  ['01', { status: 'good' }],
  ['02', { status: 'revoked', revokedAt: new Date('2026-11-20T00:00:00Z'), reason: 1 }],
]);
const deps = (changes: Partial<OcspDeps> = {}): OcspDeps => ({
  ledger: {
    authorities: async () => authorities,
    statuses: async (caId, serials) => serials.map((serial) => (caId === 2 ? recorded.get(toHex(serial)) : undefined) ?? { status: 'unknown' }),
  },
  signerFor: async (caId) => caId === 2 ? signer : undefined,
  clock: { now: () => now }, lifetimeMs: 3_600_000, ...changes,
});
const ask = (serial: number, more: Partial<OcspQuestion> = {}): OcspQuestion => ({ issuer: issuing.certificate, serial: Uint8Array.of(serial), ...more });

const errors = { '30030a0101': 'malformedRequest', '30030a0102': 'internalError', '30030a0103': 'tryLater', '30030a0106': 'unauthorized' };
const errorOf = (response: Uint8Array) => (errors as Record<string, string>)[toHex(response)];
const tags: Record<number, string> = { 0x80: 'good', 0xa1: 'revoked', 0x82: 'unknown' };

/** Statuses, nextUpdate and what is signed, read step by step. */
function open(response: Uint8Array) {
  const reader = new DerReader(response, 'internal').enter(0x30, 'OCSPResponse');
  expect(toHex(reader.element('responseStatus'))).toBe('0a0100');
  const bytes = reader.enter(0xa0, 'responseBytes').enter(0x30, 'ResponseBytes');
  expect(bytes.oid('responseType')).toBe('1.3.6.1.5.5.7.48.1.1');
  const basic = new DerReader(bytes.value(4, 'response'), 'internal').enter(0x30, 'BasicOCSPResponse');
  const tbs = basic.element('tbsResponseData');
  const data = new DerReader(tbs, 'internal').enter(0x30, 'ResponseData');
  data.element('responderID');
  const producedAt = Buffer.from(data.value(0x18, 'producedAt')).toString();
  const list = data.enter(0x30, 'responses');
  const statuses: string[] = [];
  const nextUpdates: string[] = [];
  while (!list.atEnd) {
    const single = list.enter(0x30, 'SingleResponse');
    single.element('certID');
    statuses.push(tags[single.peek() ?? 0] ?? '?');
    single.element('certStatus');
    single.element('thisUpdate');
    nextUpdates.push(Buffer.from(single.enter(0xa0, 'nextUpdate').value(0x18, 'nextUpdate')).toString());
  }
  return { tbs, producedAt, statuses, nextUpdates };
}

describe('an answer', () => {
  it('is good for a recorded serial, revoked, or unknown for any other (I16)', async () => {
    const response = open(await answerOcsp(ocspRequest([ask(1), ask(2), ask(3), ask(1, { hash: 'sha256' })]), deps()));
    expect(response.statuses).toEqual(['good', 'revoked', 'unknown', 'good']);
  });

  it('is of this second, and lives as long as it is told', async () => {
    const response = open(await answerOcsp(ocspRequest([ask(1)]), deps()));
    expect(response).toMatchObject({ producedAt: '20261122120000Z', nextUpdates: ['20261122130000Z'] });
  });

  it('does not outlive its signer', async () => {
    const short = signerOf(issuing, new Date('2026-11-22T12:10:00Z'));
    const response = open(await answerOcsp(ocspRequest([ask(1)]), deps({ signerFor: async () => short })));
    expect(response.nextUpdates).toEqual(['20261122121000Z']);
  });

  it('signs what it answers', async () => {
    const signed: Uint8Array[] = [];
    const spy = { certificate: signer.certificate, sign: (tbs: Uint8Array) => { signed.push(tbs); return signer.sign(tbs); } };
    const response = open(await answerOcsp(ocspRequest([ask(1)], new Uint8Array(20).fill(5)), deps({ signerFor: async () => spy })));
    expect(signed.map(toHex)).toEqual([toHex(response.tbs)]);
    expect(toHex(response.tbs)).toContain('05'.repeat(20));
  });
});

describe('an error', () => {
  const rejecting = (error: unknown) => async (): Promise<never> => {
    throw error;
  };
  const failing = (error: unknown) => deps({ ledger: { authorities: async () => authorities, statuses: rejecting(error) } });
  test.each<[string, Uint8Array, OcspDeps, string]>([
    ['rubbish', Uint8Array.of(1, 2, 3), deps(), 'malformedRequest'],
    ['nothing', new Uint8Array(0), deps(), 'malformedRequest'],
    ['a CA of the same name that is not ours', ocspRequest([ask(1, { issuer: stranger.certificate })]), deps(), 'unauthorized'],
    ['a hash that no CA is known by', ocspRequest([ask(1, { hash: 'sha512' })]), deps(), 'unauthorized'],
    ['two CAs at once', ocspRequest([ask(1), ask(1, { issuer: root.certificate })]), deps(), 'unauthorized'],
    ['one CA of ours and one that is not', ocspRequest([ask(1), ask(1, { issuer: stranger.certificate })]), deps(), 'unauthorized'],
    ['a CA without a signer yet', ocspRequest([ask(1, { issuer: root.certificate })]), deps(), 'tryLater'],
    ['a signer that has expired', ocspRequest([ask(1)]), deps({ clock: { now: () => new Date('2026-12-01T00:00:01Z') } }), 'tryLater'],
    ['a signer that cannot sign now', ocspRequest([ask(1)]), deps({ signerFor: rejecting(new PkiError('hsm.unavailable')) }), 'tryLater'],
    ['a ledger that is away', ocspRequest([ask(1)]), failing(new PkiError('store.unavailable')), 'tryLater'],
    ['a ledger that fails for good', ocspRequest([ask(1)]), failing(new PkiError('hsm.key-mismatch')), 'internalError'],
    ['a mistake of ours', ocspRequest([ask(1)]), failing(new TypeError('x is not a function')), 'internalError'],
  ])('answers %s', async (_, request, with_, expected) => expect(errorOf(await answerOcsp(request, with_))).toBe(expected));

  it('of ours is told to the log, one of the client is not', async () => {
    const heard: unknown[] = [];
    const onError = (error: unknown) => heard.push(error);
    const error = new PkiError('store.unavailable');
    await answerOcsp(ocspRequest([ask(1)]), { ...failing(error), onError });
    await answerOcsp(Uint8Array.of(1), { ...deps(), onError });
    expect(heard).toEqual([error]);
  });
});
