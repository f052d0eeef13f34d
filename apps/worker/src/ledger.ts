import type {
  AuthorityLedger, BatchLedger, CertificateLedger, CrlLedger, FilterLedger, InspectionLedger, MadeKeyLedger, ProfileLedger, PublishedLedger,
  RevocationJobLedger, WaitingChunks,
} from '@fleetroot/authority';
import type { Outbox } from '@fleetroot/queue';
import type { LedgerArchive } from '@fleetroot/store';
import type { TruststoreLedger } from '@fleetroot/trust';
import type { Inspections } from './tasks/fsck.ts';

/** What the worker needs of the store. */
export interface Ledger {
  readonly authorities: Pick<AuthorityLedger, 'all' | 'switchOver' | 'lastDependant' | 'change'>;
  readonly profiles: Pick<ProfileLedger, 'ensure'>;
  readonly batches: Pick<BatchLedger, 'submitOne' | 'silent' | 'discard'>;
  readonly waiting: WaitingChunks;
  readonly madeKeys: Pick<MadeKeyLedger, 'deleteDue'>;
  readonly certificates: Pick<CertificateLedger, 'markRenewalDue'>;
  readonly revocationJobs: Pick<RevocationJobLedger, 'running' | 'runPage'>;
  readonly crls: Pick<CrlLedger, 'latest' | 'heads' | 'scopes' | 'changes'>;
  readonly published: PublishedLedger;
  readonly filters: Pick<FilterLedger, 'madeAt'>;
  readonly truststores: TruststoreLedger;
  readonly principals: { all(): Promise<readonly { readonly id: number; readonly name: string }[]> };
  readonly outbox: Outbox;
  readonly archive: Pick<LedgerArchive, 'addPartitions' | 'run'>;
  readonly leases: Leases;
  readonly inspection: InspectionLedger;
  readonly inspections: Inspections;
  readonly heartbeats: { beat(instance: string, role: string, figures?: Readonly<Record<string, number>>): Promise<void> };
}

export interface Leases {
  /** True where `holder` has the lease from now on, for `ttlMs`: it was free, had run out, or is the holder's already. */
  acquire(name: string, holder: string, ttlMs: number): Promise<boolean>;
  release(name: string, holder: string): Promise<void>;
}
