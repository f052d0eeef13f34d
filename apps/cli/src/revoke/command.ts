import { randomUUID } from 'node:crypto';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type RevocationReason, revocationReasons } from '@fleetroot/authority';
import { count } from '../console.ts';
import { lineStatus, type LineStatus, wrongUse } from '../line/batch/line-error.ts';
import { withConnectionFlags } from '../line/connection.ts';
import { type CommonFlags, ended, seconds, type Tools, withTools } from '../line/tools.ts';
import { describeJob, follow, type JobBody, statusOf } from './job.ts';
import { instantOf, queryOf, type QueryFlags } from './query.ts';

const STATUSES = `
Exit status:
  0  done, or on its way: a large revocation runs, or waits for approvals (--follow waits for its end)
  1  it was cancelled, or failed; or some stay as they are, revoked for a stronger reason
  2  wrong use
  3  it could not be finished now: see "fleetroot revoke status"
  4  the API refused: told with its code and what to do`;

const EXAMPLES = `
Examples:
  fleetroot revoke 0a1b2c --reason superseded
  fleetroot revoke 0a1b2c --reason certificateHold          put on hold; taken back by --reason removeFromCRL
  fleetroot revoke --part-number 5Q0-937-084 --issued-from 2026-11-01 --reason keyCompromise --dry-run
  fleetroot revoke --part-number 5Q0-937-084 --issued-from 2026-11-01 --reason keyCompromise --follow
  echo 1M8GDM9AXKP042788 | fleetroot revoke --vin-file - --reason cessationOfOperation
  fleetroot revoke approve ID --targets-sha256 HEX          by another administrator`;

const reasons = Object.keys(revocationReasons).filter((name) => name !== 'aACompromise') as RevocationReason[];

interface RevokeFlags extends CommonFlags, QueryFlags {
  readonly reason: RevocationReason;
  readonly invalidityDate?: string;
  readonly dryRun: boolean;
  readonly follow: boolean;
  readonly key?: string;
}

interface Preview {
  readonly targets: number;
  readonly targetsSha256: string;
  readonly approvalsNeeded: number;
  readonly first: readonly { readonly ca: string; readonly serial: string; readonly profile: string | null; readonly ecuSerial: string | null; readonly notAfter: string | null }[];
}

const withCommonFlags = (command: Command, token: 'security' | 'admin'): Command => withConnectionFlags(command, token)
  .option('--patience <seconds>', 'how long to go on trying while the API cannot be reached', seconds, 600)
  .option('--json', 'for machines: a JSON object a line', false);

/** `fleetroot revoke`: certificates by serial number or by query, over the REST API. */
export function revokeCommand(): Command {
  // What follows the name of a command below is that command's.
  return withCommonFlags(new Command('revoke').enablePositionalOptions(), 'security')
    .description('revoke a certificate, or all that a query finds; put on hold and release')
    .argument('[SERIAL]', 'of one certificate, in hex', serial)
    .addOption(new Option('--reason <reason>', 'why (RFC 5280)').choices(reasons))
    .option('--ca <name>', 'certificates of this CA')
    .option('--vin-file <file>', 'of the vehicle whose VIN is in this file ("-": standard input)')
    .option('--ecu-serial <serial>', 'of this ECU')
    .option('--part-number <number>', 'of ECUs with this part number')
    .option('--lot <lot>', 'of ECUs of this lot of their supplier')
    .option('--supplier <name>', 'of ECUs of this supplier that registered themselves')
    .option('--profile <name>', 'of this profile; narrows the others')
    .option('--issued-from <time>', 'issued then or later')
    .option('--issued-until <time>', 'issued before; narrows the others')
    .option('--public-key <file>', 'with this public key: a PEM file, or the SHA-256 of its SubjectPublicKeyInfo in hex')
    .option('--invalidity-date <time>', 'since when the key is known or suspected to be in wrong hands')
    .option('--dry-run', 'count and list, and revoke nothing', false)
    .option('--follow', 'wait until a large revocation is over', false)
    .option('--key <text>', 'Idempotency-Key of a query: the same one finds the same revocation (default: a new one)')
    .addHelpText('after', EXAMPLES).addHelpText('after', STATUSES)
    .action((given: string | undefined, flags: RevokeFlags) => ended(flags.json, () => revoke(given, flags)))
    .addCommand(withCommonFlags(new Command('approve'), 'admin')
      .description('approve a large revocation of somebody else\'s, once you have looked at its targets')
      .argument('<ID>', 'of the revocation', identifier)
      .requiredOption('--targets-sha256 <hex>', 'SHA-256 of the targets that you approve, as it was told to you', sha256)
      .action((id: string, flags: CommonFlags & { targetsSha256: string }) => toJob(flags, 'admin', `/v1/revocations/${id}/approvals`, flags.targetsSha256)))
    .addCommand(withCommonFlags(new Command('status'), 'security').description('how far a revocation is').argument('<ID>', 'of the revocation', identifier)
      .option('--follow', 'wait until it is over', false)
      .action((id: string, flags: CommonFlags & { follow: boolean }) => status(id, flags)))
    .addCommand(withCommonFlags(new Command('cancel'), 'security').description('revoke no more of it; what was revoked stays so').argument('<ID>', 'of the revocation', identifier)
      .action((id: string, flags: CommonFlags) => toJob(flags, 'security', `/v1/revocations/${id}/cancel`)));
}

