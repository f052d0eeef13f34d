/** id-pkix-ocsp of RFC 6960 section 4.2.1, under id-ad-ocsp (RFC 5280 appendix A.1). */
const ID_PKIX_OCSP = '1.3.6.1.5.5.7.48.1';
/** RFC 6960 section 4.2.1. */
export const ID_PKIX_OCSP_BASIC = `${ID_PKIX_OCSP}.1`;
/** RFC 6960 section 4.4.1. */
export const ID_PKIX_OCSP_NONCE = `${ID_PKIX_OCSP}.2`;

/** Hashes that name an issuer in a CertID, by the names that node:crypto has for them. */
export type CertIdHash = 'sha1' | 'sha256';

export const CERT_ID_HASHES: ReadonlyMap<string, CertIdHash> = new Map([
  // id-sha1 and id-sha256 of RFC 4055 section 2.1.
  ['1.3.14.3.2.26', 'sha1'],
  ['2.16.840.1.101.3.4.2.1', 'sha256'],
]);
