import { publicKeyFacts } from '../../key/public-key.ts';
import type { LintRule } from '../rule.ts';

/** The refusal is the finding. */
export const subjectPublicKey: LintRule = {
  name: 'subject-public-key',
  severity: 'error',
  citation: 'RFC 5280 section 4.1.2.7',
  check: ({ tbs }) => {
    publicKeyFacts(tbs.spkiDer, 'certificate.malformed');
    return undefined;
  },
};
