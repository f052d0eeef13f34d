import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import {
  type AuthorityLedger, type CaSigner, type CertificationAuthority, type CrlDemand, type CrlLedger, hasShards, publishCrls,
} from '@fleetroot/authority';
import { type Clock, PkiError } from '@fleetroot/core';

/** Who may publish for a CA, one at a time. */
interface PublisherLeases {
  /** True where `holder` has the lease from now on, for `ttlMs`: it was free, had run out, or is the holder's already. */
  acquire(name: string, holder: string, ttlMs: number): Promise<boolean>;
}

export interface CrlPublisherParts {
  readonly authorities: Pick<AuthorityLedger, 'all'>;
  readonly crls: CrlLedger;
  readonly leases: PublisherLeases;
  readonly signer: CaSigner;
  readonly clock: Clock;
  readonly lifetimeMs: number;
  readonly deltaLifetimeMs: number;
  readonly refreshPercent: number;
  /** Where CRLs are served. */
  readonly statusUrl: string;
}

/** What changes in so long after a run is in the next one, together; in milliseconds. */
const PACE_MS = 1000;
/** A publisher that died is followed after so long; a living one renews three times in it. */
const LEASE_MS = 6000;
const ASK_AGAIN_MS = 100;
const PATIENCE_MS = 60_000;

/**
 * Publishes the CRLs of CAs. One process at a time does for a CA, by a lease that spares work and proves nothing: what
 * keeps an older CRL from taking the place of a newer one is its number (I13).
 */
export class CrlPublisher {
  readonly #parts: CrlPublisherParts;
  /** Shards that were seen published, by CA and number of shards: they never go away. */
  readonly #served = new Set<string>();

  constructor(parts: CrlPublisherParts) {
    this.#parts = parts;
  }

  /** What is due. @throws PkiError `ca.not-found`, `crl.busy` and those of `publishCrls` */
  async publish(caId: number): Promise<void> {
    await this.#leased(caId, async () => this.#publish(await this.#authority(caId), 'due'));
  }

  /** On return each of so many shards of the CA has a CRL: certificates may name them (I17). @throws PkiError as `publish` */
  async ensureShards({ id }: Pick<CertificationAuthority, 'id'>, shards: number): Promise<void> {
    const key = `${id}/${shards}`;
    if (this.#served.has(key)) return;
    if (!await hasShards(this.#parts.crls, id, shards)) {
      await this.#leased(id, async () => this.#publish(await this.#authority(id), { shards }));
      if (!await hasShards(this.#parts.crls, id, shards)) throw new PkiError('crl.busy', `the CRLs of the ${shards} shards of the CA ${id} are not all published yet`);
    }
    this.#served.add(key);
  }

  async #publish(authority: CertificationAuthority, demand: CrlDemand): Promise<void> {
    const { crls, signer, clock, lifetimeMs, deltaLifetimeMs, refreshPercent, statusUrl } = this.#parts;
    await publishCrls({ crls, authority, signer, clock, lifetimeMs, deltaLifetimeMs, refreshPercent, statusUrl }, demand);
  }

  /** Read each time: the state is what decides whether it signs. */
  async #authority(caId: number): Promise<CertificationAuthority> {
    const authority = (await this.#parts.authorities.all()).find(({ id }) => id === caId);
    if (authority === undefined) throw new PkiError('ca.not-found', `there is no CA ${caId} in the ledger`);
    return authority;
  }

  async #leased(caId: number, work: () => Promise<void>): Promise<void> {
    const { leases } = this.#parts;
    const name = `crl:${caId}`;
    // Of this run alone: the next one of this process waits for its turn as well.
    const holder = randomUUID();
    const until = performance.now() + PATIENCE_MS;
    while (!await leases.acquire(name, holder, LEASE_MS)) {
      if (performance.now() > until) throw new PkiError('crl.busy', `another process has published CRLs of the CA ${caId} for a minute`);
      await wait(ASK_AGAIN_MS);
    }
    const began = performance.now();
    const renewal = setInterval(() => { leases.acquire(name, holder, LEASE_MS).catch(() => undefined); }, LEASE_MS / 3);
    try {
      await work();
    } finally {
      clearInterval(renewal);
      // It ends by itself, and the next run begins no sooner.
      await leases.acquire(name, holder, Math.max(1, Math.round(PACE_MS - (performance.now() - began)))).catch(() => undefined);
    }
  }
}
