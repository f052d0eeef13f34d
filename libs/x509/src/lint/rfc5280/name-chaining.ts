import { equalBytes } from '@fleetroot/core';
import type { LintRule } from '../rule.ts';

/** Byte for byte: software that compares names in a simpler way than section 7.1 exists. */
export const nameChaining: LintRule = {
  name: 'name-chaining',
  severity: 'error',
  citation: 'RFC 5280 section 6.1.3 (a)(4)',
  check: ({ tbs, issuer }) =>
    equalBytes(tbs.issuerDer, issuer.subjectDer) ? undefined : 'the issuer is not the subject of the certificate that signs',
};
