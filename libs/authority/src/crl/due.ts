import type { CrlHead, CrlKind, CrlScope, CrlScopeFacts, ScopeChanges } from '../ports/crl.ts';

/** What is published of a CA, and what has changed since. */
export interface CrlState {
  readonly scopes: readonly CrlScopeFacts[];
  readonly heads: readonly CrlHead[];
  readonly changes: readonly ScopeChanges[];
}

export interface DueRules {
  readonly now: Date;
  /** Part of its lifetime after which a CRL is published anew, in percent. */
  readonly refreshPercent: number;
  /** A change is looked for from so long before thisUpdate on, in milliseconds. */
  readonly overlapMs: number;
  /** The full CRL of a shard is published at each change while it has fewer entries; 2,000. */
  readonly smallShard?: number;
}

/** What is to be made of a scope. `restart`: the delta starts from the full CRL of the same run. */
export interface DueScope {
  readonly scope: CrlScopeFacts;
  readonly full: boolean;
  readonly delta: boolean;
  readonly restart: boolean;
  readonly before: { readonly full: CrlHead | undefined; readonly delta: CrlHead | undefined };
}

/** The full CRL is published at each change while it has fewer entries: gateways, and many libraries, read no delta. */
const SMALL = 20_000;
const SMALL_SHARD = 2_000;
/**
 * A delta of more entries than such a full CRL has, and than a part of its own, is worth a new full CRL: while many are
 * revoked, each run would write all of them into the deltas again.
 */
const PART_OF_FULL = 4;
/** A new base leaves out of its delta only what is older than the overlap; so many overlaps, and it is worth its while. */
const OVERLAPS = 3;

/** True where a published CRL is missing or in the later part of its life. */
export function isCrlDue(latest: Pick<CrlHead, 'thisUpdate' | 'nextUpdate'> | undefined, now: Date, refreshPercent: number): boolean {
  if (latest === undefined) return true;
  const lifetime = latest.nextUpdate.getTime() - latest.thisUpdate.getTime();
  return now.getTime() >= latest.thisUpdate.getTime() + (lifetime * refreshPercent) / 100;
}

/** Newest heads by scope and kind. */
export function headsByScope(heads: readonly CrlHead[]): (scope: CrlScope, kind: CrlKind) => CrlHead | undefined {
  const by = new Map(heads.map((head) => [`${head.scope} ${head.kind}`, head]));
  return (scope, kind) => by.get(`${scope} ${kind}`);
}

/**
 * What is due of a CA, computed from what is published and what changed, and from nothing else (I14): a change shows in
 * the delta of its scopes at once, in the full CRLs too while these are small or where somebody else may have the key.
 */
export function dueScopes({ scopes, heads, changes }: CrlState, { now, refreshPercent, overlapMs, smallShard = SMALL_SHARD }: DueRules): DueScope[] {
  const head = headsByScope(heads);
  const changed = new Map(changes.map((one) => [one.scope, one]));
  return scopes.flatMap((scope) => {
    const before = { full: head(scope.scope, 'full'), delta: head(scope.scope, 'delta') };
    const change = changed.get(scope.scope);
    const shows = (crl: CrlHead | undefined, at: Date | undefined): boolean =>
      at === undefined || (crl !== undefined && at.getTime() <= crl.thisUpdate.getTime() - overlapMs);
    // RFC 5280 section 5.2.4: a delta and its base have the same issuing distribution point.
    const moved = before.full !== undefined && before.full.thisUpdate <= scope.since;
    // Right after a delta the changes that are counted are those that it lists.
    const [small, largeDelta] = scope.scope === 'all' ? [SMALL, SMALL] : [smallShard, SMALL_SHARD];
    const tooLarge = before.full !== undefined && now.getTime() - before.full.thisUpdate.getTime() > OVERLAPS * overlapMs
      && Math.max(before.delta?.entries ?? 0, change?.count ?? 0) > Math.max(largeDelta, before.full.entries / PART_OF_FULL);
    const restart = before.full === undefined || moved || tooLarge;
    const full = restart || isCrlDue(before.full, now, refreshPercent) || !shows(before.full, change?.urgentAt)
      || ((before.full?.entries ?? 0) < small && !shows(before.full, change?.newestAt));
    const delta = full || isCrlDue(before.delta, now, refreshPercent) || !shows(before.delta, change?.newestAt);
    return delta ? [{ scope, full, delta, restart, before }] : [];
  });
}
