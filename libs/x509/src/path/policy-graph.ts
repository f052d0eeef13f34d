import { ANY_POLICY } from './policy-extensions.ts';

interface PolicyNode {
  readonly policy: string;
  readonly parents: readonly PolicyNode[];
  expected: readonly string[];
  children: number;
}

type Level = Map<string, PolicyNode>;

/**
 * The valid_policy_graph of RFC 9618, which takes the place of the valid_policy_tree of RFC 5280: one node a policy and
 * depth, so that its size is linear in the certificates where the tree's was exponential. Qualifiers are not kept.
 */
export class PolicyGraph {
  /** By depth; empty once the graph is NULL. */
  #levels: Level[] = [new Map([[ANY_POLICY, { policy: ANY_POLICY, parents: [], expected: [ANY_POLICY], children: 0 }]])];

  get isNull(): boolean {
    return this.#levels.length === 0;
  }

  /**
   * Steps (d) and (e) of section 6.1.3, as RFC 9618 section 5.3 has them.
   * @param policies those of the certificate, or undefined where it names none
   * @param anyCounts whether its anyPolicy is to be looked at
   */
  extend(policies: ReadonlySet<string> | undefined, anyCounts: boolean): void {
    const above = this.#levels.at(-1);
    if (above === undefined) return;
    if (policies === undefined) {
      this.#levels = [];
      return;
    }
    const expecting = new Map<string, PolicyNode[]>();
    for (const node of above.values()) {
      for (const policy of new Set(node.expected)) {
        const nodes = expecting.get(policy);
        if (nodes === undefined) expecting.set(policy, [node]);
        else nodes.push(node);
      }
    }
    const any = above.get(ANY_POLICY);
    const level: Level = new Map();
    for (const policy of policies) {
      if (policy === ANY_POLICY) continue;
      const parents = expecting.get(policy) ?? (any === undefined ? [] : [any]);
      if (parents.length > 0) add(level, policy, parents, [policy]);
    }
    if (anyCounts && policies.has(ANY_POLICY)) {
      for (const [policy, parents] of expecting) if (!level.has(policy)) add(level, policy, parents, [policy]);
    }
    this.#levels.push(level);
    this.#prune();
  }

  /** Step (b) of section 6.1.4, as RFC 9618 section 5.4 has it. */
  map(mappings: ReadonlyMap<string, readonly string[]>, allowed: boolean): void {
    const level = this.#levels.at(-1);
    if (level === undefined) return;
    for (const [issuers, subjects] of mappings) {
      const node = level.get(issuers);
      const [aboveAny] = level.get(ANY_POLICY)?.parents ?? [];
      if (!allowed) {
        if (node !== undefined) remove(level, node);
      } else if (node !== undefined) {
        node.expected = subjects;
      } else if (aboveAny !== undefined) {
        add(level, issuers, [aboveAny], subjects);
      }
    }
    this.#prune();
  }

  /**
   * The user_constrained_policy_set of step (g) of section 6.1.5, as RFC 9618 section 5.5 has it.
   * @param acceptable the user-initial-policy-set; undefined is any-policy
   */
  valid(acceptable: readonly string[] | undefined): string[] {
    const found = new Set<string>();
    for (const level of this.#levels) {
      for (const { policy, parents } of level.values()) {
        if (policy !== ANY_POLICY && parents.length === 1 && parents[0]?.policy === ANY_POLICY) found.add(policy);
      }
    }
    const any = this.#levels.at(-1)?.has(ANY_POLICY) === true;
    if (acceptable === undefined) return any ? [...found, ANY_POLICY] : [...found];
    return [...new Set(acceptable)].filter((policy) => any || found.has(policy));
  }

  /** Nodes above the last depth that have no child go, from the last up; without any at the last, the graph is NULL. */
  #prune(): void {
    for (let depth = this.#levels.length - 2; depth >= 0; depth--) {
      const level = this.#levels[depth];
      for (const node of level?.values() ?? []) if (level !== undefined && node.children === 0) remove(level, node);
    }
    if (this.#levels[0]?.size === 0 || this.#levels.at(-1)?.size === 0) this.#levels = [];
  }
}

function add(level: Level, policy: string, parents: readonly PolicyNode[], expected: readonly string[]): void {
  level.set(policy, { policy, parents, expected, children: 0 });
  for (const parent of parents) parent.children++;
}

function remove(level: Level, node: PolicyNode): void {
  level.delete(node.policy);
  for (const parent of node.parents) parent.children--;
}
