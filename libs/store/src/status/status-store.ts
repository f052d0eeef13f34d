import type { CertificateStatus, CertificationAuthority, PublishedCrl, StatusLedger } from '@fleetroot/authority';
import type { Secret } from '@fleetroot/core';
import type { TruststoreVersion } from '@fleetroot/trust';
import { Database } from '../database.ts';
import { authorityOf } from '../repositories/authorities.ts';
import { PrismaTruststoreLedger } from '../repositories/truststores.ts';
import { latestCrl } from './published-crl.ts';
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

  constructor({ databaseUrl, pool }: StatusStoreOptions) {
    this.#database = new Database(databaseUrl, pool);
    this.#truststores = new PrismaTruststoreLedger(this.#database);
  }

  async authorities(): Promise<readonly CertificationAuthority[]> {
    return (await this.#database.prisma((prisma) => prisma.ca.findMany({ orderBy: { id: 'asc' } }))).map(authorityOf);
  }

  statuses(caId: number, serials: readonly Uint8Array[]): Promise<readonly CertificateStatus[]> {
    return certificateStatuses(this.#database, caId, serials);
  }

  latestCrl(caId: number): Promise<PublishedCrl | undefined> {
    return latestCrl(this.#database, caId);
  }

  async ocspSigners(caId: number, now: Date): Promise<readonly Uint8Array[]> {
    const rows = await this.#database.query<{ der: Buffer }>(
      `SELECT c.der FROM certificate c
       WHERE c.ca_id = $1 AND c.ecu_serial IS NULL AND c.not_before <= $2 AND c.not_after >= $2
         AND c.profile_version_id IN (SELECT id FROM profile_version WHERE name = 'ocsp-signer')
         AND NOT EXISTS (SELECT FROM revocation r WHERE r.ca_id = c.ca_id AND r.serial = c.serial)
       ORDER BY c.id DESC`, [caId, now]);
    return rows.map(({ der }) => der);
  }

  /** @throws PkiError `truststore.not-found` */
  truststore(name: string): Promise<TruststoreVersion> {
    return this.#truststores.current(name);
  }

  /** @throws PkiError `store.unavailable` */
  async ping(): Promise<void> {
    await this.#database.query('SELECT 1');
  }

  close(): Promise<void> {
    return this.#database.close();
  }
}

export async function openStatusStore(options: StatusStoreOptions): Promise<StatusStore> {
  return new StatusStore(options);
}
