import { extensionOids } from '../../certificate/oids.ts';
import type { LintRule } from '../rule.ts';

/** Sections 4.2.1.1, 4.2.1.2 and 4.2.2.1: MUST; section 4.2.1.13: SHOULD. */
const never = new Set<string>([
  extensionOids.authorityKeyIdentifier, extensionOids.subjectKeyIdentifier, extensionOids.authorityInformationAccess,
  extensionOids.crlDistributionPoints,
]);

export const extensionsNonCritical: LintRule = {
  name: 'extensions-non-critical',
  severity: 'error',
  citation: 'RFC 5280 sections 4.2.1.1, 4.2.1.2, 4.2.1.13 and 4.2.2.1',
  check: ({ tbs }) => {
    const wrong = tbs.extensions.find(({ oid, critical }) => critical && never.has(oid));
    return wrong === undefined ? undefined : `the extension ${wrong.oid} must not be critical`;
  },
};
