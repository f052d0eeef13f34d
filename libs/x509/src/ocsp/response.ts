import { DerReader } from '../der/reader.ts';
import {
  bitString, contextTag, enumerated, explicit, generalizedTime, octetString, oid, sequence, tag, tlv,
} from '../der/writer.ts';
import { algorithmIdentifier, type SignatureAlgorithm } from '../key/algorithm.ts';
import { ID_PKIX_OCSP_BASIC, ID_PKIX_OCSP_NONCE } from './oids.ts';

// Encoded once: every answer has them.
const BASIC = oid(ID_PKIX_OCSP_BASIC);
const NONCE = oid(ID_PKIX_OCSP_NONCE);

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

/** ResponseData of RFC 6960 section 4.2.1, DER: what the responder signs. */
export const buildOcspResponseData = (fields: OcspResponseFields): Uint8Array =>
  sequence(
    explicit(2, octetString(fields.responderKeyHash)),
    generalizedTime(fields.producedAt),
    sequence(...fields.responses.map(singleResponse)),
    ...(fields.nonce === undefined ? [] : [
      explicit(1, sequence(sequence(NONCE, octetString(octetString(fields.nonce))))),
    ]),
  );

const singleResponse = ({ certId, certStatus, thisUpdate, nextUpdate }: SingleResponse): Uint8Array =>
  sequence(certId, encodeStatus(certStatus), generalizedTime(thisUpdate), explicit(0, generalizedTime(nextUpdate)));

function encodeStatus(status: CertStatus): Uint8Array {
  switch (status.status) {
    case 'good':
      return tlv(contextTag(0, false));
    case 'unknown':
      return tlv(contextTag(2, false));
    case 'revoked':
      return tlv(
        contextTag(1, true),
        generalizedTime(status.revokedAt),
        ...(status.reason === 0 ? [] : [explicit(0, enumerated(status.reason))]),
      );
  }
}

/** OCSPResponse with a BasicOCSPResponse, DER. `certificates`: the delegated signer's, or none when the CA itself signed. */
export function assembleOcspResponse(
  responseData: Uint8Array, algorithm: SignatureAlgorithm, signature: Uint8Array, certificates: readonly Uint8Array[],
): Uint8Array {
  const basic = sequence(
    responseData,
    algorithmIdentifier(algorithm),
    bitString(signature),
    ...(certificates.length === 0 ? [] : [explicit(0, sequence(...certificates))]),
  );
  return sequence(enumerated(0), explicit(0, sequence(BASIC, octetString(basic))));
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
