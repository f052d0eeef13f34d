export type { TruststoreLedger, TruststoreVersion } from './ports.ts';
export { crlBundle, type TrustedCa, truststorePem } from './bundle.ts';
export { entityTag, matchesEntityTag } from './entity-tag.ts';
