import { type AuthorityLedger, type CertificationAuthority, type CrlHead, type CrlLedger, crlPath, isTrusted, type PublishedCrls } from '@fleetroot/authority';
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
      for (const ca of all.filter((one) => isTrusted(one, all))) {
        if (signal.aborted) return;
        const own = heads.filter(({ caId }) => caId === ca.id);
        watchAges(parts, ca, own, say);
        if (parts.served !== undefined && own.length > 0) await watchServed(parts, parts.served, ca, turnOf(turns, ca, own), say);
      }
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

async function watchServed({ clock, logger }: CrlWatchParts, served: PublishedCrls, ca: CertificationAuthority, heads: readonly CrlHead[], say: Say): Promise<void> {
  const faults: { readonly path: string; readonly fault: string }[] = [];
  for (const head of heads) {
    const fault = await faultOfServed(served, ca.name, head, clock.now());
    if (fault !== undefined) faults.push({ path: crlPath({ ...head, ca: ca.name }), fault });
  }
  const [first] = faults;
  say(`${ca.name} served`, first?.fault, () => {
    logger.error({ ca: ca.name, path: first?.path, faults: faults.length }, `a CRL as it is served ${first?.fault ?? ''}: see whether the status app runs, and what stands before it`);
  });
}

async function faultOfServed(served: PublishedCrls, caName: string, head: CrlHead, now: Date): Promise<string | undefined> {
  // One that was just published may still be on its way.
  const young = now.getTime() - head.thisUpdate.getTime() < ON_ITS_WAY_MS;
  try {
    const der = await served.fetch(caName, head.scope, head.kind);
    if (der === undefined) return young ? undefined : 'is not there';
    if (equalBytes(hash('sha256', der, 'buffer'), head.sha256)) return undefined;
    const crl = parseAnyCrl(der);
    if (crl.nextUpdate <= now) return 'has expired';
    if (crl.number === head.number) return 'has the number of the one on record, and other octets';
    // One that is newer than what was read from the ledger is none the worse for it.
    return crl.number < head.number && !young ? 'is not the newest' : undefined;
  } catch (error) {
    if (isPkiError(error)) return 'cannot be read';
    return error instanceof Error ? `cannot be had (${error.message})` : 'cannot be had';
  }
}
