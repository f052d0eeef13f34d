import type { TbsTime } from '../../certificate/tbs.ts';
import type { LintRule } from '../rule.ts';

export const validityEncoding: LintRule = {
  name: 'validity-encoding',
  severity: 'error',
  citation: 'RFC 5280 section 4.1.2.5',
  check: ({ tbs }) =>
    fits(tbs.notBefore) && fits(tbs.notAfter) ? undefined : 'times through the year 2049 are UTCTime, later ones GeneralizedTime',
};

const fits = ({ date, generalized }: TbsTime): boolean => generalized === date.getUTCFullYear() >= 2050;
