/** What happened, in the catalogue's words. A name is never reused for another meaning. */
export const auditActions = [
  'ceremony.held', 'ca.imported', 'ca.certificate-imported', 'ca.state-changed', 'ca.succession-changed', 'ca.revoked', 'ca.switched', 'ca.retired',
  'batch.accepted', 'batch.cancelled', 'chunk.issued', 'intent.abandoned',
  'certificate.revoked', 'revocation.requested', 'revocation.approved', 'revocation.begun', 'revocation.page', 'revocation.done', 'revocation.cancelled',
  'revocation.failed', 'key.compromised', 'crl.published', 'crl.imported', 'filter.published', 'renewal.due',
  'truststore.published', 'supplier.registered', 'supplier.disabled',
  'ecu.registered', 'key.conflict',
  'key.made', 'key.delivered', 'key.deleted',
  'principal.created', 'principal.disabled', 'ledger.archived', 'ledger.inspected',
] as const;

export type AuditAction = (typeof auditActions)[number];

export type AuditValue = string | number | boolean | null | readonly AuditValue[] | { readonly [key: string]: AuditValue };

/** One change, told so that it can be checked later without the tables. Never a secret, a VIN or a request body. */
export interface AuditEvent {
  readonly action: AuditAction;
  /** Who: `principal:NAME`, `system:ROLE`, `ecu:SERIAL`. */
  readonly actor: string;
  /** When, by the clock of the process that makes the change. */
  readonly at: Date;
  /** On what: `batch:UUID`, `certificate:CA/SERIAL`, `truststore:NAME`, `key:BATCH/ORDINAL`. */
  readonly subject: string;
  readonly data: Readonly<Record<string, AuditValue>>;
}
