import { extensionOids } from '../../certificate/oids.ts';
import type { LintRule } from '../rule.ts';

const known = new Set<string>(Object.values(extensionOids));

export const criticalExtensionsKnown: LintRule = {
  name: 'critical-extensions-known',
  severity: 'error',
  citation: 'RFC 5280 section 4.2',
  check: ({ tbs }) => {
    const unknown = tbs.extensions.find(({ oid, critical }) => critical && !known.has(oid));
    return unknown === undefined ? undefined : `every verifier would reject the critical extension ${unknown.oid}`;
  },
};
