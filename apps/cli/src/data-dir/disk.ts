import { statfsSync } from 'node:fs';
import { isPkiError, PkiError } from '@fleetroot/core';

const MIB = 1024 * 1024;
/** A new database takes about 60 MiB, and its write-ahead log grows from 16 MiB on. */
const FIRST_START_MIB = 256;
const LATER_START_MIB = 64;
/** Below this, a failure is taken for the full disk's doing. */
const FULL_MIB = 4;

function freeMib(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return (bavail * bsize) / MIB;
}

/** @throws PkiError `setup.failed` where the disk has too little room to start */
export function checkRoom(path: string, firstStart: boolean): void {
  const needed = firstStart ? FIRST_START_MIB : LATER_START_MIB;
  const free = freeMib(path);
  if (free < needed) {
    throw new PkiError('setup.failed', `the disk of ${path} is full: ${Math.floor(free)} MiB are free and ${needed} are needed; make room, or choose another place with --data-dir`);
  }
}

/** An error as one plain line for the operator; a full disk is named, however it came to light. */
export function plainFailure(error: unknown, dataDir: string): string {
  if (codes(error).some((code) => code === 'ENOSPC' || code === 'EDQUOT') || isFull(dataDir)) {
    return `the disk of ${dataDir} is full: make room, or choose another place with --data-dir`;
  }
  const message = error instanceof Error ? error.message : String(error);
  return message.replaceAll(/\s+/g, ' ') || (isPkiError(error) ? error.code : 'unknown failure');
}

function isFull(path: string): boolean {
  try {
    return freeMib(path) < FULL_MIB;
  } catch {
    return false;
  }
}

/** The system error codes of an error and of what caused it. */
function codes(error: unknown, depth = 0): string[] {
  if (typeof error !== 'object' || error === null || depth > 8) return [];
  const { code, cause, errors } = error as { code?: unknown; cause?: unknown; errors?: unknown };
  const inner = Array.isArray(errors) ? errors.flatMap((each) => codes(each, depth + 1)) : [];
  return [...(typeof code === 'string' ? [code] : []), ...codes(cause, depth + 1), ...inner];
}
