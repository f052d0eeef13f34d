import { resolve } from 'node:path';
import { type CheckName, checks, inspect, type InspectionReport, reportJson, statusSite } from '@fleetroot/authority';
import { readConfig } from '@fleetroot/config';
import { isPkiError, LedgerKey, PkiError } from '@fleetroot/core';
import { PostgresInspectionLedger } from '@fleetroot/store';
import { Command, InvalidArgumentError } from 'commander';
import { count, lineConsole } from '../console.ts';
import type { DataDir } from '../data-dir/layout.ts';
import { withDatabase } from '../ledger.ts';
import { type LedgerFlags, ledgerOf, withLedgerFlags } from '../ledger-flags.ts';
import { type Progress, progress } from '../line/progress.ts';
import { readEndpoints } from '../up/endpoints.ts';
import { readHsmRecord } from './hsm-record.ts';

/** As programs of that name have it: what was found is told from what kept it from looking. */
const status = { nothing: 0, breaches: 1, usage: 2, notRun: 3 } as const;

interface FsckFlags extends LedgerFlags {
  readonly json: boolean;
  readonly full: boolean;
  readonly statusUrl?: string;
  readonly hsmRecord?: string;
  readonly auditHead: readonly AuditHead[];
  readonly crlWithin: number;
}

interface AuditHead { readonly seq: bigint; readonly hash: string }

export function fsckCommand(): Command {
  return withLedgerFlags(new Command('fsck'))
    .description('look whether ledger, audit log and published CRLs hold what must hold, and name every breach')
    .option('--json', 'one object on standard output', false)
    .option('--full', 'verify the signature of every certificate, and every CRL that is kept; else one certificate in 1000, those of the newest day, and the newest two CRLs', false)
    .option('--status-url <url>', 'where CRLs are published; else that of the running installation, or FLEETROOT_STATUS_PUBLIC_URL')
    .option('--hsm-record <folder>', 'what pkcs11-spy recorded of the CA token since its set-up (ca-*.log): every signature must be on record', (text) => resolve(text))
    .option('--audit-head <seq:hash>', 'an end of the audit log that was kept elsewhere, as fsck and audit verify print it; may be given again', auditHead, [] as AuditHead[])
    .option('--crl-within <seconds>', 'how long a revocation may take to be on the published CRL', seconds, 30)
    .addHelpText('after', `
It only reads, by transactions of its own, while the product runs; it can be stopped at any time and leaves nothing.
Exit status: 0 nothing was found, 1 breaches, 2 wrong use, 3 it could not look.
What each check means, and what to do: docs/fsck.md. The worker does the same every night (FLEETROOT_FSCK_HOUR).`)
    .action(async (flags: FsckFlags) => {
      try {
        const report = await look(flags);
        console.log(flags.json ? JSON.stringify(reportJson(report)) : describe(report));
        process.exitCode = report.breaches.length === 0 ? status.nothing : status.breaches;
      } catch (error) {
        process.stderr.write(`fleetroot fsck: ${(error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, ' ')}\n`);
        process.exitCode = isPkiError(error) && error.code === 'config.invalid' ? status.usage : status.notRun;
      }
    });
}

async function look(flags: FsckFlags): Promise<InspectionReport> {
  const hsmRecord = flags.hsmRecord === undefined ? undefined : await readHsmRecord(flags.hsmRecord);
  return withDatabase(ledgerOf(flags), async ({ databaseUrl, ledgerKey }, running) => {
    const url = statusUrl(flags, running);
    // Standard output is for what was found.
    let bar: Progress | undefined;
    try {
      return await inspect(
        { ledger: new PostgresInspectionLedger(databaseUrl), ledgerKey: new LedgerKey(ledgerKey), published: url === undefined ? undefined : statusSite(url) },
        {
          full: flags.full, hsmRecord, auditHeads: flags.auditHead, crlWithinMs: flags.crlWithin * 1000,
          progress: {
            begin: (total) => (bar = progress(total, 'certificates and events', lineConsole(process.stderr), { output: process.stderr })),
            add: (done) => bar?.add(done),
          },
        });
    } finally {
      bar?.end();
    }
  });
}

/** undefined: the installation does not run, and publishes nothing. */
function statusUrl(flags: FsckFlags, running: DataDir | undefined): string | undefined {
  if (flags.statusUrl !== undefined) {
    if (!URL.canParse(flags.statusUrl)) throw new PkiError('config.invalid', '--status-url must be a URL, http://HOST:PORT');
    return flags.statusUrl;
  }
  if (flags.environment) return readConfig(['statusPublicUrl']).statusPublicUrl;
  return running === undefined ? undefined : readEndpoints(running)?.status;
}

function auditHead(text: string, before: readonly AuditHead[]): readonly AuditHead[] {
  const match = /^(\d{1,18}):([0-9a-f]{64})$/.exec(text);
  if (match === null) throw new InvalidArgumentError('It must be NUMBER:HASH, the hash in lower-case hex.');
  return [...before, { seq: BigInt(match[1] ?? 0), hash: match[2] ?? '' }];
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && value <= 86_400)) throw new InvalidArgumentError('It must be a number of seconds, up to a day.');
  return value;
}

function describe({ beganAt, endedAt, checked, notes, auditHead: head, breaches, more }: InspectionReport): string {
  const took = Math.max(0.1, (endedAt.getTime() - beganAt.getTime()) / 1000);
  const lines = [
    `Looked at ${count(checked['certificates'] ?? 0)} certificates in ${count(checked['chunks'] ?? 0)} chunks, ${count(checked['auditEvents'] ?? 0)} audit events and ${count(checked['crls'] ?? 0)} CRLs, in ${count(took)} s.`,
    ...notes.map((note) => `Note: ${note}.`),
    `The audit log ends at ${head.seq}:${head.hash}`,
  ];
  if (breaches.length === 0) return [...lines, 'Nothing was found: what must hold holds.'].join('\n');
  for (const check of new Set(breaches.map((breach) => breach.check))) lines.push(...describeCheck(check, breaches));
  return [...lines, '', `${count(breaches.length + more)} BREACHES${more > 0 ? `, of which ${count(more)} are not shown` : ''}`].join('\n');
}

function describeCheck(check: CheckName, breaches: InspectionReport['breaches']): string[] {
  const { invariant, holds, remedy } = checks[check];
  return [
    '', `${invariant} ${check}: ${holds}`,
    ...breaches.filter((breach) => breach.check === check).map(({ subject, detail }) => `  ${subject} ${detail}`),
    `  What to do: ${remedy}`,
  ];
}
