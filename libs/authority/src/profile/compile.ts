import { PkiError } from '@fleetroot/core';
import {
  CertificateTemplate, type CertificationRequest, type GeneralName, type ParsedCertificate, type SignatureAlgorithm, signatureAlgorithmFor,
} from '@fleetroot/x509';
import type { RequestFacts } from './check.ts';
import { leafExtensions } from './extensions.ts';
import { hardwareModuleName } from './hardware-module-name.ts';
import type { Profile } from './profile.ts';
import { requestedAttributes, requestedNames, type RequestedNames } from './requested.ts';
import { crlShard } from './shard.ts';
import { certificateOctets, refuseOverBudget } from './size.ts';
import { validityAt } from './validity.ts';
import { worstCase } from './worst-case.ts';

/** The CA as a profile is compiled for it: its certificate and its name in URLs. */
export type ProfileIssuer = ParsedCertificate & { readonly name: string };

/** What is ready to be linted and signed. */
export interface PreparedCertificate {
  /** TBSCertificate, DER. */
  readonly tbs: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Whom the certificate names, where that is not an ECU: the first DNS name, the common name that the request gave, or the profile's name. */
  readonly subjectName: string | undefined;
}

export interface CompiledProfile {
  readonly profile: Profile;
  readonly issuer: ProfileIssuer;
  /**
   * No certificate of this profile and issuer has more octets than these, whatever is asked for. Where they are within the
   * profile's size budget, no request is ever refused for it.
   */
  readonly worstCaseOctets: number;
  /**
   * The TBSCertificate: a pure function of the profile, the issuer, the request with its facts, the serial and the time,
   * so that building it again from the ledger's intent gives the same octets (I1).
   * @throws PkiError what `checkRequestAgainstProfile` throws of names; `ca.not-active` where `signedAt` is outside the
   *   issuer's validity; `certificate.lint` where it would be over the size budget, or signed as the profile forbids
   */
  prepare(facts: RequestFacts, request: CertificationRequest, serial: Uint8Array, signedAt: Date): PreparedCertificate;
}

/**
 * Compiles the fixed octets once; a thousand certificates then cost what their holes cost.
 * @param algorithm what the CA signs with; the default of its key unless given
 */
export function compileProfile(
  profile: Profile, issuer: ProfileIssuer, algorithm: SignatureAlgorithm = signatureAlgorithmFor(issuer.spkiDer),
): CompiledProfile {
  const templateOf = templates(profile, issuer, algorithm);
  const octets = certificateOctets(issuer.spkiDer, algorithm);
  const validity = validityOf({ ...profile, issuer });
  return {
    profile,
    issuer,
    get worstCaseOctets() {
      return octets(worstCase(profile, templateOf));
    },
    prepare(facts, request, serial, signedAt) {
      requireSignature(profile, issuer.name, algorithm);
      const { notBefore, notAfter } = validity(signedAt);
      const names = requestedNames(profile, request);
      const attributes = requestedAttributes(profile, request);
      const tbs = templateOf(serial).build({
        serial, notBefore, notAfter, spkiDer: request.spkiDer, subject: subjectOf(profile, facts, names.dns, attributes),
        subjectAltNames: subjectAltNamesOf(profile, facts, names),
      });
      refuseOverBudget(profile, octets(tbs.length));
      const subjectName = facts.ecuSerial === undefined ? names.dns[0] ?? attributes.commonName ?? profile.name : undefined;
      return { tbs, notBefore, notAfter, subjectName };
    },
  };
}

/** As `validityAt`; the items of a chunk share their time, so that the last answer is kept. */
function validityOf(term: Parameters<typeof validityAt>[0]): (signedAt: Date) => ReturnType<typeof validityAt> {
  let last: { readonly ms: number; readonly validity: ReturnType<typeof validityAt> } | undefined;
  return (signedAt) => {
    const ms = signedAt.getTime();
    if (last?.ms !== ms) last = { ms, validity: validityAt(term, signedAt) };
    return last.validity;
  };
}

/** One template for each CRL shard, compiled when the first certificate of the shard comes. */
function templates(
  profile: Profile, issuer: ProfileIssuer, signatureAlgorithm: SignatureAlgorithm,
): (serial: Uint8Array) => CertificateTemplate {
  const compile = (shard: number) => CertificateTemplate.compile({
    signatureAlgorithm,
    issuerDer: issuer.subjectDer,
    subject: profile.subject.map((part) => ({ type: part.type, from: 'fixed' in part ? { fixed: part.fixed } : { hole: part.type } })),
    extensions: leafExtensions(profile, issuer, shard),
  });
  const ready = new Map([[0, compile(0)]]);
  return (serial) => {
    const shard = crlShard(serial, profile.crlShards ?? 1);
    const template = ready.get(shard) ?? compile(shard);
    ready.set(shard, template);
    return template;
  };
}

function requireSignature({ name, signatureAlgorithms }: Profile, issuer: string, algorithm: SignatureAlgorithm): void {
  if (signatureAlgorithms === undefined || (signatureAlgorithms as readonly string[]).includes(algorithm)) return;
  throw new PkiError('certificate.lint', `the CA ${issuer} signs with ${algorithm}; the profile ${name} takes ${signatureAlgorithms.join(', ')}: use another CA`);
}

/** Values by attribute type: no type stands twice in a profile. */
function subjectOf(
  profile: Profile, facts: RequestFacts, dnsNames: readonly string[], attributes: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  const holes: Record<string, string | undefined> = { ...attributes };
  for (const part of profile.subject) {
    if (!('from' in part) || part.from === 'request') continue;
    const text = part.from === 'dnsName' ? dnsNames[0] : facts[part.from];
    holes[part.type] = text ?? missing(profile, part.from);
  }
  return holes;
}

function subjectAltNamesOf(profile: Profile, facts: RequestFacts, names: RequestedNames): GeneralName[] {
  return profile.subjectAltNames.flatMap((rule): GeneralName[] => {
    if (rule.kind === 'dns') return names.dns.map((value) => ({ kind: 'dns', value }));
    if (rule.kind === 'ip') return names.ip.map((value) => ({ kind: 'ip', value }));
    if (rule.from === 'request') return names.uri.map((value) => ({ kind: 'uri', value }));
    const fact = facts[rule.from] ?? missing(profile, rule.from);
    return [rule.kind === 'uri' ? { kind: 'uri', value: rule.prefix + fact } : hardwareModuleName(rule.hwType, fact)];
  });
}

function missing({ name }: Profile, field: string): never {
  throw new PkiError('profile.field-missing', `the profile ${name} needs ${field}`, { data: { field } });
}
