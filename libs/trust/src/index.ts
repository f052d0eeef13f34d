export type { TruststoreLedger, TruststoreVersion } from './ports.ts';
export { crlBundle, type TrustedCa, truststorePem } from './bundle.ts';
export { entityTag, matchesEntityTag } from './entity-tag.ts';
export { type MemberCa, trustedMembers } from './members.ts';
export { followCas, publishTruststore, type Publisher, type TruststoreCa, type TruststoreChange } from './publish.ts';
