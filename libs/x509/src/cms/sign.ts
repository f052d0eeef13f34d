import { hash } from 'node:crypto';
import { PkiError } from '@fleetroot/core';
import { id_data } from '@peculiar/asn1-cms';
import type { ParsedCertificate } from '../certificate/certificate.ts';
import type { SignatureAlgorithm } from '../key/algorithm.ts';
import { signatureAlgorithmFor } from '../key/public-key.ts';
import { verifySignature } from '../key/signature.ts';
import { encodeSignedData } from './content-info.ts';
import { contentDigest, digestIdentifier } from './digest.ts';
import { encodeSignedAttributes, encodeSignerInfo, type SignerIdentifier } from './signer-info.ts';

export interface SignedDataFields {
  readonly content: Uint8Array;
  /** OID; id-data where absent. */
  readonly contentType?: string;
  /** The content goes another way: it is signed, but not part of the message. */
  readonly detached?: boolean;
  readonly signer: ParsedCertificate;
  /** How the message names the signer. `subjectKeyIdentifier` needs a certificate that has one. */
  readonly namedBy?: 'issuerAndSerialNumber' | 'subjectKeyIdentifier';
  /** What the key signs by default, where absent. */
  readonly algorithm?: SignatureAlgorithm;
  /** Left out where absent: nothing here reads a clock. */
  readonly signingTime?: Date;
  /** DER; put in as they are. The signer's own is not added. */
  readonly certificates?: readonly Uint8Array[];
  readonly crls?: readonly Uint8Array[];
}

/**
 * ContentInfo with a SignedData of one signer, DER. `sign` gets the signed attributes, DER, and gives the signature in
 * X.509 form (ECDSA as DER); it is verified before the message is put together.
 * @throws PkiError `hsm.signature-invalid` where the signature is not the signer's; what `sign` throws passes through
 */
export async function buildSignedData(
  fields: SignedDataFields, sign: (signedAttributes: Uint8Array) => Uint8Array | Promise<Uint8Array>,
): Promise<Uint8Array> {
  const { content, contentType = id_data, signer } = fields;
  const algorithm = fields.algorithm ?? signatureAlgorithmFor(signer.spkiDer);
  const digest = contentDigest(algorithm);
  const signedDer = encodeSignedAttributes({
    contentType, messageDigest: hash(digest, content, 'buffer'), signingTime: fields.signingTime,
  });
  const signature = await sign(signedDer);
  if (!verifySignature(signer.spkiDer, algorithm, signedDer, signature)) {
    throw new PkiError('hsm.signature-invalid', 'the signature over the CMS attributes is not that of the signer');
  }
  const identifier = nameOf(signer, fields.namedBy);
  return encodeSignedData({
    // RFC 5652 section 5.1: 3 where a SignerInfo is version 3 or the content is other than id-data.
    version: 'subjectKeyIdentifier' in identifier || contentType !== id_data ? 3 : 1,
    digestAlgorithms: [digestIdentifier(digest)],
    contentType,
    content: fields.detached === true ? undefined : content,
    certificates: fields.certificates ?? [],
    crls: fields.crls ?? [],
    signerInfos: [encodeSignerInfo(identifier, signedDer, algorithm, signature)],
  });
}

function nameOf(signer: ParsedCertificate, by: SignedDataFields['namedBy']): SignerIdentifier {
  if (by !== 'subjectKeyIdentifier') return { issuerDer: signer.issuerDer, serial: signer.serial };
  if (signer.subjectKeyIdentifier === undefined) throw new RangeError('the signer has no subject key identifier to be named by');
  return { subjectKeyIdentifier: signer.subjectKeyIdentifier };
}
