import { describe, expect, it, test } from 'vitest';
import { errorCode } from '../../../test/support/error-code.ts';
import { certId, ocspRequest } from '../../../test/support/ocsp-request.ts';
import { certify, named } from '../../../test/support/software-ca.ts';
import {
  assembleOcspResponse, buildOcspResponseData, type CertStatus, der, DerReader, issuerHashes, keyIdentifier, namesIssuer,
  ocspErrorResponse, parseCertificate, parseOcspRequest,
} from '../src/index.ts';

const ca = certify({ subject: named('CA') });
const other = certify({ subject: named('CA') });
const issuer = ca.certificate;
const serial = Uint8Array.of(0x40, 0x01);
const bytes = (value: Uint8Array | undefined) => value === undefined ? undefined : Buffer.from(value).toString('hex');

describe('a request (RFC 6960 section 4.1.1)', () => {
  it('gives its CertIDs, as they came, and its nonce', () => {
    const nonce = new Uint8Array(32).fill(9);
    const request = parseOcspRequest(ocspRequest([{ issuer, serial }, { issuer, serial: Uint8Array.of(0x80), hash: 'sha256' }], nonce));
    expect(request.requests.map(({ hash }) => hash)).toEqual(['sha1', 'sha256']);
    expect(request.requests.map((one) => bytes(one.serial))).toEqual(['4001', '0080']);
    expect(bytes(request.requests[0]?.der)).toBe(bytes(certId({ issuer, serial })));
    expect(bytes(request.nonce)).toBe(bytes(nonce));
  });

  test.each([['sha1', true], ['sha256', true], ['sha512', false]] as const)('names its issuer by %s: %s', (hash, named_) => {
    const [id] = parseOcspRequest(ocspRequest([{ issuer, serial, hash }])).requests;
    if (id === undefined) throw new Error('no CertID');
    expect(namesIssuer(id, issuerHashes(parseCertificate(issuer)))).toBe(named_);
    // The same name, another key.
    expect(namesIssuer(id, issuerHashes(parseCertificate(other.certificate)))).toBe(false);
  });

  const { sequence, explicit, integer, octetString, oid, boolean } = der;
  const requests = sequence(sequence(certId({ issuer, serial })));
  const ext = (id: string, value: Uint8Array, critical = false) => sequence(oid(id), ...(critical ? [boolean(true)] : []), octetString(value));
  const NONCE = '1.3.6.1.5.5.7.48.1.2';
  const withExtensions = (...extensions: Uint8Array[]) => sequence(sequence(requests, explicit(2, sequence(...extensions))));

  test.each<[string, Uint8Array]>([
    ['an explicit version 1', sequence(sequence(explicit(0, integer(0)), requests))],
    ['a requestor name', sequence(sequence(explicit(1, explicit(4, sequence())), requests))],
    ['a signature, which is not checked', sequence(sequence(requests), explicit(0, sequence(sequence(oid('1.2.3')), Uint8Array.of(3, 1, 0))))],
    ['extensions that are not critical', withExtensions(ext('1.3.6.1.5.5.7.48.1.4', sequence()))],
    ['a nonce of 1 octet', ocspRequest([{ issuer, serial }], new Uint8Array(1))],
    ['a nonce of 128 octets', ocspRequest([{ issuer, serial }], new Uint8Array(128))],
    ['a critical nonce', withExtensions(ext(NONCE, octetString(new Uint8Array(16)), true))],
    ['100 CertIDs', ocspRequest(Array.from({ length: 100 }, () => ({ issuer, serial })))],
    ['a CertID hash without parameters', sequence(sequence(sequence(sequence(sequence(
      sequence(oid('1.3.14.3.2.26')), octetString(new Uint8Array(20)), octetString(new Uint8Array(20)), integer(1))))))],
  ])('is read with %s', (_, input) => expect(errorCode(() => parseOcspRequest(input))).toBeUndefined());

  test.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array(0)],
    ['an empty SEQUENCE', sequence()],
    ['no CertID', sequence(sequence(sequence()))],
    ['101 CertIDs', ocspRequest(Array.from({ length: 101 }, () => ({ issuer, serial })))],
    ['more than 64 KiB', sequence(sequence(requests, explicit(2, sequence(ext('1.2.3', new Uint8Array(65_536))))))],
    ['version 2', sequence(sequence(explicit(0, integer(1)), requests))],
    ['an empty nonce', ocspRequest([{ issuer, serial }], new Uint8Array(0))],
    ['a nonce of 129 octets', ocspRequest([{ issuer, serial }], new Uint8Array(129))],
    ['a nonce that is no OCTET STRING', withExtensions(ext(NONCE, integer(5)))],
    ['a nonce twice', withExtensions(ext(NONCE, octetString(new Uint8Array(16))), ext(NONCE, octetString(new Uint8Array(16))))],
    ['a critical extension that nobody knows', withExtensions(ext('1.2.3', integer(5), true))],
    ['a critical extension of one CertID', sequence(sequence(sequence(sequence(certId({ issuer, serial }), explicit(0, sequence(ext('1.2.3', integer(5), true)))))))],
    ['a negative serial', sequence(sequence(sequence(sequence(sequence(sequence(oid('1.3.14.3.2.26')), octetString(new Uint8Array(20)), octetString(new Uint8Array(20)), Uint8Array.of(2, 1, 0x80))))))],
    ['bytes after it', Buffer.concat([ocspRequest([{ issuer, serial }]), Uint8Array.of(0)])],
    ['10,000 nested SEQUENCEs', Buffer.alloc(20_000, Uint8Array.of(0x30, 0x80))],
  ])('is malformed with %s', (_, input) => expect(errorCode(() => parseOcspRequest(input))).toBe('ocsp.request-malformed'));

  it('is malformed wherever it is cut', () => {
    const whole = ocspRequest([{ issuer, serial }], new Uint8Array(16));
    for (let end = 0; end < whole.length; end++) expect(errorCode(() => parseOcspRequest(whole.subarray(0, end)))).toBe('ocsp.request-malformed');
  });
});

