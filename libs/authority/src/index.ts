export type {
  AuthorityLedger, CaRevocation, CaState, CeremonyCertificate, CeremonyCertificateKind, CertificationAuthority, Following, NewAuthority,
  NewCaRevocation, ProfileLedger, ProfileVersionRecord,
} from './ports/authorities.ts';
export type {
  BatchFilter, BatchLedger, BatchPlace, BatchProgress, BatchState, BatchSummary, Begun, Cancelled, FailedItem, ItemResult, NewBatch, RequestItem, Silence,
} from './ports/batches.ts';
export { type AppendedPart, type OpenedUpload, type Upload, UPLOAD_LIFE_MS, type UploadLedger, type UploadPlace } from './ports/uploads.ts';
export type { BacklogOf, OpenChunk, WaitingChunks } from './ports/waiting-chunks.ts';
export { BATCH_PRIORITY, chunkJob, isTakenAtOnce } from './batches/chunk-job.ts';
export { firstTurn, GREATEST_PRIORITY } from './batches/turn.ts';
export type { ClaimedChunk, IssuanceLedger, IssuedItem, NewIntent, RecordedIntent } from './ports/issuance.ts';
export {
  type CertificateLedger, type CertificateQuery, type CertificateRecord, type CertificateStatus, type CrlLedger, type ForeignCrl,
  type ListedRevocation, type NewRevocation, type RevocationLedger, type RevocationReason, revocationReasons,
  type RevokedEntry, type StatusLedger,
} from './ports/status.ts';
export type { FilterLedger, KnownSerial, KnownSerials, StoredFilter } from './ports/filters.ts';
export {
  type InspectedAuthority, type InspectedBurnedSerial, type InspectedCeremonyCertificate, type InspectedCertificate, type InspectedChunk,
  type InspectedChunkEvent, type InspectedCrl, type InspectedEvent, type InspectedFailure, type InspectedFilter, type InspectedIntent, type InspectedListing,
  type InspectionLedger, type LedgerView, type Pages, type SetBreach, type SetCheck,
} from './ports/inspection.ts';
export type {
  CrlHead, CrlKind, CrlScope, CrlScopeFacts, CrlSwap, ListedEntry, PlannedCrl, PublishedCrl, ScopeChanges, WantedEntries,
} from './ports/crl.ts';
export { revokedAgain, strengthOf, strongerReason } from './revocation/reason.ts';
export {
  type CompromiseLedger, MAX_REVOCATION_TARGETS, type NewRevocationJob, type ProvenCompromise, REVOCATION_PAGE, type RevocationJob,
  type RevocationJobLedger, type RevocationJobState, type RevocationPageDone, type RevocationPreview, type RevocationQuery, type RevocationTarget, type TargetOutcome,
} from './ports/revocation.ts';
export { type ApprovalRule, approvalsNeeded, readApprovalRules } from './revocation/approvals.ts';
export {
  revocationApproved, revocationBegun, revocationCancelled, revocationDone, revocationFailed, revocationPage, revocationRequested,
} from './revocation/events.ts';
export { COMPROMISE_PURPOSE, provenCompromise } from './revocation/proof.ts';
export { type CaSigner, type SigningPurpose, signingPurposes } from './ports/ca-signer.ts';
export { type CaAct, may, requireStep, signatureAlgorithmOf, signsStatus } from './hierarchy/state.ts';
export { ancestry, generations, issuingGeneration, isTrusted, lineRevocation, withTrust } from './hierarchy/lineage.ts';
export { RecentAuthorities } from './hierarchy/recent.ts';
export { chainConstraints, type ChainConstraints, chainFault } from './hierarchy/chain.ts';
export { type GivenAuthority, importAuthority, importCertificate, type Imported, type ImportOptions } from './hierarchy/import.ts';
export { type CeremonyImportOptions, importCeremony } from './hierarchy/ceremony-import.ts';
export { type CrlImportLedgers, type CrlImportOptions, importCrl, type ImportedCrl } from './hierarchy/crl-import.ts';
export { successionFault } from './hierarchy/succession.ts';
export { takeStep } from './hierarchy/step.ts';
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
export { type CrlDemand, hasShards, publishCrl, publishCrls } from './crl/publish.ts';
export type { CrlPublication } from './crl/publication.ts';
export { type CrlState, dueScopes, type DueRules, type DueScope, isCrlDue } from './crl/due.ts';
export type { CrlContent, PublishedLedger, PublishedTruststore } from './ports/published.ts';
export { crlKey, NewestCrls } from './published/newest-crls.ts';
export { certificatesOfKey, crlBundleOf, isCurrent, lacksCrl, LEFT_OUT_FIELD, leftOutOf, publishedTypes, trustedOf } from './published/objects.ts';
export { crlPath, type CrlPlace, crlPlace } from './published/paths.ts';
export { type CeremonyParts, holdCeremony } from './ceremony/ceremony.ts';
export { prepareCeremony, type PreparedCeremony, type PrepareParts } from './ceremony/prepare.ts';
export { type CeremonyObject, type CeremonyObjectKind } from './ceremony/object.ts';
export { type HeldAuthority, type HeldCertificate, type HeldCrl, type HeldObjects, heldObjects, type HeldRequest } from './ceremony/held.ts';
export type { CeremonyPlan, PlannedAuthority } from './ceremony/plan.ts';
export { parseCeremonyPlan, type PlanSurroundings } from './ceremony/plan-file.ts';
export { type CeremonyKeyAlgorithm, ceremonyKeyAlgorithms, type CeremonyToken, type CeremonyTokenKey } from './ceremony/token.ts';
export {
  type Approval, approvalAlgorithm, type ApprovalCount, approvalRequest, approvalStatement, countApprovals, describeApprovals,
  type Officer, parseApproval, parseApprovalRequest, requireApprovals, type ToApprove, verifyApproval,
} from './ceremony/approval.ts';
export { visible } from './ceremony/visible.ts';
export { publicKeyPem, type SignedTranscript, signTranscript, type TranscriptFacts, transcriptKinds, verifyTranscript } from './ceremony/transcript.ts';
export {
  type CeremonyExpectations, type CeremonyRecords, ceremonyRecords, type VerifiedCeremonies, verifyCeremonies,
} from './ceremony/transcript-folder.ts';
export { type CheckName, checks } from './fsck/catalogue.ts';
export { type Breach, type InspectionReport, reportJson } from './fsck/report.ts';
export { inspect, type InspectionOptions, type InspectionParts } from './fsck/inspect.ts';
export type { PublishedCrls } from './fsck/published-crl.ts';
export { statusSite } from './fsck/status-site.ts';
export type { HsmRecord } from './fsck/signatures.ts';
export type { DeliveryKind, DueKey, HeldKey, KeyCounts, MadeKeyLedger, MadeKeys } from './ports/made-keys.ts';
export { type MadeKey, makeKey, type MadeKeyType, madeKeyTypes, type SealKey } from './made-keys/make-key.ts';
export { keyRecipient, type RecipientParts } from './made-keys/recipient.ts';
