import { PkiError } from '@fleetroot/core';
import {
  CertificateTemplate, encodeName, extension, keyIdentifier, lintCertificate, type ParsedCertificate, type SignatureAlgorithm,
  signatureAlgorithmFor,
} from '@fleetroot/x509';
import type { PlannedAuthority } from './plan.ts';

/** The CA that signs, with its name in URLs. */
export interface CeremonyIssuer {
  readonly name: string;
  readonly certificate: ParsedCertificate;
}

export interface AuthorityHoles {
  readonly serial: Uint8Array;
  readonly notBefore: Date;
  readonly spkiDer: Uint8Array;
  /** Base of the URLs in AIA and CDP of a subordinate CA. */
  readonly statusUrl: string;
}

/**
 * The TBSCertificate of a CA, linted, and what it is to be signed with. A pure function of its arguments.
 * @throws PkiError `certificate.lint` with every rule that it breaks
 */
export function buildAuthority(
  planned: PlannedAuthority, issuer: CeremonyIssuer | undefined, holes: AuthorityHoles,
): { tbs: Uint8Array; algorithm: SignatureAlgorithm; notAfter: Date } {
  const algorithm = signatureAlgorithmFor(issuer?.certificate.spkiDer ?? holes.spkiDer);
  const notAfter = lastSecond(holes.notBefore, planned.years, issuer?.certificate.notAfter);
  const template = CertificateTemplate.compileAuthority({
    signatureAlgorithm: algorithm,
    issuerDer: issuer?.certificate.subjectDer ?? encodeName(planned.subject),
    subject: planned.subject.map(({ type, value }) => ({ type, from: { fixed: value } })),
    extensions: [
      extension.basicConstraints({ ca: true, pathLength: planned.pathLength }),
      extension.keyUsage(['keyCertSign', 'cRLSign']),
      { hole: 'subjectKeyIdentifier' },
      ...(issuer === undefined ? [] : pointers(issuer, holes.statusUrl)),
    ],
  });
  const tbs = template.build({ ...holes, notAfter, subject: {} });
  const findings = lintCertificate(tbs, { issuer: issuer?.certificate, kind: 'ca' }).filter(({ severity }) => severity === 'error');
  if (findings.length > 0) {
    const what = findings.map(({ rule, detail, citation }) => `${rule}: ${detail} (${citation})`).join('; ');
    throw new PkiError('certificate.lint', `the certificate of ${planned.name} is not signed: ${what}`);
  }
  return { tbs, algorithm, notAfter };
}

/** Where a relying party finds the issuer's certificate and CRL (RFC 5280 sections 4.2.2.1 and 4.2.1.13). */
function pointers({ name, certificate }: CeremonyIssuer, statusUrl: string) {
  const base = statusUrl.replace(/\/+$/, '');
  return [
    extension.authorityKeyIdentifier(certificate.subjectKeyIdentifier ?? keyIdentifier(certificate.spkiDer)),
    extension.authorityInformationAccess({ caIssuers: `${base}/ca/${name}.cer` }),
    extension.crlDistributionPoints([`${base}/crl/${name}.crl`]),
  ];
}

/** The last second of so many years, itself valid (RFC 5280 section 4.1.2.5), and never after the issuer's. */
function lastSecond(notBefore: Date, years: number, atMost: Date | undefined): Date {
  const end = new Date(notBefore);
  end.setUTCFullYear(end.getUTCFullYear() + years);
  end.setTime(end.getTime() - 1000);
  return atMost !== undefined && atMost < end ? atMost : end;
}
