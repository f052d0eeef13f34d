export { type AuditAction, auditActions, type AuditEvent, type AuditValue } from './event.ts';
export { canonicalJson, chainHash, eventPayload, GENESIS } from './chain.ts';
export { type ChainedEvent, type ChainVerdict, verifyChain } from './verify.ts';
export type { AuditLog } from './ports.ts';
