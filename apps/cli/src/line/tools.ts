import { InvalidArgumentError } from 'commander';
import { isPkiError } from '@fleetroot/core';
import { stopWish } from '../up/signals.ts';
import { LineError, lineStatus, type LineStatus } from './batch/line-error.ts';
import { Patience } from './batch/patience.ts';
import { jsonReport, peopleReport, type Report } from './batch/report.ts';
import { type ConnectionFlags, connectionOf, type TokenOf } from './connection.ts';
import { RestClient } from './rest.ts';

export interface CommonFlags extends ConnectionFlags {
  readonly json: boolean;
  readonly patience: number;
}

/** What every command that calls the API works with. */
export interface Tools {
  readonly client: RestClient;
  readonly patience: Patience;
  readonly report: Report;
  readonly signal: AbortSignal;
}

export const seconds = (text: string): number => {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('a whole number of seconds');
  return Number(text);
};

/** Runs a command to its end; whatever ends it, the exit status says what to do. */
export async function ended(json: boolean, work: () => Promise<LineStatus>): Promise<void> {
  try {
    process.exitCode = await work();
  } catch (error) {
    const { status, code, message } = failure(error);
    process.exitCode = status;
    process.stderr.write(`fleetroot: ${message}\n`);
    if (json) process.stdout.write(`${JSON.stringify({ event: 'error', exitStatus: status, code: code ?? null, message })}\n`);
  }
}

function failure(error: unknown): { status: LineStatus; code?: string | undefined; message: string } {
  const message = (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, ' ');
  if (error instanceof LineError) return { status: error.status, code: error.code, message };
  if (isPkiError(error)) return { status: error.code === 'config.invalid' ? lineStatus.usage : lineStatus.unfinished, code: error.code, message };
  if (error instanceof Error && error.name === 'AbortError') return { status: lineStatus.unfinished, message: 'stopped; the same command goes on' };
  return { status: lineStatus.unfinished, message };
}

export async function withTools<T>(flags: CommonFlags, work: (tools: Tools) => Promise<T>, whose: TokenOf = 'line'): Promise<T> {
  const { api, token } = connectionOf(flags, whose);
  const report = flags.json ? jsonReport() : peopleReport();
  const wish = stopWish(() => process.exit(lineStatus.unfinished));
  const { signal } = wish;
  const patience = new Patience({
    limitMs: flags.patience * 1000, signal,
    tell: (trouble, wait) => report.say(`  ${trouble}; trying again in ${wait.toFixed(1)} s`, { event: 'trouble', message: trouble, retryInSeconds: wait }),
  });
  try {
    return await work({ client: new RestClient(api, token, signal), patience, report, signal });
  } finally {
    report.end();
    wish.dispose();
  }
}
