import { type Clock, equalBytes, PkiError } from '@fleetroot/core';
import {
  type CeremonyCertificate, type CertificationAuthority, isTrusted, type PublishedCrl, signsStatus, type StatusLedger,
} from '@fleetroot/authority';
import type { TruststoreVersion } from '@fleetroot/trust';
import { encodeCertsOnly, encodePem } from '@fleetroot/x509';
import { type Freshness, etagOf, freshUntil } from './caching.ts';
import { Memo } from './memo.ts';

export type PublishedLedger = Pick<StatusLedger, 'authorities' | 'latestCrl'> & {
  /** @throws PkiError `truststore.not-found` */
  truststore(name: string): Promise<TruststoreVersion>;
  /** What ceremonies have made for the key of the CA, neither expired nor revoked at `now`: its own certificates, and those by others. */
  ceremonyCertificates(caId: number, now: Date): Promise<readonly CeremonyCertificate[]>;
};

export interface PublishedObject {
  readonly octets: Uint8Array;
  readonly mediaType: string;
  readonly freshness: Freshness;
}

/** A CA certificate changes when it is renewed, seldom and long before its end: a cache may keep it for an hour, in seconds. */
const CERTIFICATE_AGE = 3600;
/** How long what was read from the ledger is served again, in milliseconds. */
const AUTHORITIES_MS = 1000;
const CRL_MS = 1000;

/** What relying parties fetch besides OCSP: CA certificates, CRLs, truststores with the CRLs of every CA in them. */
export class Published {
  readonly #clock: Clock;
  readonly #authorities: Memo<'all', readonly CertificationAuthority[]>;
  readonly #crls: Memo<number, PublishedCrl | undefined>;
  readonly #truststores: Memo<string, TruststoreVersion>;
  readonly #ceremonies: Memo<number, readonly CeremonyCertificate[]>;

  constructor(ledger: PublishedLedger, clock: Clock) {
    this.#clock = clock;
    this.#authorities = new Memo(() => ledger.authorities(), AUTHORITIES_MS, clock);
    this.#crls = new Memo((caId) => ledger.latestCrl(caId), CRL_MS, clock);
    this.#truststores = new Memo((name) => ledger.truststore(name), CRL_MS, clock);
    this.#ceremonies = new Memo((caId) => ledger.ceremonyCertificates(caId, clock.now()), AUTHORITIES_MS, clock);
  }

  /** The same objects for some seconds: what is read from a certificate is remembered by its CA. */
  authorities(): Promise<readonly CertificationAuthority[]> {
    return this.#authorities.get('all');
  }

  /** The newest certificate of the CA. @throws PkiError `ca.not-found` */
  async certificate(ca: string): Promise<PublishedObject> {
    const { certificate } = await this.#authority(ca);
    return {
      octets: certificate, mediaType: 'application/pkix-cert',
      // No date: one that was renewed may be on record long after it was made, and be new to who asks by date.
      freshness: { etag: etagOf(certificate), lastModified: undefined, maxAge: CERTIFICATE_AGE },
    };
  }

  /**
   * Every certificate of the CA's key that a path may go through, cross-certificates among them, as a certs-only message
   * (RFC 5280 section 4.2.2.1).
   * @throws PkiError `ca.not-found`
   */
  async certificates(ca: string): Promise<PublishedObject> {
    const { id, certificate } = await this.#authority(ca);
    const all = [certificate, ...(await this.#ceremonies.get(id)).map((made) => made.certificate)];
    const once = all.filter((der, place) => all.findIndex((other) => equalBytes(other, der)) === place);
    const octets = encodeCertsOnly({ certificates: once });
    return {
      octets, mediaType: 'application/pkcs7-mime; smime-type=certs-only',
      freshness: { etag: etagOf(octets), lastModified: undefined, maxAge: CERTIFICATE_AGE },
    };
  }

  /** The CRL published last, even where it has expired: who is to judge it must see it. @throws PkiError `ca.not-found`, `crl.not-found` */
  async crl(ca: string): Promise<PublishedObject> {
    const { id } = await this.#authority(ca);
    const crl = await this.#crls.get(id);
    if (crl === undefined) throw new PkiError('crl.not-found', `no CRL of ${ca} is published yet`);
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
   * A CRL for each CA in the truststore that is to be trusted, in its order: with one missing or expired, nginx and others
   * refuse every client. One that is revoked or retired has none any more, and goes with the next version.
   * @throws PkiError `truststore.not-found`, `truststore.incomplete`
   */
  async truststoreCrls(name: string): Promise<PublishedObject> {
    const { caIds, createdAt } = await this.#truststores.get(name);
    const all = await this.authorities();
    const trusted = caIds.flatMap((caId) => all.find(({ id }) => id === caId) ?? []).filter((ca) => isTrusted(ca, all));
    const crls = await Promise.all(trusted.map((ca) => this.#currentCrl(ca)));
    const now = this.#clock.now().getTime();
    const newest = new Date(Math.max(createdAt.getTime(), ...crls.map((crl) => crl.thisUpdate.getTime())));
    const left = Math.floor((Math.min(...crls.map((crl) => crl.nextUpdate.getTime())) - now) / 1000);
    return pemObject(crls.map((crl) => encodePem('X509 CRL', crl.der)).join(''), newest, Math.min(60, left));
  }

  /** @throws PkiError `crl.not-found` that names the CAs whose CRLs are made here and which have none, or an expired one */
  async checkCrls(): Promise<void> {
    const without: string[] = [];
    const all = await this.authorities();
    for (const authority of all.filter((ca) => isAskedFor(ca, all))) {
      const crl = await this.#crls.get(authority.id);
      if (crl === undefined || crl.nextUpdate <= this.#clock.now()) without.push(authority.name);
    }
    if (without.length > 0) throw new PkiError('crl.not-found', `no current CRL of ${without.join(', ')}`);
  }

  async #currentCrl(ca: CertificationAuthority): Promise<PublishedCrl> {
    const crl = await this.#crls.get(ca.id);
    if (crl !== undefined && crl.nextUpdate > this.#clock.now()) return crl;
    const next = signsStatus(ca) ? 'try again once it is published' : 'its key is not online: have a ceremony sign the next one, and import it';
    throw new PkiError('truststore.incomplete', `${ca.name} has no current CRL: ${next}`);
  }

  async #authority(name: string): Promise<CertificationAuthority> {
    const found = (await this.authorities()).find((authority) => authority.name === name);
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

function pemObject(pem: string, lastModified: Date, maxAge: number): PublishedObject {
  const octets = Buffer.from(pem);
  return { octets, mediaType: 'application/x-pem-file', freshness: { etag: etagOf(octets), lastModified, maxAge } };
}
