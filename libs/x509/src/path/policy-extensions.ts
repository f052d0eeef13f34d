import type { ParsedCertificate } from '../certificate/certificate.ts';
import { extensionOids } from '../certificate/oids.ts';
import { DerReader } from '../der/reader.ts';
import { contextTag, tag } from '../der/writer.ts';

export const ANY_POLICY = '2.5.29.32.0';
/** id-qt-cps and id-qt-unotice: words for people, which change nothing here (RFC 5280 section 4.2.1.4). */
const QUALIFIERS: ReadonlySet<string> = new Set(['1.3.6.1.5.5.7.2.1', '1.3.6.1.5.5.7.2.2']);

/** What a certificate says of policies. Counts of certificates that are larger than any path stay as large as they are. */
export interface PolicyExtensions {
  /** undefined where the extension is absent. */
  readonly policies: ReadonlySet<string> | undefined;
  /** From the issuer's policy to the subject's policies that count as the same. */
  readonly mappings: ReadonlyMap<string, readonly string[]>;
  readonly requireExplicitPolicy: number | undefined;
  readonly inhibitPolicyMapping: number | undefined;
  readonly inhibitAnyPolicy: number | undefined;
}

/**
 * Sections 4.2.1.4, 4.2.1.5, 4.2.1.11 and 4.2.1.14 of RFC 5280.
 * @returns undefined where they say what must not be or cannot be processed: then the path is not valid
 * @throws PkiError `certificate.malformed`
 */
export function readPolicyExtensions(certificate: Pick<ParsedCertificate, 'extensions'>): PolicyExtensions | undefined {
  const extension = (oid: string) => certificate.extensions.find((one) => one.oid === oid);
  const named = extension(extensionOids.certificatePolicies);
  const mapped = extension(extensionOids.policyMappings);
  const constrained = extension(extensionOids.policyConstraints);
  const inhibited = extension(extensionOids.inhibitAnyPolicy);
  // Both must be critical (sections 4.2.1.11 and 4.2.1.14): where they are not, others skip what we would hold to.
  if (constrained?.critical === false || inhibited?.critical === false) return undefined;
  const policies = named === undefined ? undefined : readPolicies(named.value, named.critical);
  const mappings = mapped === undefined ? new Map<string, string[]>() : readMappings(mapped.value);
  const constraints = constrained === undefined ? {} : readConstraints(constrained.value);
  if ((named !== undefined && policies === undefined) || mappings === undefined || constraints === undefined) return undefined;
  return {
    policies, mappings, requireExplicitPolicy: constraints.explicit, inhibitPolicyMapping: constraints.mapping,
    inhibitAnyPolicy: inhibited === undefined ? undefined : readSkip(inhibited.value),
  };
}

function open(value: Uint8Array, field: string): DerReader {
  const outer = new DerReader(value, 'certificate.malformed');
  const reader = outer.enter(tag.sequence, field);
  outer.end(field);
  if (reader.atEnd) reader.fail(field, 'is empty');
  return reader;
}

/** undefined where a critical extension has a qualifier that is not understood. */
function readPolicies(value: Uint8Array, critical: boolean): Set<string> | undefined {
  const list = open(value, 'certificatePolicies');
  const policies = new Set<string>();
  let understood = true;
  while (!list.atEnd) {
    const one = list.enter(tag.sequence, 'policyInformation');
    const policy = one.oid('policyIdentifier');
    if (policies.has(policy)) list.fail('certificatePolicies', 'name a policy twice');
    policies.add(policy);
    const qualifiers = one.enterOptional(tag.sequence, 'policyQualifiers');
    one.end('policyInformation');
    if (qualifiers !== undefined) understood = areUnderstood(qualifiers) && understood;
  }
  return understood || !critical ? policies : undefined;
}

function areUnderstood(qualifiers: DerReader): boolean {
  const ids: string[] = [];
  while (!qualifiers.atEnd) ids.push(qualifiers.enter(tag.sequence, 'policyQualifierInfo').oid('policyQualifierId'));
  return ids.every((oid) => QUALIFIERS.has(oid));
}

/** undefined where anyPolicy is mapped, which section 4.2.1.5 forbids. */
function readMappings(value: Uint8Array): Map<string, string[]> | undefined {
  const list = open(value, 'policyMappings');
  const mappings = new Map<string, string[]>();
  while (!list.atEnd) {
    const pair = list.enter(tag.sequence, 'policyMapping');
    const issuers = pair.oid('issuerDomainPolicy');
    const subjects = pair.oid('subjectDomainPolicy');
    pair.end('policyMapping');
    if (issuers === ANY_POLICY || subjects === ANY_POLICY) return undefined;
    const known = mappings.get(issuers);
    if (known === undefined) mappings.set(issuers, [subjects]);
    else known.push(subjects);
  }
  return mappings;
}

/** undefined where neither field is there, which section 4.2.1.11 forbids. */
function readConstraints(value: Uint8Array): { explicit?: number; mapping?: number } | undefined {
  const outer = new DerReader(value, 'certificate.malformed');
  const reader = outer.enter(tag.sequence, 'policyConstraints');
  outer.end('policyConstraints');
  const skip = (n: number): number | undefined => {
    const context = contextTag(n, false);
    return reader.peek() === context ? skipCerts(reader, context) : undefined;
  };
  const explicit = skip(0);
  const mapping = skip(1);
  reader.end('policyConstraints');
  if (explicit === undefined && mapping === undefined) return undefined;
  return { ...(explicit === undefined ? {} : { explicit }), ...(mapping === undefined ? {} : { mapping }) };
}

function readSkip(value: Uint8Array): number {
  const reader = new DerReader(value, 'certificate.malformed');
  const skip = skipCerts(reader, tag.integer);
  reader.end('inhibitAnyPolicy');
  return skip;
}

/** SkipCerts, an INTEGER that is not negative, under any tag. */
function skipCerts(reader: DerReader, tagOctet: number): number {
  const content = reader.value(tagOctet, 'skipCerts');
  const [first, second = 0x80] = content;
  if (first === undefined || first >= 0x80 || (first === 0 && second < 0x80)) reader.fail('skipCerts', 'is not a count');
  return content.reduce((value, octet) => value * 256 + octet, 0);
}
