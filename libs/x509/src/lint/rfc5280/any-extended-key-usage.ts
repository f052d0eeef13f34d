import { extensionOf, type LintRule } from '../rule.ts';

export const anyExtendedKeyUsage: LintRule = {
  name: 'any-extended-key-usage',
  severity: 'warning',
  citation: 'RFC 5280 section 4.2.1.12',
  check: (subject) => {
    if (subject.tbs.known.extendedKeyUsage?.includes('anyExtendedKeyUsage') !== true) return undefined;
    const critical = extensionOf(subject, 'extendedKeyUsage')?.critical === true;
    return critical ? 'anyExtendedKeyUsage stands in a critical extension' : undefined;
  },
};
