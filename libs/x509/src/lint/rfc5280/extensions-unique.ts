import type { LintRule } from '../rule.ts';

export const extensionsUnique: LintRule = {
  name: 'extensions-unique',
  severity: 'error',
  citation: 'RFC 5280 section 4.2',
  check: ({ tbs: { extensions } }) => {
    const twice = extensions.find(({ oid }, i) => extensions.findIndex((other) => other.oid === oid) !== i);
    return twice === undefined ? undefined : `the extension ${twice.oid} stands twice`;
  },
};
