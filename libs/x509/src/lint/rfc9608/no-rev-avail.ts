import { extensionOf, type LintRule } from '../rule.ts';

const FRESHEST_CRL = '2.5.29.46';

/** No status is published for such a certificate: it must not say where to find one. */
export const noRevAvail: LintRule = {
  name: 'no-rev-avail',
  severity: 'error',
  citation: 'RFC 9608 sections 2 and 3',
  check: (subject) => {
    const found = extensionOf(subject, 'noRevAvail');
    if (found === undefined) return undefined;
    const { extensions, known } = subject.tbs;
    if (subject.kind === 'ca' || known.basicConstraints?.ca === true) return 'a CA has noRevAvail';
    if (found.critical) return 'noRevAvail is critical';
    if (found.value.length !== 2 || found.value[0] !== 0x05) return 'the value of noRevAvail is not NULL';
    const crl = extensionOf(subject, 'crlDistributionPoints') ?? extensions.find(({ oid }) => oid === FRESHEST_CRL);
    return crl !== undefined || (known.informationAccess?.ocsp.length ?? 0) > 0
      ? 'noRevAvail stands beside a pointer to a CRL or to OCSP' : undefined;
  },
};
