import { isEmptyName, type LintRule } from '../rule.ts';

export const caSubject: LintRule = {
  name: 'ca-subject',
  severity: 'error',
  citation: 'RFC 5280 section 4.1.2.6',
  check: ({ tbs, kind }) => (kind === 'ca' && isEmptyName(tbs.subjectDer) ? 'a CA has an empty subject' : undefined),
};
