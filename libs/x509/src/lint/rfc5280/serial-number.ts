import type { LintRule } from '../rule.ts';

export const serialNumber: LintRule = {
  name: 'serial-number',
  severity: 'error',
  citation: 'RFC 5280 section 4.1.2.2',
  check: ({ tbs: { serial } }) => {
    if (serial.length > 20) return 'the serial number has more than 20 octets';
    return serial.length === 1 && serial[0] === 0 ? 'the serial number is zero' : undefined;
  },
};
