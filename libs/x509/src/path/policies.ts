import type { ParsedCertificate } from '../certificate/certificate.ts';
import { type PolicyExtensions, readPolicyExtensions } from './policy-extensions.ts';
import { PolicyGraph } from './policy-graph.ts';

/** Policy processing along one path (RFC 5280 section 6.1, with the graph of RFC 9618), anchor first. */
export class PathPolicies {
  readonly #acceptable: readonly string[] | undefined;
  readonly #graph = new PolicyGraph();
  #explicitPolicy: number;
  #policyMapping: number;
  #inhibitAnyPolicy: number;

  /**
   * @param certificates of the path, without the anchor: `n` of section 6.1
   * @param acceptable the user-initial-policy-set; where given, initial-explicit-policy is set too
   */
  constructor(certificates: number, acceptable: readonly string[] | undefined) {
    this.#acceptable = acceptable;
    this.#explicitPolicy = acceptable === undefined ? certificates + 1 : 0;
    this.#policyMapping = this.#inhibitAnyPolicy = certificates + 1;
  }

  /**
   * The anchor is not part of the path and its policies say nothing; the constraints it carries hold, as all of an
   * anchor's do here. False: they cannot be processed.
   */
  addAnchor(anchor: ParsedCertificate): boolean {
    const said = readPolicyExtensions(anchor);
    if (said !== undefined) this.#constrain(said);
    return said !== undefined;
  }

  /**
   * Steps (d) to (f) of section 6.1.3, then (a), (b), (h) to (j) of section 6.1.4. False: the path is not valid.
   * @throws PkiError `certificate.malformed`
   */
  addCa(certificate: ParsedCertificate, selfIssued: boolean): boolean {
    const said = readPolicyExtensions(certificate);
    if (said === undefined) return false;
    this.#graph.extend(said.policies, this.#inhibitAnyPolicy > 0 || selfIssued);
    if (this.#explicitPolicy === 0 && this.#graph.isNull) return false;
    this.#graph.map(said.mappings, this.#policyMapping > 0);
    if (!selfIssued) {
      this.#explicitPolicy = Math.max(0, this.#explicitPolicy - 1);
      this.#policyMapping = Math.max(0, this.#policyMapping - 1);
      this.#inhibitAnyPolicy = Math.max(0, this.#inhibitAnyPolicy - 1);
    }
    this.#constrain(said);
    return true;
  }

  /**
   * Steps (d) to (f) of section 6.1.3, then (a), (b) and (g) of section 6.1.5.
   * @returns the policies that the path is valid for, or undefined where it is not valid
   * @throws PkiError `certificate.malformed`
   */
  addLeaf(certificate: Pick<ParsedCertificate, 'extensions'>): readonly string[] | undefined {
    const said = readPolicyExtensions(certificate);
    if (said === undefined) return undefined;
    this.#graph.extend(said.policies, this.#inhibitAnyPolicy > 0);
    if (this.#explicitPolicy === 0 && this.#graph.isNull) return undefined;
    const explicit = said.requireExplicitPolicy === 0 ? 0 : Math.max(0, this.#explicitPolicy - 1);
    const valid = this.#graph.valid(this.#acceptable);
    return explicit > 0 || valid.length > 0 ? valid : undefined;
  }

  #constrain({ requireExplicitPolicy, inhibitPolicyMapping, inhibitAnyPolicy }: PolicyExtensions): void {
    this.#explicitPolicy = Math.min(this.#explicitPolicy, requireExplicitPolicy ?? this.#explicitPolicy);
    this.#policyMapping = Math.min(this.#policyMapping, inhibitPolicyMapping ?? this.#policyMapping);
    this.#inhibitAnyPolicy = Math.min(this.#inhibitAnyPolicy, inhibitAnyPolicy ?? this.#inhibitAnyPolicy);
  }
}
