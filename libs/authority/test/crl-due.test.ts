import { describe, expect, it } from 'vitest';
import { type CrlHead, type CrlScope, dueScopes } from '../src/index.ts';

const NOW = Date.UTC(2026, 10, 23);
const at = (seconds: number): Date => new Date(NOW + seconds * 1000);

interface Case {
  readonly scope: CrlScope;
  /** Seconds from now to thisUpdate of the full CRL and of its delta. */
  readonly full: number;
  readonly delta: number;
  readonly entries?: readonly [number, number];
  readonly changed?: { readonly count: number; readonly at: number; readonly urgent?: boolean };
}

/** What is due: nothing, a delta, a full CRL with its delta, or both from a new base. */
function verdict({ scope, full, delta, entries = [100_000, 0], changed }: Case): string {
  const head = (kind: 'full' | 'delta', seconds: number, count: number): CrlHead => ({
    caId: 1, scope, kind, number: 1n, baseNumber: kind === 'delta' ? 1n : undefined, thisUpdate: at(seconds), nextUpdate: at(seconds + 86_400),
    entries: count, sha256: new Uint8Array(32),
  });
  const [due] = dueScopes({
    scopes: [{ scope, uris: [], since: at(-1e6) }], heads: [head('full', full, entries[0]), head('delta', delta, entries[1])],
    changes: changed === undefined ? [] : [{ scope, count: changed.count, newestAt: at(changed.at), urgentAt: changed.urgent === true ? at(changed.at) : undefined }],
  }, { now: at(0), refreshPercent: 50, overlapMs: 20_000 });
  return due === undefined ? 'nothing' : due.restart ? 'new base' : due.full ? 'full' : 'delta';
}

describe('what is due of a scope', () => {
  it.each<readonly [string, Case, string]>([
    ['nothing changed', { scope: '64/1', full: -1000, delta: -1000 }, 'nothing'],
    ['a change', { scope: '64/1', full: -1000, delta: -1000, changed: { count: 1, at: -1 } }, 'delta'],
    ['a change that the delta shows, made long after it', { scope: '64/1', full: -1000, delta: -100, changed: { count: 1, at: -900 } }, 'nothing'],
    ['a change just before the delta: it may have been committed after it', { scope: '64/1', full: -1000, delta: -10, changed: { count: 1, at: -15 } }, 'delta'],
    ['a key in wrong hands', { scope: '64/1', full: -1000, delta: -1000, changed: { count: 1, at: -1, urgent: true } }, 'full'],
    ['a change of a small CA', { scope: 'all', full: -1000, delta: -1000, entries: [19_999, 0], changed: { count: 1, at: -1 } }, 'full'],
    ['a change of a large one', { scope: 'all', full: -1000, delta: -1000, entries: [20_000, 0], changed: { count: 1, at: -1 } }, 'delta'],
    ['a change of a small shard', { scope: '64/1', full: -1000, delta: -1000, entries: [1999, 0], changed: { count: 1, at: -1 } }, 'full'],
    ['a change of a shard that is no longer', { scope: '64/1', full: -1000, delta: -1000, entries: [2000, 0], changed: { count: 1, at: -1 } }, 'delta'],
    ['an old full CRL', { scope: '64/1', full: -43_200, delta: -1000 }, 'full'],
    ['an old delta', { scope: '64/1', full: -43_000, delta: -43_200 }, 'delta'],
    ['a mass revocation', { scope: '64/1', full: -1000, delta: -1000, changed: { count: 30_000, at: -1 } }, 'new base'],
    ['a mass revocation in a small shard', { scope: '64/1', full: -1000, delta: -1000, entries: [2100, 2000], changed: { count: 2001, at: -1 } }, 'new base'],
    ['the same of the whole CA, which may have more', { scope: 'all', full: -1000, delta: -1000, entries: [20_100, 2000], changed: { count: 2001, at: -1 } }, 'delta'],
    ['one more, right after its delta: those that it lists are not counted twice', { scope: '64/1', full: -1000, delta: -2, entries: [100_000, 16_000], changed: { count: 16_001, at: -1 } }, 'delta'],
    ['one more, right after the new base: another would leave nothing out', { scope: '64/1', full: -2, delta: -2, entries: [30_000, 30_000], changed: { count: 30_001, at: -1 } }, 'delta'],
    ['the same a minute later', { scope: '64/1', full: -61, delta: -61, entries: [30_000, 30_000], changed: { count: 1, at: -1 } }, 'new base'],
  ])('%s', (_, given, expected) => expect(verdict(given)).toBe(expected));
});
