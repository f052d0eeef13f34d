import { extensionOf, type LintRule } from '../rule.ts';

export const ocspNoCheck: LintRule = {
  name: 'ocsp-nocheck',
  severity: 'error',
  citation: 'RFC 6960 section 4.2.2.2.1',
  check: (subject) => {
    const found = extensionOf(subject, 'ocspNoCheck');
    if (subject.kind !== 'ocsp-signer') return found === undefined ? undefined : 'ocsp-nocheck belongs to an OCSP signer alone';
    if (found === undefined) return 'an OCSP signer lacks ocsp-nocheck';
    if (found.critical) return 'ocsp-nocheck is critical';
    return found.value.length === 2 && found.value[0] === 0x05 ? undefined : 'the value of ocsp-nocheck is not NULL';
  },
};
