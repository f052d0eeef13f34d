import { type Clock, Lru, PkiError } from '@fleetroot/core';
import {
  type CertificationAuthority, certificatesOfKey, crlBundleOf, type CrlPlace, isCurrent, isTrusted, lacksCrl, LEFT_OUT_FIELD, leftOutOf, type PublishedLedger, publishedTypes,
  type PublishedTruststore, signsStatus, trustedOf,
} from '@fleetroot/authority';
import { ageUntil } from './caching.ts';
import { Copy } from './copy.ts';
import { CrlShelf, type ShelvedCrl } from './crl-shelf.ts';
import { LedgerView, type LedgerViewOptions } from './ledger-view.ts';
import type { PublishedObject } from './representation.ts';

export interface PublishedOptions extends Pick<LedgerViewOptions, 'onAway' | 'onBack'> {
  /** Octets of CRLs in memory; bundles take a quarter of it beside. */
  readonly limit?: number;
  readonly onError?: (error: unknown) => void;
}

interface Bundle {
  /** What it was made of. */
  readonly of: string;
  readonly copy: Copy;
  readonly held: number;
  readonly ends: Date;
}

/** A CA certificate changes when it is renewed, seldom and long before its end: a cache may keep it for an hour, in seconds. */
const CERTIFICATE_AGE = 3600;
/** Truststores, their CRLs and deltas: what tells of a revocation within seconds is not kept for minutes. */
const SHORT_AGE = 60;
const DEFAULT_LIMIT = 256 << 20;

/**
 * What relying parties fetch besides OCSP: CA certificates, CRLs, truststores with the CRLs of every CA in them. All from
 * memory; what was read once is served on while the ledger is away.
 */
export class Published {
  readonly #clock: Clock;
  readonly #view: LedgerView;
  readonly #shelf: CrlShelf;
  readonly #bundles: Lru<string, Bundle>;

  constructor(ledger: PublishedLedger, clock: Clock, { limit = DEFAULT_LIMIT, ...options }: PublishedOptions = {}) {
    this.#clock = clock;
    this.#view = new LedgerView(ledger, clock, { ...options, onCrls: (heads) => this.#shelf.renew(heads) });
    this.#shelf = new CrlShelf({ view: this.#view, ledger, limit, ...(options.onError === undefined ? {} : { onError: options.onError }) });
    this.#bundles = new Lru(limit / 4, (_, { held }) => held);
  }

  /** Looks at the ledger from now on. What is there by then is known on return, unless the ledger is away. */
  start(): Promise<void> {
    return this.#view.start();
  }

  /** Looks at the ledger now. @throws PkiError `store.unavailable` */
  refresh(): Promise<void> {
    return this.#view.refresh();
  }

  stop(): void {
    this.#view.stop();
  }

  /** Since when the ledger has been away, and what was read before is served; undefined: it is at hand. */
  get awaySince(): Date | undefined {
    return this.#view.awaySince;
  }

  /** Octets of CRLs in memory, of bundles too. */
  get held(): number {
    return this.#shelf.held + this.#bundles.weight;
  }

