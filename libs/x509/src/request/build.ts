import { bitString, contextTag, integer, oid, sequence, tag, tlv } from '../der/writer.ts';
import { encodeExtension, extension } from '../certificate/extension.ts';
import { algorithmIdentifier, type SignatureAlgorithm } from '../key/algorithm.ts';
import type { GeneralName } from '../name/general-name.ts';
import { encodeName, type NamePart } from '../name/name.ts';
import { EXTENSION_REQUEST } from './requested-extensions.ts';

export interface RequestFields {
  /** May be empty. */
  readonly subject: readonly NamePart[];
  readonly spkiDer: Uint8Array;
  /** Asked for by an extensionRequest; absent or empty: no extension is asked for. */
  readonly subjectAltNames?: readonly GeneralName[];
  readonly algorithm: SignatureAlgorithm;
}

/**
 * Certification request, DER (RFC 2986 section 4). `sign` gets the CertificationRequestInfo and returns the signature
 * in X.509 form (ECDSA as DER).
 * @throws PkiError `request.name-refused`
 */
export async function buildRequest(
  fields: RequestFields, sign: (info: Uint8Array) => Uint8Array | Promise<Uint8Array>,
): Promise<Uint8Array> {
  const info = sequence(integer(0), encodeName(fields.subject), fields.spkiDer, tlv(contextTag(0, true), ...attributes(fields)));
  return sequence(info, algorithmIdentifier(fields.algorithm), bitString(await sign(info)));
}

function attributes({ subjectAltNames = [], subject }: RequestFields): Uint8Array[] {
  if (subjectAltNames.length === 0) return [];
  const asked = encodeExtension(extension.subjectAltName(subjectAltNames, subject.length === 0));
  return [sequence(oid(EXTENSION_REQUEST), tlv(tag.set, sequence(asked)))];
}
