import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { ApiRefusal, type RestClient } from '../rest.ts';
import { readState, stateFile } from './batch-state.ts';
import type { BatchBody } from './follow.ts';
import { ItemsFile } from './items-file.ts';
import { LineError, lineStatus, wrongUse } from './line-error.ts';
import type { Patience } from './patience.ts';
import type { Upload } from './upload.ts';

export interface ResendOptions {
  readonly path: string;
  /** The batch that this file was sent as. */
  readonly of: string;
  readonly client: RestClient;
  readonly patience: Patience;
}

export interface Rest {
  /** The file that holds the failed lines alone. */
  readonly path: string;
  readonly items: number;
  readonly profile: string;
  /** The CA that the earlier batch was sent with, where that is known here. */
  readonly ca: string | undefined;
}

/**
 * Puts the lines that have no certificate into a file of their own, beside FILE. The same again makes the same file, so that
 * a run that was ended goes on. Returns undefined where nothing failed.
 * @throws LineError where FILE is not the file of that batch, or the batch still runs
 */
export async function failedLines({ path, of, client, patience }: ResendOptions): Promise<Rest | undefined> {
  const file = ItemsFile.read(path);
  const batch = await patience.over(async () => await client.get(`/v1/batches/${of}`) as BatchBody);
  const state = readState(stateFile(path));
  const sentHere = state?.batch === of && state.digest === file.digest;
  if (batch.items !== file.items || (!sentHere && await digestOf(of, client, patience) !== file.digest)) {
    throw wrongUse(`${path} is not the file of batch ${of}: its lines would be taken for others`);
  }
  if (batch.state !== 'done') {
    throw new LineError(lineStatus.unfinished, `batch ${of} still runs: send its failures again once it is done, see fleetroot line status ${of}`);
  }
  if (batch.failed === 0) return undefined;
  const ordinals = await patience.over(() => failedOrdinals(of, client));
  if (ordinals.length !== batch.failed) throw new Error(`the API lists ${ordinals.length} failed items of batch ${of}, and counts ${batch.failed}`);
  const rest = `${path}.resend-${of.slice(0, 8)}.ndjson`;
  writeLines(rest, file.lines(ordinals));
  return { path: rest, items: ordinals.length, profile: batch.profile, ca: sentHere ? state.ca : undefined };
}

/** undefined: it was not sent in parts, and no digest of its lines is kept. */
async function digestOf(batch: string, client: RestClient, patience: Patience): Promise<string | undefined> {
  return patience.over(async () => {
    try {
      return (await client.get(`/v1/uploads/${batch}`) as Upload).digest;
    } catch (error) {
      if (error instanceof ApiRefusal && error.status === 404) return undefined;
      throw error;
    }
  });
}

async function failedOrdinals(batch: string, client: RestClient): Promise<number[]> {
  const ordinals: number[] = [];
  for await (const result of client.results(batch, '?outcome=failed')) ordinals.push(result.ordinal);
  return ordinals;
}

/** Whole or not at all; readable by its owner alone, since it may hold VINs. */
function writeLines(path: string, lines: Iterable<Buffer>): void {
  const fresh = `${path}.new`;
  rmSync(fresh, { force: true });
  const file = openSync(fresh, 'wx', 0o600);
  try {
    for (const line of lines) for (let at = 0; at < line.length;) at += writeSync(file, line, at);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(fresh, path);
}
