import { isPkiError, type PkiError, serialFromBytes } from '@fleetroot/core';
import { issuingLimits, lineFailure, type LineFailure, type ParsedCertificate, parseCertificate, type PathFailure, verifySignature } from '@fleetroot/x509';
import type { CertificationAuthority } from '../ports/authorities.ts';
import { ancestry, isTrusted } from './lineage.ts';

type Ca = CertificationAuthority;

/**
 * What keeps a CA certificate from coming on record, in words for the operator; undefined: nothing does.
 * @param issuer the CA on record that signed it; undefined: the certificate's own key did (a root)
 * @param all CAs on record
 * @param now a certificate whose validity is yet to begin is judged by the time when it begins
 */
export function chainFault(certificate: ParsedCertificate, issuer: Ca | undefined, all: readonly Ca[], now: Date): string | undefined {
  try {
    return ownFault(certificate) ?? (issuer === undefined ? rootFault(certificate) : issuerFault(certificate, issuer, all))
      ?? lineFault(certificate, issuer, all, now);
  } catch (error) {
    if (isPkiError(error) && isAboutCertificate(error)) return error.message;
    throw error;
  }
}

const isAboutCertificate = ({ code }: PkiError): boolean =>
  code === 'certificate.malformed' || code === 'certificate.serial-invalid' || code === 'request.key-refused';

function ownFault({ isCa, keyUsage, extendedKeyUsage, subjectKeyIdentifier, serial }: ParsedCertificate): string | undefined {
  serialFromBytes(serial);
  if (!isCa) return 'it is not the certificate of a CA: basicConstraints with CA:TRUE is missing (RFC 5280 section 4.2.1.9)';
  for (const use of ['keyCertSign', 'cRLSign']) {
    if (keyUsage?.includes(use) !== true) return `its key usage lacks ${use} (RFC 5280 section 4.2.1.3)`;
  }
  // An OCSP answer under that certificate would speak for the CA that issued it (I19; RFC 6960 section 4.2.2.2).
  if (extendedKeyUsage?.includes('OCSPSigning') === true) return 'a CA must not have the extended key usage OCSPSigning';
  return subjectKeyIdentifier === undefined ? 'it has no subject key identifier (RFC 5280 section 4.2.1.2)' : undefined;
}

const rootFault = ({ spkiDer, signatureAlgorithm, tbsDer, signature }: ParsedCertificate): string | undefined =>
  verifySignature(spkiDer, signatureAlgorithm, tbsDer, signature) ? undefined : 'its signature does not verify under its own key';

function issuerFault(certificate: ParsedCertificate, issuer: Ca, all: readonly Ca[]): string | undefined {
  if (issuer.revocation !== undefined) return `its issuer ${issuer.name} is revoked`;
  const untrusted = ancestry(issuer, all).find((ca) => !isTrusted(ca, [ca]));
  if (untrusted !== undefined) return `${untrusted.name} above it is ${untrusted.revocation === undefined ? untrusted.state : 'revoked'}`;
  return certificate.notAfter > issuer.notAfter
    ? `it ends at ${certificate.notAfter.toISOString()}, after its issuer ${issuer.name} (${issuer.notAfter.toISOString()})` : undefined;
}

function lineFault(certificate: ParsedCertificate, issuer: Ca | undefined, all: readonly Ca[], now: Date): string | undefined {
  const above = issuer === undefined ? [] : ancestry(issuer, all);
  const failure = lineFailure([certificate, ...parsed(above)], new Date(Math.max(now.getTime(), certificate.notBefore.getTime())));
  return failure === undefined ? undefined : told(failure, above);
}

const parsed = (line: readonly Ca[]): ParsedCertificate[] => line.map((ca) => parseCertificate(ca.certificate));

function told({ reason, depth }: LineFailure, above: readonly Ca[]): string {
  const words: Readonly<Partial<Record<PathFailure, string>>> = {
    signature: 'its signature does not verify under the key of its issuer', expired: 'it has expired', 'not-yet-valid': 'it is not valid yet',
    key: 'its key is weak or of an unknown kind', 'path-length': 'a CA above it allows fewer CAs below (RFC 5280 section 4.2.1.9)',
    name: 'its name is outside the name constraints of the CAs above it (RFC 5280 section 4.2.1.10)',
    'critical-extension': 'it has a critical extension that is not understood', policy: 'its certificate policies do not fit those of the CAs above it',
  };
  const what = words[reason] ?? `its path is not valid (${reason})`;
  return depth === 0 ? what : `of ${above[depth - 1]?.name ?? 'a CA'} above it: ${what}`;
}

/** What the CAs above let a CA certify. */
export interface ChainConstraints {
  /**
   * Why a leaf with this TBSCertificate must not be signed, in words for the operator; undefined: nothing forbids it.
   * @throws PkiError `certificate.malformed`
   */
  refusal(tbsDer: Uint8Array): string | undefined;
}

/**
 * The constraints of a CA and of those above it (RFC 5280 sections 4.2.1.9, 4.2.1.10 and 4.2.1.11). Undefined where none
 * binds, which is the usual case and costs no leaf anything. Follows from the certificates alone: made once, it holds until
 * the CA, or one above it, has another certificate.
 * @throws PkiError `certificate.malformed`
 */
export function chainConstraints(ca: Ca, all: readonly Ca[]): ChainConstraints | undefined {
  const line = ancestry(ca, all);
  const cas = parsed(line);
  const failure = lineFailure(cas, new Date(Math.max(...cas.map(({ notBefore }) => notBefore.getTime()))));
  if (failure !== undefined) {
    const fault = told(failure, line.slice(1));
    return { refusal: () => `the CA ${ca.name} may certify nothing: ${fault}` };
  }
  const limits = issuingLimits(line.map(({ certificate }) => certificate));
  if (limits === undefined) return undefined;
  return {
    refusal(tbsDer) {
      const reason = limits.refusal(tbsDer);
      return reason === undefined ? undefined : refusals[reason] ?? reason;
    },
  };
}

const refusals: Readonly<Partial<Record<PathFailure, string>>> = {
  name: 'a name of the certificate is outside the name constraints of the CAs above it (RFC 5280 section 4.2.1.10)',
  policy: 'the CAs above require a certificate policy that the profile does not name (RFC 5280 section 4.2.1.11)',
  eku: 'an extended key usage of the profile is not one of those that the CAs above are limited to (RFC 5280 section 4.2.1.12)',
};
