import type { LintRule } from '../rule.ts';

/** A shorter one cannot hold the 64 random bits that keep a serial number from being foretold. */
export const serialLength: LintRule = {
  name: 'serial-length',
  severity: 'error',
  citation: 'Fleetroot: serial numbers have at least 64 random bits',
  check: ({ tbs: { serial } }) => (serial.length >= 8 ? undefined : 'the serial number is too short to be random'),
};
