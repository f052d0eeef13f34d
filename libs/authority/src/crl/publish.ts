import { crashPoint, LATE_COMMIT_MS, PkiError } from '@fleetroot/core';
import { signsStatus } from '../hierarchy/state.ts';
import type { CrlHead, CrlScope, CrlScopeFacts, PublishedCrl } from '../ports/crl.ts';
import type { CrlLedger } from '../ports/status.ts';
import { type DueScope, dueScopes, headsByScope } from './due.ts';
import type { CrlPublication } from './publication.ts';
import { runCrls } from './run.ts';

/** `due`: what is due; `all`: everything, whether it is due or not; else the shards of so many, where they are missing. */
export type CrlDemand = 'due' | 'all' | { readonly shards: number };

const REFRESH_PERCENT = 50;
/** Another publisher may overtake between reading the entries and the swap; so often is enough for any of them to win. */
const ATTEMPTS = 4;

/**
 * Publishes CRLs of one CA, full ones and deltas of as many scopes as are asked for, all with one number: reserved, built,
 * signed, then read back from their own octets and checked against the CA and the CRL before (I13, I15), and only then
 * swapped in, a few scopes at a time. Durable on return. What fails its check keeps no other scope from being published.
 * Memory is that of the largest CRL.
 * @returns what was published
 * @throws PkiError `ca.not-active` for a CA that signs nothing any more, `clock.skew`, `hsm.*`; `crl.invalid` where
 *   a check fails: what was published of that scope stays
 */
export async function publishCrls(publication: CrlPublication, demand: CrlDemand): Promise<readonly CrlHead[]> {
  const { authority, crls, signer } = publication;
  if (!signsStatus(authority)) {
    throw new PkiError('ca.not-active', authority.keyId === undefined
      ? `the key of the CA ${authority.name} is not online: its CRLs come from a ceremony and are imported`
      : `the CA ${authority.name} is ${authority.state} and signs no CRL`);
  }
  const published: CrlHead[] = [];
  let only: ReadonlySet<CrlScope> | undefined;
  for (let attempt = 1; ; attempt++) {
    // While the HSM is away no number is reserved that nothing would come of.
    await signer.ready(authority);
    const heads = await crls.heads(authority.id);
    const due = (await demanded(publication, only === undefined ? demand : 'all', heads)).filter(({ scope }) => only?.has(scope.scope) ?? true);
    if (due.length === 0) break;
    crashPoint('crl.due');
    const run = await runCrls(publication, due, newestOf(heads));
    published.push(...run.published);
    const [flaw] = run.flaws.values();
    if (flaw === undefined) break;
    // Another publisher may have overtaken us since our entries were read: then a new reading has what its CRL lists.
    if (attempt === ATTEMPTS) throw flaw;
    only = new Set(run.flaws.keys());
  }
  await crls.forgetReleased(authority.id);
  return published;
}

/**
 * Publishes every CRL of the CA anew.
 * @returns the full CRL of the whole CA that is current then: this one, or a newer one of another publisher
 * @throws PkiError as `publishCrls`
 */
export async function publishCrl(publication: CrlPublication): Promise<PublishedCrl> {
  await publishCrls(publication, 'all');
  const current = await publication.crls.latest(publication.authority.id);
  if (current === undefined) throw new PkiError('internal', 'a CRL was published and is gone');
  return current;
}

async function demanded(publication: CrlPublication, demand: CrlDemand, heads: readonly CrlHead[]): Promise<readonly DueScope[]> {
  const { crls, authority, clock, refreshPercent = REFRESH_PERCENT, smallShard } = publication;
  const now = clock.now();
  const rules = { now, refreshPercent, overlapMs: LATE_COMMIT_MS, ...(smallShard === undefined ? {} : { smallShard }) };
  const head = headsByScope(heads);
  if (typeof demand === 'object') {
    const scopes = (await crls.shardsOf(authority.id, demand.shards)).filter(({ scope }) => head(scope, 'full') === undefined);
    return dueScopes({ scopes, heads, changes: [] }, rules);
  }
  const scopes = await crls.scopes(authority.id);
  const changes = await crls.changes(authority.id, changedSince(scopes, heads), now);
  const due = dueScopes({ scopes, heads, changes }, rules);
  if (demand === 'due') return due;
  const known = new Map(due.map((one) => [one.scope.scope, one]));
  return scopes.map((scope) => ({
    scope, full: true, delta: true, restart: known.get(scope.scope)?.restart ?? false,
    before: { full: head(scope.scope, 'full'), delta: head(scope.scope, 'delta') },
  }));
}

const newestOf = (heads: readonly CrlHead[]): Date | undefined =>
  heads.length === 0 ? undefined : new Date(Math.max(...heads.map(({ thisUpdate }) => thisUpdate.getTime())));

/** Every change that some delta may lack is younger. */
function changedSince(scopes: readonly CrlScopeFacts[], heads: readonly CrlHead[]): Date {
  const head = headsByScope(heads);
  const shown = scopes.flatMap(({ scope }) => head(scope, 'delta')?.thisUpdate.getTime() ?? []);
  return new Date(shown.length === 0 ? 0 : Math.min(...shown) - LATE_COMMIT_MS);
}

/** Whether a certificate that names one of so many shards may be handed out: each of them has a CRL (I17). */
export async function hasShards(crls: Pick<CrlLedger, 'heads' | 'shardsOf'>, caId: number, shards: number): Promise<boolean> {
  const head = headsByScope(await crls.heads(caId));
  return (await crls.shardsOf(caId, shards)).every(({ scope }) => head(scope, 'full') !== undefined);
}

