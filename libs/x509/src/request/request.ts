import { PkiError } from '@fleetroot/core';
import { DerReader } from '../der/reader.ts';
import { contextTag, tag } from '../der/writer.ts';
import { algorithmFromIdentifier, type SignatureAlgorithm } from '../key/algorithm.ts';
import { importPublicKey, isOfFamily, type PublicKeyFacts, readPublicKey } from '../key/public-key.ts';
import { verifyWithKey, verifyWithSpki } from '../key/signature.ts';
import type { GeneralName } from '../name/general-name.ts';
import { parseName } from '../name/name.ts';
import { readRequestedNames } from './requested-extensions.ts';

/** A certification request (PKCS #10, RFC 2986), taken apart. Byte fields are views of the input. */
export interface CertificationRequest {
  readonly der: Uint8Array;
  /** CertificationRequestInfo: what is signed. */
  readonly infoDer: Uint8Array;
  readonly subjectDer: Uint8Array;
  readonly spkiDer: Uint8Array;
  readonly key: PublicKeyFacts;
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly signature: Uint8Array;
  /** Of the requested extensions; empty where none are asked for. What a profile does not allow is not taken. */
  readonly subjectAltNames: readonly GeneralName[];
}

/** Octets of DER that a request may have. */
export const MAX_REQUEST_OCTETS = 64 * 1024;

/**
 * Request from DER, strictly; bytes after it are refused. Costs microseconds: the signature is not verified, see
 * `verifyPossession`. Attributes other than requested extensions (challenge passwords and the like) are ignored.
 * @throws PkiError `request.empty`, `request.too-large`, `request.malformed`, `request.trailing-bytes`,
 *   `request.key-refused`, `request.signature-algorithm-refused`, `request.ca-requested`
 */
export function parseRequest(der: Uint8Array): CertificationRequest {
  const code = 'request.malformed';
  if (der.length === 0) throw new PkiError('request.empty', 'the request has no octets');
  if (der.length > MAX_REQUEST_OCTETS) {
    throw new PkiError('request.too-large', `a request has at most ${MAX_REQUEST_OCTETS} octets`, {
      data: { limit: MAX_REQUEST_OCTETS },
    });
  }
  const outer = new DerReader(der, code);
  const reader = outer.enter(tag.sequence, 'certificationRequest');
  refuseTrailing(outer);
  const start = reader.offset;
  const info = readInfo(reader);
  const infoDer = der.subarray(start, reader.offset);
  const algorithmDer = reader.element('signatureAlgorithm', tag.sequence);
  const signature = reader.bitString('signature');
  reader.end('signature');
  const { subjectDer, spkiDer, key, family, subjectAltNames } = info;
  return { der, infoDer, subjectDer, spkiDer, key, signatureAlgorithm: checkAlgorithm(algorithmDer, family), signature, subjectAltNames };
}

function refuseTrailing(outer: DerReader): void {
  if (outer.atEnd) return;
  throw new PkiError('request.trailing-bytes', `bytes follow the request, from byte ${outer.offset} on`, {
    data: { offset: outer.offset },
  });
}

type Info = Pick<CertificationRequest, 'subjectDer' | 'spkiDer' | 'key' | 'subjectAltNames'> & { readonly family: readonly string[] };

/** CertificationRequestInfo (RFC 2986 section 4.1). */
function readInfo(reader: DerReader): Info {
  const code = 'request.malformed';
  const info = reader.enter(tag.sequence, 'certificationRequestInfo');
  if (info.smallInteger('version') !== 0) info.fail('version', 'is not v1(0)');
  const subjectDer = info.element('subject', tag.sequence);
  parseName(subjectDer, code);
  const spkiDer = info.element('subjectPublicKeyInfo', tag.sequence);
  // The attributes are not OPTIONAL, but some senders leave them out, and OpenSSL has always let that pass.
  const attributes = info.enterOptional(contextTag(0, true), 'attributes');
  info.end('attributes');
  const { facts: key, family } = readPublicKey(spkiDer, code);
  return { subjectDer, spkiDer, key, family, subjectAltNames: attributes === undefined ? [] : readRequestedNames(attributes) };
}

function checkAlgorithm(algorithmDer: Uint8Array, family: readonly string[]): SignatureAlgorithm {
  const code = 'request.signature-algorithm-refused';
  const signatureAlgorithm = algorithmFromIdentifier(algorithmDer, code);
  if (!isOfFamily(signatureAlgorithm, family)) {
    throw new PkiError(code, 'the signature algorithm is not one of the key in the request');
  }
  return signatureAlgorithm;
}

/**
 * Proof of possession: the request is signed by the private key of the public key in it (RFC 2986 section 3). The most
 * costly step of an issuance, some 100 microseconds.
 * @throws PkiError `request.signature-invalid`; `request.key-refused` for a point that is not on its curve
 */
export function verifyPossession(request: CertificationRequest): void {
  if (verifyWithSpki(request.spkiDer, request.signatureAlgorithm, request.infoDer, request.signature)) return;
  // Why not: is it the key, or the signature?
  const key = importPublicKey(request.spkiDer);
  if (!verifyWithKey(key, request.signatureAlgorithm, request.infoDer, request.signature)) {
    throw new PkiError('request.signature-invalid', 'the request is not signed by the key it holds');
  }
}
