import type { LintRule } from '../rule.ts';

/** A certificate that outlives its issuer cannot be revoked to its end: nobody signs the CRL. */
export const validityWithinIssuer: LintRule = {
  name: 'validity-within-issuer',
  severity: 'error',
  citation: 'RFC 5280 section 4.1.2.5',
  check: ({ tbs, issuer }) => (tbs.notAfter.date <= issuer.notAfter ? undefined : 'the certificate outlives its issuer'),
};
