import { expect, it, test } from 'vitest';
import { systemRandom } from '@fleetroot/core';
import { isPrincipalName, newToken, type Principal, type PrincipalLedger, principalOfToken, tokenSha256 } from '../src/index.ts';

const now = new Date('2026-11-22T12:00:00Z');
const before = new Date(now.getTime() - 1);
const after = new Date(now.getTime() + 1);
const token = newToken(systemRandom);
const hash = Buffer.from(tokenSha256(token) ?? []).toString('hex');

const ledgerOf = (fields: Partial<Principal>): PrincipalLedger => ({
  byTokenSha256: async (asked) => (Buffer.from(asked).toString('hex') === hash
    ? { id: 1, name: 'line-1', roles: ['line'], authorities: [], createdAt: before, expiresAt: undefined, disabledAt: undefined, ...fields } : undefined),
  all: async () => [],
  put: async () => { throw new Error('not asked for'); },
});

test.each([
  ['a token that does not end', {}, token, true],
  ['a token that ends later', { expiresAt: after }, token, true],
  ['a token that ends now', { expiresAt: now }, token, false],
  ['a token that has ended', { expiresAt: before }, token, false],
  ['somebody disabled', { disabledAt: before }, token, false],
  ['another token', {}, newToken(systemRandom), false],
  ['a token of another form', {}, token.slice(0, -1), false],
  ['nothing', {}, '', false],
] as const)('%s', async (_, fields, given, accepted) => {
  expect(await principalOfToken(given, ledgerOf(fields), now)).toEqual(accepted ? expect.objectContaining({ name: 'line-1' }) : undefined);
});

it('a token holds 256 bits of the random source', () => {
  expect(newToken((n) => new Uint8Array(n))).toBe(`frt_${'A'.repeat(43)}`);
  expect(new Set(Array.from({ length: 100 }, () => newToken(systemRandom))).size).toBe(100);
});

test.each([['line-1', true], ['a', true], ['a.b_c', true], ['', false], ['-a', false], ['a-', false], ['A', false], ['a b', false], ['a\n', false], ['x'.repeat(65), false]])(
  'the principal name %j: %s', (name, good) => expect(isPrincipalName(name)).toBe(good));
