import { extensionOf, type LintRule } from '../rule.ts';

export const caBasicConstraints: LintRule = {
  name: 'ca-basic-constraints',
  severity: 'error',
  citation: 'RFC 5280 section 4.2.1.9',
  check: (subject) => {
    if (subject.kind !== 'ca') return undefined;
    if (subject.tbs.known.basicConstraints?.ca !== true) return 'a CA lacks basic constraints with cA';
    const critical = extensionOf(subject, 'basicConstraints')?.critical === true;
    return critical ? undefined : 'the basic constraints of a CA are not critical';
  },
};
