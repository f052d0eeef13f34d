import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import { PkiError } from '@fleetroot/core';

/** More certificates than any factory's path has. */
const MAX_CERTIFICATES = 10;

/**
 * The certificates that the client sent, DER, its own first. The handshake has proven that the client has the key of the
 * first; nothing else about them is checked.
 * @throws PkiError `registration.certificate-missing`
 */
export function peerChain(socket: Pick<TLSSocket, 'getPeerCertificate'>): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let certificate: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  // Without one, Node gives an empty object; a self-signed one names itself as its issuer.
  while (certificate?.raw !== undefined && chain.length < MAX_CERTIFICATES) {
    chain.push(new Uint8Array(certificate.raw));
    const issuer: DetailedPeerCertificate | undefined = certificate.issuerCertificate;
    certificate = issuer === certificate ? undefined : issuer;
  }
  if (chain.length === 0) throw new PkiError('registration.certificate-missing', 'present the factory certificate in the TLS handshake');
  return chain;
}
