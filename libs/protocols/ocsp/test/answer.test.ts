import { describe, expect, it, test } from 'vitest';
import { caName, PkiError, toHex } from '@fleetroot/core';
import type { CertificateStatus, CertificationAuthority } from '@fleetroot/authority';
import { DerReader, extension, parseCertificate } from '@fleetroot/x509';
import { ocspRequest, type OcspQuestion } from '../../../../test/support/ocsp-request.ts';
import { certify, named, p256, type SoftwareCa } from '../../../../test/support/software-ca.ts';
import { answerOcsp, ocspLedger, ocspSigner } from '../../../../test/support/ocsp-responder.ts';
import type { OcspDeps, OcspSigner } from '../src/index.ts';
import { underRevokedCa } from '../src/revoked-ca.ts';

const now = new Date('2026-11-22T12:00:00.750Z');
const root = certify({ subject: named('Root') });
const issuing = certify({ subject: named('Issuing'), issuer: root });
const stranger = certify({ subject: named('Issuing') });
const signerOf = (ca: SoftwareCa, notAfter = new Date('2026-12-01T00:00:00Z')) => certify({
  subject: named('OCSP'), issuer: ca, notAfter,
  extensions: [extension.extendedKeyUsage(['OCSPSigning']), extension.keyUsage(['digitalSignature']), extension.ocspNoCheck()],
});
const signer = signerOf(issuing);

const authority = (id: number, ca: SoftwareCa, more: Partial<CertificationAuthority> = {}): CertificationAuthority => ({
  id, name: caName(`ca-${id}`), parentId: undefined, state: 'active', certificate: ca.certificate, keyId: ca.keyId,
  signatureAlgorithm: undefined, labels: {}, successorId: undefined, switchAt: undefined, revocation: undefined,
  notBefore: new Date(0), notAfter: new Date(0), ...more,
});
const authorities = [authority(1, root), authority(2, issuing)];
const recorded = new Map<string, CertificateStatus>([
  ['01', { status: 'good' }],
  ['02', { status: 'revoked', revokedAt: new Date('2026-11-20T00:00:00Z'), reason: 1 }],
]);
const deps = (changes: Partial<OcspDeps> = {}): OcspDeps => ({
  ledger: ocspLedger(authorities, (caId, serial) => (caId === 2 ? recorded.get(serial) : undefined)),
  signerFor: async (caId) => caId === 2 ? ocspSigner(signer) : undefined,
  clock: { now: () => now }, lifetimeMs: 3_600_000, memoryOctets: 1_000_000, unknownPerSecond: 100, ...changes,
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
    const response = open(await answerOcsp(ocspRequest([ask(1)]), deps({ signerFor: async () => ocspSigner(short) })));
    expect(response.nextUpdates).toEqual(['20261122121000Z']);
  });

  it('signs what it answers', async () => {
    const signed: Uint8Array[] = [];
    const spy: OcspSigner = { certificate: signer.certificate, sign: async (messages) => { signed.push(...messages); return messages.map(signer.sign); } };
    const response = open(await answerOcsp(ocspRequest([ask(1)], new Uint8Array(20).fill(5)), deps({ signerFor: async () => spy })));
    expect(signed.map(toHex)).toEqual([toHex(response.tbs)]);
    expect(toHex(response.tbs)).toContain('05'.repeat(20));
  });
});

