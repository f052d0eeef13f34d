import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isPkiError } from '@fleetroot/core';
import { encodePem, validatePath } from '@fleetroot/x509';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  anyPolicy, type Extensions, inhibitAny, mappings, type PolicyChain, policyChain, policyConstraints, policyId, policyOf, policyPaths,
  selfIssued,
} from '../support/policy-chains.ts';

// Certificate policies along a path: OpenSSL is asked what it makes of the same certificates.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-path-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string, ders: readonly Uint8Array[]): string => {
  const path = join(folder, name);
  writeFileSync(path, ders.map((der) => encodePem('CERTIFICATE', der)).join(''));
  return path;
};

function theirs({ leaf, intermediates, anchor }: PolicyChain, policies: readonly string[] | undefined): string {
  const { status, stdout, stderr } = spawnSync('openssl', [
    'verify', '-CAfile', file('anchor.pem', [anchor]), '-untrusted', file('untrusted.pem', intermediates), '-policy_check',
    // Any policy must be asked for by its OID: without one OpenSSL refuses whatever requires a policy.
    ...(policies === undefined ? ['-policy', '2.5.29.32.0'] : ['-explicit_policy', ...policies.flatMap((policy) => ['-policy', policy])]),
    file('leaf.pem', [leaf]),
  ], { encoding: 'utf8' });
  if (status === 0) return 'valid';
  return /no explicit policy|invalid or inconsistent certificate policy/.test(`${stdout}${stderr}`) ? 'policy' : `${stdout}${stderr}`;
}

function ours({ leaf, intermediates, anchor }: PolicyChain, policies: readonly string[] | undefined): string {
  try {
    validatePath({ leaf, intermediates, anchors: [anchor], time: new Date(), policies });
    return 'valid';
  } catch (error) {
    if (!isPkiError(error)) throw error;
    return String(error.data['reason']);
  }
}

describe('policies along a path: OpenSSL and we agree', () => {
  test.each(policyPaths)('$name: $expected', ({ path, wanted, expected }) => {
    const chain = policyChain(...path());
    expect([ours(chain, wanted), theirs(chain, wanted)]).toEqual([expected, expected]);
  });

  const letter = fc.constantFrom('A', 'B', 'C');
  const count = fc.integer({ min: 0, max: 2 });
  const named = fc.oneof(
    { weight: 4, arbitrary: fc.uniqueArray(letter, { minLength: 1 }).map((letters) => [policyOf(...letters)]) },
    { weight: 2, arbitrary: fc.constant([anyPolicy]) }, { weight: 1, arbitrary: fc.constant<Extensions>([]) },
  );
  const now = <T>(weight: number, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
    fc.oneof({ weight: 5 - weight, arbitrary: fc.constant<T[]>([]) }, { weight, arbitrary: arbitrary.map((one) => [one]) });
  const constraints = now(1, fc.oneof(count.map((explicit) => policyConstraints({ explicit })), count.map((mapping) => policyConstraints({ mapping }))));
  const ca = fc.tuple(
    named, now(2, fc.uniqueArray(fc.tuple(letter, letter), { minLength: 1, selector: String }).map((pairs) => mappings(...pairs))),
    constraints, now(1, count.map(inhibitAny)), now(1, fc.constant(selfIssued)),
  ).map(([policies, mapped, ...rest]): Extensions =>
    // Where anyPolicy is inhibited OpenSSL 3.0 still maps from it, which RFC 5280 section 6.1.3 (d) (2) does not.
    [...policies, ...(policies.includes(anyPolicy) ? [] : mapped), ...rest.flat()]);
  const chain = fc.tuple(fc.array(ca, { minLength: 1, maxLength: 4 }), fc.tuple(named, constraints).map((parts): Extensions => parts.flat()));
  const wanted = fc.option(fc.uniqueArray(letter.map(policyId), { minLength: 1, maxLength: 2 }), { nil: undefined });

  test('of 150 random paths too', () => {
    const verdicts = new Map<string, number>();
    fc.assert(fc.property(chain, wanted, ([cas, leaf], policies) => {
      const path = policyChain(...cas, leaf);
      const verdict = ours(path, policies);
      expect(verdict).toBe(theirs(path, policies));
      verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    }), { numRuns: 150 });
    // Both occur, and often: else nothing was compared.
    expect(Math.min(verdicts.get('valid') ?? 0, verdicts.get('policy') ?? 0)).toBeGreaterThan(15);
  });
});
