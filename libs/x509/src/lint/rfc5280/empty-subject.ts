import { extensionOf, isEmptyName, type LintRule } from '../rule.ts';

export const emptySubject: LintRule = {
  name: 'empty-subject',
  severity: 'error',
  citation: 'RFC 5280 section 4.2.1.6',
  check: (subject) =>
    isEmptyName(subject.tbs.subjectDer) && extensionOf(subject, 'subjectAltName')?.critical !== true
      ? 'the subject is empty, and there is no critical subject alternative name' : undefined,
};
