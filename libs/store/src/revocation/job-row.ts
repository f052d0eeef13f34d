import type { RevocationJob, RevocationJobState, TargetOutcome } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';
import type { Queryable } from '../database.ts';
import { reasonName } from '../status/reason-name.ts';

interface JobRow {
  readonly id: string;
  readonly principal_id: number;
  readonly principal: string;
  readonly state: RevocationJobState;
  readonly reason: number;
  readonly invalidity_date: Date | null;
  readonly query: string;
  readonly targets: number;
  readonly targets_sha256: Buffer;
  readonly done: number;
  readonly changed: number;
  readonly outcomes: Readonly<Partial<Record<TargetOutcome, number>>>;
  readonly approvals: number;
  readonly approved: readonly { readonly principal: string; readonly at: string }[];
  readonly failure: string | null;
  readonly created_at: Date;
  readonly begun_at: Date | null;
  readonly completed_at: Date | null;
  readonly now: Date;
}

const SELECT = `
  SELECT j.id, j.principal_id, p.name AS principal, j.state, j.reason, j.invalidity_date, j.query, j.targets, j.targets_sha256, j.done, j.changed,
    j.outcomes, j.approvals, j.failure, j.created_at, j.begun_at, j.completed_at, clock_timestamp() AS now,
    coalesce((SELECT jsonb_agg(jsonb_build_object('principal', b.name, 'at', a.approved_at) ORDER BY a.approved_at)
      FROM revocation_approval a JOIN principal b ON b.id = a.principal_id WHERE a.job_id = j.id), '[]') AS approved
  FROM revocation_job j JOIN principal p ON p.id = j.principal_id`;

/** @throws PkiError `revocation.not-found` */
export async function readJob(queryable: Queryable, id: string): Promise<RevocationJob> {
  const [row] = UUID.test(id) ? await queryable.query<JobRow>(`${SELECT} WHERE j.id = $1`, [id]) : [];
  if (row === undefined) throw new PkiError('revocation.not-found');
  return jobOf(row);
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** As `readJob`, and nobody else changes it until the transaction ends. @throws PkiError `revocation.not-found` */
export async function lockJob(tx: Queryable, id: string): Promise<RevocationJob> {
  if (UUID.test(id)) await tx.query('SELECT FROM revocation_job WHERE id = $1 FOR UPDATE', [id]);
  return readJob(tx, id);
}

/** See RevocationJobLedger.list. */
export async function listJobs(queryable: Queryable, before: string | undefined, limit: number): Promise<readonly RevocationJob[]> {
  if (before === undefined) return (await queryable.query<JobRow>(`${SELECT} ORDER BY j.created_at DESC, j.id DESC LIMIT $1`, [limit])).map(jobOf);
  const { createdAt } = await readJob(queryable, before);
  return (await queryable.query<JobRow>(
    `${SELECT} WHERE (j.created_at, j.id) < ($1, $2::uuid) ORDER BY j.created_at DESC, j.id DESC LIMIT $3`, [createdAt, before, limit])).map(jobOf);
}

function jobOf(row: JobRow): RevocationJob {
  return {
    id: row.id, principalId: row.principal_id, principal: row.principal, state: row.state, reason: reasonName(row.reason),
    invalidityDate: row.invalidity_date ?? undefined, query: JSON.parse(row.query) as Record<string, string>,
    targets: row.targets, targetsSha256: row.targets_sha256, done: row.done, changed: row.changed, outcomes: row.outcomes,
    approvalsNeeded: row.approvals, approvals: row.approved.map(({ principal, at }) => ({ principal, approvedAt: new Date(at) })),
    failure: row.failure ?? undefined, createdAt: row.created_at, begunAt: row.begun_at ?? undefined, completedAt: row.completed_at ?? undefined, now: row.now,
  };
}
