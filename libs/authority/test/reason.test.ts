import { expect, test } from 'vitest';
import { revokedAgain, strongerReason, type RevocationReason } from '../src/index.ts';

test.each<[RevocationReason, RevocationReason, 'same' | 'upgrade' | 'conflict']>([
  ['keyCompromise', 'keyCompromise', 'same'],
  ['unspecified', 'unspecified', 'same'],
  ['superseded', 'keyCompromise', 'upgrade'],
  ['certificateHold', 'superseded', 'upgrade'],
  ['certificateHold', 'unspecified', 'upgrade'],
  ['unspecified', 'cessationOfOperation', 'upgrade'],
  ['superseded', 'privilegeWithdrawn', 'upgrade'],
  ['keyCompromise', 'superseded', 'conflict'],
  ['superseded', 'certificateHold', 'conflict'],
  ['superseded', 'cessationOfOperation', 'conflict'],
  ['keyCompromise', 'unspecified', 'conflict'],
])('revoked for %s, then for %s: %s', (onRecord, asked, outcome) => {
  expect(revokedAgain(onRecord, asked)).toBe(outcome);
  expect(strongerReason(onRecord, asked)).toBe(outcome === 'upgrade' ? asked : onRecord);
});
