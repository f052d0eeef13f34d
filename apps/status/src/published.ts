import { type Clock, PkiError } from '@fleetroot/core';
import type { CertificationAuthority, PublishedCrl, StatusLedger } from '@fleetroot/authority';
import type { TruststoreVersion } from '@fleetroot/trust';
import { encodePem } from '@fleetroot/x509';
import { type Freshness, etagOf, freshUntil } from './caching.ts';
import { Memo } from './memo.ts';

export type PublishedLedger = Pick<StatusLedger, 'authorities' | 'latestCrl'> & {
  /** @throws PkiError `truststore.not-found` */
  truststore(name: string): Promise<TruststoreVersion>;
};

export interface PublishedObject {
  readonly octets: Uint8Array;
  readonly mediaType: string;
  readonly freshness: Freshness;
}

/** A CA certificate, once published, never changes: a cache may keep it for a day, in seconds. */
const CERTIFICATE_AGE = 86_400;
/** How long what was read from the ledger is served again, in milliseconds. */
const AUTHORITIES_MS = 5000;
const CRL_MS = 1000;

/** What relying parties fetch besides OCSP: CA certificates, CRLs, truststores with the CRLs of every CA in them. */
export class Published {
  readonly #clock: Clock;
  readonly #authorities: Memo<'all', readonly CertificationAuthority[]>;
  readonly #crls: Memo<number, PublishedCrl | undefined>;
  readonly #truststores: Memo<string, TruststoreVersion>;

  constructor(ledger: PublishedLedger, clock: Clock) {
    this.#clock = clock;
    this.#authorities = new Memo(() => ledger.authorities(), AUTHORITIES_MS, clock);
    this.#crls = new Memo((caId) => ledger.latestCrl(caId), CRL_MS, clock);
    this.#truststores = new Memo((name) => ledger.truststore(name), CRL_MS, clock);
  }

  /** The same objects for some seconds: what is read from a certificate is remembered by its CA. */
  authorities(): Promise<readonly CertificationAuthority[]> {
    return this.#authorities.get('all');
  }

  /** @throws PkiError `ca.not-found` */
  async certificate(ca: string): Promise<PublishedObject> {
    const { certificate, notBefore } = await this.#authority(ca);
    return {
      octets: certificate, mediaType: 'application/pkix-cert',
      freshness: { etag: etagOf(certificate), lastModified: notBefore, maxAge: CERTIFICATE_AGE },
    };
  }

  /** The CRL published last, even where it has expired: who is to judge it must see it. @throws PkiError `ca.not-found`, `crl.not-found` */
  async crl(ca: string): Promise<PublishedObject> {
    const { id } = await this.#authority(ca);
    const crl = await this.#crls.get(id);
    if (crl === undefined) throw new PkiError('crl.not-found', `no CRL of ${ca} is published yet: the issuer makes it`);
    return {
      octets: crl.der, mediaType: 'application/pkix-crl',
      freshness: freshUntil(crl.der, crl.thisUpdate, crl.nextUpdate, this.#clock.now()),
    };
  }

  /** @throws PkiError `truststore.not-found` */
  async truststore(name: string): Promise<PublishedObject> {
    const { pem, createdAt } = await this.#truststores.get(name);
    return pemObject(pem, createdAt, 60);
  }

  /**
   * A CRL for each CA in the truststore, in its order: with one missing or expired, nginx and others refuse every client.
   * @throws PkiError `truststore.not-found`, `truststore.incomplete`
   */
  async truststoreCrls(name: string): Promise<PublishedObject> {
    const { caIds } = await this.#truststores.get(name);
    const crls = await Promise.all(caIds.map((caId) => this.#currentCrl(caId)));
    const now = this.#clock.now().getTime();
    const newest = new Date(Math.max(...crls.map((crl) => crl.thisUpdate.getTime())));
    const left = Math.floor((Math.min(...crls.map((crl) => crl.nextUpdate.getTime())) - now) / 1000);
    return pemObject(crls.map((crl) => encodePem('X509 CRL', crl.der)).join(''), newest, Math.min(60, left));
  }

  /** @throws PkiError `crl.not-found` that names the CAs which have no CRL, or an expired one */
  async checkCrls(): Promise<void> {
    const without: string[] = [];
    for (const authority of (await this.authorities()).filter(({ state }) => state === 'active' || state === 'retiring')) {
      const crl = await this.#crls.get(authority.id);
      if (crl === undefined || crl.nextUpdate <= this.#clock.now()) without.push(authority.name);
    }
    if (without.length > 0) throw new PkiError('crl.not-found', `no current CRL of ${without.join(', ')}`);
  }

  async #currentCrl(caId: number): Promise<PublishedCrl> {
    const crl = await this.#crls.get(caId);
    if (crl !== undefined && crl.nextUpdate > this.#clock.now()) return crl;
    const name = (await this.authorities()).find(({ id }) => id === caId)?.name ?? 'a CA';
    throw new PkiError('truststore.incomplete', `${name} has no current CRL: try again once it is published`);
  }

  async #authority(name: string): Promise<CertificationAuthority> {
    const found = (await this.authorities()).find((authority) => authority.name === name);
    if (found === undefined) throw new PkiError('ca.not-found', 'no CA of this name');
    return found;
  }
}

function pemObject(pem: string, lastModified: Date, maxAge: number): PublishedObject {
  const octets = Buffer.from(pem);
  return { octets, mediaType: 'application/x-pem-file', freshness: { etag: etagOf(octets), lastModified, maxAge } };
}
