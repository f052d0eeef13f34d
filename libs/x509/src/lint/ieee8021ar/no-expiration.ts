import type { LintRule } from '../rule.ts';

const NO_EXPIRATION = Date.UTC(9999, 11, 31, 23, 59, 59);

/** What an IDevID without an end has there; another second of that year would not be understood as "never". */
export const noExpiration: LintRule = {
  name: 'no-expiration',
  severity: 'warning',
  citation: 'IEEE 802.1AR and RFC 5280 section 4.1.2.5',
  check: ({ tbs: { notAfter: { date } } }) =>
    date.getUTCFullYear() === 9999 && date.getTime() !== NO_EXPIRATION
      ? 'a certificate without a well-defined expiration date ends at 99991231235959Z' : undefined,
};
