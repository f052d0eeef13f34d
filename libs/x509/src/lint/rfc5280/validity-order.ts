import type { LintRule } from '../rule.ts';

export const validityOrder: LintRule = {
  name: 'validity-order',
  severity: 'error',
  citation: 'RFC 5280 section 4.1.2.5',
  check: ({ tbs }) => (tbs.notBefore.date <= tbs.notAfter.date ? undefined : 'the validity ends before it begins'),
};