  /** The same objects for as long as they say the same: what is read from a certificate is remembered by its CA. */
  async authorities(): Promise<readonly CertificationAuthority[]> {
    return (await this.#view.look()).authorities;
  }

  /** The newest certificate of the CA. @throws PkiError `ca.not-found` */
  async certificate(ca: string): Promise<PublishedObject> {
    return certificateObject((await this.#authority(ca)).certificate, publishedTypes.certificate);
  }

  /** Every certificate of the CA's key. @throws PkiError `ca.not-found` */
  async certificates(ca: string): Promise<PublishedObject> {
    const { certificates } = await this.#view.look();
    return certificateObject(certificatesOfKey(await this.#authority(ca), certificates), publishedTypes.certificates);
  }

  /** The CRL published last, even where it has expired: who is to judge it must see it. @throws PkiError `ca.not-found`, `crl.not-found` */
  async crl({ ca, scope, kind }: CrlPlace): Promise<PublishedObject> {
    const { id } = await this.#authority(ca);
    const known = await this.#crl(id, scope, kind);
    if (known === undefined) throw new PkiError('crl.not-found', `no ${kind === 'delta' ? 'delta ' : ''}CRL of ${ca} is published ${scope === 'all' ? '' : `for its shard ${scope} `}yet`);
    const { head, copy, dated } = known;
    return {
      copy, mediaType: publishedTypes.crl, compressible: true,
      freshness: { lastModified: dated ? head.thisUpdate : undefined, maxAge: ageUntil(head.nextUpdate.getTime(), this.#clock.now().getTime(), kind === 'delta' ? SHORT_AGE : undefined) },
    };
  }

  /** No date, here and of its CRLs: two may be of one second, and who asks by date would keep the one before. @throws PkiError `truststore.not-found` */
  async truststore(name: string): Promise<PublishedObject> {
    const { pem } = await this.#truststore(name);
    return { copy: new Copy(Buffer.from(pem)), mediaType: publishedTypes.pem, compressible: false, freshness: { lastModified: undefined, maxAge: SHORT_AGE } };
  }

  /**
   * A CRL for each CA in the truststore that is to be trusted, in its order: with one missing or expired, nginx and others
   * refuse every client.
   * @throws PkiError `truststore.not-found`, `truststore.incomplete`
   */
  async truststoreCrls(name: string): Promise<PublishedObject> {
    const truststore = await this.#truststore(name);
    const all = await this.authorities();
    const trusted = trustedOf(truststore, all);
    const leftOut = leftOutOf(truststore, all);
    const now = this.#clock.now();
    const crls = new Map<number, ShelvedCrl>();
    for (const ca of trusted) {
      const crl = await this.#crl(ca.id, 'all', 'full');
      if (crl === undefined || !isCurrent(crl.head, now)) throw lacksCrl(ca);
      crls.set(ca.id, crl);
    }
    const { copy, ends } = this.#bundle(name, truststore, trusted, crls, now);
    return {
      copy, mediaType: publishedTypes.pem, compressible: true, freshness: { lastModified: undefined, maxAge: ageUntil(ends.getTime(), now.getTime(), SHORT_AGE) },
      ...(leftOut.length === 0 ? {} : { fields: { [LEFT_OUT_FIELD]: leftOut.join(', ') } }),
    };
  }

  /** @throws PkiError `crl.not-found` that names the CAs whose CRLs are made here and which have none, or an expired one */
  async checkCrls(): Promise<void> {
    const all = await this.authorities();
    const now = this.#clock.now();
    // Certificates name the CRLs of their shards: one of those that has expired is as bad as that of the whole CA.
    const fulls = this.#view.crls.all().filter(({ kind }) => kind === 'full');
    const isWithout = ({ id }: CertificationAuthority): boolean =>
      !isCurrent(this.#view.crls.get(id), now) || fulls.some((head) => head.caId === id && !isCurrent(head, now));
    const without = all.filter((ca) => isAskedFor(ca, all) && isWithout(ca)).map(({ name }) => name);
    if (without.length > 0) throw new PkiError('crl.not-found', `no current CRL of ${without.join(', ')}`);
  }

  async #crl(caId: number, scope: CrlPlace['scope'], kind: CrlPlace['kind']): Promise<ShelvedCrl | undefined> {
    await this.#view.look();
    const known = await this.#shelf.get(caId, scope, kind);
    if (known !== undefined || this.awaySince !== undefined) return known;
    // It may have been published since the last look, or newer ones since that knew of it.
    await this.#view.lookAgain();
    return this.#shelf.get(caId, scope, kind);
  }

  #bundle(name: string, { version }: PublishedTruststore, trusted: readonly CertificationAuthority[], crls: ReadonlyMap<number, ShelvedCrl>, now: Date): Bundle {
    const all = [...crls.values()];
    const of = [version, ...trusted.map(({ id }) => `${id}:${crls.get(id)?.head.number ?? ''}`)].join(' ');
    const kept = this.#bundles.get(name);
    if (kept?.of === of) return kept;
    const octets = crlBundleOf(trusted, (id) => {
      const crl = crls.get(id);
      return crl === undefined ? undefined : { nextUpdate: crl.head.nextUpdate, der: crl.copy.octets };
    }, now);
    const copy = new Copy(octets, (by) => this.#bundles.grown(name, bundle, by));
    const bundle: Bundle = {
      of, copy,
      // Without any CA that is to be trusted it is empty, and may have one at any moment.
      ends: new Date(all.length === 0 ? now : Math.min(...all.map(({ head }) => head.nextUpdate.getTime()))),
      get held() {
        return copy.held;
      },
    };
    this.#bundles.set(name, bundle);
    return bundle;
  }

  async #truststore(name: string): Promise<PublishedTruststore> {
    const found = (await this.#view.look()).truststores.get(name) ?? (await this.#view.lookAgain()).truststores.get(name);
    if (found === undefined) throw new PkiError('truststore.not-found');
    return found;
  }

  async #authority(name: string): Promise<CertificationAuthority> {
    const named = (all: readonly CertificationAuthority[]): CertificationAuthority | undefined => all.find((ca) => ca.name === name);
    const found = named(await this.authorities()) ?? named((await this.#view.lookAgain()).authorities);
    if (found === undefined) throw new PkiError('ca.not-found', 'no CA of this name');
    return found;
  }
}

/**
 * Whether this app is not ready while it lacks the CA's CRL or OCSP signer: both are made here, and there may be
 * certificates that relying parties ask for. No CA that waits, whose key is elsewhere, or that is revoked with one above it
 * keeps it from serving the others.
 */
export const isAskedFor = (ca: CertificationAuthority, all: readonly CertificationAuthority[]): boolean =>
  signsStatus(ca) && ca.state !== 'prepared' && isTrusted(ca, all);

/** No date: a certificate that was renewed may be on record long after it was made, and be new to who asks by date. */
const certificateObject = (octets: Uint8Array, mediaType: string): PublishedObject =>
  ({ copy: new Copy(octets), mediaType, compressible: false, freshness: { lastModified: undefined, maxAge: CERTIFICATE_AGE } });
