import { equalBytes, isPkiError } from '@fleetroot/core';
import { extensionOids, type ParsedCertificate, parseCertificate, publicKeyFacts, sameSubject, verifySignature } from '@fleetroot/x509';
import type { CertificationAuthority } from '../ports/authorities.ts';
import { isTrusted } from './lineage.ts';

/**
 * What keeps the certificate of an OCSP signer, signed at a ceremony or elsewhere, from coming on record
 * (I19; RFC 6960 sections 4.2.2.2 and 4.2.2.2.1); undefined: nothing does.
 */
export function responderFault(
  certificate: ParsedCertificate, ca: CertificationAuthority, all: readonly CertificationAuthority[], now: Date,
): string | undefined {
  const { extendedKeyUsage, keyUsage, extensions, notAfter } = certificate;
  if (!isTrusted(ca, all)) return `the CA ${ca.name} is ${ca.revocation === undefined ? `${ca.state}, or one above it is revoked` : 'revoked'}`;
  if (extendedKeyUsage?.length !== 1 || extendedKeyUsage[0] !== 'OCSPSigning') return 'it is neither of a CA nor of an OCSP signer: an OCSP signer has the extended key usage OCSPSigning, and no other';
  if (keyUsage !== undefined && !keyUsage.includes('digitalSignature')) return 'its key usage lacks digitalSignature';
  if (!extensions.some(({ oid }) => oid === extensionOids.ocspNoCheck)) return 'it lacks ocsp-nocheck (RFC 6960 section 4.2.2.2.1)';
  if (notAfter < now) return 'it has expired';
  if (notAfter > ca.notAfter) return `it ends after the CA ${ca.name}`;
  return signatureFault(certificate, ca);
}

function signatureFault(certificate: ParsedCertificate, ca: CertificationAuthority): string | undefined {
  const issuer = parseCertificate(ca.certificate);
  const { authorityKeyIdentifier, signatureAlgorithm, tbsDer, signature, spkiDer, issuerDer } = certificate;
  const names = sameSubject(issuerDer, issuer.subjectDer)
    && (authorityKeyIdentifier === undefined || issuer.subjectKeyIdentifier === undefined || equalBytes(authorityKeyIdentifier, issuer.subjectKeyIdentifier));
  try {
    publicKeyFacts(spkiDer, 'certificate.malformed');
    return names && verifySignature(issuer.spkiDer, signatureAlgorithm, tbsDer, signature) ? undefined : `it is not signed by the CA ${ca.name}`;
  } catch (error) {
    if (isPkiError(error)) return error.message;
    throw error;
  }
}
