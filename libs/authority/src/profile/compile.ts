import { PkiError } from '@fleetroot/core';
import {
  CertificateTemplate, type CertificationRequest, type Extension, extension, type GeneralName, keyIdentifier,
  type ParsedCertificate, signatureAlgorithmFor, type TemplateFields,
} from '@fleetroot/x509';
import { requestedDnsNames, type RequestFacts } from './check.ts';
import type { Profile } from './profile.ts';

/** The CA as a profile is compiled for it: its certificate and its name in URLs. */
export type ProfileIssuer = ParsedCertificate & { readonly name: string };

/** What is ready to be linted and signed. */
export interface PreparedCertificate {
  /** TBSCertificate, DER. */
  readonly tbs: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Whom the certificate names, where that is not an ECU: the first DNS name, or the profile's name. */
  readonly subjectName: string | undefined;
}

export interface CompiledProfile {
  readonly profile: Profile;
  readonly issuer: ProfileIssuer;
  /**
   * The TBSCertificate: a pure function of the profile, the issuer, the request with its facts, the serial and the time,
   * so that building it again from the ledger's intent gives the same octets (I1).
   * @throws PkiError what `checkRequestAgainstProfile` throws of names; `ca.not-active` where `signedAt` is outside the
   *   issuer's validity
   */
  prepare(facts: RequestFacts, request: CertificationRequest, serial: Uint8Array, signedAt: Date): PreparedCertificate;
}

type Hole = 'ecuSerial' | 'partNumber' | 'dnsName';

/** Compiles the fixed octets once; a thousand certificates then cost what their holes cost. */
export function compileProfile(profile: Profile, issuer: ProfileIssuer): CompiledProfile {
  const template = CertificateTemplate.compile({
    signatureAlgorithm: signatureAlgorithmFor(issuer.spkiDer),
    issuerDer: issuer.subjectDer,
    subject: profile.subject.map((part) => ({
      type: part.type, from: 'fixed' in part ? { fixed: part.fixed } : { hole: part.from },
    })),
    extensions: extensionsOf(profile, issuer),
  });
  return {
    profile,
    issuer,
    prepare(facts, request, serial, signedAt) {
      const { notBefore, notAfter } = validityAt(profile, issuer, signedAt);
      const dnsNames = requestedDnsNames(profile, request);
      const subjectAltNames = subjectAltNamesOf(profile, facts, dnsNames);
      const tbs = template.build({
        serial, notBefore, notAfter, spkiDer: request.spkiDer, subject: subjectOf(profile, facts, dnsNames),
        ...(subjectAltNames.length === 0 ? {} : { subjectAltNames }),
      });
      const subjectName = facts.ecuSerial === undefined ? dnsNames[0] ?? profile.name : undefined;
      return { tbs, notBefore, notAfter, subjectName };
    },
  };
}

/**
 * Whole seconds. Both ends count (RFC 5280 section 4.1.2.5), so the last second is one less than the duration says;
 * never in the future, never beyond the issuer's own validity (I7).
 */
function validityAt({ name, validity }: Profile, issuer: ProfileIssuer, signedAt: Date): { notBefore: Date; notAfter: Date } {
  if (signedAt < issuer.notBefore || signedAt > issuer.notAfter) {
    throw new PkiError('ca.not-active', `the certificate of the CA ${issuer.name} is not valid at this time`);
  }
  const second = Math.floor(signedAt.getTime() / 1000) * 1000;
  const start = Math.max(second - validity.backdateSeconds * 1000, issuer.notBefore.getTime());
  const end = Math.min(start + validity.seconds * 1000 - 1000, issuer.notAfter.getTime());
  if (end <= signedAt.getTime()) {
    throw new PkiError('ca.not-active', `a certificate of the profile ${name} by the CA ${issuer.name} would be over at once`);
  }
  return { notBefore: new Date(start), notAfter: new Date(end) };
}

function subjectOf(profile: Profile, facts: RequestFacts, dnsNames: readonly string[]): Record<string, string> {
  const holes: Partial<Record<Hole, string>> = {};
  for (const part of profile.subject) {
    if (!('from' in part)) continue;
    const text = part.from === 'dnsName' ? dnsNames[0] : facts[part.from];
    if (text === undefined) {
      throw new PkiError('profile.field-missing', `the profile ${profile.name} needs ${part.from}`, { data: { field: part.from } });
    }
    holes[part.from] = text;
  }
  return holes;
}

function subjectAltNamesOf(profile: Profile, facts: RequestFacts, dnsNames: readonly string[]): GeneralName[] {
  return profile.subjectAltNames.flatMap((rule): GeneralName[] => {
    if (rule.kind === 'dns') return dnsNames.map((value) => ({ kind: 'dns', value }));
    const fact = facts[rule.from];
    if (fact === undefined) {
      throw new PkiError('profile.field-missing', `the profile ${profile.name} needs ${rule.from}`, { data: { field: rule.from } });
    }
    return [{ kind: 'uri', value: rule.prefix + fact }];
  });
}

/** In this order, and no other than these (I9). Nothing here can say CA:TRUE: the argument is not a variable. */
function extensionsOf(profile: Profile, issuer: ProfileIssuer): TemplateFields['extensions'] {
  const at = (url: string) => url.replace('{ca}', issuer.name);
  const { ocsp, caIssuers, crl } = profile.urls;
  const usual: TemplateFields['extensions'][number][] = [
    extension.authorityKeyIdentifier(issuer.subjectKeyIdentifier ?? keyIdentifier(issuer.spkiDer)),
    { hole: 'subjectKeyIdentifier' },
    extension.basicConstraints({ ca: false }),
    extension.keyUsage(profile.keyUsage),
    extension.extendedKeyUsage(profile.extendedKeyUsage),
  ];
  const where: Extension[] = [];
  if (profile.certificatePolicies.length > 0) where.push(extension.certificatePolicies(profile.certificatePolicies));
  if (crl !== undefined) where.push(extension.crlDistributionPoints([at(crl)]));
  if (ocsp !== undefined || caIssuers !== undefined) {
    where.push(extension.authorityInformationAccess({
      ...(ocsp === undefined ? {} : { ocsp: at(ocsp) }), ...(caIssuers === undefined ? {} : { caIssuers: at(caIssuers) }),
    }));
  }
  if (profile.ocspNoCheck) where.push(extension.ocspNoCheck());
  // RFC 5280 section 4.1.2.6: with an empty subject the names are all there is, and critical.
  const names = profile.subjectAltNames.length === 0 ? [] : [{ hole: 'subjectAltName' as const, critical: profile.subject.length === 0 }];
  return [...usual, ...names, ...where];
}
