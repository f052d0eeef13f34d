import type { AuditEvent } from '@fleetroot/audit';
import type { CaName, EcuSerial, Lot, PartNumber, Serial, Vin } from '@fleetroot/core';
import type { RevocationReason } from './status.ts';

/** Which unexpired certificates are meant: those that all that is given holds for. */
export interface RevocationQuery {
  readonly vin?: Vin;
  readonly ecuSerial?: EcuSerial;
  readonly partNumber?: PartNumber;
  /** The supplier's. */
  readonly lot?: Lot;
  /** Name of the supplier whose ECUs registered themselves. */
  readonly supplier?: string;
  readonly ca?: CaName;
  readonly profile?: string;
  /** In. */
  readonly issuedFrom?: Date;
  /** Out. */
  readonly issuedUntil?: Date;
  /** SHA-256 of the SubjectPublicKeyInfo. */
  readonly publicKeySha256?: Uint8Array;
}

/** Certificates that one request may revoke. */
export const MAX_REVOCATION_TARGETS = 1_000_000;
/** A transaction revokes so many: others wait no longer for its locks than that takes. */
export const REVOCATION_PAGE = 500;

export type TargetOutcome =
  /** `new` and `upgrade` changed it; `conflict` would have weakened it, and left it as it is. */
  | 'new' | 'upgrade' | 'same' | 'conflict'
  /** The hold was taken back. */
  | 'released'
  /** The certificate is not on record any more: it expired, and was archived. */
  | 'gone';

/** waiting: for approvals. */
export type RevocationJobState = 'waiting' | 'running' | 'done' | 'cancelled' | 'failed';

interface RevocationApprovalRecord {
  readonly principal: string;
  readonly approvedAt: Date;
}

export interface RevocationJob {
  readonly id: string;
  readonly principalId: number;
  /** Name. */
  readonly principal: string;
  readonly state: RevocationJobState;
  readonly reason: RevocationReason;
  readonly invalidityDate: Date | undefined;
  /** As it is on record: in place of a VIN its blind index. */
  readonly query: Readonly<Record<string, string>>;
  readonly targets: number;
  /** What an approval is bound to (I30): SHA-256 over a line `CA/SERIAL` for each target, in the order of their places. */
  readonly targetsSha256: Uint8Array;
  readonly done: number;
  readonly changed: number;
  readonly outcomes: Readonly<Partial<Record<TargetOutcome, number>>>;
  readonly approvalsNeeded: number;
  readonly approvals: readonly RevocationApprovalRecord[];
  readonly failure: string | undefined;
  readonly createdAt: Date;
  readonly begunAt: Date | undefined;
  readonly completedAt: Date | undefined;
  /** By the clock of the ledger, when this was read. */
  readonly now: Date;
}

export interface RevocationTarget {
  /** From 0, in the order of CA and serial. */
  readonly place: number;
  readonly ca: CaName;
  readonly serial: Serial;
  readonly outcome: TargetOutcome | undefined;
  /** Of the certificate, while it is on record. */
  readonly profile: string | undefined;
  readonly ecuSerial: string | undefined;
  readonly notAfter: Date | undefined;
}

export interface RevocationPreview {
  readonly targets: number;
  readonly targetsSha256: Uint8Array;
  /** The first of them. */
  readonly first: readonly RevocationTarget[];
}

export interface NewRevocationJob {
  readonly id: string;
  readonly principalId: number;
  readonly idempotencyKey: string;
  readonly reason: RevocationReason;
  readonly invalidityDate: Date | undefined;
  readonly query: RevocationQuery;
  readonly approvalsFor: (targets: number) => number;
}

/** What came of a page; `over`: nothing is left to do, or the job does not run. */
export interface RevocationPageDone {
  readonly over: boolean;
  readonly revoked: number;
}

export interface RevocationJobLedger {
  /**
   * What a query finds, and nothing else; the first `limit` are told.
   * @throws PkiError `ca.not-found`, `profile.not-found`, `supplier.not-found`; `revocation.too-many-targets`
   */
  preview(query: RevocationQuery, reason: RevocationReason, limit: number): Promise<RevocationPreview>;
  /**
   * Fixes the targets and puts the job on record with its event, all or nothing; it runs, or waits for approvals. The same
   * key with the same request finds the job that is there.
   * @param event told once the targets are known
   * @throws PkiError as `preview`; `certificate.not-found` where the query finds nothing; `idempotency.conflict`
   */
  create(job: NewRevocationJob, event: (job: RevocationJob) => AuditEvent): Promise<{ readonly job: RevocationJob; readonly created: boolean }>;
  /** @throws PkiError `revocation.not-found` */
  read(id: string): Promise<RevocationJob>;
  /** Newest first, those made before `before` (an id), at most `limit`. */
  list(before: string | undefined, limit: number): Promise<readonly RevocationJob[]>;
  /** From place `from` on, at most `limit`. */
  targets(id: string, from: number, limit: number, outcome?: TargetOutcome): Promise<readonly RevocationTarget[]>;
  /**
   * An approval by somebody else; with the last that it takes the job runs. The same again changes nothing.
   * @throws PkiError `revocation.not-found`; `revocation.approval-refused` for one's own job (I30), or other targets;
   *   `revocation.state-refused` where it does not wait
   */
  approve(id: string, approval: { readonly principalId: number; readonly targetsSha256: Uint8Array }, event: AuditEvent): Promise<RevocationJob>;
  /** Revokes no more; what was revoked stays so. Of one that is over nothing changes. @throws PkiError `revocation.not-found` */
  cancel(id: string, event: AuditEvent): Promise<RevocationJob>;
  /** Ids of jobs that run, oldest first. */
  running(limit: number): Promise<readonly string[]>;
  /**
   * Does the next REVOCATION_PAGE targets in one transaction, with their outcomes and events. Before the first the
   * targets are held against their hash: a job whose targets were changed fails.
   */
  runPage(id: string, now: Date): Promise<RevocationPageDone>;
}

/** The key of these certificates is known to be in other hands: its signature has shown it. */
export interface ProvenCompromise {
  readonly publicKeySha256: Uint8Array;
  /** Of the proof. */
  readonly proofSha256: Uint8Array;
  readonly revokedAt: Date;
  /** Who is told of as having revoked: the product itself. */
  readonly principalId: number;
}

export interface CompromiseLedger {
  /**
   * Revokes every unexpired certificate with the key for keyCompromise, blocks the key (I11) and appends an event for each
   * and for the key, in one transaction. The same proof again changes nothing.
   * @throws PkiError `certificate.not-found` where the key was never certified here; `revocation.conflict` for that of a CA
   */
  compromised(proven: ProvenCompromise): Promise<{ readonly changed: number; readonly certificates: readonly { readonly ca: CaName; readonly serial: Serial }[] }>;
}
