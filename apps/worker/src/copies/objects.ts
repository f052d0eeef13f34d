import { hash } from 'node:crypto';
import {
  certificatesOfKey, crlBundleOf, crlPath, isCurrent, NewestCrls, type PublishedLedger, publishedTypes, type PublishedTruststore, trustedOf,
} from '@fleetroot/authority';
import { type Clock, isPkiError, toHex } from '@fleetroot/core';
import type { CopyObject } from './target.ts';

/** A publication may take so long from its time to its commit, in milliseconds. */
const COMMIT_MS = 45_000;
const WHOLE_EVERY_MS = 60_000;

/** Everything that is published, with full CRLs before the deltas and bundles that rest on them. */
export class PublishedObjects {
  readonly #ledger: PublishedLedger;
  readonly #clock: Clock;
  readonly #crls = new NewestCrls();
  readonly #truststores = new Map<string, PublishedTruststore>();
  #since: Date | undefined;
  #wholeAt = -Infinity;

  constructor(ledger: PublishedLedger, clock: Clock) {
    this.#ledger = ledger;
    this.#clock = clock;
  }

  /** @throws PkiError `store.unavailable` */
  async all(): Promise<readonly CopyObject[]> {
    const ledger = this.#ledger;
    const now = this.#clock.now();
    const whole = this.#since === undefined || performance.now() - this.#wholeAt > WHOLE_EVERY_MS;
    const authorities = await ledger.authorities();
    const certificates = await ledger.usableCertificates(now);
    const { heads, at } = await ledger.crlsSince(whole ? undefined : this.#since);
    this.#crls.merge(heads);
    this.#since = new Date(at.getTime() - COMMIT_MS);
    if (whole) this.#wholeAt = performance.now();
    for (const [name, version] of await ledger.truststoreVersions()) {
      if (this.#truststores.get(name)?.version !== version) this.#truststores.set(name, await ledger.truststore(name));
    }

    const names = new Map(authorities.map(({ id, name }) => [id, name]));
    const crls = this.#crls.all().flatMap((head): CopyObject[] => {
      const ca = names.get(head.caId);
      return ca === undefined ? [] : [{
        path: crlPath({ ...head, ca }), contentType: publishedTypes.crl, of: toHex(head.sha256), sha256: toHex(head.sha256), crl: head,
        read: async () => (await ledger.crlContent(head))?.der,
      }];
    });
    const order = ({ path }: CopyObject): number => Number(path.endsWith('.delta.crl'));
    return [
      ...authorities.flatMap((ca) => [
        ready(`ca/${ca.name}.cer`, publishedTypes.certificate, ca.certificate), ready(`ca/${ca.name}.p7c`, publishedTypes.certificates, certificatesOfKey(ca, certificates)),
      ]),
      ...[...this.#truststores.values()].map(({ truststore, pem }) => ready(`truststores/${truststore}.pem`, publishedTypes.pem, Buffer.from(pem))),
      ...crls.sort((a, b) => order(a) - order(b)),
      ...[...this.#truststores.values()].flatMap((truststore) => this.#bundle(truststore, authorities, now)),
    ];
  }

  /** None while a CA in it has no current CRL: the one before stays, as gateways are better served by that. */
  #bundle(truststore: PublishedTruststore, authorities: Parameters<typeof trustedOf>[1], now: Date): CopyObject[] {
    const trusted = trustedOf(truststore, authorities);
    const heads = trusted.map(({ id }) => this.#crls.get(id)).filter((head) => isCurrent(head, now));
    if (heads.length < trusted.length) return [];
    return [{
      path: `truststores/${truststore.truststore}.crl.pem`, contentType: publishedTypes.pem, sha256: undefined, crl: undefined,
      of: [truststore.version, ...heads.map(({ caId, number }) => `${caId}:${number}`)].join(' '),
      read: async () => {
        const crls = new Map<number, { readonly nextUpdate: Date; readonly der: Uint8Array }>();
        for (const head of heads) {
          const content = await this.#ledger.crlContent(head);
          if (content !== undefined) crls.set(head.caId, { nextUpdate: head.nextUpdate, der: content.der });
        }
        try {
          return crlBundleOf(trusted, (id) => crls.get(id), now);
        } catch (error) {
          if (isPkiError(error) && error.code === 'truststore.incomplete') return undefined;
          throw error;
        }
      },
    }];
  }
}

function ready(path: string, contentType: string, octets: Uint8Array): CopyObject {
  const sha256 = toHex(hash('sha256', octets, 'buffer'));
  return { path, contentType, of: sha256, sha256, crl: undefined, read: async () => octets };
}
