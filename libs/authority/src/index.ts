export type {
  AuthorityLedger, CaState, CertificationAuthority, ProfileLedger, ProfileVersionRecord,
} from './ports/authorities.ts';
export type {
  BatchLedger, BatchProgress, BatchState, Begun, FailedItem, ItemResult, NewBatch, RequestItem,
} from './ports/batches.ts';
export type { ClaimedChunk, IssuanceLedger, IssuedItem, NewIntent, RecordedIntent } from './ports/issuance.ts';
export {
  type CertificateLedger, type CertificateQuery, type CertificateRecord, type CertificateStatus, type CrlLedger,
  type NewRevocation, type PublishedCrl, type RevocationLedger, type RevocationReason, revocationReasons,
  type RevokedEntry, type StatusLedger,
} from './ports/status.ts';
