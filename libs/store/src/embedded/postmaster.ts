import { readdir, readFile, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PkiError } from '@fleetroot/core';

/** Fast shutdown: open transactions are rolled back, buffers written, no recovery at the next start. */
const FAST = 'SIGINT';
/** Immediate shutdown: the next start recovers from the write-ahead log. */
const IMMEDIATE = 'SIGQUIT';
/** Where even that is not heard. Nothing committed is lost by it either. */
const LAST = 'SIGKILL';
/** How long each is waited for, in milliseconds. */
const FAST_MS = 15_000;
/** Children whose postmaster is dead end by themselves within a moment, or not at all. */
const ORPHANS_MS = 2000;
const IMMEDIATE_MS = 5000;
const LAST_MS = 5000;

/**
 * Ends a PostgreSQL that an earlier process of ours left running in this cluster. A process is taken for ours only if
 * it works in the cluster's folder: a process id alone may belong to somebody else by now. The caller holds the lock
 * of the data folder, so nobody else's PostgreSQL is meant to run there.
 */
export async function stopLeftOver(cluster: string, onNotice: (line: string) => void): Promise<void> {
  const pidFile = join(cluster, 'postmaster.pid');
  const recorded = await readFile(pidFile, 'utf8').catch(() => undefined);
  const running = await processesIn(cluster);
  if (recorded !== undefined && running.length === 0) {
    // PostgreSQL would refuse to start if the recorded id has been given to another process since.
    await rm(pidFile, { force: true });
    return;
  }
  const pid = Number(recorded?.split('\n')[0]);
  const whole = running.includes(pid);
  if (whole) {
    onNotice('ending a PostgreSQL that an earlier run left behind');
    await end([pid], FAST);
  }
  if (await gone(cluster, whole ? FAST_MS : ORPHANS_MS)) return;
  for (const [signal, withinMs] of [[IMMEDIATE, IMMEDIATE_MS], [LAST, LAST_MS]] as const) {
    await end(await processesIn(cluster), signal);
    if (await gone(cluster, withinMs)) return;
  }
  throw new PkiError('setup.failed', `a PostgreSQL that an earlier run left behind in ${cluster} does not end`);
}

async function end(pids: readonly number[], signal: NodeJS.Signals): Promise<void> {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

async function gone(cluster: string, withinMs: number): Promise<boolean> {
  for (const until = Date.now() + withinMs; Date.now() < until; await sleep(50)) {
    if ((await processesIn(cluster)).length === 0) return true;
  }
  return false;
}

/** The postmaster and its children all have the cluster as their working directory. */
async function processesIn(cluster: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found: number[] = [];
  for (const pid of pids) {
    if ((await readlink(`/proc/${pid}/cwd`).catch(() => undefined)) === cluster && !(await isZombie(pid))) found.push(Number(pid));
  }
  return found;
}

async function isZombie(pid: string): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) === 'Z';
}
