import { hash } from 'node:crypto';
import { equalBytes, isPkiError, PkiError } from '@fleetroot/core';
import { type ParsedCertificate, parseCertificate } from '../certificate/certificate.ts';
import type { SignatureAlgorithm } from '../key/algorithm.ts';
import { verifySignature } from '../key/signature.ts';
import { decodeSignedData, malformed } from './content-info.ts';
import { readSignerInfo, type SignerIdentifier, type SignerInfo } from './signer-info.ts';

/** Each costs a verification. */
const MAX_SIGNERS = 16;

export interface CmsSigner {
  readonly certificate: ParsedCertificate;
  readonly algorithm: SignatureAlgorithm;
  /** The signer's own word; undefined where it gave none. */
  readonly signingTime: Date | undefined;
}

export interface VerifiedSignedData {
  readonly contentType: string;
  readonly content: Uint8Array;
  /** One or more, every one of them verified. */
  readonly signers: readonly CmsSigner[];
  /** As the message has them, DER; not verified. */
  readonly certificates: readonly Uint8Array[];
  readonly crls: readonly Uint8Array[];
}

/**
 * Content and signers of a SignedData, after every signature was verified (RFC 5652 section 5.6) with the key of the
 * certificate that it names, found in the message or in `certificates`. Whether these certificates are trusted is not
 * asked here: `validatePath` with each signer's is the caller's next step.
 * @param outside.content where the message has none (a detached signature)
 * @throws PkiError `cms.malformed`; `cms.signature-invalid` where a signature or digest is wrong, an algorithm is not
 *   accepted, a signer's certificate is not at hand, or nobody signed
 */
export function verifySignedData(
  der: Uint8Array, outside: { content?: Uint8Array; certificates?: readonly Uint8Array[] } = {},
): VerifiedSignedData {
  const parts = decodeSignedData(der);
  const content = theContent(parts.content, outside.content);
  if (parts.signerInfos.length === 0) throw invalid('the message has no signer');
  if (parts.signerInfos.length > MAX_SIGNERS) throw malformed(`a message may have ${MAX_SIGNERS} signers`);
  const candidates = [...parts.certificates, ...(outside.certificates ?? [])].flatMap(readable);
  const signers = parts.signerInfos.map((info) => verifySigner(readSignerInfo(info), parts.contentType, content, candidates));
  return { contentType: parts.contentType, content, signers, certificates: parts.certificates, crls: parts.crls };
}

function theContent(inside: Uint8Array | undefined, outside: Uint8Array | undefined): Uint8Array {
  if (inside !== undefined && outside !== undefined && !equalBytes(inside, outside)) {
    throw invalid('the message has a content other than the one that was given');
  }
  return inside ?? outside ?? malformedContent();
}

function malformedContent(): never {
  throw malformed('the message has no content, and none was given');
}

/** A certificate that cannot be read is nobody's here: it may be of another kind, and the message still good. */
function readable(der: Uint8Array): ParsedCertificate[] {
  try {
    return [parseCertificate(der)];
  } catch (error) {
    if (isPkiError(error)) return [];
    throw error;
  }
}

function verifySigner(
  info: SignerInfo, contentType: string, content: Uint8Array, candidates: readonly ParsedCertificate[],
): CmsSigner {
  const { attributes, algorithm, signature, signedDer } = info;
  if (attributes.contentType !== contentType) throw invalid('the signed content type is not that of the content');
  if (!equalBytes(attributes.messageDigest, hash(info.digest, content, 'buffer'))) {
    throw invalid('the signed digest is not that of the content');
  }
  const named = candidates.filter((certificate) => isNamed(certificate, info.signer));
  if (named.length === 0) throw invalid('the certificate of the signer is not at hand');
  // A key identifier may be that of several certificates, one of which need not have the key.
  const certificate = named.find(({ spkiDer }) => verifySignature(spkiDer, algorithm, signedDer, signature));
  if (certificate === undefined) throw invalid('the signature is not that of the signer');
  return { certificate, algorithm, signingTime: attributes.signingTime };
}

const isNamed = (certificate: ParsedCertificate, signer: SignerIdentifier): boolean =>
  'subjectKeyIdentifier' in signer
    ? certificate.subjectKeyIdentifier !== undefined && equalBytes(certificate.subjectKeyIdentifier, signer.subjectKeyIdentifier)
    : equalBytes(certificate.serial, signer.serial) && equalBytes(certificate.issuerDer, signer.issuerDer);

const invalid = (what: string): PkiError => new PkiError('cms.signature-invalid', what);
