import type { LintRule } from '../rule.ts';

export const subjectAltNames: LintRule = {
  name: 'subject-alt-names',
  severity: 'error',
  citation: 'RFC 5280 section 4.2.1.6',
  check: ({ tbs: { known } }) => {
    const names = known.subjectAltNames;
    if (names === undefined) return undefined;
    if (names.length === 0) return 'the subject alternative name has no entry';
    return names.some(({ value }) => value.length === 0 || value === ' ') ? 'a subject alternative name is empty' : undefined;
  },
};
