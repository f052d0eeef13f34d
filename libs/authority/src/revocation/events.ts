import type { AuditEvent } from '@fleetroot/audit';
import { toHex } from '@fleetroot/core';
import type { RevocationJob, TargetOutcome } from '../ports/revocation.ts';

const WORKER = 'system:revocation';
const subjectOf = (id: string): string => `revocation:${id}`;

type Told = Pick<RevocationJob, 'id' | 'reason' | 'targets' | 'targetsSha256'>;

/** A large revocation was asked for; what it is about, and how many must agree. */
export const revocationRequested = (job: RevocationJob, actor: string, at: Date): AuditEvent => ({
  action: 'revocation.requested', actor, at, subject: subjectOf(job.id),
  data: {
    reason: job.reason, query: job.query, targets: job.targets, targetsSha256: toHex(job.targetsSha256), approvals: job.approvalsNeeded,
    invalidityDate: job.invalidityDate?.toISOString() ?? null,
  },
});

export const revocationApproved = (id: string, targetsSha256: Uint8Array, actor: string, at: Date): AuditEvent =>
  ({ action: 'revocation.approved', actor, at, subject: subjectOf(id), data: { targetsSha256: toHex(targetsSha256) } });

export const revocationCancelled = (id: string, actor: string, at: Date): AuditEvent =>
  ({ action: 'revocation.cancelled', actor, at, subject: subjectOf(id), data: {} });

export const revocationBegun = ({ id, targets, targetsSha256 }: Told, at: Date): AuditEvent =>
  ({ action: 'revocation.begun', actor: WORKER, at, subject: subjectOf(id), data: { targets, targetsSha256: toHex(targetsSha256) } });

export const revocationFailed = (id: string, failure: string, at: Date): AuditEvent =>
  ({ action: 'revocation.failed', actor: WORKER, at, subject: subjectOf(id), data: { failure } });

/** `sha256` is over a line `CA/SERIAL OUTCOME` for each, in their order. */
export const revocationPage = (
  { id, reason }: Told, page: { readonly from: number; readonly targets: number; readonly sha256: Uint8Array }, at: Date,
): AuditEvent => ({
  action: 'revocation.page', actor: WORKER, at, subject: subjectOf(id),
  data: { from: page.from, targets: page.targets, reason, sha256: toHex(page.sha256) },
});

export const revocationDone = ({ id, targets }: Told, outcomes: Readonly<Partial<Record<TargetOutcome, number>>>, at: Date): AuditEvent =>
  ({ action: 'revocation.done', actor: WORKER, at, subject: subjectOf(id), data: { targets, outcomes } });
