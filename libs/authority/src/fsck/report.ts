import { type CheckName, checks } from './catalogue.ts';

export interface Breach {
  readonly invariant: string;
  readonly check: CheckName;
  /** What it is about: `serial 0a1b`, `chunk 17`, `CA ecu-issuing`. */
  readonly subject: string;
  readonly detail: string;
}

export interface InspectionReport {
  readonly beganAt: Date;
  readonly endedAt: Date;
  /** How much was looked at, by name. */
  readonly checked: Readonly<Record<string, number>>;
  /** What was not looked at, or not all of it, in words. */
  readonly notes: readonly string[];
  /** The end of the audit log then: whoever keeps it elsewhere can show a later log to be an older one. */
  readonly auditHead: { readonly seq: bigint; readonly hash: string };
  /** The first of each check. */
  readonly breaches: readonly Breach[];
  /** Those beyond. */
  readonly more: number;
}

/** Of one check; more of them tell nothing more, and must not fill the memory. */
const KEPT = 20;

/** What was found so far. */
export class Findings {
  readonly breaches: Breach[] = [];
  readonly checked: Record<string, number> = {};
  readonly notes: string[] = [];
  more = 0;
  readonly #found = new Map<CheckName, number>();

  breach(check: CheckName, subject: string, detail: string): void {
    const found = (this.#found.get(check) ?? 0) + 1;
    this.#found.set(check, found);
    if (found > KEPT) this.more++;
    else this.breaches.push({ invariant: checks[check].invariant, check, subject, detail });
  }

  count(what: string, by = 1): void {
    this.checked[what] = (this.checked[what] ?? 0) + by;
  }
}

/** The report as JSON has it, on standard output and on record. */
export function reportJson(report: InspectionReport): Readonly<Record<string, unknown>> {
  return {
    beganAt: report.beganAt.toISOString(), endedAt: report.endedAt.toISOString(), checked: report.checked, notes: report.notes,
    auditHead: { seq: String(report.auditHead.seq), hash: report.auditHead.hash }, breaches: report.breaches, more: report.more,
  };
}
