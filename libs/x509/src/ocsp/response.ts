import { DerBackWriter } from '../der/back-writer.ts';
import { DerReader } from '../der/reader.ts';
import { contextTag, enumerated, explicit, generalizedTime, oid, sequence, tag } from '../der/writer.ts';
import { algorithmIdentifier, type SignatureAlgorithm } from '../key/algorithm.ts';
import { ID_PKIX_OCSP_BASIC, ID_PKIX_OCSP_NONCE } from './oids.ts';

// Encoded once: every answer has them.
const BASIC = oid(ID_PKIX_OCSP_BASIC);
const NONCE = oid(ID_PKIX_OCSP_NONCE);
const SUCCESSFUL = enumerated(0);

export type CertStatus =
  | { readonly status: 'good' | 'unknown' }
  /** `reason`: CRLReason; 0 (unspecified) is left out, as on a CRL. */
  | { readonly status: 'revoked'; readonly revokedAt: Date; readonly reason: number };

export interface SingleResponse {
  /** CertID, DER, as the request had it. */
  readonly certId: Uint8Array;
  readonly certStatus: CertStatus;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
}

export interface OcspResponseFields {
  /** SHA-1 of the signer's public key bits (RFC 6960 section 4.2.1, byKey). */
  readonly responderKeyHash: Uint8Array;
  readonly producedAt: Date;
  readonly responses: readonly SingleResponse[];
  /** Of the request, to be repeated. */
  readonly nonce?: Uint8Array | undefined;
}

/** Used over and over: nothing here waits between its first octet and `take`. */
const writer = new DerBackWriter();

/** ResponseData of RFC 6960 section 4.2.1, DER: what the responder signs. */
export function buildOcspResponseData({ responderKeyHash, producedAt, responses, nonce }: OcspResponseFields): Uint8Array {
  writer.clear();
  if (nonce !== undefined) {
    const end = writer.length;
    writer.bytes(nonce);
    writer.header(tag.octetString, writer.length - end);
    writer.header(tag.octetString, writer.length - end);
    writer.bytes(NONCE);
    // Extension, Extensions, [1] EXPLICIT.
    for (const octet of [tag.sequence, tag.sequence, contextTag(1, true)]) writer.header(octet, writer.length - end);
  }
  const list = writer.length;
  for (const response of responses.toReversed()) putSingleResponse(response);
  writer.header(tag.sequence, writer.length - list);
  putTime(producedAt);
  const id = writer.length;
  writer.bytes(responderKeyHash);
  writer.header(tag.octetString, writer.length - id);
  writer.header(contextTag(2, true), writer.length - id);
  writer.header(tag.sequence, writer.length);
  return writer.take();
}

function putSingleResponse({ certId, certStatus, thisUpdate, nextUpdate }: SingleResponse): void {
  const end = writer.length;
  putTime(nextUpdate);
  writer.header(contextTag(0, true), writer.length - end);
  putTime(thisUpdate);
  putStatus(certStatus);
  writer.bytes(certId);
  writer.header(tag.sequence, writer.length - end);
}

function putStatus(status: CertStatus): void {
  if (status.status !== 'revoked') return writer.header(contextTag(status.status === 'good' ? 0 : 2, false), 0);
  const end = writer.length;
  if (status.reason !== 0) writer.bytes(explicit(0, enumerated(status.reason)));
  putTime(status.revokedAt);
  writer.header(contextTag(1, true), writer.length - end);
}

/** Times as DER, whole seconds: a responder says the same few over and over. */
const times = new Map<number, Uint8Array>();
const TIMES = 1000;

function putTime(date: Date): void {
  const second = Math.floor(date.getTime() / 1000);
  let octets = times.get(second);
  if (octets === undefined) {
    if (times.size >= TIMES) times.clear();
    times.set(second, (octets = generalizedTime(date)));
  }
  writer.bytes(octets);
}

/** OCSPResponse with a BasicOCSPResponse, DER. `certificates`: the delegated signer's, or none when the CA itself signed. */
export function assembleOcspResponse(
  responseData: Uint8Array, algorithm: SignatureAlgorithm, signature: Uint8Array, certificates: readonly Uint8Array[],
): Uint8Array {
  writer.clear();
  for (const certificate of certificates.toReversed()) writer.bytes(certificate);
  if (certificates.length > 0) {
    writer.header(tag.sequence, writer.length);
    writer.header(contextTag(0, true), writer.length);
  }
  const end = writer.length;
  writer.bytes(signature);
  // No unused bits.
  writer.octet(0);
  writer.header(tag.bitString, writer.length - end);
  writer.bytes(algorithmIdentifier(algorithm));
  writer.bytes(responseData);
  // BasicOCSPResponse, and the OCTET STRING of ResponseBytes.
  for (const octet of [tag.sequence, tag.octetString]) writer.header(octet, writer.length);
  writer.bytes(BASIC);
  for (const octet of [tag.sequence, contextTag(0, true)]) writer.header(octet, writer.length);
  writer.bytes(SUCCESSFUL);
  writer.header(tag.sequence, writer.length);
  return writer.take();
}

/** OCSPResponseStatus of RFC 6960 section 4.2.1; sigRequired (5) is never ours. */
const ERROR_STATUS = { malformedRequest: 1, internalError: 2, tryLater: 3, unauthorized: 6 } as const;

export type OcspErrorStatus = keyof typeof ERROR_STATUS;

/** OCSPResponse that says only what went wrong. It is not signed (RFC 6960 section 2.3). */
export const ocspErrorResponse = (status: OcspErrorStatus): Uint8Array => sequence(enumerated(ERROR_STATUS[status]));

/**
 * thisUpdate of the first SingleResponse of an OCSPResponse that this responder made.
 * @throws PkiError `internal` where it is none
 */
export function thisUpdateOf(response: Uint8Array): Date {
  const outer = new DerReader(response, 'internal').enter(tag.sequence, 'OCSPResponse');
  outer.element('responseStatus');
  const bytes = outer.enter(contextTag(0, true), 'responseBytes').enter(tag.sequence, 'ResponseBytes');
  bytes.element('responseType');
  const basic = new DerReader(bytes.value(tag.octetString, 'response'), 'internal').enter(tag.sequence, 'BasicOCSPResponse');
  const data = basic.enter(tag.sequence, 'tbsResponseData');
  data.element('responderID');
  data.element('producedAt');
  const single = data.enter(tag.sequence, 'responses').enter(tag.sequence, 'SingleResponse');
  single.element('certID');
  single.element('certStatus');
  const text = Buffer.from(single.value(tag.generalizedTime, 'thisUpdate')).toString('latin1');
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text) ?? single.fail('thisUpdate', 'is no GeneralizedTime');
  return new Date(Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second)));
}
