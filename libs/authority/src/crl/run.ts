import { hash } from 'node:crypto';
import type { AuditEvent } from '@fleetroot/audit';
import { crashPoint, LATE_COMMIT_MS, PkiError, toHex } from '@fleetroot/core';
import {
  assembleCrl, buildCrlTbs, keyIdentifier, parseAnyCrl, type ParsedCertificate, type ParsedCrl, parseCertificate, type SignatureAlgorithm, verifySignature,
} from '@fleetroot/x509';
import { signatureAlgorithmOf } from '../hierarchy/state.ts';
import type { CrlHead, CrlKind, CrlScope, CrlSwap, PlannedCrl, PublishedCrl } from '../ports/crl.ts';
import { checkCrl, flawOfSuccession } from './check.ts';
import type { DueScope } from './due.ts';
import type { CrlPublication } from './publication.ts';
import { ListedScopes, placeOf, ScopeEntries } from './scope-entries.ts';

/** How far the clocks of two publishers may be apart, in milliseconds. */
const CLOCKS_DIFFER_MS = 5000;
/** CRLs of so many octets together are signed and swapped in at once. */
const BATCH_OCTETS = 8_000_000;
/** So often a swap is tried that another publisher has overtaken. */
const SWAPS = 20;

export interface RunOutcome {
  readonly published: readonly CrlHead[];
  /** Why the CRLs of a scope were not published. */
  readonly flaws: ReadonlyMap<CrlScope, PkiError>;
}

interface RunFacts {
  readonly issuer: ParsedCertificate;
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly authorityKeyIdentifier: Uint8Array;
  readonly number: bigint;
  readonly thisUpdate: Date;
}

/** A CRL before its signature. */
interface Draft {
  readonly scope: CrlScope;
  readonly kind: CrlKind;
  readonly baseNumber: bigint | undefined;
  readonly nextUpdate: Date;
  readonly distributionPoint: readonly string[];
  readonly entries: number;
  readonly tbs: Uint8Array;
}

interface Built {
  readonly crl: PublishedCrl;
  readonly parsed: ParsedCrl;
}

/**
 * One run: every due scope with the same number and thisUpdate.
 * @param newest thisUpdate of any CRL of the CA
 */
export async function runCrls(publication: CrlPublication, due: readonly DueScope[], newest: Date | undefined): Promise<RunOutcome> {
  const { authority, crls, clock } = publication;
  const issuer = parseCertificate(authority.certificate);
  const thisUpdate = notBefore(wholeSecond(clock.now()), newest);
  const number = await crls.reserve(authority.id, thisUpdate, due.flatMap((one) => planned(one, publication, thisUpdate)));
  crashPoint('crl.reserved');
  const run = new Run(publication, {
    issuer, signatureAlgorithm: signatureAlgorithmOf(authority), authorityKeyIdentifier: issuer.subjectKeyIdentifier ?? keyIdentifier(issuer.spkiDer),
    number, thisUpdate,
  });
  // After the reservation: whoever reserved a lower number has no later entries than these, or checks again.
  const whole = due.filter(({ scope }) => scope.scope === 'all');
  const shards = due.filter(({ scope }) => scope.scope !== 'all').sort((a, b) => compareScopes(a.scope.scope, b.scope.scope));
  for (const group of [whole, shards.filter(({ full }) => full), shards.filter(({ full }) => !full)]) await run.publish(group);
  return run;
}

function planned({ scope: { scope }, full, delta, restart, before }: DueScope, { lifetimeMs, deltaLifetimeMs = lifetimeMs }: CrlPublication, thisUpdate: Date): PlannedCrl[] {
  return [
    ...(full ? [{ scope, kind: 'full', nextUpdate: after(thisUpdate, lifetimeMs), base: undefined } as const] : []),
    ...(delta ? [{ scope, kind: 'delta', nextUpdate: after(thisUpdate, deltaLifetimeMs), base: restart ? 'own' : before.full?.number ?? 'own' } as const] : []),
  ];
}

class Run implements RunOutcome {
  readonly published: CrlHead[] = [];
  readonly flaws = new Map<CrlScope, PkiError>();
  readonly #publication: CrlPublication;
  readonly #facts: RunFacts;
  #drafts: Draft[] = [];
  #octets = 0;

