import type {
  CeremonyCertificate, CertificateStatus, CertificationAuthority, CrlHead, CrlKind, CrlScope, PublishedCrl, StatusLedger, StoredFilter,
} from '@fleetroot/authority';
import type { Secret } from '@fleetroot/core';
import type { RevocationFeed, TruststoreVersion } from '@fleetroot/trust';
import { readAuthorities } from '../authorities/authority-row.ts';
import { usableCertificatesOf } from '../authorities/ceremony-certificates.ts';
import { Database } from '../database.ts';
import { PrismaTruststoreLedger } from '../repositories/truststores.ts';
import { Listener } from '../listener.ts';
import { keptFilterDeltas, newestFullFilter } from './filter-ledger.ts';
import { OcspAnswers } from './ocsp-answers.ts';
import { crlHeads, latestCrl } from './published-crl.ts';
import { PublishedReader } from './published-reader.ts';
import { PostgresRevocationFeed } from './revocation-feed.ts';
import { certificateStatuses } from './statuses.ts';

export interface StatusStoreOptions {
  /** URL of the role `fleetroot_status`. */
  readonly databaseUrl: Secret;
  /** Connections at most. */
  readonly pool: number;
}

/** What the status app reads. Opened without a look at the database: status starts, and says so, while it is away. */
export class StatusStore implements StatusLedger {
  readonly #database: Database;
  readonly #truststores: PrismaTruststoreLedger;
  readonly #listener: Listener;
  /** What is revoked, held or released. */
  readonly revocations: RevocationFeed;
  readonly ocspAnswers: OcspAnswers;
  /** What is served to everybody. */
  readonly published: PublishedReader;

  constructor({ databaseUrl, pool }: StatusStoreOptions) {
    this.#database = new Database(databaseUrl, pool);
    this.#truststores = new PrismaTruststoreLedger(this.#database);
    this.published = new PublishedReader(this.#database, this.#truststores);
    this.#listener = new Listener(databaseUrl, ['fleetroot_revoked']);
    this.revocations = new PostgresRevocationFeed(this.#database, this.#listener);
    this.ocspAnswers = new OcspAnswers(this.#database);
  }

  authorities(): Promise<readonly CertificationAuthority[]> {
    return readAuthorities(this.#database);
  }

  statuses(caId: number, serials: readonly Uint8Array[]): Promise<readonly CertificateStatus[]> {
    return certificateStatuses(this.#database, caId, serials);
  }

  latestCrl(caId: number, scope?: CrlScope, kind?: CrlKind): Promise<PublishedCrl | undefined> {
    return latestCrl(this.#database, caId, scope, kind);
  }

  crlHeads(): Promise<readonly CrlHead[]> {
    return crlHeads(this.#database);
  }

  /** The full revocation filter of the CA that deltas go with now. */
  filter(caId: number): Promise<StoredFilter | undefined> {
    return newestFullFilter(this.#database, caId);
  }

  /** The deltas that are kept, a few, the newest first. */
  filterDeltas(caId: number): Promise<readonly StoredFilter[]> {
    return keptFilterDeltas(this.#database, caId);
  }

  async ocspSigners(caId: number, now: Date): Promise<readonly Uint8Array[]> {
    const rows = await this.#database.query<{ der: Buffer }>(
      `SELECT s.der FROM (
         SELECT c.serial, c.not_before, c.not_after, c.id, c.der FROM certificate c
         WHERE c.ca_id = $1 AND c.ecu_serial IS NULL AND c.profile_version_id IN (SELECT id FROM profile_version WHERE name = 'ocsp-signer')
         UNION ALL
         SELECT m.serial, m.not_before, m.not_after, m.id, m.der FROM ceremony_certificate m WHERE m.issuer_id = $1 AND m.kind = 'ocsp-signer'
       ) AS s
       WHERE s.not_before <= $2 AND s.not_after >= $2
         AND NOT EXISTS (SELECT FROM revocation r WHERE r.ca_id = $1 AND r.serial = s.serial AND r.released_at IS NULL)
       ORDER BY s.not_before DESC, s.id DESC`, [caId, now]);
    return rows.map(({ der }) => der);
  }

  /**
   * The certificates of the CA's key that a relying party may build a path with at `now`, its own and cross-certificates:
   * not expired, not revoked by their issuer; the newest first.
   */
  ceremonyCertificates(caId: number, now: Date): Promise<readonly CeremonyCertificate[]> {
    return usableCertificatesOf(this.#database, caId, now);
  }

  /** @throws PkiError `truststore.not-found` */
  truststore(name: string): Promise<TruststoreVersion> {
    return this.#truststores.current(name);
  }

  /** @throws PkiError `store.unavailable` */
  async ping(): Promise<void> {
    await this.#database.query('SELECT 1');
  }

  async close(): Promise<void> {
    await this.#listener.close();
    await this.#database.close();
  }
}

export async function openStatusStore(options: StatusStoreOptions): Promise<StatusStore> {
  return new StatusStore(options);
}
