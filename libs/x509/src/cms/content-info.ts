import { isPkiError, PkiError } from '@fleetroot/core';
import { type EncapsulatedContentInfo, id_signedData } from '@peculiar/asn1-cms';
import { AsnParser } from '@peculiar/asn1-schema';
import { type AsnType, fromBER, OctetString } from 'asn1js';
import { contextTag, explicit, integer, octetString, oid, sequence, setOf, tag } from '../der/writer.ts';
import { SignedContentInfo, type WholeSet } from './schema.ts';

/** Octets of a message that is read. */
export const CMS_MAX_OCTETS = 1024 * 1024;
/** Certificates, CRLs or signers of a message that is read. */
const MAX_ELEMENTS = 1000;
/** The library makes an object of every value, so their number and depth bound its work. It shall not look into strings. */
const berOptions = { maxDepth: 40, maxNodes: 10_000, maxContentLength: CMS_MAX_OCTETS, parseEmbedded: false };

/** SignedData, with everything in it that is signed in its own octets. */
export interface SignedDataParts {
  readonly contentType: string;
  /** Absent where the content goes another way. */
  readonly content: Uint8Array | undefined;
  readonly certificates: readonly Uint8Array[];
  readonly crls: readonly Uint8Array[];
  readonly signerInfos: readonly Uint8Array[];
}

/**
 * ContentInfo (RFC 5652 section 3) with a SignedData, DER: sets in ascending order, an empty optional one left out. By
 * our own writer, since the library would write certificates anew.
 */
export function encodeSignedData(parts: SignedDataParts & { version: number; digestAlgorithms: readonly Uint8Array[] }): Uint8Array {
  const { certificates, crls, content } = parts;
  return sequence(oid(id_signedData), explicit(0, sequence(
    integer(parts.version),
    setOf(...parts.digestAlgorithms),
    sequence(oid(parts.contentType), ...(content === undefined ? [] : [explicit(0, octetString(content))])),
    ...(certificates.length === 0 ? [] : [implicitSet(0, certificates)]),
    ...(crls.length === 0 ? [] : [implicitSet(1, crls)]),
    setOf(...parts.signerInfos),
  )));
}

function implicitSet(n: number, elements: readonly Uint8Array[]): Uint8Array {
  const set = setOf(...elements);
  set[0] = contextTag(n, true);
  return set;
}

/**
 * SignedData of a ContentInfo. Its frame may be BER, as programs that stream write it; what stands in it is given whole,
 * in the order it came. Certificates and CRLs are those of X.509 only: other kinds (RFC 5652 section 10.2) are refused.
 * @throws PkiError `cms.malformed`
 */
export function decodeSignedData(der: Uint8Array): SignedDataParts {
  if (der.length > CMS_MAX_OCTETS) throw malformed(`a CMS message may have ${CMS_MAX_OCTETS} octets`);
  try {
    return partsOf(der);
  } catch (error) {
    if (isPkiError(error)) throw error;
    throw malformed('the message is not a ContentInfo with a SignedData', error);
  }
}

function partsOf(der: Uint8Array): SignedDataParts {
  const { contentType, content: data } = AsnParser.fromASN(readBlock(der), SignedContentInfo);
  if (contentType !== id_signedData) throw malformed('the content of the message is not signed-data');
  return {
    contentType: data.encapContentInfo.eContentType,
    content: contentOf(data.encapContentInfo),
    certificates: elements(data.certificates, 'certificates'),
    crls: elements(data.crls, 'crls'),
    signerInfos: elements(data.signerInfos, 'signerInfos'),
  };
}

/** The one value that `ber` is; nothing may follow it. */
function readBlock(ber: Uint8Array): AsnType {
  const { offset, result } = fromBER(ber, berOptions);
  if (offset === -1) throw malformed(`the message is not BER: ${result.error}`);
  if (offset !== ber.length) throw malformed(`bytes follow the message, from byte ${offset} on`);
  return result;
}

/** The octets of eContent. In BER it may be a string of strings, which the library knows as `any`. */
function contentOf({ eContent }: EncapsulatedContentInfo): Uint8Array | undefined {
  if (eContent === undefined) return undefined;
  if (eContent.single !== undefined) return new Uint8Array(eContent.single.buffer);
  const block = readBlock(new Uint8Array(eContent.any ?? new ArrayBuffer(0)));
  if (!(block instanceof OctetString)) throw malformed('the signed content is not an OCTET STRING');
  return new Uint8Array(block.getValue());
}

function elements(set: WholeSet | undefined, field: string): Uint8Array[] {
  if (set === undefined) return [];
  if (set.length > MAX_ELEMENTS) throw malformed(`${field} has more than ${MAX_ELEMENTS} elements`);
  return Array.from(set, (octets) => {
    const der = new Uint8Array(octets ?? new ArrayBuffer(0));
    if (der[0] !== tag.sequence) throw malformed(`${field} has an element of a kind that is not read here`);
    return der;
  });
}

/** The error for a message that is not what it should be. */
export const malformed = (what: string, cause?: unknown): PkiError =>
  new PkiError('cms.malformed', what, cause === undefined ? {} : { cause });
