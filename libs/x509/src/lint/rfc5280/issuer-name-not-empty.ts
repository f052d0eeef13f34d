import { isEmptyName, type LintRule } from '../rule.ts';

export const issuerNameNotEmpty: LintRule = {
  name: 'issuer-name-not-empty',
  severity: 'error',
  citation: 'RFC 5280 section 4.1.2.4',
  check: ({ tbs }) => (isEmptyName(tbs.issuerDer) ? 'the issuer has an empty name' : undefined),
};
