import { extensionOf, type LintRule } from '../rule.ts';

/** A MUST for CAs; Fleetroot writes it into every certificate. What cannot have extensions breaks the rule `version`. */
export const keyUsage: LintRule = {
  name: 'key-usage',
  severity: 'error',
  citation: 'RFC 5280 section 4.2.1.3',
  check: (subject) => {
    const { version, known: { keyUsage: usages } } = subject.tbs;
    if (version !== 3) return undefined;
    if (usages === undefined) return 'the key usage is missing';
    if (usages.length === 0) return 'the key usage sets no bit';
    if (extensionOf(subject, 'keyUsage')?.critical !== true) return 'the key usage is not critical';
    return subject.kind === 'ca' && !usages.includes('keyCertSign') ? 'the key usage of a CA lacks keyCertSign' : undefined;
  },
};
