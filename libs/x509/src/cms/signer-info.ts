import { id_contentType, id_messageDigest, id_signingTime } from '@peculiar/asn1-cms';
import { readTime } from '../certificate/tbs.ts';
import { DerReader } from '../der/reader.ts';
import { contextTag, integer, octetString, oid, sequence, setOf, tag, time, tlv } from '../der/writer.ts';
import { algorithmFromIdentifier, algorithmIdentifier, type DigestName, type SignatureAlgorithm } from '../key/algorithm.ts';
import { contentDigest, digestIdentifier, findDigest, isRsaEncryption } from './digest.ts';

/** SignerIdentifier (RFC 5652 section 5.3). */
export type SignerIdentifier =
  | { readonly issuerDer: Uint8Array; /** Content octets of the INTEGER. */ readonly serial: Uint8Array }
  | { readonly subjectKeyIdentifier: Uint8Array };

export interface SignedAttributes {
  readonly contentType: string;
  readonly messageDigest: Uint8Array;
  /** What the signer says; nobody vouches for it (RFC 5652 section 11.3). */
  readonly signingTime: Date | undefined;
}

/** SignerInfo, taken apart. */
export interface SignerInfo {
  readonly signer: SignerIdentifier;
  readonly digest: DigestName;
  readonly attributes: SignedAttributes;
  /** The attributes as a SET OF, DER: what is signed (RFC 5652 section 5.4). */
  readonly signedDer: Uint8Array;
  readonly algorithm: SignatureAlgorithm;
  /** In X.509 form. */
  readonly signature: Uint8Array;
}

/** A signer has a handful of attributes. */
const MAX_ATTRIBUTES = 64;
const code = 'cms.malformed';

/** SET OF Attribute, DER: what the signer signs. */
export function encodeSignedAttributes({ contentType, messageDigest, signingTime }: SignedAttributes): Uint8Array {
  const attribute = (type: string, value: Uint8Array) => sequence(oid(type), tlv(tag.set, value));
  return setOf(
    attribute(id_contentType, oid(contentType)),
    attribute(id_messageDigest, octetString(messageDigest)),
    ...(signingTime === undefined ? [] : [attribute(id_signingTime, time(signingTime))]),
  );
}

/** SignerInfo, DER. `version` follows from how the signer is named (RFC 5652 section 5.3). */
export function encodeSignerInfo(
  signer: SignerIdentifier, signedDer: Uint8Array, algorithm: SignatureAlgorithm, signature: Uint8Array,
): Uint8Array {
  const byKey = 'subjectKeyIdentifier' in signer;
  return sequence(
    integer(byKey ? 3 : 1),
    byKey ? tlv(contextTag(0, false), signer.subjectKeyIdentifier) : sequence(signer.issuerDer, tlv(tag.integer, signer.serial)),
    digestIdentifier(contentDigest(algorithm)),
    // IMPLICIT [0] in place of the SET that was signed.
    withTag(signedDer, contextTag(0, true)),
    algorithmIdentifier(algorithm),
    octetString(signature),
  );
}

/**
 * SignerInfo from DER, strictly. Signed attributes must be there, although RFC 5652 leaves them out for id-data: without
 * them a signature over attributes could be passed off as one over content of the same octets.
 * @throws PkiError `cms.malformed`; `cms.signature-invalid` for algorithms that are not accepted
 */
export function readSignerInfo(der: Uint8Array): SignerInfo {
  const outer = new DerReader(der, code);
  const reader = outer.enter(tag.sequence, 'signerInfo');
  outer.end('signerInfo');
  const version = reader.smallInteger('version');
  const signer = readSigner(reader);
  if (version !== ('subjectKeyIdentifier' in signer ? 3 : 1)) reader.fail('version', 'does not fit the kind of signer identifier');
  const digest = findDigest(reader.element('digestAlgorithm', tag.sequence))
    ?? reader.fail('digestAlgorithm', 'is not SHA-256, SHA-384 or SHA-512');
  const signedDer = withTag(reader.element('signedAttrs', contextTag(0, true)), tag.set);
  const algorithm = readAlgorithm(reader, digest);
  const signature = reader.value(tag.octetString, 'signature');
  if (reader.peek() === contextTag(1, true)) reader.element('unsignedAttrs');
  reader.end('signerInfo');
  return { signer, digest, attributes: readSignedAttributes(signedDer), signedDer, algorithm, signature };
}

function withTag(der: Uint8Array, tagOctet: number): Uint8Array {
  const copy = Uint8Array.from(der);
  copy[0] = tagOctet;
  return copy;
}

function readSigner(reader: DerReader): SignerIdentifier {
  if (reader.peek() === contextTag(0, false)) {
    return { subjectKeyIdentifier: reader.value(contextTag(0, false), 'subjectKeyIdentifier') };
  }
  const both = reader.enter(tag.sequence, 'issuerAndSerialNumber');
  const issuerDer = both.element('issuer', tag.sequence);
  const serial = both.integer('serialNumber');
  both.end('issuerAndSerialNumber');
  return { issuerDer, serial };
}

function readAlgorithm(reader: DerReader, digest: DigestName): SignatureAlgorithm {
  const der = reader.element('signatureAlgorithm', tag.sequence);
  const algorithm = isRsaEncryption(der) ? (`rsa-${digest}` as const) : algorithmFromIdentifier(der, 'cms.signature-invalid');
  if (contentDigest(algorithm) !== digest) reader.fail('signatureAlgorithm', 'does not go with digestAlgorithm');
  return algorithm;
}

/** Each of the three at most once, with one value (RFC 5652 sections 11.1 to 11.3); others are read over. */
function readSignedAttributes(signedDer: Uint8Array): SignedAttributes {
  const set = new DerReader(signedDer, code).enter(tag.set, 'signedAttrs');
  const values = new Map<string, DerReader>();
  for (let count = 0; !set.atEnd; count++) {
    if (count === MAX_ATTRIBUTES) set.fail('signedAttrs', `has more than ${MAX_ATTRIBUTES} attributes`);
    const attribute = set.enter(tag.sequence, 'attribute');
    const type = attribute.oid('attrType');
    if (values.has(type)) attribute.fail('attrType', 'stands twice');
    values.set(type, attribute.enter(tag.set, 'attrValues'));
    attribute.end('attribute');
  }
  const one = <T>(type: string, field: string, read: (value: DerReader) => T): T => {
    const value = values.get(type) ?? set.fail(field, 'is missing');
    const result = read(value);
    value.end(field);
    return result;
  };
  return {
    contentType: one(id_contentType, 'contentType', (value) => value.oid('contentType')),
    messageDigest: one(id_messageDigest, 'messageDigest', (value) => value.value(tag.octetString, 'messageDigest')),
    signingTime: values.has(id_signingTime) ? one(id_signingTime, 'signingTime', (value) => readTime(value, 'signingTime').date) : undefined,
  };
}
