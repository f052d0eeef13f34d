import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync, renameSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { NEVER_AGAIN, PkiError } from '@fleetroot/core';
import { checkout } from '../checkout.ts';
import type { RoleName } from './environment.ts';

export interface RoleSpec {
  readonly role: RoleName;
  /** `issuer-2`: for people and for the name of the log. */
  readonly name: string;
  /** Path of the role's main module. */
  readonly entry: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly log: string;
  /** Flags of Node.js and of V8, besides our own. */
  readonly nodeFlags: readonly string[];
}

export interface RoleProcessOptions {
  /** Things worth a line to the operator. */
  readonly onNotice: (line: string) => void;
  /** The process ended with `NEVER_AGAIN`: no other with the same PIN is to be started either. */
  readonly onRefused?: () => void;
  /** First delay before a restart, in milliseconds; it doubles up to thirty times that. */
  readonly backoffMs?: number;
}

/** A process that has lived this long was well: its next restart waits the first delay again. */
const HEALTHY_MS = 60_000;
/** So many deaths before the first `ready` mean that it cannot start. */
const START_ATTEMPTS = 3;
const LOG_LIMIT = 64 * 1024 * 1024;

/**
 * One role, kept running: a process that dies is started again, after a delay that grows while it keeps dying; but for one
 * that ends with `NEVER_AGAIN`, as an HSM has refused its PIN: each further try would help to lock the token. It has
 * a session of its own, so that Ctrl-C reaches it only through `stop`, in its turn; when this process is gone its IPC
 * channel closes, and it ends by itself.
 */
export class RoleProcess {
  readonly spec: RoleSpec;
  readonly #options: RoleProcessOptions;
  readonly #stopping = new AbortController();
  /** Aborted: no further process. */
  readonly #last = new AbortController();
  #child: ChildProcess | undefined;
  #deaths = 0;
  #startedAt = 0;
  #wasReady = false;
  readonly #ready = Promise.withResolvers<void>();

  constructor(spec: RoleSpec, options: RoleProcessOptions) {
    this.spec = spec;
    this.#options = options;
    // Whoever waits for it gets the failure; nobody waiting is no fault.
    this.#ready.promise.catch(() => undefined);
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves at the first `ready`; rejects where the process cannot start. */
  start(): Promise<void> {
    this.#launch();
    return this.#ready.promise;
  }

  /** SIGTERM, and SIGKILL after `withinMs`; resolves when it is gone. */
  async stop(withinMs: number): Promise<void> {
    this.#stopping.abort();
    this.#ready.reject(new Error(`${this.spec.name} was stopped`));
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const timer = setTimeout(() => this.kill(), withinMs);
    await exited;
    clearTimeout(timer);
  }

  kill(): void {
    this.#child?.kill('SIGKILL');
  }

  /** What runs goes on; once it has ended, nothing is started in its place. */
  startNoMore(): void {
    this.#last.abort();
  }

  #launch(): void {
    const { entry, environment, log, nodeFlags } = this.spec;
    const file = openLog(log);
    const child = fork(entry, [], {
      execArgv: ['--enable-source-maps', ...nodeFlags], env: { ...environment }, cwd: checkout, detached: true,
      stdio: ['ignore', file, file, 'ipc'],
    });
    const from = fstatSync(file).size;
    closeSync(file);
    this.#child = child;
    this.#startedAt = performance.now();
    child.on('message', (message) => {
      if (typeof message !== 'object' || message === null || !('ready' in message)) return;
      if (this.#wasReady) this.#options.onNotice(`${this.spec.name} is ready again`);
      this.#wasReady = true;
      this.#ready.resolve();
    });
    child.once('error', (error) => void this.#died(child, error.message, from));
    child.once('exit', (status, signal) => {
      if (status === NEVER_AGAIN) this.#refused(child, from);
      else void this.#died(child, signal ?? `status ${status}`, from);
    });
  }

  #refused(child: ChildProcess, from: number): void {
    if (this.#stopping.signal.aborted || this.#child !== child) return;
    this.#child = undefined;
    this.startNoMore();
    const { name, log } = this.spec;
    const why = lastWords(log, from) ?? 'its PIN was refused';
    const advice = 'It is not started again: each further try helps to lock the token. Put the right PIN into its file, and start fleetroot up anew';
    this.#ready.reject(new PkiError('hsm.pin-incorrect', `${name} does not start: ${why}. ${advice} (log: ${log})`));
    if (this.#wasReady) this.#options.onNotice(`${name} ended: ${why}. ${advice}`);
    this.#options.onRefused?.();
  }

  /** `from`: where this child's part of the log begins. */
  async #died(child: ChildProcess, how: string, from: number): Promise<void> {
    if (this.#stopping.signal.aborted || this.#child !== child) return;
    this.#child = undefined;
    if (performance.now() - this.#startedAt > HEALTHY_MS) this.#deaths = 0;
    this.#deaths += 1;
    const { name, log } = this.spec;
    const why = lastWords(log, from);
    if (this.#last.signal.aborted) {
      this.#options.onNotice(`${name} ended (${how})${why === undefined ? '' : `: ${why}`}; it is not started again, since the PIN that it has was refused`);
      return this.#neverReady();
    }
    if (!this.#wasReady && this.#deaths >= START_ATTEMPTS) {
      this.#ready.reject(new Error(`${name} does not start: ${why ?? how} (log: ${log})`));
      return;
    }
    const first = this.#options.backoffMs ?? 1000;
    const delay = Math.min(first * 2 ** (this.#deaths - 1), first * 30);
    this.#options.onNotice(`${name} ended (${how})${why === undefined ? '' : `: ${why}`}; it is started again in ${delay / 1000} s`);
    try {
      await sleep(delay, undefined, { signal: AbortSignal.any([this.#stopping.signal, this.#last.signal]) });
    } catch {
      return this.#neverReady();
    }
    this.#launch();
  }

  #neverReady(): void {
    this.#ready.reject(new PkiError('hsm.pin-incorrect', `${this.spec.name} is not started: the PIN that it has was refused`));
  }
}

function openLog(path: string): number {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size > LOG_LIMIT) renameSync(path, `${path}.1`);
  return openSync(path, 'a', 0o600);
}

/** The plain line that a role says on its way out: the last one of its part of the log that is no log record. */
function lastWords(path: string, from: number): string | undefined {
  const file = openSync(path, 'r');
  const size = fstatSync(file).size;
  const tail = Buffer.alloc(Math.min(size - Math.min(from, size), 16_384));
  readSync(file, tail, 0, tail.length, size - tail.length);
  closeSync(file);
  const lines = tail.toString('utf8').split('\n').map((line) => line.trim());
  return lines.findLast((line) => line.startsWith('fleetroot ')) ?? lines.findLast((line) => line !== '' && !line.startsWith('{'));
}
