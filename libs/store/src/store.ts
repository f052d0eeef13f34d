import type { PrincipalLedger } from '@fleetroot/access';
import type { AuditLog } from '@fleetroot/audit';
import type {
  AuthorityLedger, BatchLedger, CertificateLedger, CrlLedger, IssuanceLedger, MadeKeyLedger, ProfileLedger, RevocationLedger,
} from '@fleetroot/authority';
import type { LedgerKey, Secret } from '@fleetroot/core';
import type { RegistrationLedger, SupplierLedger } from '@fleetroot/fleet';
import type { TruststoreLedger } from '@fleetroot/trust';
import { PostgresAuditLog } from './audit-log.ts';
import { PostgresAuthorityLedger } from './authorities/authority-ledger.ts';
import { PostgresBatchLedger } from './batches/batch-ledger.ts';
import { ChunkWatch } from './chunk-watch.ts';
import { Database } from './database.ts';
import { type IssuanceBacklog, PostgresIssuanceLedger } from './issuance/issuance-ledger.ts';
import { Listener } from './listener.ts';
import { PostgresMadeKeyLedger } from './made-keys/made-key-ledger.ts';
import { Outbox } from './outbox.ts';
import { probeSerialIndex } from './probe.ts';
import { Heartbeats } from './repositories/heartbeats.ts';
import { Leases } from './repositories/leases.ts';
import { PrismaPrincipalLedger } from './repositories/principals.ts';
import { PrismaProfileLedger } from './repositories/profiles.ts';
import { PostgresRegistrationLedger } from './repositories/registrations.ts';
import { PrismaSupplierLedger } from './repositories/suppliers.ts';
import { PrismaTruststoreLedger } from './repositories/truststores.ts';
import { PostgresCertificateLedger } from './status/certificate-ledger.ts';
import { PostgresCrlLedger } from './status/crl-ledger.ts';
import { PostgresRevocationLedger } from './status/revocation-ledger.ts';

export interface StoreOptions {
  /** URL of the ledger's owner. */
  readonly databaseUrl: Secret;
  readonly ledgerKey: LedgerKey;
  /** Connections at most; one more listens for notifications where something waits. */
  readonly pool: number;
}

/** The ledger: every port of the domain, over one pool. Each method throws `store.unavailable` while PostgreSQL is away. */
export interface Store {
  readonly authorities: AuthorityLedger;
  readonly profiles: ProfileLedger;
  readonly batches: BatchLedger;
  readonly madeKeys: MadeKeyLedger;
  readonly issuance: IssuanceLedger & IssuanceBacklog;
  readonly certificates: CertificateLedger;
  readonly revocations: RevocationLedger;
  readonly crls: CrlLedger;
  readonly truststores: TruststoreLedger;
  readonly suppliers: SupplierLedger;
  readonly registrations: RegistrationLedger;
  readonly principals: PrincipalLedger;
  readonly audit: AuditLog;
  readonly outbox: Outbox;
  readonly leases: Leases;
  readonly heartbeats: Heartbeats;
  /** @throws PkiError `store.unavailable` */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the ledger of a migrated database.
 * @throws PkiError `store.unavailable`; `store.migration` where the database is not migrated, or takes a serial twice (I3)
 */
export async function openStore({ databaseUrl, ledgerKey, pool }: StoreOptions): Promise<Store> {
  const database = new Database(databaseUrl, pool);
  try {
    await probeSerialIndex(database);
  } catch (error) {
    await database.close();
    throw error;
  }
  const listener = new Listener(databaseUrl);
  const watch = new ChunkWatch(database, listener);
  return {
    authorities: new PostgresAuthorityLedger(database),
    profiles: new PrismaProfileLedger(database),
    batches: new PostgresBatchLedger(database, ledgerKey, watch),
    madeKeys: new PostgresMadeKeyLedger(database),
    issuance: new PostgresIssuanceLedger(database, ledgerKey),
    certificates: new PostgresCertificateLedger(database, ledgerKey),
    revocations: new PostgresRevocationLedger(database),
    crls: new PostgresCrlLedger(database),
    truststores: new PrismaTruststoreLedger(database),
    suppliers: new PrismaSupplierLedger(database),
    registrations: new PostgresRegistrationLedger(database),
    principals: new PrismaPrincipalLedger(database),
    audit: new PostgresAuditLog(database),
    outbox: new Outbox(database, listener),
    leases: new Leases(database),
    heartbeats: new Heartbeats(database),
    async ping() {
      await database.query('SELECT 1');
    },
    async close() {
      watch.close();
      await listener.close();
      await database.close();
    },
  };
}
