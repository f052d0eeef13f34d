import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { collectorFlags } from '../src/up/collector-flags.ts';

it.each([['api', 5, 2, true], ['issuer', 5, 5, true], ['status', 5, 2, false], ['api', 5, 6, false], ['worker', 3, 64, false]] as const)('%s, of %i roles on %i processors: the collector works alone: %s', (role, roles, processors, alone) => {
  const flags = collectorFlags(role, roles, processors);
  expect(flags.includes('--single-threaded-gc')).toBe(alone);
  // A flag that this Node.js does not know ends it with status 9.
  expect(execFileSync(process.execPath, [...flags, '--print', '1 + 1'], { encoding: 'utf8' })).toBe('2\n');
});