describe('a response (RFC 6960 section 4.2.1)', () => {
  const at = new Date('2026-11-22T12:00:00Z');
  const revokedAt = new Date('2026-11-20T01:02:03Z');
  const data = (certStatus: CertStatus, nonce?: Uint8Array) => buildOcspResponseData({
    responderKeyHash: keyIdentifier(ca.spkiDer), producedAt: at, nonce,
    responses: [{ certId: certId({ issuer, serial }), certStatus, thisUpdate: at, nextUpdate: at }],
  });
  /** The CertStatus of the one SingleResponse, as hex. */
  const statusOf = (responseData: Uint8Array) => {
    const reader = new DerReader(responseData, 'internal').enter(0x30, 'ResponseData');
    reader.element('responderID', 0xa2);
    reader.element('producedAt', 0x18);
    const single = reader.enter(0x30, 'responses').enter(0x30, 'SingleResponse');
    single.element('certID');
    return bytes(single.element('certStatus'));
  };

  test.each<[CertStatus, string]>([
    [{ status: 'good' }, '8000'],
    [{ status: 'unknown' }, '8200'],
    [{ status: 'revoked', revokedAt, reason: 0 }, `a111180f${Buffer.from('20261120010203Z').toString('hex')}`],
    [{ status: 'revoked', revokedAt, reason: 1 }, `a116180f${Buffer.from('20261120010203Z').toString('hex')}a0030a0101`],
  ])('says %j', (status, expected) => expect(statusOf(data(status))).toBe(expected));

  it('repeats the nonce', () => {
    const nonce = new Uint8Array(16).fill(0xab);
    expect(bytes(data({ status: 'good' }, nonce))).toContain(`06092b06010505073001020412${'0410'}${bytes(nonce)}`);
    expect(bytes(data({ status: 'good' }))).not.toContain('2b0601050507300102');
  });

  it('carries certificates only where there are any', () => {
    const responseData = data({ status: 'good' });
    const without = assembleOcspResponse(responseData, 'ecdsa-sha256', new Uint8Array(8), []);
    const with_ = assembleOcspResponse(responseData, 'ecdsa-sha256', new Uint8Array(8), [issuer]);
    expect(bytes(with_)).toContain(bytes(issuer));
    expect(with_.length - without.length).toBeGreaterThanOrEqual(issuer.length + 6);
  });

  test.each([
    ['malformedRequest', '30030a0101'], ['internalError', '30030a0102'], ['tryLater', '30030a0103'], ['unauthorized', '30030a0106'],
  ] as const)('of error %s', (status, expected) => expect(bytes(ocspErrorResponse(status))).toBe(expected));
});
