import { type CeremonyCertificate, type CertificationAuthority, type CrlHead, NewestCrls, type PublishedLedger, type PublishedTruststore } from '@fleetroot/authority';
import { type Clock, equalBytes } from '@fleetroot/core';
import { within } from './patience.ts';

/** What the ledger has published, at one look. */
export interface View {
  readonly authorities: readonly CertificationAuthority[];
  readonly certificates: readonly CeremonyCertificate[];
  readonly truststores: ReadonlyMap<string, PublishedTruststore>;
}

export interface LedgerViewOptions {
  /** Called with the CRLs that are new at a look, before the look is over. */
  readonly onCrls?: (heads: readonly CrlHead[]) => void;
  /** Called once when the ledger cannot be read any more, and once when it can again. */
  readonly onAway?: (error: unknown) => void;
  readonly onBack?: (awaySince: Date) => void;
}

/** How often the ledger is looked at, in milliseconds: what is published is served within a second of it. */
const EVERY_MS = 400;
/** A look is taken for true for so long, where the next has not begun. */
const FRESH_MS = 800;
/** Who asks for what is not has the ledger looked at not more often than this. */
const AGAIN_MS = 200;
/** A look that takes longer counts as a ledger that is away, and nobody waits for it any more. */
const PATIENCE_MS = 1500;
/** A publication may take so long from its time to its commit: a transaction of the ledger is cut off before. */
const COMMIT_MS = 45_000;
/** All is looked at again so often, whatever was told by its time. */
const WHOLE_EVERY_MS = 60_000;

/**
 * What this app knows of the ledger: read again and again in the background, so that a request costs no query, and kept
 * while the ledger is away.
 */
export class LedgerView {
  /** Never an older one after a newer one. */
  readonly crls = new NewestCrls();
  readonly #ledger: PublishedLedger;
  readonly #clock: Clock;
  readonly #options: LedgerViewOptions;
  #view: View | undefined;
  #readAt = -Infinity;
  #reading: { readonly began: number; readonly done: Promise<void> } | undefined;
  #crlsAt: Date | undefined;
  #wholeAt = -Infinity;
  #lastGood: Date | undefined;
  #away: { readonly since: Date } | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(ledger: PublishedLedger, clock: Clock, options: LedgerViewOptions = {}) {
    this.#ledger = ledger;
    this.#clock = clock;
    this.#options = options;
  }

  /** Looks from now on, until `stop`. Never throws: a ledger that is away may come. */
  async start(): Promise<void> {
    this.#timer = setInterval(() => void this.refresh().catch(() => undefined), EVERY_MS).unref();
    const first = this.refresh();
    await within(PATIENCE_MS, first, performance.now(), () => undefined);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Since when what is served is what was read before; undefined: the ledger is at hand. */
  get awaySince(): Date | undefined {
    const stuck = this.#reading !== undefined && performance.now() - this.#reading.began > PATIENCE_MS;
    return this.#away?.since ?? (stuck ? this.#lastGood : undefined);
  }

  /** @throws PkiError `store.unavailable` where the ledger could never be read */
  async look(): Promise<View> {
    if (performance.now() - this.#readAt > FRESH_MS) {
      const reading = this.refresh();
      if (this.#view === undefined) await reading;
      // While it is known to be away nobody waits: this look is for who comes later.
      else if (this.#away !== undefined) reading.catch(() => undefined);
      else await within(PATIENCE_MS, reading, this.#reading?.began ?? performance.now(), () => undefined);
    }
    if (this.#view === undefined) await this.refresh();
    return this.#view as View;
  }

  /** As `look`, for what is not known yet: it may have come since the last look. */
  async lookAgain(): Promise<View> {
    if (this.#away === undefined && performance.now() - this.#readAt > AGAIN_MS) await within(PATIENCE_MS, this.refresh(), performance.now(), () => undefined);
    return this.look();
  }

  /** Looks now, or waits for the look that is under way. @throws what the ledger throws */
  refresh(): Promise<void> {
    if (this.#reading !== undefined) return this.#reading.done;
    const done = this.#read().then(() => this.#succeeded(), (error: unknown) => this.#failed(error)).finally(() => {
      this.#reading = undefined;
    });
    this.#reading = { began: performance.now(), done };
    return done;
  }

  #succeeded(): void {
    const away = this.#away;
    this.#readAt = performance.now();
    this.#lastGood = this.#clock.now();
    this.#away = undefined;
    if (away !== undefined) this.#options.onBack?.(away.since);
  }

  #failed(error: unknown): never {
    if (this.#away === undefined) {
      this.#away = { since: this.#lastGood ?? this.#clock.now() };
      this.#options.onAway?.(error);
    }
    throw error;
  }

  async #read(): Promise<void> {
    const whole = this.#crlsAt === undefined || performance.now() - this.#wholeAt > WHOLE_EVERY_MS;
    const since = whole || this.#crlsAt === undefined ? undefined : new Date(this.#crlsAt.getTime() - COMMIT_MS);
    const before = this.#view;
    const [authorities, certificates, versions, crls] = await Promise.all([
      this.#ledger.authorities(), this.#ledger.usableCertificates(this.#clock.now()), this.#ledger.truststoreVersions(), this.#ledger.crlsSince(since),
    ]);
    const truststores = await Promise.all([...versions].map(async ([name, version]) => {
      const known = before?.truststores.get(name);
      return [name, known?.version === version ? known : await this.#ledger.truststore(name)] as const;
    }));
    this.#view = {
      authorities: authorities.map((ca) => unchanged(before?.authorities.find(({ id }) => id === ca.id), ca)),
      certificates, truststores: new Map(truststores),
    };
    this.#crlsAt = crls.at;
    if (whole) this.#wholeAt = performance.now();
    const changed = this.crls.merge(crls.heads);
    if (changed.length > 0) this.#options.onCrls?.(changed);
  }
}

/** The same object for as long as it says the same: what is read from a certificate is remembered by its CA. */
function unchanged(known: CertificationAuthority | undefined, ca: CertificationAuthority): CertificationAuthority {
  if (known === undefined || !equalBytes(known.certificate, ca.certificate)) return ca;
  const text = ({ certificate: _certificate, keyId, ...rest }: CertificationAuthority): string =>
    JSON.stringify({ ...rest, keyId: keyId === undefined ? '' : Buffer.from(keyId).toString('hex') });
  return text(known) === text(ca) ? known : ca;
}
