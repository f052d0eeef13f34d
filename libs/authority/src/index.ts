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
export { revokedAgain, strengthOf, strongerReason } from './revocation/reason.ts';
export type { CaSigner } from './ports/ca-signer.ts';
export type { Profile, ProfileKind, Requester, Requirement } from './profile/profile.ts';
export { parseProfile, readProfileFolder } from './profile/file.ts';
export type { ProfileSurroundings } from './profile/surroundings.ts';
export type { AuthorityProfile } from './profile/authority-profile.ts';
export { parseAuthorityProfile, readAuthorityProfiles } from './profile/authority-file.ts';
export { type AuthorityHoles, buildAuthorityTbs } from './profile/authority-compile.ts';
export { crlShard } from './profile/shard.ts';
export { profileDocument, profileFromDocument } from './profile/document.ts';
export { checkRequestAgainstProfile, type RequestFacts } from './profile/check.ts';
export { requestedDnsNames } from './profile/requested.ts';
export { type CompiledProfile, compileProfile, type PreparedCertificate, type ProfileIssuer } from './profile/compile.ts';
export { dnsName } from './profile/dns-name.ts';
export { Issuance, type IssuanceObserver, type IssuanceParts } from './issuance/issuance.ts';
export { publishCrl, type CrlPublication } from './crl/publish.ts';
export { type CeremonyParts, type HeldAuthority, heldAuthorities, holdCeremony } from './ceremony/ceremony.ts';
export { type CeremonyPlan, parseCeremonyPlan, type PlannedAuthority } from './ceremony/plan.ts';
export { type CeremonyKeyAlgorithm, ceremonyKeyAlgorithms, type CeremonyToken } from './ceremony/token.ts';
export { importAuthorities } from './ceremony/import.ts';
