import { setTimeout as sleep } from 'node:timers/promises';
import { count } from '../console.ts';
import { lineStatus, type LineStatus } from '../line/batch/line-error.ts';
import { duration } from '../line/pace.ts';
import type { Tools } from '../line/tools.ts';

/** A revocation by query, as `GET /v1/revocations/{id}` tells it. */
export interface JobBody {
  readonly id: string;
  readonly state: 'waiting' | 'running' | 'done' | 'cancelled' | 'failed';
  readonly by: string;
  readonly reason: string;
  readonly targets: number;
  readonly targetsSha256: string;
  readonly done: number;
  readonly changed: number;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly approvalsNeeded: number;
  readonly approvals: readonly { readonly by: string; readonly at: string }[];
  readonly ratePerSecond: number | null;
  readonly secondsLeft: number | null;
  readonly failure: string | null;
}

const ASK_MS = 500;

const what: Readonly<Record<string, string>> = {
  new: 'revoked', upgrade: 'revoked for a stronger reason', released: 'released', same: 'were so before',
  conflict: 'stay revoked for a stronger reason', gone: 'have expired, and are in an archive',
};

/** A revocation as a person reads it. */
export function describeJob(job: JobBody): string {
  const lines = [
    `Revocation ${job.id}, ${job.reason}, by ${job.by}`,
    `  ${job.state}: ${count(job.done)} of ${count(job.targets)} certificates, ${count(job.changed)} changed`,
    `  targets: SHA-256 ${job.targetsSha256}`,
  ];
  if (job.approvalsNeeded > 0) {
    lines.push(`  approvals: ${job.approvals.length} of ${job.approvalsNeeded}${job.approvals.length === 0 ? '' : ` (${job.approvals.map(({ by }) => by).join(', ')})`}`);
  }
  if (job.state === 'waiting') {
    lines.push(`  other administrators look at its targets (GET /v1/revocations/${job.id}/targets), and then: fleetroot revoke approve ${job.id} --targets-sha256 ${job.targetsSha256}`);
  }
  if (job.ratePerSecond !== null) lines.push(`  ${count(job.ratePerSecond)}/s${job.secondsLeft === null ? '' : `, ${duration(job.secondsLeft)} left`}`);
  if (job.failure !== null) lines.push(`  ${job.failure}`);
  for (const [outcome, number] of Object.entries(job.outcomes)) lines.push(`  ${count(number).padStart(9)} ${what[outcome] ?? outcome}`);
  return lines.join('\n');
}

/** 1 where it ended otherwise than asked, or left some as they were for a stronger reason. */
export function statusOf({ state, outcomes }: JobBody): LineStatus {
  if (state === 'cancelled' || state === 'failed') return lineStatus.someFailed;
  return (outcomes['conflict'] ?? 0) > 0 ? lineStatus.someFailed : lineStatus.ok;
}

/** Waits until it is over, with a bar, rate and time left; also for its approvals. */
export async function follow(job: JobBody, { client, patience, report, signal }: Tools): Promise<JobBody> {
  let current = job;
  if (current.state === 'waiting') report.say(describeJob(current), { event: 'waiting', ...current });
  let shown = false;
  while (current.state === 'waiting' || current.state === 'running') {
    if (current.state === 'running') {
      if (!shown) report.begin('revoking', current.targets, current.done);
      shown = true;
      report.at(current.done);
    }
    await sleep(ASK_MS, undefined, { signal });
    current = await patience.over(() => client.get(`/v1/revocations/${job.id}`)) as JobBody;
  }
  if (shown) report.at(current.done);
  return current;
}
