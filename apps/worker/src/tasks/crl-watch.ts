import { type AuthorityLedger, type CertificationAuthority, type CrlHead, type CrlLedger, crlPath, crlPlace, isTrusted, type PublishedCrls } from '@fleetroot/authority';
import { type Clock, equalBytes, isPkiError } from '@fleetroot/core';
import type { Logger } from '@fleetroot/telemetry';
import { parseAnyCrl } from '@fleetroot/x509';
import { hash } from 'node:crypto';
import type { Task } from '../task.ts';

export interface CrlWatchParts {
  readonly authorities: Pick<AuthorityLedger, 'all'>;
  readonly crls: Pick<CrlLedger, 'heads'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly everyMs: number;
  /** What everybody gets; absent: the ledger is looked at alone. */
  readonly served?: PublishedCrls;
  /** Told after each look at what is served: `servedFigures`. */
  readonly beat?: (figures: Readonly<Record<string, number>>) => Promise<void>;
}

/** A CRL as it was served last, or could not be had since. */
interface ServedCrl {
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
}

/** How much of its life a published CRL has behind it. */
export type CrlAge = 'fresh' | 'half' | 'three quarters' | 'expired' | 'missing';

const ages: readonly CrlAge[] = ['fresh', 'half', 'three quarters', 'expired', 'missing'];
/** What is said already is said again after so long, in milliseconds. */
const AGAIN_MS = 3_600_000;
/** So many CRLs of a CA are fetched each time, others the next time. */
const FETCHED_AT_ONCE = 6;
/** A CRL may take so long from the ledger to whoever asks for it, in milliseconds. */
const ON_ITS_WAY_MS = 60_000;

export function crlAge(latest: Pick<CrlHead, 'thisUpdate' | 'nextUpdate'> | undefined, now: Date): CrlAge {
  if (latest === undefined) return 'missing';
  const part = (now.getTime() - latest.thisUpdate.getTime()) / (latest.nextUpdate.getTime() - latest.thisUpdate.getTime());
  return part >= 1 ? 'expired' : part >= 0.75 ? 'three quarters' : part >= 0.5 ? 'half' : 'fresh';
}

const WHAT = {
  half: 'the CRL of a CA has half of its life behind it', 'three quarters': 'the CRL of a CA has three quarters of its life behind it',
  expired: 'the CRL of a CA has expired: gateways refuse every client', missing: 'a CA has no CRL: gateways that check it refuse every client',
} as const satisfies Record<Exclude<CrlAge, 'fresh'>, string>;

/**
 * Tells the operator of CRLs that grow old, of any scope and kind, by what is published and not by what was asked for (I14):
 * once for a CA, of the oldest. Nobody but him can renew that of a CA whose key is not online. Those of another are told of
 * once they are so old that the crls task has asked for the next ones in vain. What is served is fetched as anybody would,
 * and compared with the ledger.
 */
export function crlWatchTask(parts: CrlWatchParts): Task {
  const told = new Map<string, { readonly what: string; readonly at: number }>();
  const turns = new Map<number, number>();
  const seen = new Map<string, ServedCrl>();
  /** Says something of a CA once, and again after an hour; `undefined`: all is well. */
  const say = (about: string, what: string | undefined, tell: () => void): void => {
    const now = parts.clock.now().getTime();
    const before = told.get(about);
    if (what === undefined) told.delete(about);
    else if (before?.what !== what || Math.abs(now - before.at) >= AGAIN_MS) {
      told.set(about, { what, at: now });
      tell();
    }
  };
  return {
    name: 'crl-watch', everyMs: parts.everyMs, runsOn: 'leader',
    async run(signal) {
      const all = await parts.authorities.all();
      const heads = await parts.crls.heads();
      const faults = new Map<string, number>();
      for (const ca of all.filter((one) => isTrusted(one, all))) {
        if (signal.aborted) return;
        const own = heads.filter(({ caId }) => caId === ca.id);
        watchAges(parts, ca, own, say);
        if (parts.served !== undefined && own.length > 0) faults.set(ca.name, await watchServed(parts, parts.served, ca, turnOf(turns, ca, own), seen, say));
      }
      // One that is not to be trusted any more need not be young.
      for (const path of seen.keys()) if (!faults.has(crlPlace(path)?.ca ?? '')) seen.delete(path);
      await parts.beat?.(servedFigures(seen, faults, parts.clock.now()));
    },
  };
}

type Say = (about: string, what: string | undefined, tell: () => void) => void;

