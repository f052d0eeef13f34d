import { isPkiError } from '@fleetroot/core';
import { type ParsedCertificate, parseCertificate } from '../certificate/certificate.ts';
import { extensionOids } from '../certificate/oids.ts';
import { parseTbs } from '../certificate/tbs.ts';
import { node } from './candidates.ts';
import { constrainedNames } from './constrained-names.ts';
import { NameConstraints } from './name-constraints.ts';
import { comparableName, sameName } from './name-match.ts';
import { PathPolicies } from './policies.ts';
import { readPolicyExtensions } from './policy-extensions.ts';
import type { PathFailure } from './rules.ts';
import { PathWalk } from './walk.ts';

/** What is wrong with a line of CAs, and with which. */
export interface LineFailure {
  readonly reason: PathFailure;
  /** Place in the line, its first CA being 0. */
  readonly depth: number;
}

/**
 * Whether a CA may stand below the CAs above it and issue: what `validatePath` asks of the CAs of a path, of every one in
 * this line, the first included: signatures, keys, validity, the rights of a CA, path length (RFC 5280 section 4.2.1.9), name
 * constraints (section 4.2.1.10), policies.
 * @param line the CA first, its issuers after it, the anchor last
 * @throws PkiError `certificate.malformed`
 */
export function lineFailure(line: readonly ParsedCertificate[], time: Date): LineFailure | undefined {
  // A leaf will follow: it counts in the length of the path.
  const walk = new PathWalk(line.length + 1, { time });
  for (let depth = line.length - 1; depth >= 0; depth--) {
    const current = line[depth];
    const reason = current === undefined ? undefined : walk.addCa(node(current), line[depth + 1]);
    if (reason !== undefined) return { reason, depth };
  }
  return undefined;
}

/** What a line of CAs lets the first of them certify. */
export interface IssuingLimits {
  /**
   * Why relying parties would refuse a leaf with this TBSCertificate, or undefined: `name`, `policy`, `eku`.
   * @throws PkiError `certificate.malformed`
   */
  refusal(tbsDer: Uint8Array): PathFailure | undefined;
}

/**
 * The limits that a line of CAs sets to the leaves that the first of them issues: name constraints (RFC 5280 section
 * 4.2.1.10), policies that are required (section 4.2.1.11), and extended key usages of the CAs, which `validatePath` and
 * others hold to be limits too. Undefined where none binds.
 * @param line DER; the CA first, its issuers after it, the anchor last
 * @throws PkiError `certificate.malformed`
 */
export function issuingLimits(line: readonly Uint8Array[]): IssuingLimits | undefined {
  const cas = line.map((der) => parseCertificate(der));
  const constraints = cas.flatMap(({ extensions }) => extensions.filter(({ oid }) => oid === extensionOids.nameConstraints));
  const purposes = cas.flatMap(({ extendedKeyUsage }) => (extendedKeyUsage === undefined ? [] : [extendedKeyUsage]));
  const needsPolicy = cas.some((ca) => {
    const said = readPolicyExtensions(ca);
    return said === undefined || said.requireExplicitPolicy !== undefined;
  });
  if (constraints.length === 0 && purposes.length === 0 && !needsPolicy) return undefined;
  return {
    refusal(tbsDer) {
      const { subjectDer, extensions, known } = parseTbs(tbsDer, 'certificate.malformed', 'accept-defaults');
      if (!namesAllowed(constraints.map(({ value }) => value), { subjectDer, extensions })) return 'name';
      if (needsPolicy && !policiesAllow(cas, { extensions })) return 'policy';
      return purposes.every((allowed) => usesWithin(known.extendedKeyUsage, allowed)) ? undefined : 'eku';
    },
  };
}

function namesAllowed(constraints: readonly Uint8Array[], leaf: Pick<ParsedCertificate, 'subjectDer' | 'extensions'>): boolean {
  // Anew for each leaf: what one path may ask for in comparisons is bounded.
  const state = new NameConstraints();
  return constraints.every((value) => state.add(value))
    && state.allow(constrainedNames({ certificate: leaf, subject: comparableName(leaf.subjectDer) }));
}

function policiesAllow(cas: readonly ParsedCertificate[], leaf: Pick<ParsedCertificate, 'extensions'>): boolean {
  const policies = new PathPolicies(cas.length, undefined);
  for (const [place, ca] of cas.toReversed().entries()) {
    const { subject, issuer } = node(ca);
    if (!(place === 0 ? policies.addAnchor(ca) : policies.addCa(ca, sameName(subject, issuer)))) return false;
  }
  return policies.addLeaf(leaf) !== undefined;
}

/** One without extended key usage may be used for whatever its CAs may. OCSPSigning is for the CA itself to give, and no CA certificate has it (RFC 6960 section 4.2.2.2). */
function usesWithin(wanted: readonly string[] | undefined, allowed: readonly string[]): boolean {
  return wanted === undefined || allowed.includes('anyExtendedKeyUsage') || wanted.every((use) => use === 'OCSPSigning' || allowed.includes(use));
}

/** Whether two certificates name the same, by the rules of RFC 5280 section 7.1. False where a name is not well-formed. */
export function sameSubject(a: Uint8Array, b: Uint8Array): boolean {
  try {
    return sameName(comparableName(a), comparableName(b));
  } catch (error) {
    if (isPkiError(error)) return false;
    throw error;
  }
}