  constructor(publication: CrlPublication, facts: RunFacts) {
    this.#publication = publication;
    this.#facts = facts;
  }

  /** Scopes that are read in one pass, in the order of the ledger. */
  async publish(group: readonly DueScope[]): Promise<void> {
    if (group.length === 0) return;
    const { crls, authority } = this.#publication;
    const choices = group.map((due) => ({ due, ...this.#choose(due) }));
    const endingFrom = Math.min(...choices.flatMap(({ wanted }) => wanted.map((one) => one.endingFrom)));
    const changedFrom = Math.min(...choices.flatMap(({ wanted }) => wanted.map((one) => one.changedFrom)));
    const scopes = group.map(({ scope }) => scope.scope);
    const listed = new ListedScopes(crls.listed(authority.id, {
      scopes: scopes.includes('all') ? 'all' : scopes, endingFrom: new Date(endingFrom), changedFrom: changedFrom > 0 ? new Date(changedFrom) : undefined,
    }));
    try {
      for (const { due, make } of choices) {
        const crlsOfScope = make();
        await listed.read(due.scope.scope, (entry) => { for (const { entries } of crlsOfScope) entries.offer(entry); });
        for (const { kind, entries } of crlsOfScope) this.#draft(due, kind, entries);
        if (this.#octets >= BATCH_OCTETS) await this.#flush();
      }
    } finally {
      await listed.close();
    }
    await this.#flush();
  }

  /** What belongs on the CRLs of a scope; times in milliseconds. */
  #choose({ full, delta, restart, before }: DueScope) {
    const endingFrom = before.full?.thisUpdate.getTime() ?? 0;
    const base = restart ? this.#facts.thisUpdate : before.full?.thisUpdate ?? this.#facts.thisUpdate;
    const ofFull = { endingFrom, changedFrom: 0 };
    // What was under way at the time of its base is on it.
    const ofDelta = { endingFrom, changedFrom: base.getTime() - LATE_COMMIT_MS };
    const make = (): { kind: CrlKind; entries: ScopeEntries }[] => [
      ...(full ? [{ kind: 'full' as const, entries: new ScopeEntries(false, ofFull) }] : []),
      ...(delta ? [{ kind: 'delta' as const, entries: new ScopeEntries(true, ofDelta) }] : []),
    ];
    return { wanted: [...(full ? [ofFull] : []), ...(delta ? [ofDelta] : [])], make };
  }

  #draft(due: DueScope, kind: CrlKind, { entries }: ScopeEntries): void {
    const { issuer, ...facts } = this.#facts;
    const { scope, uris } = due.scope;
    const [plan] = planned({ ...due, full: kind === 'full', delta: kind === 'delta' }, this.#publication, facts.thisUpdate);
    if (plan === undefined) return;
    const baseNumber = plan.base === 'own' ? facts.number : plan.base;
    const freshestCrl = kind === 'full' ? this.#freshest(due) : [];
    const tbs = buildCrlTbs({ ...facts, issuerDer: issuer.subjectDer, nextUpdate: plan.nextUpdate, distributionPoint: uris, baseNumber, freshestCrl, entries });
    this.#drafts.push({ scope, kind, baseNumber, nextUpdate: plan.nextUpdate, distributionPoint: uris, entries: entries.count, tbs });
    this.#octets += tbs.length;
  }

  /** Beside each CRL, its delta. */
  #freshest({ scope: { scope, uris } }: DueScope): readonly string[] {
    const { statusUrl, authority } = this.#publication;
    const own = scope === 'all' && statusUrl !== undefined ? [`${statusUrl.replace(/\/+$/, '')}/crl/${authority.name}.crl`] : uris;
    return own.map((uri) => uri.replace(/\.crl$/, '.delta.crl'));
  }

  async #flush(): Promise<void> {
    const drafts = this.#drafts;
    this.#drafts = [];
    this.#octets = 0;
    if (drafts.length > 0) await this.#swap(await this.#sign(drafts));
  }

  async #sign(drafts: readonly Draft[]): Promise<Built[]> {
    const { authority, signer } = this.#publication;
    const { issuer, signatureAlgorithm, authorityKeyIdentifier, number, thisUpdate } = this.#facts;
    const signatures = await signer.sign(authority, drafts.map(({ tbs }) => tbs), 'crl');
    const built = drafts.map(({ tbs, ...draft }, i): Built => {
      const signature = signatures[i];
      if (signature === undefined || signatures.length !== drafts.length || !verifySignature(issuer.spkiDer, signatureAlgorithm, tbs, signature)) {
        throw new PkiError('hsm.signature-invalid', `the signature of a CRL of ${authority.name} does not verify under the CA's certificate`);
      }
      const der = assembleCrl(tbs, signatureAlgorithm, signature);
      const parsed = parseAnyCrl(der);
      checkCrl(parsed, { ...draft, issuer, authorityKeyIdentifier, number, thisUpdate });
      const { scope, kind, baseNumber, nextUpdate, entries } = draft;
      return { parsed, crl: { caId: authority.id, scope, kind, number, baseNumber, thisUpdate, nextUpdate, entries, sha256: hash('sha256', der, 'buffer'), der } };
    });
    crashPoint('crl.signed');
    return built;
  }

