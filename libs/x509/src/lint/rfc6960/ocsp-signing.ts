import type { LintRule } from '../rule.ts';

/** Only a delegated responder has this purpose, and no other besides; a CA never has it. */
export const ocspSigning: LintRule = {
  name: 'ocsp-signing',
  severity: 'error',
  citation: 'RFC 6960 section 4.2.2.2',
  check: ({ tbs, kind }) => {
    const purposes = tbs.known.extendedKeyUsage ?? [];
    const delegated = purposes.includes('OCSPSigning');
    if (kind !== 'ocsp-signer') return delegated ? 'OCSPSigning belongs to an OCSP signer alone' : undefined;
    return delegated && purposes.length === 1 ? undefined : 'an OCSP signer has the purpose OCSPSigning, and no other';
  },
};
