import { extensionOf, type LintRule } from '../rule.ts';

export const nameConstraints: LintRule = {
  name: 'name-constraints',
  severity: 'error',
  citation: 'RFC 5280 section 4.2.1.10',
  check: (subject) => {
    const found = extensionOf(subject, 'nameConstraints');
    if (found === undefined) return undefined;
    if (subject.kind !== 'ca') return 'name constraints belong to a CA alone';
    return found.critical ? undefined : 'the name constraints are not critical';
  },
};