function serial(text: string): string {
  if (!/^[0-9a-fA-F]{2,40}$/.test(text)) throw new InvalidArgumentError('a serial number in hex; or one of approve, status, cancel');
  return text.toLowerCase();
}

function identifier(text: string): string {
  if (!/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)) throw new InvalidArgumentError('the id of a revocation, as `fleetroot revoke` told it');
  return text;
}

function sha256(text: string): string {
  if (!/^[0-9a-f]{64}$/.test(text)) throw new InvalidArgumentError('64 hex digits, as `fleetroot revoke status` shows them');
  return text;
}

function revoke(given: string | undefined, flags: RevokeFlags): Promise<LineStatus> {
  if (flags.reason === undefined) throw wrongUse(`say why: --reason ${reasons.join('|')}`);
  const invalidityDate = instantOf(flags.invalidityDate, '--invalidity-date');
  const body = { reason: flags.reason, ...(invalidityDate === undefined ? {} : { invalidityDate }) };
  const { ca, ...query } = queryOf(flags);
  if (given !== undefined) {
    if (Object.keys(query).length > 0) throw wrongUse('a SERIAL is one certificate: leave out what describes others');
    return withTools(flags, (tools) => one(given, ca, body, flags.dryRun, tools), 'security');
  }
  const all = { ...query, ...(ca === undefined ? {} : { ca }) };
  if (Object.keys(all).length === 0) throw wrongUse('say which certificates: a SERIAL, or one of --vin-file, --ecu-serial, --part-number, --lot, --supplier, --public-key, --ca, --issued-from');
  return withTools(flags, (tools) => many(all, body, flags, tools), 'security');
}

async function one(hex: string, ca: string | undefined, body: object, dryRun: boolean, { client, patience, report }: Tools): Promise<LineStatus> {
  const at = (path: string): string => `/v1/certificates/${hex}${path}${ca === undefined ? '' : `?ca=${encodeURIComponent(ca)}`}`;
  if (dryRun) {
    const found = await patience.over(() => client.get(at(''))) as { ca: string; profile: string; status: string; ecuSerial: string | null; notAfter: string };
    report.say(`${hex} of ${found.ca}, ${found.profile}${found.ecuSerial === null ? '' : `, ECU ${found.ecuSerial}`}, ${found.status}, until ${found.notAfter}`, { event: 'preview', targets: 1, first: [found] });
    return lineStatus.ok;
  }
  const revoked = await patience.over(() => client.post(at('/revocation'), body)) as { ca: string; reason: string; revokedAt: string; changed: boolean };
  const said = revoked.reason === 'removeFromCRL' ? 'is released' : `is revoked for ${revoked.reason} since ${revoked.revokedAt}`;
  report.say(`${hex} of ${revoked.ca} ${said}${revoked.changed ? '' : ', as before'}`, { event: 'revoked', ...revoked, serial: hex });
  return lineStatus.ok;
}

async function many(query: object, body: object, flags: RevokeFlags, tools: Tools): Promise<LineStatus> {
  const { client, patience, report } = tools;
  if (flags.dryRun) {
    const preview = await patience.over(() => client.post('/v1/revocations', { ...body, query, dryRun: true })) as Preview;
    report.say(describePreview(preview), { event: 'preview', ...preview });
    return lineStatus.ok;
  }
  const key = flags.key ?? randomUUID();
  const job = await patience.over(() => client.post('/v1/revocations', { ...body, query }, { 'idempotency-key': key })) as JobBody;
  return told(flags.follow ? await follow(job, tools) : job, tools);
}

function describePreview({ targets, targetsSha256, approvalsNeeded, first }: Preview): string {
  const lines = first.map(({ ca, serial: hex, profile, ecuSerial, notAfter }) => `  ${ca}/${hex}  ${profile ?? ''}  ${ecuSerial ?? ''}  until ${notAfter ?? ''}`);
  if (targets > first.length) lines.push(`  and ${count(targets - first.length)} more`);
  return [
    `${count(targets)} certificates; ${approvalsNeeded === 0 ? 'nobody else must approve' : `approvals by others: ${approvalsNeeded}`}; nothing is revoked`,
    `  targets: SHA-256 ${targetsSha256}`, ...lines,
  ].join('\n');
}

function told(job: JobBody, { report }: Tools): LineStatus {
  report.say(describeJob(job), { event: job.state, ...job });
  return statusOf(job);
}

function status(id: string, flags: CommonFlags & { readonly follow: boolean }): Promise<void> {
  return ended(flags.json, () => withTools(flags, async (tools) => {
    const job = await tools.patience.over(() => tools.client.get(`/v1/revocations/${id}`)) as JobBody;
    return told(flags.follow ? await follow(job, tools) : job, tools);
  }, 'security'));
}

function toJob(flags: CommonFlags, token: 'security' | 'admin', path: string, targetsSha256?: string): Promise<void> {
  return ended(flags.json, () => withTools(flags, async (tools) => {
    const { client, patience, report } = tools;
    const job = await patience.over(() => (targetsSha256 === undefined ? client.json('POST', path) : client.post(path, { targetsSha256 }))) as JobBody;
    report.say(describeJob(job), { event: job.state, ...job });
    return lineStatus.ok;
  }, token));
}
