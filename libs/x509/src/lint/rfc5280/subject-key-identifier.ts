import { equalBytes } from '@fleetroot/core';
import { keyIdentifier } from '../../key/public-key.ts';
import type { LintRule } from '../rule.ts';

/** Fleetroot derives every key identifier by method (1), so that one of another key shows. */
export const subjectKeyIdentifier: LintRule = {
  name: 'subject-key-identifier',
  severity: 'error',
  citation: 'RFC 5280 section 4.2.1.2',
  check: ({ tbs, kind }) => {
    const id = tbs.known.subjectKeyIdentifier;
    if (id === undefined) return kind === 'ca' ? 'a CA has no subject key identifier' : undefined;
    return equalBytes(id, keyIdentifier(tbs.spkiDer)) ? undefined : 'the subject key identifier is not that of the key';
  },
};
