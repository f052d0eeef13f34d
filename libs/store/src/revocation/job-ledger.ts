import { createHash } from 'node:crypto';
import { type AuditEvent, canonicalJson } from '@fleetroot/audit';
import {
  type NewRevocationJob, type RevocationJob, type RevocationJobLedger, type RevocationPageDone, type RevocationPreview, type RevocationQuery,
  type RevocationReason, revocationReasons, type RevocationTarget, type TargetOutcome,
} from '@fleetroot/authority';
import { equalBytes, type LedgerKey, PkiError, toHex } from '@fleetroot/core';
import { appendEvent } from '../audit-log.ts';
import type { Database, Queryable } from '../database.ts';
import { vinIndex } from '../fleet/vehicles.ts';
import { gather } from './gather.ts';
import { listJobs, lockJob, readJob } from './job-row.ts';
import { runPage } from './page.ts';
import { fixTargets, previewOf, targetsOf } from './targets.ts';

export class PostgresRevocationJobLedger implements RevocationJobLedger {
  readonly #database: Database;
  readonly #key: LedgerKey;

  constructor(database: Database, key: LedgerKey) {
    this.#database = database;
    this.#key = key;
  }

  preview(query: RevocationQuery, reason: RevocationReason, limit: number): Promise<RevocationPreview> {
    return this.#database.transaction(async (tx) => {
      await gather(tx, this.#key, query, reason, new Date());
      const { targets, sha256, first } = await fixTargets(tx, undefined, limit);
      return { targets, targetsSha256: sha256, first: await previewOf(tx, first) };
    });
  }

  create(job: NewRevocationJob, event: (job: RevocationJob) => AuditEvent): Promise<{ readonly job: RevocationJob; readonly created: boolean }> {
    const query = storedQuery(job.query, this.#key);
    const sha256 = createHash('sha256').update(canonicalJson({ query, reason: job.reason, invalidityDate: job.invalidityDate?.toISOString() ?? null })).digest();
    return this.#database.transaction(async (tx) => {
      // Takes the key: the same request at the same time waits here, and then finds this one.
      const added = await tx.query(
        `INSERT INTO revocation_job (id, principal_id, idempotency_key, reason, invalidity_date, query, query_sha256, targets, targets_sha256, approvals, state)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0, '', 0, 'waiting') ON CONFLICT (principal_id, idempotency_key) DO NOTHING RETURNING id`,
        [job.id, job.principalId, job.idempotencyKey, revocationReasons[job.reason], job.invalidityDate ?? null, canonicalJson(query), sha256]);
      if (added.length === 0) return { job: await known(tx, job, sha256), created: false };
      await gather(tx, this.#key, job.query, job.reason, new Date());
      const fixed = await fixTargets(tx, job.id, 0);
      if (fixed.targets === 0) throw new PkiError('certificate.not-found', 'the query finds no unexpired certificate');
      const approvals = job.approvalsFor(fixed.targets);
      await tx.query('UPDATE revocation_job SET targets = $2, targets_sha256 = $3, approvals = $4, state = $5 WHERE id = $1',
        [job.id, fixed.targets, fixed.sha256, approvals, approvals === 0 ? 'running' : 'waiting']);
      const made = await readJob(tx, job.id);
      await appendEvent(tx, event(made));
      return { job: made, created: true };
    });
  }

  read(id: string): Promise<RevocationJob> {
    return readJob(this.#database, id);
  }

  list(before: string | undefined, limit: number): Promise<readonly RevocationJob[]> {
    return listJobs(this.#database, before, limit);
  }

  async targets(id: string, from: number, limit: number, outcome?: TargetOutcome): Promise<readonly RevocationTarget[]> {
    await readJob(this.#database, id);
    return targetsOf(this.#database, id, from, limit, outcome);
  }

  approve(id: string, { principalId, targetsSha256 }: { readonly principalId: number; readonly targetsSha256: Uint8Array }, event: AuditEvent): Promise<RevocationJob> {
    return this.#database.transaction(async (tx) => {
      const job = await lockJob(tx, id);
      if (job.principalId === principalId) throw new PkiError('revocation.approval-refused', 'nobody approves their own revocation: another administrator must');
      if (!equalBytes(job.targetsSha256, targetsSha256)) throw new PkiError('revocation.approval-refused', 'the approval is for other targets: look at those of this revocation, and give its targetsSha256');
      const [before] = await tx.query('SELECT FROM revocation_approval WHERE job_id = $1 AND principal_id = $2', [id, principalId]);
      if (before !== undefined) return job;
      if (job.state !== 'waiting') throw new PkiError('revocation.state-refused', `the revocation is ${job.state}: it waits for no approval`);
      await tx.query('INSERT INTO revocation_approval (job_id, principal_id, targets_sha256) VALUES ($1, $2, $3)', [id, principalId, targetsSha256]);
      if (job.approvals.length + 1 >= job.approvalsNeeded) await tx.query(`UPDATE revocation_job SET state = 'running' WHERE id = $1`, [id]);
      await appendEvent(tx, event);
      return readJob(tx, id);
    });
  }

  cancel(id: string, event: AuditEvent): Promise<RevocationJob> {
    return this.#database.transaction(async (tx) => {
      const job = await lockJob(tx, id);
      if (job.state !== 'waiting' && job.state !== 'running') return job;
      await tx.query(`UPDATE revocation_job SET state = 'cancelled', completed_at = clock_timestamp() WHERE id = $1`, [id]);
      await appendEvent(tx, event);
      return readJob(tx, id);
    });
  }

  async running(limit: number): Promise<readonly string[]> {
    return (await this.#database.query<{ id: string }>(
      `SELECT id FROM revocation_job WHERE state IN ('waiting', 'running') AND state = 'running' ORDER BY created_at LIMIT $1`, [limit])).map(({ id }) => id);
  }

  runPage(id: string, now: Date): Promise<RevocationPageDone> {
    return this.#database.transaction((tx) => runPage(tx, id, now));
  }
}

/** @throws PkiError `idempotency.conflict` */
async function known(tx: Queryable, { principalId, idempotencyKey }: NewRevocationJob, sha256: Uint8Array): Promise<RevocationJob> {
  const [row] = await tx.query<{ id: string; query_sha256: Buffer }>(
    'SELECT id, query_sha256 FROM revocation_job WHERE principal_id = $1 AND idempotency_key = $2', [principalId, idempotencyKey]);
  if (row === undefined) throw new PkiError('store.unavailable', 'a revocation with this key was just given up: try again');
  if (!equalBytes(row.query_sha256, sha256)) throw new PkiError('idempotency.conflict', 'this Idempotency-Key is that of another revocation: use a new one');
  return readJob(tx, row.id);
}

/** What is kept of a query. A VIN is never kept in clear, and no plain hash of it, which could be guessed. */
function storedQuery(query: RevocationQuery, key: LedgerKey): Readonly<Record<string, string>> {
  const { vin, publicKeySha256, issuedFrom, issuedUntil, ...rest } = query;
  const all: Record<string, string | undefined> = {
    ...rest, vinIndex: vin === undefined ? undefined : vinIndex(key, vin).toString('hex'),
    publicKeySha256: publicKeySha256 === undefined ? undefined : toHex(publicKeySha256),
    issuedFrom: issuedFrom?.toISOString(), issuedUntil: issuedUntil?.toISOString(),
  };
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined));
}
