import { equalBytes } from '@fleetroot/core';
import type { LintRule } from '../rule.ts';

/** It may be left out of a self-signed certificate only. What cannot have extensions breaks the rule `version`. */
export const authorityKeyIdentifier: LintRule = {
  name: 'authority-key-identifier',
  severity: 'error',
  citation: 'RFC 5280 section 4.2.1.1',
  check: ({ tbs, issuer, selfSigned }) => {
    const present = tbs.known.authorityKeyIdentifier;
    if (tbs.version !== 3 || (present === undefined && selfSigned)) return undefined;
    if (present?.keyId === undefined) return 'the authority key identifier is missing';
    return issuer.subjectKeyIdentifier !== undefined && equalBytes(present.keyId, issuer.subjectKeyIdentifier)
      ? undefined : 'the authority key identifier is not the subject key identifier of the issuer';
  },
};
