import type { LintRule } from '../rule.ts';

const ABSOLUTE = /^(?:https?|ldap):\/\/[^/\s]+/;

/** Where machines fetch status and issuers: schemes of sections 4.2.1.13 and 4.2.2.1, with a host. */
export const statusUrls: LintRule = {
  name: 'status-urls',
  severity: 'error',
  citation: 'RFC 5280 sections 4.2.1.13 and 4.2.2.1',
  check: ({ tbs: { known } }) => {
    const { crlUrls = [], informationAccess: { ocsp = [], caIssuers = [] } = {} } = known;
    const absolute = [crlUrls, ocsp, caIssuers].every((urls) => urls.every((url) => ABSOLUTE.test(url)));
    return absolute ? undefined : 'a URL of the CRL, of OCSP or of the issuer is not absolute';
  },
};
