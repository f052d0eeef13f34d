import { readFileSync } from 'node:fs';
import { replaceFile } from '@fleetroot/core';

/** Writes a secret to a file of mode 0600: whole or not at all, and durable on return. */
export function writeSecret(path: string, value: string): void {
  replaceFile(path, Buffer.from(`${value}\n`), 0o600);
}

export function readSecret(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The secret in the file, made by `make` where there is none. The caller holds the data folder's lock. */
export function ensureSecret(path: string, make: () => string): string {
  const known = readSecret(path);
  if (known !== undefined && known !== '') return known;
  const made = make();
  writeSecret(path, made);
  return made;
}
