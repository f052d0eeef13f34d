import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../apps/cli/dist/main.js', import.meta.url));

export interface Ended {
  /** null: killed. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** All that it has said so far. */
  said(): string;
}

/** `fleetroot line ...` as a user gives it. */
export function startLine(parameters: readonly string[], options: { readonly cwd?: string; readonly input?: string; readonly environment?: Record<string, string> } = {}): Running {
  const child = spawn(process.execPath, [MAIN, 'line', ...parameters], {
    cwd: options.cwd, env: { PATH: process.env['PATH'], ...options.environment }, stdio: ['pipe', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  child.stdin.on('error', () => undefined).end(options.input ?? '');
  const ended = new Promise<Ended>((resolve) => child.once('close', (status) => resolve({ status, stdout, stderr })));
  return { child, ended, said: () => stdout + stderr };
}

export function line(parameters: readonly string[], options: Parameters<typeof startLine>[1] = {}): Promise<Ended> {
  return startLine(parameters, options).ended;
}

/** Kills it in `ms`. */
export async function killed(running: Running, ms: number): Promise<Ended> {
  const timer = setTimeout(() => running.child.kill('SIGKILL'), ms);
  const ended = await running.ended;
  clearTimeout(timer);
  return ended;
}

/** Kills it, `ms` after it said its first word; a machine that is slow to start it does not matter. */
export async function killedAfter(running: Running, ms: number): Promise<Ended> {
  let timer: NodeJS.Timeout | undefined;
  running.child.stdout?.once('data', () => (timer = setTimeout(() => running.child.kill('SIGKILL'), ms)));
  const ended = await running.ended;
  clearTimeout(timer);
  return ended;
}

export interface ResultLine {
  readonly ordinal: number;
  readonly outcome: 'issued' | 'failed';
  readonly ecuSerial?: string;
  readonly serial?: string;
  readonly certificate?: string;
  readonly code?: string;
}

/** The results in a file. */
export function resultsIn(path: string): ResultLine[] {
  return readFileSync(path, 'utf8').trim().split('\n').map((text) => JSON.parse(text) as ResultLine);
}

/** The objects that `--json` has said. */
export function events(stdout: string): Record<string, unknown>[] {
  return stdout.trim().split('\n').map((text) => JSON.parse(text) as Record<string, unknown>);
}
