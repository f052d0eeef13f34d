import { describe, expect, test } from 'vitest';
import { pkiError } from '../../../test/support/error-code.ts';
import { parseProfile } from '../src/index.ts';

// What the fuzzer found: the YAML library throws errors of its own, or does not come to an end.
describe('a profile file that is', () => {
  test.each([
    ['keys within keys', `name: x\n${'? '.repeat(3000)}a`, 2],
    ['lists within lists on a line', `name: x\nkind:\n${'- '.repeat(3000)}a`, 3],
    ['lists within lists over lines', Array.from({ length: 200 }, (_, depth) => `${' '.repeat(depth)}-\n`).join(''), undefined],
    ['a list as a key', '? [a]\n: b', 1],
    ['octets as a key', '? !!binary aGVsbG8=\n: b', 1],
    ['an alias without its anchor', 'name: *a', 1],
    ['an alias as a key', 'a: &a [b]\n*a : c', 2],
  ])('%s is refused', (_, text, line) => {
    const error = pkiError(() => parseProfile(text, 'x.yaml', { statusUrl: 'http://status.example' }));
    expect(error?.code).toBe('profile.invalid');
    if (line !== undefined) expect(error?.data).toMatchObject({ line });
  });
});
