import { PkiError } from '@fleetroot/core';
import { readExtensionList } from '../certificate/extension-list.ts';
import { DerReader } from '../der/reader.ts';
import { contextTag, tag } from '../der/writer.ts';
import { CERT_ID_HASHES, type CertIdHash, ID_PKIX_OCSP_NONCE } from './oids.ts';

/** What a stranger may send, at most. */
export const OCSP_MAX_OCTETS = 65_536;
/** Each asks for a row of the ledger. */
const MAX_CERT_IDS = 100;
/** The lengths of a nonce that RFC 9654 knows. */
const NONCE_MIN = 1;
const NONCE_MAX = 128;
/** Tag of NULL. */
const NULL = 5;

/** CertID of RFC 6960 section 4.1.1. */
export interface CertId {
  /** Whole, for the answer to repeat. */
  readonly der: Uint8Array;
  /** undefined: an algorithm that no CA here is looked up by. */
  readonly hash: CertIdHash | undefined;
  readonly issuerNameHash: Uint8Array;
  readonly issuerKeyHash: Uint8Array;
  /** Content octets of the INTEGER. */
  readonly serial: Uint8Array;
}

export interface OcspRequest {
  readonly requests: readonly CertId[];
  /** 1 to 128 octets. */
  readonly nonce: Uint8Array | undefined;
}

/**
 * Reads an OCSPRequest (RFC 6960 section 4.1.1). A signature on it is read over, not checked: answers are for
 * everybody. Extensions other than the nonce are ignored, unless critical (section 4.1.2).
 * @throws PkiError `ocsp.request-malformed`
 */
export function parseOcspRequest(der: Uint8Array): OcspRequest {
  if (der.length > OCSP_MAX_OCTETS) {
    throw new PkiError('ocsp.request-malformed', `an OCSP request may have ${OCSP_MAX_OCTETS} octets`);
  }
  const input = new DerReader(der, 'ocsp.request-malformed');
  const request = input.enter(tag.sequence, 'OCSPRequest');
  input.end('OCSPRequest');
  const tbs = request.enter(tag.sequence, 'tbsRequest');
  request.enterOptional(contextTag(0, true), 'optionalSignature');
  request.end('OCSPRequest');

  const version = tbs.enterOptional(contextTag(0, true), 'version');
  if (version !== undefined && version.smallInteger('version') !== 0) version.fail('version', 'is not v1');
  tbs.enterOptional(contextTag(1, true), 'requestorName');
  const list = tbs.enter(tag.sequence, 'requestList');
  const requests: CertId[] = [];
  while (!list.atEnd) {
    if (requests.length === MAX_CERT_IDS) list.fail('requestList', `has more than ${MAX_CERT_IDS} entries`);
    requests.push(readRequest(list));
  }
  if (requests.length === 0) list.fail('requestList', 'is empty');
  const nonce = readNonce(tbs);
  tbs.end('tbsRequest');
  return { requests, nonce };
}

function readRequest(list: DerReader): CertId {
  const request = list.enter(tag.sequence, 'Request');
  const der = request.element('reqCert', tag.sequence);
  const single = request.enterOptional(contextTag(0, true), 'singleRequestExtensions');
  if (single !== undefined) refuseCritical(single, 'singleRequestExtensions');
  request.end('Request');

  const certId = new DerReader(der, 'ocsp.request-malformed').enter(tag.sequence, 'reqCert');
  const algorithm = certId.enter(tag.sequence, 'hashAlgorithm');
  const hash = CERT_ID_HASHES.get(algorithm.oid('hashAlgorithm'));
  // NULL or absent, which are the same (RFC 4055 section 2.1): an answer repeats them, and each form is cached by itself.
  if (!algorithm.atEnd) {
    const parameters = algorithm.element('hashAlgorithm parameters');
    if (hash !== undefined && (parameters.length !== 2 || parameters[0] !== NULL)) algorithm.fail('hashAlgorithm parameters', 'are not NULL');
  }
  algorithm.end('hashAlgorithm');
  const issuerNameHash = certId.value(tag.octetString, 'issuerNameHash');
  const issuerKeyHash = certId.value(tag.octetString, 'issuerKeyHash');
  const serial = certId.integer('serialNumber');
  certId.end('reqCert');
  return { der, hash, issuerNameHash, issuerKeyHash, serial };
}

function readNonce(tbs: DerReader): Uint8Array | undefined {
  const wrapped = tbs.enterOptional(contextTag(2, true), 'requestExtensions');
  if (wrapped === undefined) return undefined;
  const value = refuseCritical(wrapped, 'requestExtensions', ID_PKIX_OCSP_NONCE);
  if (value === undefined) return undefined;
  const reader = new DerReader(value, 'ocsp.request-malformed');
  const nonce = reader.value(tag.octetString, 'nonce');
  reader.end('nonce');
  if (nonce.length < NONCE_MIN || nonce.length > NONCE_MAX) {
    reader.fail('nonce', `must have ${NONCE_MIN} to ${NONCE_MAX} octets`);
  }
  return nonce;
}

/** Value of the extension that is known here, if it is there; refuses any other that is critical. */
function refuseCritical(wrapped: DerReader, field: string, known?: string): Uint8Array | undefined {
  let value: Uint8Array | undefined;
  for (const extension of readExtensionList(wrapped, field)) {
    if (extension.oid === known) value = extension.value;
    else if (extension.critical) wrapped.fail(`the critical extension ${extension.oid}`, 'is not understood');
  }
  wrapped.end(field);
  return value;
}
