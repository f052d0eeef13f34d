import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Puts a file in the place of what is there: whoever reads, or a crash, finds the old or the new one whole. Durable on
 * return. What a crash left beside it, or a link that somebody else laid there, is not written through.
 * One writer of a file at a time.
 * @param mode permissions of the new file
 * @throws the system's error; then nothing has changed
 */
export function replaceFile(path: string, content: Uint8Array, mode: number): void {
  const fresh = `${path}.new`;
  rmSync(fresh, { force: true });
  const file = openSync(fresh, 'wx', mode);
  try {
    for (let at = 0; at < content.length;) at += writeSync(file, content, at);
    fsyncSync(file);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
  renameSync(fresh, path);
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
