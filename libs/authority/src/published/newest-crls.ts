import type { CrlHead, CrlKind, CrlScope } from '../ports/crl.ts';

type Place = Pick<CrlHead, 'caId' | 'scope' | 'kind'>;

export const crlKey = ({ caId, scope, kind }: Place): string => `${caId} ${scope} ${kind}`;

/** The newest CRL known of each CA, scope and kind. None is ever followed by one with a lower number (I13). */
export class NewestCrls {
  readonly #heads = new Map<string, CrlHead>();

  /** Takes in what is newer than what is known, and returns that: of a place the newest alone, full CRLs before deltas. */
  merge(heads: readonly CrlHead[]): readonly CrlHead[] {
    const changed = new Map<string, CrlHead>();
    for (const head of heads) {
      const key = crlKey(head);
      const known = this.#heads.get(key);
      if (known !== undefined && known.number >= head.number) continue;
      this.#heads.set(key, head);
      changed.set(key, head);
    }
    return [...changed.values()].sort((a, b) => Number(a.kind === 'delta') - Number(b.kind === 'delta'));
  }

  get(caId: number, scope: CrlScope = 'all', kind: CrlKind = 'full'): CrlHead | undefined {
    return this.#heads.get(crlKey({ caId, scope, kind }));
  }

  all(): readonly CrlHead[] {
    return [...this.#heads.values()];
  }
}