describe('an answer for a CA that is revoked, or below one that is (RFC 6960 section 2.7)', () => {
  const revocation = { revokedAt: new Date('2026-11-21T10:20:30Z'), reason: 2 };
  const below = certify({ subject: named('Below'), issuer: issuing });
  const lineOf = (ofRoot: Partial<CertificationAuthority>, ofIssuing: Partial<CertificationAuthority>) =>
    [authority(1, root, ofRoot), authority(2, issuing, { parentId: 1, ...ofIssuing }), authority(3, below, { parentId: 2 })];
  const asked = (line: CertificationAuthority[], issuer: SoftwareCa, id: number, serials: number[]) => answerOcsp(
    ocspRequest(serials.map((serial) => ask(serial, { issuer: issuer.certificate }))),
    deps({
      ledger: ocspLedger(line, (_caId, serial) => recorded.get(serial)), signerFor: async (caId) => caId === id ? ocspSigner(signerOf(issuer)) : undefined,
    }),
  );
  test.each<[string, Partial<CertificationAuthority>, Partial<CertificationAuthority>, SoftwareCa, number, string[]]>([
    ['itself', {}, { state: 'compromised', revocation }, issuing, 2, ['revoked', 'revoked', 'revoked']],
    ['a CA below', {}, { state: 'compromised', revocation }, below, 3, ['revoked', 'revoked', 'revoked']],
    ['a CA two below', { state: 'compromised', revocation }, {}, below, 3, ['revoked', 'revoked', 'revoked']],
    ['the CA above, which is not', {}, { state: 'compromised', revocation }, root, 1, ['good', 'revoked', 'unknown']],
    ['one that is retired in peace', {}, { state: 'retired' }, issuing, 2, ['good', 'revoked', 'unknown']],
  ])('says of good, revoked and unknown serials of %s: %#', async (_, ofRoot, ofIssuing, issuer, id, expected) => {
    expect(open(await asked(lineOf(ofRoot, ofIssuing), issuer, id, [1, 2, 3])).statuses).toEqual(expected);
  });
  it('has the date and the reason of the CA', async () => {
    const { tbs } = open(await asked(lineOf({}, { state: 'compromised', revocation }), issuing, 2, [3]));
    // [1] { GeneralizedTime, [0] { ENUMERATED } }, RFC 6960 section 4.2.1.
    expect(toHex(tbs)).toContain(`a116180f${Buffer.from('20261121102030Z').toString('hex')}a0030a0102`);
  });

  const day = (n: number, reason: number): CertificateStatus => ({ status: 'revoked', revokedAt: new Date(Date.UTC(2026, 10, n)), reason });
  test.each<[string, CertificateStatus | undefined, [number, number], CertificateStatus]>([
    ['good', { status: 'good' }, [20, 1], day(20, 1)],
    ['not on record', { status: 'unknown' }, [20, 5], day(20, 5)],
    ['not even answered', undefined, [20, 1], day(20, 1)],
    ['revoked before, for a weaker reason', day(10, 4), [20, 1], day(10, 1)],
    ['revoked before, for a stronger one', day(10, 1), [20, 5], day(10, 1)],
    ['revoked before, for one as strong', day(10, 1), [20, 2], day(10, 1)],
    ['revoked after', day(21, 4), [20, 5], day(20, 4)],
    ['on hold', day(10, 6), [20, 5], day(10, 5)],
    ['burned', day(10, 0), [20, 2], day(10, 2)],
  ])('of a certificate that is %s', (_, own, [revokedOn, reason], expected) => {
    expect(underRevokedCa(own, { revokedAt: new Date(Date.UTC(2026, 10, revokedOn)), reason })).toEqual(expected);
  });
});