  /** Each is compared with the one that it takes the place of; where that has changed meanwhile, it is compared anew. */
  async #swap(built: readonly Built[]): Promise<void> {
    const { crls, authority } = this.#publication;
    let left = built;
    for (let attempt = 1; left.length > 0; attempt++) {
      const swaps: CrlSwap[] = [];
      for (const { crl, parsed } of left) {
        const before = await crls.latest(authority.id, crl.scope, crl.kind);
        if (before !== undefined && before.number >= crl.number) continue;
        const flaw = before === undefined ? undefined : await flawOfSuccession(crls, before, parsed);
        if (flaw === undefined) swaps.push({ crl, after: before?.number });
        else this.flaws.set(crl.scope, flaw);
      }
      // Full CRL and delta of a scope are swapped together, or neither is.
      const sound = swaps.filter(({ crl }) => !this.flaws.has(crl.scope));
      crashPoint('crl.compared');
      const swapped = sound.length === 0 ? [] : await crls.publish(authority.id, sound, (done) => this.#event(done));
      crashPoint('crl.swapped');
      this.published.push(...sound.filter((_, i) => swapped[i] === true).map(({ crl }) => headOf(crl)));
      const again = new Set(sound.filter((_, i) => swapped[i] !== true).map(({ crl }) => crl));
      left = left.filter(({ crl }) => again.has(crl));
      if (attempt === SWAPS && left.length > 0) throw new PkiError('store.unavailable', `other publishers overtake the CRLs of ${authority.name} again and again: they are tried later`);
    }
  }

  #event(swapped: readonly PublishedCrl[]): AuditEvent {
    const { authority, clock } = this.#publication;
    const { number, thisUpdate } = this.#facts;
    return {
      action: 'crl.published', actor: 'system:issuer', at: clock.now(), subject: `ca:${authority.name}`,
      data: {
        number: number.toString(), thisUpdate: thisUpdate.toISOString(),
        crls: swapped.map(({ scope, kind, nextUpdate, entries, sha256 }) => ({ scope, kind, nextUpdate: nextUpdate.toISOString(), entries, sha256: toHex(sha256) })),
      },
    };
  }
}

const headOf = ({ caId, scope, kind, number, baseNumber, thisUpdate, nextUpdate, entries, sha256 }: PublishedCrl): CrlHead =>
  ({ caId, scope, kind, number, baseNumber, thisUpdate, nextUpdate, entries, sha256 });

function compareScopes(a: CrlScope, b: CrlScope): number {
  if (a === 'all' || b === 'all') return 0;
  const [shards, shard] = placeOf(a);
  const [otherShards, otherShard] = placeOf(b);
  return shards - otherShards || shard - otherShard;
}

const wholeSecond = (time: Date): Date => new Date(Math.floor(time.getTime() / 1000) * 1000);
const after = (time: Date, ms: number): Date => new Date(time.getTime() + Math.max(1, Math.floor(ms / 1000)) * 1000);

/**
 * thisUpdate never goes back (I13), also where the publisher before us has a clock that is a little ahead of ours. A
 * clock that is further behind is left as it is: the ledger refuses it.
 */
function notBefore(now: Date, previous: Date | undefined): Date {
  const behind = previous === undefined ? 0 : previous.getTime() - now.getTime();
  return previous !== undefined && behind > 0 && behind <= CLOCKS_DIFFER_MS ? previous : now;
}
