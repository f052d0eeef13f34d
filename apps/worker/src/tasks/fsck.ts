import { type Breach, type InspectionReport, reportJson } from '@fleetroot/authority';
import type { AuditEvent } from '@fleetroot/audit';
import type { Clock } from '@fleetroot/core';
import type { Logger } from '@fleetroot/telemetry';
import type { Task } from '../task.ts';

/** The runs on record. */
export interface Inspections {
  latest(): Promise<{ readonly beganAt: Date } | undefined>;
  /** False: another worker's run of that night is on record. */
  record(run: { readonly beganAt: Date; readonly endedAt: Date; readonly breaches: number; readonly report: object }, since: Date, event: AuditEvent): Promise<boolean>;
}

export interface FsckParts {
  readonly inspect: (signal: AbortSignal) => Promise<InspectionReport>;
  readonly inspections: Inspections;
  /** Of the day in UTC, from 0. */
  readonly hour: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly everyMs: number;
}

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
/** Said one by one; the report has the others. */
const SAID = 20;

/** The last time at or before `now` that it was this hour (UTC). */
export function lastTurn(now: Date, hour: number): Date {
  const today = Math.floor(now.getTime() / DAY_MS) * DAY_MS + hour * HOUR_MS;
  return new Date(today <= now.getTime() ? today : today - DAY_MS);
}

/**
 * Looks every night whether the invariants hold: once, however many workers there are. A night that was missed is made up
 * for at the next start; before the first run nothing is missed. A run that is broken off, with its process or by
 * the lead passing on, leaves nothing, and whoever leads begins it anew.
 */
export function fsckTask({ inspect, inspections, hour, clock, logger, everyMs }: FsckParts): Task {
  const started = clock.now();
  return {
    name: 'fsck', everyMs, runsOn: 'leader',
    async run(signal) {
      const due = lastTurn(clock.now(), hour);
      const before = (await inspections.latest())?.beganAt ?? started;
      if (before >= due || signal.aborted) return;
      const report = await inspect(signal);
      const breaches = report.breaches.length + report.more;
      const stored = await inspections.record(
        { beganAt: report.beganAt, endedAt: report.endedAt, breaches, report: reportJson(report) }, due, {
          action: 'ledger.inspected', actor: 'system:worker', at: clock.now(), subject: 'schedule:fsck',
          data: { breaches, checks: [...new Set(report.breaches.map(({ check }) => check))], auditHead: { seq: String(report.auditHead.seq), hash: report.auditHead.hash } },
        });
      if (stored) tell(report, breaches, logger);
    },
  };
}

/** The head is in the log too: where logs are kept elsewhere, an older backup of the ledger is told from it (I28). */
function tell(report: InspectionReport, breaches: number, logger: Logger): void {
  const about = {
    breaches, seconds: Math.round((report.endedAt.getTime() - report.beganAt.getTime()) / 1000), checked: report.checked,
    auditHead: `${report.auditHead.seq}:${report.auditHead.hash}`,
  };
  if (breaches === 0) return logger.info(about, 'fsck found nothing');
  for (const { invariant, check, subject, detail } of report.breaches.slice(0, SAID) satisfies readonly Breach[]) {
    logger.error({ invariant, check, subject }, `fsck: ${subject} ${detail}`);
  }
  logger.error(about, 'fsck found breaches of what must never happen: docs/fsck.md says what to do; fleetroot fsck lists them');
}
