import type { LintRule } from '../rule.ts';

export const version: LintRule = {
  name: 'version',
  severity: 'error',
  citation: 'RFC 5280 section 4.1.2.1',
  check: ({ tbs }) => (tbs.version === 3 ? undefined : 'the version must be 3'),
};