describe('CAs that look alike', () => {
  // Two generations of one name, and a root above each; the key of the first is certified by both.
  const otherRoot = certify({ subject: named('Root') });
  const key = p256();
  const first = certify({ subject: named('Twin'), issuer: root, key });
  const cross = certify({ subject: named('Twin'), issuer: otherRoot, key });
  const second = certify({ subject: named('Twin'), issuer: root });
  const cas = [authority(1, root), authority(2, otherRoot), authority(3, first, { parentId: 1 }), authority(4, second, { parentId: 1 })];
  const byCa = new Map([root, otherRoot, first, second].map((ca, place) => [place + 1, signerOf(ca)]));
  const asked: [number, string][] = [];
  const of = (...questions: OcspQuestion[]) => {
    asked.length = 0;
    return answerOcsp(ocspRequest(questions), deps({
      ledger: ocspLedger(cas, (caId, serial) => { asked.push([caId, serial]); return { status: 'good' }; }),
      signerFor: async (caId) => { const found = byCa.get(caId); return found && ocspSigner(found); },
    }));
  };
  const serialOf = (ca: SoftwareCa) => parseCertificate(ca.certificate).serial;
  test.each<[string, OcspQuestion, number]>([
    ['the first of two generations of one name, by its key', ask(1, { issuer: first.certificate }), 3],
    ['the second', ask(1, { issuer: second.certificate, hash: 'sha256' }), 4],
    ['one CA by the other certificate of its key', ask(1, { issuer: cross.certificate }), 3],
    ['the certificate by its own root', { issuer: root.certificate, serial: serialOf(first) }, 1],
    ['the cross-certificate by the other root of that name', { issuer: otherRoot.certificate, serial: serialOf(cross) }, 2],
  ])('are told apart: %s', async (_, question, caId) => {
    const response = await of(question);
    expect(open(response).statuses).toEqual(['good']);
    expect(asked).toEqual([[caId, toHex(question.serial)]]);
    expect(toHex(response)).toContain(toHex(byCa.get(caId)?.certificate ?? new Uint8Array(1)));
  });
  it('are not answered for together', async () => {
    expect(errorOf(await of(ask(1, { issuer: first.certificate }), ask(1, { issuer: second.certificate })))).toBe('unauthorized');
    expect(asked).toEqual([]);
  });
  it('are one where the key is', async () => {
    expect(open(await of(ask(1, { issuer: first.certificate }), ask(2, { issuer: cross.certificate }))).statuses).toEqual(['good', 'good']);
  });
});

describe('an error', () => {
  const rejecting = (error: unknown) => async (): Promise<never> => {
    throw error;
  };
  const failing = (error: unknown) => deps({ ledger: { ...deps().ledger, lookUp: rejecting(error) } });
  const known = (cas: CertificationAuthority[], more: Partial<OcspDeps> = {}) => deps({ ...more, ledger: { ...deps().ledger, authorities: async () => cas } });
  const later = { clock: { now: () => new Date('2026-12-01T00:00:01Z') } };
  const keyless = known([authority(1, root, { keyId: undefined })]);
  const expired = known([authority(2, issuing, { state: 'compromised' })], later);
  test.each<[string, Uint8Array, OcspDeps, string]>([
    ['rubbish', Uint8Array.of(1, 2, 3), deps(), 'malformedRequest'],
    ['nothing', new Uint8Array(0), deps(), 'malformedRequest'],
    ['a CA of the same name that is not ours', ocspRequest([ask(1, { issuer: stranger.certificate })]), deps(), 'unauthorized'],
    ['a hash that no CA is known by', ocspRequest([ask(1, { hash: 'sha512' })]), deps(), 'unauthorized'],
    ['two CAs at once', ocspRequest([ask(1), ask(1, { issuer: root.certificate })]), deps(), 'unauthorized'],
    ['one CA of ours and one that is not', ocspRequest([ask(1), ask(1, { issuer: stranger.certificate })]), deps(), 'unauthorized'],
    ['a CA without a signer yet', ocspRequest([ask(1, { issuer: root.certificate })]), deps(), 'tryLater'],
    ['an offline CA without a signer', ocspRequest([ask(1, { issuer: root.certificate })]), keyless, 'unauthorized'],
    ['a compromised CA whose signer has expired', ocspRequest([ask(1)]), expired, 'unauthorized'],
    ['a CA below a revoked one whose signer has expired', ocspRequest([ask(1)]), known([authority(1, root, { state: 'retired', revocation: { revokedAt: new Date(0), reason: 5 } }), authority(2, issuing, { parentId: 1 })], later), 'unauthorized'],
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
