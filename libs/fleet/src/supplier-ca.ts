import { isPkiError, PkiError } from '@fleetroot/core';
import { checkTrustAnchor, type ParsedCertificate } from '@fleetroot/x509';

/**
 * Whether a supplier's certificate may become an anchor for its factory certificates: a CA by basicConstraints and by
 * keyCertSign, both there; valid at `now`; with a strong key, a name, and no critical extension that is not understood;
 * not reserved for uses other than client authentication. A self-signed one must verify. It need not be a root.
 * @param der one certificate, DER
 * @throws PkiError `supplier.certificate-invalid`, with `data.reason` where the certificate is well-formed
 */
export function checkSupplierCa(der: Uint8Array, now: Date): ParsedCertificate {
  let certificate: ParsedCertificate;
  try {
    certificate = checkTrustAnchor(der, now, 'clientAuth');
  } catch (cause) {
    if (!isPkiError(cause) || (cause.code !== 'certificate.path-invalid' && cause.code !== 'certificate.malformed')) throw cause;
    throw new PkiError('supplier.certificate-invalid', refusal(cause), { cause, data: cause.data });
  }
  // A path does without the key usage of an old CA; a supplier that registers today has one (RFC 5280 section 4.2.1.3).
  if (certificate.keyUsage === undefined) {
    throw new PkiError('supplier.certificate-invalid', 'the CA certificate has no key usage: it needs keyCertSign', { data: { reason: 'key-usage' } });
  }
  return certificate;
}

const reasons: Readonly<Record<string, string>> = {
  expired: 'the CA certificate has expired',
  'not-yet-valid': 'the CA certificate is not valid yet',
  'not-a-ca': 'the certificate is not that of a CA: register the CA that signs the factory certificates, not one of these',
  'key-usage': 'the CA certificate may not sign certificates: its key usage lacks keyCertSign',
  eku: 'the CA certificate may not be used for client authentication',
  key: 'the key of the CA certificate is weak or of an unknown kind',
  signature: 'the CA certificate names itself as issuer, but is not signed by its own key',
  name: 'the CA certificate has no subject',
  'critical-extension': 'the CA certificate has a critical extension that is not understood',
};

const refusal = (cause: PkiError): string => reasons[String(cause.data['reason'])] ?? cause.message;
