import { Worker } from 'node:worker_threads';
import type { Finding } from './engine.ts';

export interface Job {
  readonly seed: number;
  readonly rounds: number;
  /** Milliseconds of wall time after which no new round begins. */
  readonly forMs: number;
  readonly limitMs: number;
}

export interface Summary {
  readonly runs: number;
  readonly tallies: Readonly<Record<string, { runs: number; accepted: number; slowestMs: number }>>;
}

export type Message =
  | { readonly kind: 'finding'; readonly finding: { target: string; what: string; input: Uint8Array } }
  | { readonly kind: 'accepted'; readonly target: string; readonly input: Uint8Array }
  | { readonly kind: 'progress' | 'done'; readonly summary: Summary };

/** Memory that the fuzzing thread writes and its watcher reads: a counter, target and length of the input, the input. */
export const SHARED_HEADER = 12;
export const SHARED_OCTETS = SHARED_HEADER + 256 * 1024;
const HANG_MS = 20_000;

export interface Watcher {
  onFinding(finding: Finding): void;
  onAccepted?(target: string, input: Buffer): void;
  onProgress?(summary: Summary): void;
}

/**
 * Fuzzes in a thread of its own and watches it: an input that does not come to its end within 20 s, or that takes the
 * thread down, is a finding. Gives the summary, or undefined where the thread did not live to tell.
 */
export async function fuzzWatched(job: Job, targetNames: readonly string[], watcher: Watcher): Promise<Summary | undefined> {
  const shared = new SharedArrayBuffer(SHARED_OCTETS);
  const words = new Int32Array(shared, 0, 3);
  const worker = new Worker(new URL('worker.ts', import.meta.url), { workerData: { job, shared }, execArgv: ['--conditions=fleetroot-source'] });
  const current = (what: string): Finding => ({
    target: targetNames[words[1]!] ?? 'none', what, input: Buffer.from(new Uint8Array(shared, SHARED_HEADER, words[2])),
  });
  let summary: Summary | undefined;
  let last = -1;
  let lastMove = performance.now();
  const watch = setInterval(() => {
    const count = Atomics.load(words, 0);
    if (count !== last) lastMove = performance.now();
    else if (performance.now() - lastMove > HANG_MS) {
      watcher.onFinding(current('hangs'));
      void worker.terminate();
    }
    last = count;
  }, 500);
  await new Promise<void>((resolve) => {
    worker.on('message', (message: Message) => {
      if (message.kind === 'finding') watcher.onFinding({ ...message.finding, input: Buffer.from(message.finding.input) });
      else if (message.kind === 'accepted') watcher.onAccepted?.(message.target, Buffer.from(message.input));
      else {
        if (message.kind === 'done') summary = message.summary;
        watcher.onProgress?.(message.summary);
      }
    });
    worker.on('error', (error) => watcher.onFinding(current(`ends the thread: ${String(error)}`)));
    worker.on('exit', () => resolve());
  });
  clearInterval(watch);
  return summary;
}
