import type { LintRule } from '../rule.ts';

/** Asked of the TBS itself, whatever profile and template said before. */
export const endEntity: LintRule = {
  name: 'end-entity',
  severity: 'error',
  citation: 'RFC 5280 section 4.2.1.9',
  check: ({ tbs: { known }, kind }) => {
    if (kind === 'ca') return undefined;
    if (known.basicConstraints?.ca === true) return 'an end entity has cA TRUE';
    return known.keyUsage?.includes('cRLSign') === true ? 'an end entity may sign CRLs' : undefined;
  },
};
