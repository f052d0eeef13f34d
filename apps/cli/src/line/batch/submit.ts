import { existsSync, statSync } from 'node:fs';
import { count } from '../../console.ts';
import { takeLock } from '../../data-dir/lock.ts';
import { duration } from '../pace.ts';
import type { RestClient } from '../rest.ts';
import { type BatchState, type Output, stateFile, stateFor, type Submitted, writeState } from './batch-state.ts';
import { type BatchBody, followResults } from './follow.ts';
import { ItemsFile, type PartLimits } from './items-file.ts';
import { LineError, lineStatus, type LineStatus, wrongUse } from './line-error.ts';
import { type Outcome, OutputFile } from './output-file.ts';
import type { Patience } from './patience.ts';
import type { Report } from './report.ts';
import { openUpload, sendItems } from './upload.ts';

export interface SubmitOptions {
  readonly path: string;
  readonly submitted: Submitted;
  readonly follow: boolean;
  /** Where the results go, and as what; what is left out is as it was in an earlier run. */
  readonly output?: string;
  readonly format?: Output['format'];
  readonly client: RestClient;
  readonly patience: Patience;
  readonly report: Report;
  readonly signal: AbortSignal;
  /** How much of the file goes at once. */
  readonly limits?: PartLimits;
}

/**
 * Sends a file as one batch and, where it is followed, takes its results. Given again after it was ended in whichever way,
 * it goes on where it was.
 * @throws LineError, PkiError
 */
export async function submit(options: SubmitOptions): Promise<LineStatus> {
  const { path } = options;
  if (!existsSync(path)) throw wrongUse(`there is no file ${path}`);
  const release = takeLock(`${stateFile(path)}.lock`, (holder) => `process ${holder} is working on ${path} already`);
  try {
    return await submitLocked(options);
  } finally {
    options.report.end();
    release();
  }
}

async function submitLocked(options: SubmitOptions): Promise<LineStatus> {
  const { path, client, report } = options;
  const file = ItemsFile.read(path, options.limits);
  let state = stateFor(stateFile(path), file, options.submitted);
  const save = (change: Partial<BatchState>): void => {
    state = { ...state, ...change };
    writeState(stateFile(path), state);
  };
  save({});
  const batch = await send(options, file, state, save);
  if (!options.follow) {
    report.say(`Batch ${batch}: ${count(file.items)} items are accepted; their results: fleetroot line results ${batch}`);
    return lineStatus.ok;
  }
  const began = performance.now();
  const { outcome, from } = await takeResults(options, state, (output) => save({ output }), batch);
  const seconds = (performance.now() - began) / 1000;
  const body = await options.patience.over(async () => await client.get(`/v1/batches/${batch}`) as BatchBody);
  report.end();
  summary({ file, batch, outcome, output: state.output?.path ?? '', body, fetched: file.items - from, seconds }, report);
  return outcome.failed === 0 ? lineStatus.ok : lineStatus.someFailed;
}

/** Returns the batch's id once the API holds all of it. */
async function send({ client, patience, report }: SubmitOptions, file: ItemsFile, state: BatchState, save: (change: Partial<BatchState>) => void): Promise<string> {
  const upload = await openUpload({ client, patience, state });
  const again = upload.received > 0 ? `, ${count(upload.received)} are there` : '';
  report.say(`Batch ${upload.id}: ${count(file.items)} items${again}`, { event: 'upload', batch: upload.id, items: file.items, received: upload.received, digest: file.digest });
  if (state.accepted && state.batch !== upload.id) {
    throw wrongUse(`batch ${state.batch} was accepted elsewhere than at ${client.base}: name that API with --api`);
  }
  save({ batch: upload.id });
  if (upload.state === 'receiving') report.begin('sending', file.items, upload.received);
  await sendItems(upload, { client, patience, file, state, onSent: (items) => report.at(items) });
  if (!state.accepted) save({ accepted: true });
  report.say(upload.state === 'receiving' ? 'Accepted: all of it is on record there' : 'It was accepted before', { event: 'accepted', batch: upload.id, items: file.items });
  return upload.id;
}

async function takeResults(options: SubmitOptions, state: BatchState, known: (output: Output) => void, batch: string): Promise<{ outcome: Outcome; from: number }> {
  const { client, patience, report, signal } = options;
  const wanted = outputOf(options, state);
  known(wanted);
  const output = new OutputFile(wanted.path);
  const from = output.next;
  try {
    if (from > state.items) throw wrongUse(`${wanted.path} holds ${from} results, and the batch has ${state.items} items: choose another with --output`);
    report.begin('issuing', state.items, from);
    await followResults({
      client, patience, batch, items: state.items, format: wanted.format, output, signal, onResult: (results) => report.at(results),
    });
  } finally {
    output.close();
  }
  return { outcome: output.outcome, from };
}

/** @throws LineError where the file has contents that no earlier run of this command has written */
function outputOf({ path, output, format }: SubmitOptions, { output: known }: BatchState): Output {
  const wanted: Output = { path: output ?? known?.path ?? `${path}.certificates.ndjson`, format: format ?? (output === undefined || output === known?.path ? known?.format : undefined) ?? 'der' };
  const there = existsSync(wanted.path) && statSync(wanted.path).size > 0;
  if (known?.path === wanted.path && known.format !== wanted.format && there) {
    throw wrongUse(`${wanted.path} holds certificates as ${known.format}: choose another with --output, or the same --format`);
  }
  if (known?.path !== wanted.path && there) throw wrongUse(`${wanted.path} is not empty: choose another with --output, or move it away`);
  return wanted;
}

interface Summary {
  readonly file: ItemsFile;
  readonly batch: string;
  readonly outcome: Outcome;
  readonly output: string;
  readonly body: BatchBody;
  /** Results that came in this run, and how long that took. */
  readonly fetched: number;
  readonly seconds: number;
}

function summary({ file, batch, outcome, output, body, fetched, seconds }: Summary, report: Report): void {
  if (body.issued !== outcome.issued || body.failed !== outcome.failed) {
    throw new LineError(lineStatus.unfinished, `the results in ${output} are ${outcome.issued} issued and ${outcome.failed} failed, and the API says ${body.issued} and ${body.failed}: ask its operator`);
  }
  const { issued, failed } = outcome;
  report.say(`${count(issued)} of ${count(file.items)} issued, ${count(failed)} failed; ${count(fetched)} results in ${duration(seconds)}, in ${output}`, {
    event: 'done', batch, items: file.items, issued, failed, failures: Object.fromEntries(outcome.failures), output, cancelledAt: body.cancelledAt, seconds,
  });
  const codes = [...outcome.failures].sort(([, a], [, b]) => b - a);
  for (const [code, items] of codes) {
    const lines = (outcome.examples.get(code) ?? []).map((ordinal) => file.lineNumber(ordinal));
    const more = items > lines.length ? ', ...' : '';
    report.say(`  ${code.padEnd(32)} ${count(items).padStart(9)}   line ${lines.join(', ')}${more} of ${file.path}`);
  }
  if (failed > 0) report.say(`Send them again, once the cause is gone: fleetroot line resend ${file.path} --of ${batch}`);
}
