export type { TruststoreLedger, TruststoreVersion } from './ports.ts';
