import { findAlgorithm } from '../../key/algorithm.ts';
import { algorithmFitsKey } from '../../key/public-key.ts';
import type { LintRule } from '../rule.ts';

export const signatureAlgorithm: LintRule = {
  name: 'signature-algorithm',
  severity: 'error',
  citation: 'RFC 5280 section 4.1.2.3',
  check: ({ tbs, issuer }) => {
    const algorithm = findAlgorithm(tbs.algorithmDer);
    if (algorithm === undefined) return 'the signature algorithm is not one that Fleetroot signs with';
    const fits = algorithmFitsKey(algorithm, issuer.spkiDer);
    return fits ? undefined : 'the signature algorithm is not one of the key of the issuer';
  },
};
