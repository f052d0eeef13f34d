import { createHash } from 'node:crypto';
import {
  REVOCATION_PAGE, revocationBegun, revocationDone, revocationFailed, type RevocationJob, type RevocationPageDone, revocationPage, revocationReasons,
  type TargetOutcome,
} from '@fleetroot/authority';
import { equalBytes } from '@fleetroot/core';
import { appendEvents } from '../audit-log.ts';
import type { Queryable, Transaction } from '../database.ts';
import { askForCrl } from '../status/ask-for-crl.ts';
import { blockKeys } from '../status/block-key.ts';
import { putRevocations, releaseHolds } from '../status/revocation-row.ts';
import { lockJob } from './job-row.ts';
import { caNames, hashOfTargets, targetLine } from './targets.ts';

interface TargetRow {
  readonly place: number;
  readonly ca_id: number;
  readonly serial: Buffer;
  /** null: the certificate is not on record any more. */
  readonly not_after: Date | null;
  readonly spki_sha256: Buffer | null;
}

type Decided = TargetRow & { readonly outcome: TargetOutcome };

const CHANGES: readonly TargetOutcome[] = ['new', 'upgrade', 'released'];
const NOTHING: RevocationPageDone = { over: true, revoked: 0 };

/** See RevocationJobLedger.runPage. The job's row is locked: of two who run it at once one waits, and goes on behind the other. */
export async function runPage(tx: Transaction, id: string, now: Date): Promise<RevocationPageDone> {
  const job = await lockJob(tx, id);
  if (job.state !== 'running') return NOTHING;
  const begins = job.begunAt === undefined;
  if (begins && !equalBytes(await hashOfTargets(tx, id), job.targetsSha256)) return fail(tx, job, now);
  const decided = await decide(tx, job, await pageOf(tx, job), now);
  const outcomes = { ...job.outcomes };
  for (const { outcome } of decided) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  const changed = decided.filter(({ outcome }) => CHANGES.includes(outcome));
  await tx.query('UPDATE revocation_target t SET outcome = g.outcome FROM unnest($2::int[], $3::text[]) AS g (place, outcome) WHERE t.job_id = $1 AND t.place = g.place',
    [id, decided.map(({ place }) => place), decided.map(({ outcome }) => outcome)]);
  if (job.reason === 'keyCompromise') await blockKeysOf(tx, changed);
  for (const caId of new Set(changed.map(({ ca_id }) => ca_id))) await askForCrl(tx, caId);
  const done = job.done + decided.length;
  const over = done >= job.targets;
  await tx.query(
    `UPDATE revocation_job SET done = $2, changed = changed + $3, outcomes = $4, begun_at = coalesce(begun_at, clock_timestamp()),
       state = CASE WHEN $5 THEN 'done' ELSE state END, completed_at = CASE WHEN $5 THEN clock_timestamp() END WHERE id = $1`,
    [id, done, changed.length, JSON.stringify(outcomes), over]);
  const names = await caNames(tx);
  const sha256 = createHash('sha256').update(decided.map((target) => `${targetLine(names, target)} ${target.outcome}\n`).join('')).digest();
  await appendEvents(tx, [
    ...(begins ? [revocationBegun(job, now)] : []),
    ...(decided.length === 0 ? [] : [revocationPage(job, { from: job.done, targets: decided.length, sha256 }, now)]),
    ...(over ? [revocationDone(job, outcomes, now)] : []),
  ]);
  return { over, revoked: changed.length };
}

/** What was approved is not what stands there now. */
async function fail(tx: Queryable, { id }: RevocationJob, now: Date): Promise<RevocationPageDone> {
  const failure = 'its targets are not those that it was made with: somebody has changed the ledger';
  await tx.query(`UPDATE revocation_job SET state = 'failed', failure = $2, completed_at = clock_timestamp() WHERE id = $1`, [id, failure]);
  await appendEvents(tx, [revocationFailed(id, failure, now)]);
  return NOTHING;
}

function pageOf(tx: Queryable, { id, done }: RevocationJob): Promise<readonly TargetRow[]> {
  return tx.query<TargetRow>(
    `SELECT t.place, t.ca_id, t.serial, c.not_after, c.spki_sha256 FROM revocation_target t
     LEFT JOIN LATERAL (SELECT not_after, spki_sha256 FROM certificate c WHERE c.ca_id = t.ca_id AND c.serial = t.serial LIMIT 1) c ON true
     WHERE t.job_id = $1 AND t.place >= $2 AND t.place < $3 ORDER BY t.place`, [id, done, done + REVOCATION_PAGE]);
}

async function decide(tx: Transaction, job: RevocationJob, page: readonly TargetRow[], now: Date): Promise<readonly Decided[]> {
  const there = page.filter(({ not_after }) => not_after !== null);
  const given = there.map(({ ca_id, serial, not_after }) => ({ caId: ca_id, serial, notAfter: not_after ?? now }));
  const outcomes: readonly { readonly outcome: TargetOutcome }[] = job.reason === 'removeFromCRL'
    ? await releaseHolds(tx, given, job.principalId)
    : await putRevocations(tx, given.map((one) => ({
      ...one, reason: revocationReasons[job.reason], revokedAt: now, invalidityDate: job.invalidityDate, principalId: job.principalId,
    })));
  const byPlace = new Map(there.map(({ place }, i) => [place, outcomes[i]?.outcome]));
  return page.map((row) => ({ ...row, outcome: byPlace.get(row.place) ?? 'gone' }));
}

async function blockKeysOf(tx: Queryable, changed: readonly TargetRow[]): Promise<void> {
  const names = await caNames(tx);
  await blockKeys(tx, changed.flatMap((row) => (row.spki_sha256 === null ? [] : [{ spkiSha256: row.spki_sha256, owner: `certificate:${targetLine(names, row)}` }])));
}
