import { PkiError } from '@fleetroot/core';
import { type ParsedCertificate, parseCertificate } from '../certificate/certificate.ts';
import { candidatePaths, MAX_PATH, type Node, node } from './candidates.ts';
import { sameName } from './name-match.ts';
import { PathPolicies } from './policies.ts';
import { Revocation } from './revocation.ts';
import { checkCa, checkCertificate, checkSignature, type PathFailure, type PathPurpose } from './rules.ts';
import { PathWalk } from './walk.ts';

export interface PathInput {
  /** DER. */
  readonly leaf: Uint8Array;
  /** DER, in any order; at most 10. Not trusted. */
  readonly intermediates: readonly Uint8Array[];
  /**
   * CA certificates that are trusted, DER. They need not be self-signed, and are held to the same rules as any other
   * CA in the path (validity, CA rights, constraints); only their signature is not looked at.
   */
  readonly anchors: readonly Uint8Array[];
  /** Validity counts whole seconds, both ends included. */
  readonly time: Date;
  /** What the leaf is to be used for. A leaf without extended key usage serves every purpose (RFC 5280 section 4.2.1.12). */
  readonly purpose?: PathPurpose | undefined;
  /**
   * Certificate policies, OIDs of which the path must be valid for one at least: the user-initial-policy-set of RFC 5280
   * section 6.1.1, with initial-explicit-policy set. Absent: any policy or none, unless a CA requires one.
   */
  readonly policies?: readonly string[] | undefined;
  /**
   * CRLs, DER, in any order. Where given, every certificate below the anchor must be covered by a current CRL of its
   * issuer that does not list it. Absent: revocation is not looked at.
   */
  readonly crls?: readonly Uint8Array[] | undefined;
}

export interface ValidatedPath {
  /** Leaf first, anchor last. */
  readonly chain: readonly ParsedCertificate[];
  /** Place of the anchor in `anchors`. */
  readonly anchor: number;
  /** The policies that the path is valid for (OIDs; `2.5.29.32.0` is any policy). Often empty. */
  readonly policies: readonly string[];
}

interface Failure {
  readonly reason: PathFailure;
  /** Place in the path, the leaf being 0. */
  readonly depth: number;
}

/** Paths that are tried, at most: a signature check costs, and certificates come from strangers. */
const MAX_CANDIDATES = 16;

/**
 * Builds and validates a path (RFC 5280 section 6.1; policies by the graph of RFC 9618; revocation by CRLs).
 * @throws PkiError `certificate.path-invalid` with `data.reason` (a PathFailure) and `data.depth`;
 *   `certificate.malformed` where a certificate is not well-formed
 */
export function validatePath(input: PathInput): ValidatedPath {
  if (input.intermediates.length > MAX_PATH) fail({ reason: 'too-many', depth: 0 });
  const anchors = input.anchors.map((der, place) => node(parseCertificate(der), place));
  const intermediates = input.intermediates.map((der) => node(parseCertificate(der)));
  const leaf = node(parseCertificate(input.leaf));
  const revocation = input.crls === undefined ? undefined : new Revocation(input.crls, input.time);
  let failure: Failure = { reason: 'no-anchor', depth: 0 };
  let candidates = 0;
  for (const path of candidatePaths(leaf, intermediates, anchors)) {
    if (++candidates > MAX_CANDIDATES) break;
    const found = checkPath(path, input, revocation);
    if (!('reason' in found)) {
      return { chain: path.map(({ certificate }) => certificate), anchor: path[path.length - 1]?.anchor ?? -1, ...found };
    }
    // A candidate of the right name but the wrong key tells less than one whose signatures hold.
    if (failure.reason === 'no-anchor' || failure.reason === 'signature') failure = found;
  }
  return fail(failure);
}

/**
 * The checks that `validatePath` makes of an anchor, made of one certificate that is to become one.
 * @throws PkiError `certificate.path-invalid` with `data.reason`; `certificate.malformed`
 */
export function checkTrustAnchor(der: Uint8Array, time: Date, purpose?: PathPurpose): ParsedCertificate {
  const anchor = node(parseCertificate(der));
  const { certificate } = anchor;
  const selfIssued = sameName(anchor.subject, anchor.issuer);
  const reason = checkCertificate(certificate, time) ?? checkCa(certificate, purpose)
    ?? (new PathPolicies(0, undefined).addAnchor(certificate) ? undefined : 'policy')
    ?? (selfIssued ? checkSignature(certificate, certificate) : undefined);
  return reason === undefined ? certificate : fail({ reason, depth: 0 });
}

/** Each failure in words. */
export const pathFailures: Readonly<Record<PathFailure, string>> = {
  'no-anchor': 'no path leads to a trusted CA',
  'too-many': `a path has at most ${MAX_PATH} certificates`,
  signature: 'a signature in the path does not verify',
  expired: 'a certificate in the path has expired',
  'not-yet-valid': 'a certificate in the path is not valid yet',
  key: 'a key in the path is weak or of an unknown kind',
  'not-a-ca': 'an issuer in the path is not a CA',
  'path-length': 'the path is longer than one of its CAs allows',
  'key-usage': 'a key usage in the path does not allow this use',
  eku: 'an extended key usage in the path does not allow this use',
  name: 'a name in the path is outside what its CAs may certify',
  'critical-extension': 'a critical extension in the path is not understood',
  'ca-as-leaf': 'the certificate is that of a CA',
  policy: 'the path is not valid for a certificate policy that is required',
  revoked: 'a certificate in the path is revoked',
  'crl-missing': 'no CRL of its issuer tells whether a certificate in the path is revoked',
  'crl-invalid': 'a CRL cannot be used',
  'crl-key-usage': 'an issuer in the path may not sign CRLs',
  'crl-signature': 'a CRL is not signed by the issuer it names',
  'crl-expired': 'the newest CRL of an issuer in the path is past its nextUpdate',
  'crl-not-yet-valid': 'a CRL of an issuer in the path is from the future',
};

function fail({ reason, depth }: Failure): never {
  throw new PkiError('certificate.path-invalid', pathFailures[reason], { data: { reason, depth } });
}

/** Steps of RFC 5280 sections 6.1.3 to 6.1.5, from the anchor to the leaf. */
function checkPath(
  path: readonly Node[], { time, purpose, policies }: PathInput, revocation: Revocation | undefined,
): Failure | Pick<ValidatedPath, 'policies'> {
  const walk = new PathWalk(path.length, { time, purpose, policies, revocation });
  for (let depth = path.length - 1; depth > 0; depth--) {
    const current = path[depth];
    const reason = current === undefined ? undefined : walk.addCa(current, path[depth + 1]?.certificate);
    if (reason !== undefined) return { reason, depth };
  }
  const [leaf, issuer] = path;
  if (leaf === undefined) return { reason: 'no-anchor', depth: 0 };
  const found = walk.addLeaf(leaf, issuer?.certificate);
  return typeof found === 'string' ? { reason: found, depth: 0 } : { policies: found };
}
