import { linkSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { PkiError } from '@fleetroot/core';

/** Who holds a data folder: the process id, and when that process began, since ids are used again. */
function identity(pid: number): string | undefined {
  try {
    // Fields after the command, which stands in parentheses and may hold spaces; the 20th of them is the start time
    // in clock ticks since boot (proc(5), field 22).
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie holds nothing.
    return fields[0] === 'Z' ? undefined : `${pid} ${fields[19]}`;
  } catch {
    return undefined;
  }
}

/** The id of the live process that holds the lock, or undefined where nobody does. */
export function lockHolder(path: string): number | undefined {
  const held = read(path);
  const pid = Number(held?.split(' ')[0]);
  return held !== undefined && Number.isSafeInteger(pid) && identity(pid) === held ? pid : undefined;
}

const running = (holder: number): string =>
  `Fleetroot is running on this data folder already (process ${holder}); stop it, or choose another with --data-dir`;

/**
 * Takes a lock, that of a data folder or of a file, for this process; a lock whose process is dead is taken over. Returns
 * what gives it back. A crash needs no clean-up: the next taker sees that the holder is dead.
 * @param held what is said of a live holder
 * @throws PkiError `setup.failed` where a live process holds it
 */
export function takeLock(path: string, held: (holder: number) => string = running): () => void {
  const own = identity(process.pid) ?? `${process.pid} 0`;
  const fresh = `${path}.${process.pid}`;
  writeFileSync(fresh, own, { mode: 0o600 });
  try {
    while (!linked(fresh, path)) {
      const there = read(path);
      if (there === undefined) continue;
      const holder = lockHolder(path);
      if (holder !== undefined) throw new PkiError('setup.failed', held(holder));
      takeAway(path, there);
    }
  } finally {
    unlinkSync(fresh);
  }
  return () => {
    if (read(path) === own) unlinkSync(path);
  };
}

/** Removes a dead process's lock, and only that: between our look and now somebody else may have taken it. */
function takeAway(path: string, dead: string): void {
  const aside = `${path}.stale.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  if (read(aside) !== dead) linked(aside, path);
  unlinkSync(aside);
}

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
