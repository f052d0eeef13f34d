import type { LintRule } from '../rule.ts';

export const keyCertSign: LintRule = {
  name: 'key-cert-sign',
  severity: 'error',
  citation: 'RFC 5280 section 4.2.1.9',
  check: ({ tbs: { known } }) =>
    known.keyUsage?.includes('keyCertSign') === true && known.basicConstraints?.ca !== true
      ? 'keyCertSign is set without cA' : undefined,
};
