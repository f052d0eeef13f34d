import type { PrincipalLedger } from '@fleetroot/access';
import type { AuditLog } from '@fleetroot/audit';
import type {
  AuthorityLedger, BatchLedger, CertificateLedger, CompromiseLedger, CrlLedger, MadeKeyLedger, ProfileLedger, RevocationJobLedger, RevocationLedger,
  UploadLedger,
} from '@fleetroot/authority';
import type { RegistrationLedger, SupplierLedger } from '@fleetroot/fleet';
import type { Outbox } from '@fleetroot/queue';
import type { ClientLedger, TruststoreLedger } from '@fleetroot/trust';

/** What the api needs of the store. */
export interface Ledger {
  readonly authorities: AuthorityLedger;
  readonly profiles: ProfileLedger;
  readonly batches: BatchLedger;
  readonly uploads: UploadLedger;
  readonly madeKeys: MadeKeyLedger;
  readonly certificates: CertificateLedger;
  readonly clients: ClientLedger;
  readonly revocations: RevocationLedger;
  readonly revocationJobs: RevocationJobLedger;
  readonly compromises: CompromiseLedger;
  readonly crls: Pick<CrlLedger, 'latest' | 'entries' | 'adopt'>;
  readonly truststores: TruststoreLedger;
  readonly suppliers: SupplierLedger;
  readonly registrations: RegistrationLedger;
  readonly principals: PrincipalLedger;
  readonly audit: AuditLog;
  readonly outbox: Outbox;
  readonly heartbeats: { lastHeard(role: string): Promise<Date | undefined> };
  readonly inspections: { latest(): Promise<{ readonly beganAt: Date; readonly endedAt: Date; readonly breaches: number } | undefined> };
  ping(): Promise<void>;
}
