import type { PrincipalLedger } from '@fleetroot/access';
import type { AuditLog } from '@fleetroot/audit';
import type {
  AuthorityLedger, BatchLedger, CertificateLedger, CompromiseLedger, CrlLedger, FilterLedger, InspectionLedger, IssuanceLedger, MadeKeyLedger, ProfileLedger,
  PublishedLedger, RevocationJobLedger, RevocationLedger,
  UploadLedger, WaitingChunks,
} from '@fleetroot/authority';
import { type LedgerKey, type Secret, systemClock } from '@fleetroot/core';
import type { RegistrationLedger, SupplierLedger } from '@fleetroot/fleet';
import type { ClientLedger, TruststoreLedger } from '@fleetroot/trust';
import { LedgerArchive } from './archive/archive.ts';
import { PostgresAuditLog } from './audit-log.ts';
import { PostgresAuthorityLedger } from './authorities/authority-ledger.ts';
import { PostgresClientLedger } from './authorize/client-ledger.ts';
import { PostgresRevocationFeed } from './status/revocation-feed.ts';
import { PostgresBatchLedger } from './batches/batch-ledger.ts';
import { PostgresUploadLedger } from './batches/upload-ledger.ts';
import { PostgresWaitingChunks } from './batches/waiting-chunks.ts';
import { ChunkWatch } from './chunk-watch.ts';
import { Database } from './database.ts';
import { type IssuanceBacklog, PostgresIssuanceLedger } from './issuance/issuance-ledger.ts';
import { PostgresInspectionLedger } from './inspection/inspection-ledger.ts';
import { Inspections } from './inspection/inspections.ts';
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
import { PostgresCompromiseLedger } from './revocation/compromise.ts';
import { PostgresRevocationJobLedger } from './revocation/job-ledger.ts';
import { PostgresCertificateLedger } from './status/certificate-ledger.ts';
import { PostgresCrlLedger } from './status/crl-ledger.ts';
import { PostgresFilterLedger } from './status/filter-ledger.ts';
import { PublishedReader } from './status/published-reader.ts';
import { PostgresRevocationLedger } from './status/revocation-ledger.ts';

export interface StoreOptions {
  /** URL of the ledger's owner. */
  readonly databaseUrl: Secret;
  readonly ledgerKey: LedgerKey;
  /** Connections at most; one more listens for notifications where something waits. */
  readonly pool: number;
  /** How long a call waits for a connection before it throws `store.unavailable`, in milliseconds; 5 s. */
  readonly connectWithinMs?: number;
}

/** The ledger: every port of the domain, over one pool. Each method throws `store.unavailable` while PostgreSQL is away. */
export interface Store {
  readonly authorities: AuthorityLedger;
  readonly profiles: ProfileLedger;
  readonly batches: BatchLedger;
  readonly uploads: UploadLedger;
  readonly waiting: WaitingChunks;
  readonly madeKeys: MadeKeyLedger;
  readonly issuance: IssuanceLedger & IssuanceBacklog;
  readonly certificates: CertificateLedger;
  readonly clients: ClientLedger;
  readonly revocations: RevocationLedger;
  readonly revocationJobs: RevocationJobLedger;
  readonly compromises: CompromiseLedger;
  readonly crls: CrlLedger;
  readonly published: PublishedLedger;
  readonly filters: FilterLedger;
  readonly truststores: TruststoreLedger;
  readonly suppliers: SupplierLedger;
  readonly registrations: RegistrationLedger;
  readonly principals: PrincipalLedger;
  readonly audit: AuditLog;
  readonly outbox: Outbox;
  readonly archive: LedgerArchive;
  readonly leases: Leases;
  readonly heartbeats: Heartbeats;
  /** Over connections of its own, for as long as an inspection takes. */
  readonly inspection: InspectionLedger;
  readonly inspections: Inspections;
  /** @throws PkiError `store.unavailable` */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the ledger of a migrated database.
 * @throws PkiError `store.unavailable`; `store.migration` where the database is not migrated, or takes a serial twice (I3)
 */
export async function openStore({ databaseUrl, ledgerKey, pool, connectWithinMs }: StoreOptions): Promise<Store> {
  const database = new Database(databaseUrl, pool, connectWithinMs);
  try {
    await probeSerialIndex(database, systemClock.now());
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
    uploads: new PostgresUploadLedger(database, ledgerKey),
    waiting: new PostgresWaitingChunks(database),
    madeKeys: new PostgresMadeKeyLedger(database),
    issuance: new PostgresIssuanceLedger(database, ledgerKey, listener),
    certificates: new PostgresCertificateLedger(database, ledgerKey),
    clients: new PostgresClientLedger(database, ledgerKey, new PostgresRevocationFeed(database, listener)),
    revocations: new PostgresRevocationLedger(database),
    revocationJobs: new PostgresRevocationJobLedger(database, ledgerKey),
    compromises: new PostgresCompromiseLedger(database),
    crls: new PostgresCrlLedger(database, databaseUrl),
    published: new PublishedReader(database, new PrismaTruststoreLedger(database)),
    filters: new PostgresFilterLedger(database, databaseUrl),
    truststores: new PrismaTruststoreLedger(database),
    suppliers: new PrismaSupplierLedger(database),
    registrations: new PostgresRegistrationLedger(database),
    principals: new PrismaPrincipalLedger(database),
    audit: new PostgresAuditLog(database),
    outbox: new Outbox(database, listener),
    archive: new LedgerArchive(database, databaseUrl),
    leases: new Leases(database),
    heartbeats: new Heartbeats(database),
    inspection: new PostgresInspectionLedger(databaseUrl),
    inspections: new Inspections(database),
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
