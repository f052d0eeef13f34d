import { hash } from 'node:crypto';
import { equalBytes, isPkiError, toHex } from '@fleetroot/core';
import { type ParsedCertificate, parseCertificate, spkiSha256, verifySignature } from '@fleetroot/x509';
import type { InspectedAuthority, InspectedCeremonyCertificate } from '../ports/inspection.ts';
import type { Findings } from './report.ts';
import type { SignatureAccount } from './signatures.ts';

/** What ceremonies signed, against its rows and its issuers. */
export function inspectCeremonies(
  rows: readonly InspectedCeremonyCertificate[], authorities: readonly InspectedAuthority[], findings: Findings, account: SignatureAccount | undefined,
): void {
  const byId = new Map(authorities.map((ca) => [ca.id, ca]));
  for (const row of rows) {
    const subject = row.subjectId === null ? undefined : byId.get(row.subjectId);
    const issuer = row.issuerId === null ? undefined : byId.get(row.issuerId);
    const name = `${row.kind} of ${subject?.name ?? 'no CA here'}, serial ${toHex(row.serial)}`;
    findings.count('ceremonyCertificates');
    try {
      const certificate = parseCertificate(row.der);
      account?.maybe(certificate.tbsDer);
      for (const [what, holds] of Object.entries(compare(row, certificate, subject, issuer))) {
        if (!holds) findings.breach('ceremony-row', name, `its ${what} is not that of its row`);
      }
      if (certificate.isCa && certificate.extendedKeyUsage?.includes('OCSPSigning') === true) {
        findings.breach('ocsp-signer', name, 'is the certificate of a CA and has OCSPSigning');
      }
    } catch (error) {
      if (!isPkiError(error)) throw error;
      findings.breach('ceremony-row', name, `cannot be read: ${error.message}`);
    }
  }
}

function compare(
  row: InspectedCeremonyCertificate, certificate: ParsedCertificate, subject: InspectedAuthority | undefined, issuer: InspectedAuthority | undefined,
): Readonly<Record<string, boolean>> {
  const above = issuer === undefined ? undefined : parseCertificate(issuer.certificate);
  return {
    serial: equalBytes(certificate.serial, row.serial),
    'SHA-256': equalBytes(hash('sha256', row.der, 'buffer'), row.sha256),
    notBefore: certificate.notBefore.getTime() === row.notBefore,
    notAfter: certificate.notAfter.getTime() === row.notAfter,
    key: subject === undefined || equalBytes(spkiSha256(certificate.spkiDer), subject.spkiSha256),
    kind: certificate.isCa === (row.kind !== 'ocsp-signer'),
    issuer: above === undefined || equalBytes(certificate.issuerDer, above.subjectDer),
    signature: above === undefined || verifySignature(above.spkiDer, certificate.signatureAlgorithm, certificate.tbsDer, certificate.signature),
  };
}
