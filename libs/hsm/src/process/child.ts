import { type ChildProcess, spawn } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { PkiError } from '@fleetroot/core';
import { encodeFrame, type Frame, type FrameKind, frameKind, FrameReader } from './frames.ts';
import { type Failure, failureOf, type HsmOperation, type HsmRequests } from './requests.ts';

export interface HsmProcessOptions {
  /** SOFTHSM2_CONF of the HSM process; without it, it has what this process has. */
  readonly softhsmConf?: string | undefined;
}

interface Waiting {
  readonly deadlineMs: number;
  readonly resolve: (frame: Frame) => void;
  readonly reject: (error: PkiError) => void;
}

/** How long a process may take to start, on a machine that is busy; the HSM has no part in it. */
const START_MS = 20_000;

/** Descriptor of the channel in the HSM process. */
const CHANNEL = 3;

/** Those that run. One that hangs in the HSM would outlive this process, with the PIN in its memory. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** How long a killed process may take to be gone. */
const END_MS = 1000;

/**
 * The HSM process as its parent sees it. Requests are answered in order, one is worked on at a time. Where the HSM process
 * stays silent for longer than a request's deadline, or ends, it is killed and every open request is rejected: whether
 * the HSM has done what the first of them asked is not known then; those behind it were not begun, which their errors
 * tell by `data.attempted` 0, where that is certain. A late answer never arrives.
 *
 * A process and not a thread: a thread that hangs inside the library can be neither terminated nor left behind by
 * process.exit(), and holds the library's locks against its successor.
 */
export class HsmProcess {
  readonly #child: ChildProcess;
  readonly #channel: Duplex;
  readonly #frames = new FrameReader();
  readonly #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #ended: PkiError | undefined;
  /** What the process wrote has been read to the end. */
  #drained = false;
  /** Something it wrote may have been lost. */
  #doubtful = false;

  private constructor(child: ChildProcess) {
    this.#child = child;
    running.add(child);
    this.#channel = child.stdio[CHANNEL] as Duplex;
    this.#channel.on('data', (piece: Buffer) => this.#receive(piece));
    // A broken pipe is told by 'exit' as well, with the reason. A reset comes after all that was written, but a write that
    // fails ends the reading too.
    this.#channel.on('error', (error: NodeJS.ErrnoException) => {
      this.#doubtful ||= error.syscall !== 'read';
    });
    for (const end of ['end', 'close'] as const) {
      this.#channel.once(end, () => {
        this.#drained = true;
        if (this.#ended !== undefined) this.#rejectAll(this.#ended);
      });
    }
    child.once('error', (cause) => this.#end(new PkiError('hsm.unavailable', 'the HSM process could not be started', { cause })));
    child.once('exit', (status, signal) => {
      running.delete(child);
      this.#end(new PkiError('hsm.unavailable', `the HSM process ended (${signal ?? `status ${status}`})`));
    });
  }

  /** @throws PkiError `hsm.unavailable` where the process does not start */
  static async start(options: HsmProcessOptions = {}): Promise<HsmProcess> {
    const fromSource = import.meta.url.endsWith('.ts');
    const entry = new URL(fromSource ? './main.ts' : './main.js', import.meta.url);
    const child = spawn(
      process.execPath,
      [...(fromSource ? ['--conditions=fleetroot-source'] : []), fileURLToPath(entry), String(process.pid)],
      {
        // What the library prints goes to stderr; stdout carries this process's own lines.
        stdio: ['ignore', 2, 2, 'pipe'],
        // The HSM's library reads its own variables. This is the one place outside libs/config that hands them on.
        // oxlint-disable-next-line node/no-process-env
        ...(options.softhsmConf === undefined ? {} : { env: { ...process.env, SOFTHSM2_CONF: options.softhsmConf } }),
      },
    );
    const started = new HsmProcess(child);
    await started.#wait(START_MS);
    return started;
  }

  /** Ended, killed or lost: every further request is rejected. */
  get lost(): boolean {
    return this.#ended !== undefined;
  }

  /**
   * One administrative request.
   * @throws PkiError what the HSM process throws; `hsm.deadline`; `hsm.unavailable` where it has ended
   */
  async ask<O extends HsmOperation>(op: O, ask: HsmRequests[O]['ask'], deadlineMs: number): Promise<HsmRequests[O]['answer']> {
    const body = Buffer.from(JSON.stringify({ op, ...ask }));
    const frame = await this.exchange(frameKind.request, body, deadlineMs);
    return JSON.parse(frame.body.toString('utf8')) as HsmRequests[O]['answer'];
  }

  /** Sends a frame and resolves to the frame that answers it. Throws as `ask` does. */
  async exchange(kind: FrameKind, body: Buffer, deadlineMs: number): Promise<Frame> {
    const answer = this.#wait(deadlineMs);
    if (this.#ended === undefined) this.#channel.write(encodeFrame(kind, body));
    const frame = await answer;
    if (frame.kind === frameKind.failure) throw failureOf(JSON.parse(frame.body.toString('utf8')) as Failure);
    return frame;
  }

  /** Lets the process finish what it has and end; kills it after `graceMs`. */
  async close(graceMs: number): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined) return;
    const exited = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()));
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), graceMs);
    this.#channel.end();
    await exited;
    clearTimeout(timer);
  }

  kill(): void {
    this.#end(new PkiError('hsm.unavailable', 'the HSM process was ended'));
  }

  #wait(deadlineMs: number): Promise<Frame> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      this.#waiting.push({ deadlineMs, resolve, reject });
      if (this.#waiting.length === 1) this.#watch();
    });
  }

  #receive(piece: Buffer): void {
    try {
      for (const frame of this.#frames.push(piece)) {
        if (frame.kind !== frameKind.progress) this.#waiting.shift()?.resolve(frame);
      }
    } catch (cause) {
      return this.#end(new PkiError('hsm.unavailable', 'the HSM process sends what cannot be read', { cause }));
    }
    this.#watch();
  }

  /** Gives the request that is first in line its deadline, from now. */
  #watch(): void {
    clearTimeout(this.#timer);
    const [first] = this.#waiting;
    if (first === undefined || this.#ended !== undefined) return;
    this.#timer = setTimeout(() => {
      // This process may itself have been busy past the deadline: what has arrived meanwhile is read first.
      setImmediate(() => {
        if (this.#waiting[0] !== first || this.#ended !== undefined) return;
        this.#end(new PkiError('hsm.deadline', `the HSM has not answered within ${first.deadlineMs} ms`));
      });
    }, first.deadlineMs);
  }

  #end(reason: PkiError): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    clearTimeout(this.#timer);
    this.#child.kill('SIGKILL');
    if (this.#drained) return this.#rejectAll(reason);
    // What it had answered before is still read.
    setTimeout(() => {
      this.#doubtful ||= !this.#drained;
      this.#rejectAll(reason);
    }, END_MS).unref();
  }

  #rejectAll(reason: PkiError): void {
    this.#channel.destroy();
    const [first, ...others] = this.#waiting.splice(0);
    first?.reject(reason);
    const untouched = this.#doubtful ? reason : new PkiError(reason.code, reason.message, { data: { attempted: 0 } });
    for (const { reject } of others) reject(untouched);
  }
}
