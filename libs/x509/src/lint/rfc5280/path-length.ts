import type { LintRule } from '../rule.ts';

export const pathLength: LintRule = {
  name: 'path-length',
  severity: 'error',
  citation: 'RFC 5280 section 4.2.1.9',
  check: ({ tbs: { known } }) => {
    const { basicConstraints, keyUsage } = known;
    if (basicConstraints?.pathLength === undefined) return undefined;
    const signs = basicConstraints.ca && keyUsage?.includes('keyCertSign') === true;
    return signs ? undefined : 'pathLenConstraint belongs to a CA that signs certificates';
  },
};
