/**
 * Ends this process when the one that started it is gone. The main thread sees that by its channel, but not while it
 * hangs in the HSM, perhaps for ever and with the PIN in its memory; so a thread watches.
 */
import { isMainThread, Worker, workerData } from 'node:worker_threads';

const LOOK_EVERY_MS = 500;
/** The main thread, where it does not hang, ends its session with the HSM in the meantime. */
const GRACE_MS = 1500;

/** To be called once, at the start; `process.argv[2]` names the parent, which may be gone already. */
export function endWithParent(): void {
  const parent = Number(process.argv[2] ?? process.ppid);
  new Worker(new URL(import.meta.url), { workerData: parent, execArgv: [], env: {}, resourceLimits: { maxOldGenerationSizeMb: 16 } }).unref();
}

if (!isMainThread) {
  setInterval(() => {
    if (process.ppid === workerData) return;
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), GRACE_MS);
  }, LOOK_EVERY_MS);
}
