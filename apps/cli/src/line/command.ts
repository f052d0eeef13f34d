import { Command, InvalidArgumentError, Option } from 'commander';
import { resolve } from 'node:path';
import type { BatchBody } from './batch/follow.ts';
import { lineStatus, type LineStatus, wrongUse } from './batch/line-error.ts';
import { failedLines } from './batch/resend.ts';
import { spool } from './batch/standard-input.ts';
import { describeBatch, describeResult } from './batch/status.ts';
import { submit, type SubmitOptions } from './batch/submit.ts';
import { withConnectionFlags } from './connection.ts';
import { simulateCommand } from './simulate/command.ts';
import { type CommonFlags, ended, seconds, type Tools, withTools } from './tools.ts';

const STATUSES = `
Exit status:
  0  everything was issued (submit without --follow: the batch is accepted)
  1  some items have no certificate: told by code
  2  wrong use, or a file that cannot be worked with
  3  it could not be finished now: give the same command again, it goes on where it was
  4  the API refused: told with its code and what to do`;

interface SubmitFlags extends CommonFlags {
  readonly profile?: string;
  readonly ca?: string;
  readonly follow: boolean;
  readonly output?: string;
  readonly format?: 'der' | 'pem';
  readonly key?: string;
}

function batchCommand(name: string): Command {
  return withConnectionFlags(new Command(name))
    .option('--patience <seconds>', 'how long to go on trying while the API cannot be reached', seconds, 600)
    .option('--json', 'for machines: a JSON object a line', false)
    .addHelpText('after', STATUSES);
}

function withSubmitFlags(command: Command): Command {
  return command
    .option('--follow', 'take the results into a file as they come', false)
    .option('--output <file>', 'that file (default: FILE.certificates.ndjson)', (text) => resolve(text))
    .addOption(new Option('--format <form>', 'certificates as base64 of the DER, or as PEM (default: der)').choices(['der', 'pem']));
}

/** The commands of a production line. */
export function lineCommand(): Command {
  return new Command('line')
    .description('what a production line does: send a file of requests, take certificates, look how far it is; or act as one')
    .addCommand(withSubmitFlags(batchCommand('submit'))
      .description('send FILE (NDJSON: {"ecuSerial", "vin", "partNumber", "lot", "csr"} a line; "-": standard input) as one batch; given again, it goes on where it was')
      .argument('<FILE>')
      .requiredOption('--profile <name>', 'what the certificates are for')
      .option('--ca <name>', 'CA that is to issue (default: the API chooses)')
      .option('--key <text>', 'Idempotency-Key (default: made of FILE, profile and CA, so that the same file is never issued twice)')
      .action((path: string, flags: SubmitFlags) => ended(flags.json, () => submitFile(path, flags))))
    .addCommand(withSubmitFlags(batchCommand('resend'))
      .description('send the lines of FILE that failed or were cancelled in an earlier batch again, alone, as a new batch')
      .argument('<FILE>', 'as it was sent then')
      .requiredOption('--of <batch>', 'the earlier batch', identifier)
      .option('--profile <name>', 'what the certificates are for (default: that of the earlier batch)')
      .option('--ca <name>', 'CA that is to issue (default: that of the earlier command)')
      .action((path: string, flags: SubmitFlags & { of: string }) => ended(flags.json, () => resendFile(path, flags))))
    .addCommand(batchCommand('status').description('how far a batch is').argument('<BATCH>', 'its id', identifier)
      .action((batch: string, flags: CommonFlags) => ended(flags.json, () => told(flags, ({ client }) => client.get(`/v1/batches/${batch}`)))))
    .addCommand(batchCommand('cancel').description('issue no more of a batch; what is being signed is finished').argument('<BATCH>', 'its id', identifier)
      .action((batch: string, flags: CommonFlags) => ended(flags.json, () => told(flags, ({ client }) => client.json('POST', `/v1/batches/${batch}/cancel`)))))
    .addCommand(batchCommand('results').description('the results of a batch, as they come').argument('<BATCH>', 'its id', identifier)
      .option('--failed', 'those alone that have no certificate', false)
      .addOption(new Option('--format <form>', 'with --json: certificates as base64 of the DER, or as PEM').choices(['der', 'pem']).default('der'))
      .action((batch: string, flags: ResultsFlags) => ended(flags.json, () => results(batch, flags))))
    .addCommand(simulateCommand((json, work) => ended(json, work)));
}

/** Ids stand in URLs. */
function identifier(text: string): string {
  if (!/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)) throw new InvalidArgumentError('the id of a batch, as `line submit` told it');
  return text;
}

/** What the flags say, without those that are not there. */
function optionsOf({ follow, output, format }: SubmitFlags, tools: Tools): Omit<SubmitOptions, 'path' | 'submitted'> {
  return { ...tools, follow, ...(output === undefined ? {} : { output }), ...(format === undefined ? {} : { format }) };
}

function submitFile(given: string, flags: SubmitFlags): Promise<LineStatus> {
  const { profile = '', ca, key } = flags;
  if (key !== undefined && !/^[\x21-\x7e]{1,200}$/.test(key)) throw wrongUse('--key takes 1 to 200 visible ASCII characters');
  return withTools(flags, async (tools) => {
    const path = given === '-' ? await spool(process.stdin, process.cwd(), tools.signal) : resolve(given);
    if (given === '-') tools.report.say(`Standard input is kept in ${path}: to go on, give that file`, { event: 'spooled', file: path });
    return submit({ ...optionsOf(flags, tools), path, submitted: { profile, ...(ca === undefined ? {} : { ca }), ...(key === undefined ? {} : { key }) } });
  });
}

function resendFile(given: string, flags: SubmitFlags & { readonly of: string }): Promise<LineStatus> {
  return withTools(flags, async (tools) => {
    const rest = await failedLines({ path: resolve(given), of: flags.of, client: tools.client, patience: tools.patience });
    if (rest === undefined) {
      tools.report.say(`Nothing of batch ${flags.of} failed`, { event: 'done', batch: null, items: 0, issued: 0, failed: 0 });
      return lineStatus.ok;
    }
    const ca = flags.ca ?? rest.ca;
    return submit({
      ...optionsOf(flags, tools), path: rest.path,
      submitted: { profile: flags.profile ?? rest.profile, resendOf: flags.of, ...(ca === undefined ? {} : { ca }) },
    });
  });
}

/** Asks for a batch, and shows it. */
function told(flags: CommonFlags, ask: (tools: Tools) => Promise<unknown>): Promise<LineStatus> {
  return withTools(flags, async (tools) => {
    const batch = await tools.patience.over(() => ask(tools)) as BatchBody;
    tools.report.say(describeBatch(batch), { ...batch });
    return lineStatus.ok;
  });
}

interface ResultsFlags extends CommonFlags {
  readonly failed: boolean;
  readonly format: 'der' | 'pem';
}

function results(batch: string, { failed: only, format, ...flags }: ResultsFlags): Promise<LineStatus> {
  return withTools(flags, async ({ client, patience, report }) => {
    let from = 0;
    let failed = 0;
    await patience.over(async () => {
      for await (const result of client.results(batch, `?from=${from}&format=${format}${only ? '&outcome=failed' : ''}`)) {
        patience.moved();
        from = result.ordinal + 1;
        if (result.outcome === 'failed') failed += 1;
        report.say(describeResult(result), { ...result });
      }
    });
    return failed === 0 ? lineStatus.ok : lineStatus.someFailed;
  });
}
