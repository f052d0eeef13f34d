import { id_data } from '@peculiar/asn1-cms';
import { parseCertificate } from '../certificate/certificate.ts';
import { parseCrl } from '../crl/parse.ts';
import { decodeSignedData, encodeSignedData, malformed } from './content-info.ts';

/** What a certs-only message carries, DER each. */
export interface CertificateBundle {
  readonly certificates: readonly Uint8Array[];
  readonly crls: readonly Uint8Array[];
}

/**
 * Certs-only message: the degenerate SignedData without signer and content (RFC 5652 section 5.2), DER. Its sets have no
 * order of their own: DER sorts them.
 * @throws PkiError `certificate.malformed`, `crl.invalid` for what is not a certificate or CRL
 */
export function encodeCertsOnly(bundle: { certificates: readonly Uint8Array[]; crls?: readonly Uint8Array[] }): Uint8Array {
  for (const certificate of bundle.certificates) parseCertificate(certificate);
  for (const crl of bundle.crls ?? []) parseCrl(crl);
  return encodeSignedData({
    version: 1, digestAlgorithms: [], contentType: id_data, content: undefined, certificates: bundle.certificates,
    crls: bundle.crls ?? [], signerInfos: [],
  });
}

/**
 * Certificates and CRLs of a certs-only message, in the order they came, byte for byte: not taken apart, not verified.
 * @throws PkiError `cms.malformed`, also where the message has a signer or content
 */
export function decodeCertsOnly(der: Uint8Array): CertificateBundle {
  const { certificates, crls, signerInfos, content } = decodeSignedData(der);
  if (signerInfos.length > 0 || content !== undefined) throw malformed('a certs-only message has neither signer nor content');
  return { certificates, crls };
}
