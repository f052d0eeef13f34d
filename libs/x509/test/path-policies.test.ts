import { describe, expect, it, test } from 'vitest';
import { pkiError } from '../../../test/support/error-code.ts';
import {
  anyPolicy, inhibitAny, mappings, type PolicyChain, policyChain, policyChainUnder, policyConstraints, policyOf, policyPaths,
} from '../../../test/support/policy-chains.ts';
import { der, type Extension, validatePath } from '../src/index.ts';

const time = new Date('2026-11-22T12:00:00Z');
const validate = ({ leaf, intermediates, anchor }: PolicyChain, policies?: readonly string[]) =>
  validatePath({ leaf, intermediates, anchors: [anchor], time, policies });
const verdict = (chain: PolicyChain, policies?: readonly string[]): string => {
  const error = pkiError(() => validate(chain, policies));
  if (error !== undefined && error.code !== 'certificate.path-invalid') return error.code;
  return error === undefined ? 'valid' : String(error.data['reason']);
};

describe('certificate policies (RFC 5280 section 6.1, RFC 9618)', () => {
  test.each(policyPaths)('$name: $expected', ({ path, wanted, expected }) => {
    expect(verdict(policyChain(...path()), wanted)).toBe(expected);
  });

  it('that a path is valid for are named', () => {
    const chain = policyChain([policyOf('A', 'B')], [policyOf('B', 'C')]);
    expect(validate(chain).policies).toEqual(['1.3.6.1.4.1.99999.7.66']);
    expect(validate(policyChain([anyPolicy], [anyPolicy])).policies).toEqual(['2.5.29.32.0']);
    expect(validate(policyChain([], [])).policies).toEqual([]);
    const mapped = policyChain([policyOf('A'), mappings(['A', 'B'])], [policyOf('B')]);
    // In the words of the anchor's domain, not the leaf's.
    expect(validate(mapped).policies).toEqual(['1.3.6.1.4.1.99999.7.65']);
  });

  test.each<[string, string, Extension]>([
    ['a policy that it requires', 'policy', policyConstraints({ explicit: 0 })],
    ['what it inhibits', 'valid', inhibitAny(0)],
    ['policies, which say nothing in an anchor', 'valid', policyOf('A')],
    ['constraints that are not critical', 'policy', { ...inhibitAny(0), critical: false }],
  ])('of an anchor: %s: %s', (_, expected, extension) => {
    expect(verdict(policyChainUnder([extension], [], []))).toBe(expected);
  });

  it('inhibited by the anchor are inhibited below it', () => {
    const path = [[policyOf('A')], [anyPolicy]];
    expect(verdict(policyChain(...path), ['1.3.6.1.4.1.99999.7.65'])).toBe('valid');
    expect(verdict(policyChainUnder([inhibitAny(0)], ...path), ['1.3.6.1.4.1.99999.7.65'])).toBe('policy');
  });

  it('do not grow without bound where every policy is mapped to every other', () => {
    const letters = Array.from({ length: 40 }, (_, n) => String.fromCharCode(65 + n));
    const all = letters.flatMap((from) => letters.map((to): [string, string] => [from, to]));
    const ca = [policyOf(...letters), mappings(...all)];
    const chain = policyChain(ca, ca, ca, ca, ca, ca, ca, [policyOf('A')]);
    const started = performance.now();
    expect(verdict(chain, ['1.3.6.1.4.1.99999.7.70'])).toBe('valid');
    expect(performance.now() - started).toBeLessThan(1000);
  });

  const odd = (oid: string, value: Uint8Array, critical = true): Extension => ({ oid, critical, value });
  const policies = '2.5.29.32';
  const info = (...parts: Uint8Array[]) => der.sequence(der.sequence(der.oid('1.2.3'), ...parts));
  const qualifier = (oid: string) => der.sequence(der.sequence(der.oid(oid), der.nullValue()));
  test.each<[string, string, Extension]>([
    ['a qualifier for people', 'valid', odd(policies, info(qualifier('1.3.6.1.5.5.7.2.1')))],
    ['an unknown qualifier', 'valid', odd(policies, info(qualifier('1.2.3.4')), false)],
    ['an unknown qualifier, critical', 'policy', odd(policies, info(qualifier('1.2.3.4')))],
    ['no policy in the extension', 'certificate.malformed', odd(policies, der.sequence())],
    ['a policy twice', 'certificate.malformed', odd(policies, Buffer.concat([der.header(0x30, 12), ...[0, 1].map(() => der.sequence(der.oid('1.2.3')))]))],
    ['no constraint in the extension', 'policy', odd('2.5.29.36', der.sequence())],
    ['constraints that are not critical', 'policy', { ...policyConstraints({ explicit: 9 }), critical: false }],
    ['inhibitAnyPolicy that is not critical', 'policy', { ...inhibitAny(9), critical: false }],
    ['a negative count', 'certificate.malformed', odd('2.5.29.54', Uint8Array.of(2, 1, 0xff))],
    ['a count of many octets', 'valid', odd('2.5.29.54', der.integer(new Uint8Array(30).fill(0x7f)))],
    ['no mapping in the extension', 'certificate.malformed', odd('2.5.29.33', der.sequence())],
    ['anyPolicy mapped', 'policy', odd('2.5.29.33', der.sequence(der.sequence(der.oid('2.5.29.32.0'), der.oid('1.2.3'))))],
  ])('%s in a CA: %s', (_, expected, extension) => {
    expect(verdict(policyChain([extension], []))).toBe(expected);
  });
});
