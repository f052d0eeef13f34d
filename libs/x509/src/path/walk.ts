import type { ParsedCertificate } from '../certificate/certificate.ts';
import { extensionOids } from '../certificate/oids.ts';
import type { Node } from './candidates.ts';
import { constrainedNames } from './constrained-names.ts';
import { NameConstraints } from './name-constraints.ts';
import { sameName } from './name-match.ts';
import { PathPolicies } from './policies.ts';
import type { Revocation } from './revocation.ts';
import { checkCa, checkCertificate, checkLeaf, checkSignature, type PathFailure, type PathPurpose } from './rules.ts';

export interface WalkRules {
  readonly time: Date;
  readonly purpose?: PathPurpose | undefined;
  /** The user-initial-policy-set; undefined: any policy. */
  readonly policies?: readonly string[] | undefined;
  readonly revocation?: Revocation | undefined;
  /** Whether the issuer of a certificate has signed it; absent: `checkSignature` says so. */
  readonly signed?: ((certificate: ParsedCertificate) => boolean) | undefined;
}

/** One path, walked from its anchor to its leaf: the state that RFC 5280 section 6.1.2 sets up. */
export class PathWalk {
  readonly #rules: WalkRules;
  readonly #constraints = new NameConstraints();
  readonly #policies: PathPolicies;
  /** How many more CAs that are not self-issued may follow. */
  #remaining: number;

  /** @param length certificates of the path, leaf and anchor counted */
  constructor(length: number, rules: WalkRules) {
    this.#rules = rules;
    this.#remaining = length;
    this.#policies = new PathPolicies(length - 1, rules.policies);
  }

  /**
   * The next CA down (sections 6.1.3 and 6.1.4).
   * @param issuer undefined: the CA is the anchor, whose signature is not looked at
   * @returns why the path ends here, or undefined
   * @throws PkiError `certificate.malformed`
   */
  addCa(current: Node, issuer: ParsedCertificate | undefined): PathFailure | undefined {
    const { certificate } = current;
    const selfIssued = sameName(current.subject, current.issuer);
    // Not for the anchor, nor for self-issued CAs (section 6.1.3 (b), (c)).
    const reason = this.#check(current, issuer, issuer !== undefined && !selfIssued) ?? checkCa(certificate, this.#rules.purpose);
    if (reason !== undefined) return reason;
    if (!(issuer === undefined ? this.#policies.addAnchor(certificate) : this.#policies.addCa(certificate, selfIssued))) return 'policy';
    // The anchor itself does not count against its own limit; self-issued certificates never do.
    if (issuer !== undefined && !selfIssued && this.#remaining-- <= 0) return 'path-length';
    this.#remaining = Math.min(this.#remaining, certificate.pathLength ?? this.#remaining);
    const extension = certificate.extensions.find(({ oid }) => oid === extensionOids.nameConstraints);
    return extension !== undefined && !this.#constraints.add(extension.value) ? 'name' : undefined;
  }

  /**
   * The end of the path (sections 6.1.3 and 6.1.5).
   * @returns the policies that the path is valid for, or why it is not valid
   * @throws PkiError `certificate.malformed`
   */
  addLeaf(current: Node, issuer: ParsedCertificate | undefined): PathFailure | readonly string[] {
    const reason = this.#check(current, issuer, issuer !== undefined) ?? checkLeaf(current.certificate, this.#rules.purpose);
    return reason ?? this.#policies.addLeaf(current.certificate) ?? 'policy';
  }

  #check(current: Node, issuer: ParsedCertificate | undefined, constrained: boolean): PathFailure | undefined {
    const { certificate } = current;
    return (issuer === undefined ? undefined : this.#checkSignature(certificate, issuer))
      ?? checkCertificate(certificate, this.#rules.time)
      ?? (issuer === undefined ? undefined : this.#rules.revocation?.check(certificate, issuer))
      ?? (constrained && !this.#constraints.allow(constrainedNames(current)) ? 'name' : undefined);
  }

  #checkSignature(certificate: ParsedCertificate, issuer: ParsedCertificate): PathFailure | undefined {
    const { signed } = this.#rules;
    if (signed === undefined) return checkSignature(certificate, issuer);
    return signed(certificate) ? undefined : 'signature';
  }
}
