export type { TruststoreLedger, TruststoreVersion } from './ports.ts';
export { crlBundle, type TrustedCa, truststorePem } from './bundle.ts';
export { entityTag, matchesEntityTag } from './entity-tag.ts';
export { type MemberCa, trustedMembers } from './members.ts';
export { followCas, publishTruststore, type Publisher, type TruststoreCa, type TruststoreChange } from './publish.ts';
export type { ClientAuthority, ClientKey, ClientLedger, ClientRecord, StatusChanges } from './client/ports.ts';
export { type ClientReason, clientReasons } from './client/reason.ts';
export { MAX_CERTIFICATE_OCTETS } from './client/presented.ts';
export { type Authorization, ClientAuthorizer, type ClientTexts } from './client/authorizer.ts';