function watchAges({ clock, logger }: CrlWatchParts, ca: CertificationAuthority, heads: readonly CrlHead[], say: Say): void {
  const online = ca.keyId !== undefined;
  const now = clock.now();
  const each = heads.map((head) => ({ head, age: crlAge(head, now) }));
  const whole = heads.some(({ scope, kind }) => scope === 'all' && kind === 'full');
  const oldest = ages[Math.max(whole ? 0 : ages.indexOf('missing'), ...each.map(({ age }) => ages.indexOf(age)))] ?? 'fresh';
  const quiet = oldest === 'fresh' || (online && (oldest === 'half' || oldest === 'missing'));
  say(ca.name, quiet ? undefined : oldest, () => {
    if (oldest === 'fresh') return;
    const old = each.filter(({ age }) => age === oldest);
    const text = `${WHAT[oldest]}; ${online ? 'see why the issuer publishes none' : 'have a ceremony sign the next one, and import it'}`;
    const [first] = old;
    logger[oldest === 'half' ? 'warn' : 'error']({
      ca: ca.name, nextUpdate: first?.head.nextUpdate.toISOString(),
      ...(heads.length > 2 && first !== undefined ? { crls: old.length, scope: first.head.scope, kind: first.head.kind } : {}),
    }, text);
  });
}

/** A few each time: that of the whole CA always, the others in turn. */
function turnOf(turns: Map<number, number>, { id }: CertificationAuthority, heads: readonly CrlHead[]): readonly CrlHead[] {
  const [whole, others] = [heads.filter(({ scope }) => scope === 'all'), heads.filter(({ scope }) => scope !== 'all')];
  const from = turns.get(id) ?? 0;
  turns.set(id, others.length === 0 ? 0 : (from + FETCHED_AT_ONCE) % others.length);
  return [...whole, ...Array.from({ length: Math.min(FETCHED_AT_ONCE, others.length) }, (_, i) => others[(from + i) % others.length] as CrlHead)];
}

/**
 * Of each CRL as it is served, by its path: `age PATH` in seconds, and `life PATH`, the part of its life that is behind it.
 * What cannot be had any more grows older still. `faults CA`: how many of those fetched now are not what they should be.
 */
function servedFigures(seen: ReadonlyMap<string, ServedCrl>, faults: ReadonlyMap<string, number>, now: Date): Record<string, number> {
  const figures: Record<string, number> = {};
  for (const [path, { thisUpdate, nextUpdate }] of seen) {
    const age = now.getTime() - thisUpdate.getTime();
    figures[`age ${path}`] = Math.round(age / 1000);
    figures[`life ${path}`] = Math.round((1000 * age) / (nextUpdate.getTime() - thisUpdate.getTime())) / 1000;
  }
  for (const [ca, count] of faults) figures[`faults ${ca}`] = count;
  return figures;
}

/** @returns how many are not what they should be */
async function watchServed(
  { clock, logger }: CrlWatchParts, served: PublishedCrls, ca: CertificationAuthority, heads: readonly CrlHead[], seen: Map<string, ServedCrl>, say: Say,
): Promise<number> {
  const faults: { readonly path: string; readonly fault: string }[] = [];
  for (const head of heads) {
    const path = crlPath({ ...head, ca: ca.name });
    const fault = await faultOfServed(served, ca.name, head, clock.now(), (crl) => seen.set(path, crl));
    if (fault !== undefined) faults.push({ path, fault });
  }
  const [first] = faults;
  say(`${ca.name} served`, first?.fault, () => {
    logger.error({ ca: ca.name, path: first?.path, faults: faults.length }, `a CRL as it is served ${first?.fault ?? ''}: see whether the status app runs, and what stands before it`);
  });
  return faults.length;
}

async function faultOfServed(
  served: PublishedCrls, caName: string, head: CrlHead, now: Date, see: (crl: ServedCrl) => void,
): Promise<string | undefined> {
  // One that was just published may still be on its way.
  const young = now.getTime() - head.thisUpdate.getTime() < ON_ITS_WAY_MS;
  try {
    const der = await served.fetch(caName, head.scope, head.kind);
    if (der === undefined) return young ? undefined : 'is not there';
    if (equalBytes(hash('sha256', der, 'buffer'), head.sha256)) {
      see(head);
      return undefined;
    }
    const crl = parseAnyCrl(der);
    see(crl);
    if (crl.nextUpdate <= now) return 'has expired';
    if (crl.number === head.number) return 'has the number of the one on record, and other octets';
    // One that is newer than what was read from the ledger is none the worse for it.
    if (crl.number >= head.number || young) return undefined;
    // Its own life counts, not that of the one that should be there (I14).
    const age = crlAge(crl, now);
    return age === 'fresh' ? 'is not the newest' : `is not the newest, and has ${age} of its life behind it`;
  } catch (error) {
    if (isPkiError(error)) return 'cannot be read';
    return error instanceof Error ? `cannot be had (${error.message})` : 'cannot be had';
  }
}
