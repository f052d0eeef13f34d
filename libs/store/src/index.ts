export { type EmbeddedPostgres, type EmbeddedPostgresOptions, startEmbeddedPostgres } from './embedded/start.ts';
export { migrate, type MigrateOptions } from './migrations/migrate.ts';
export type { Outbox, OutboxRow } from './outbox.ts';
export { provision, type Provisioned, type ProvisionOptions } from './provision.ts';
export type { IssuanceBacklog } from './issuance/issuance-ledger.ts';
export type { Heartbeats, InstanceFigures } from './repositories/heartbeats.ts';
export type { Leases } from './repositories/leases.ts';
export { openStatusStore, type StatusStore, type StatusStoreOptions } from './status/status-store.ts';
export { openStore, type Store, type StoreOptions } from './store.ts';
