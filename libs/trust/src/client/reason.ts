/** Every answer that a client certificate may get, in words for whoever reads a gateway's log. Codes are never renamed. */
export const clientReasons = {
  allowed: 'the certificate is on record, valid and not revoked',
  // The certificate by itself
  'certificate.missing': 'no client certificate was presented',
  'certificate.malformed': 'the certificate is not valid DER, PEM or base64, or is too large',
  'certificate.expired': 'the certificate has expired',
  'certificate.not-yet-valid': 'the certificate is not valid yet',
  'certificate.not-for-clients': 'the certificate is not for TLS clients: its extended key usage lacks clientAuth',
  // Who issued it
  'issuer.unknown': 'no CA of this installation has issued the certificate',
  'certificate.signature-invalid': 'the certificate is not signed by the CA that it names',
  'certificate.path-invalid': 'the CA could not have issued this certificate',
  'ca.revoked': 'the CA that issued the certificate, or one above it, is revoked',
  'ca.not-trusted': 'the CA that issued the certificate, or one above it, is retired or outside its validity',
  'truststore.not-found': 'the installation has no truststore of that name',
  'truststore.not-member': 'the CA that issued the certificate is not in the truststore',
  // What the ledger says
  'certificate.not-on-record': 'the CA has no such certificate on record',
  'certificate.altered': 'the certificate is not octet for octet the one on record',
  'certificate.revoked': 'the certificate is revoked',
  'certificate.held': 'the certificate is on hold',
  'key.blocked': 'the public key of the certificate is blocked',
  'status.unavailable': 'whether the certificate is revoked cannot be told now: the database has been away for too long',
  'clock.skew': 'the clock of this process and that of the database differ too much',
  // Who asks, and how
  'proxy.unknown': 'no setting lets this proxy say who its client is (FLEETROOT_AUTHORIZE_PROXIES)',
  'proxy.token-invalid': 'the proxy must send the token of a gateway in X-Fleetroot-Proxy-Token',
  'header.ambiguous': 'the header came more than once, or with several certificates',
  'header.conflicting': 'headers of the request do not say the same of the client',
  'header.malformed': 'the header is not of the form that was agreed on',
} as const;

export type ClientReason = keyof typeof clientReasons;
