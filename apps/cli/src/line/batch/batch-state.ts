import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { replaceFile, utf8 } from '@fleetroot/core';
import type { ItemsFile } from './items-file.ts';
import { wrongUse } from './line-error.ts';

/** What is being sent, whichever way it was typed. */
export interface Submitted {
  readonly profile: string;
  /** undefined: the CA that the API chooses. */
  readonly ca?: string;
  /** The batch whose failed items these are. */
  readonly resendOf?: string;
  /** Chosen by the operator; undefined: derived from all the others. */
  readonly key?: string;
}

/** Where the results go. */
export interface Output {
  readonly path: string;
  readonly format: 'der' | 'pem';
}

/** What a later run must know; no token, nothing of the items. */
export interface BatchState extends Submitted {
  readonly version: 1;
  readonly idempotencyKey: string;
  readonly items: number;
  /** Of FILE, in hex. */
  readonly digest: string;
  /** The batch, once the API has named it. */
  readonly batch?: string;
  /** The API holds all of it for good. */
  readonly accepted: boolean;
  /** On record before the file is made: what lies there then was written for this batch. */
  readonly output?: Output;
}

export const stateFile = (path: string): string => `${path}.fleetroot-batch.json`;

/**
 * The same items for the same profile and CA are the same batch, even where the state is lost: nothing is issued twice. A
 * key of the operator's own makes another batch of them.
 */
export function idempotencyKey({ profile, ca, resendOf, key }: Submitted, digest: string): string {
  if (key !== undefined) return key;
  const what = JSON.stringify([profile, ca ?? null, resendOf ?? null, digest]);
  return `line-${createHash('sha256').update(what).digest('hex')}`;
}

export function readState(path: string): BatchState | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const state = JSON.parse(text) as BatchState | null;
    if (state?.version === 1) return state;
  } catch {
    // Told below.
  }
  throw wrongUse(`${path} was not written by this program: move it away to begin anew`);
}

/** Whole or not at all, and durable on return. */
export function writeState(path: string, state: BatchState): void {
  replaceFile(path, utf8(`${JSON.stringify(state, null, 2)}\n`), 0o600);
}

/**
 * The state to go on from: that of an earlier run with the same command, or a new one.
 * @throws LineError where the file or the command is another than then
 */
export function stateFor(path: string, file: Pick<ItemsFile, 'path' | 'items' | 'digest'>, submitted: Submitted): BatchState {
  const fresh: BatchState = { version: 1, ...submitted, idempotencyKey: idempotencyKey(submitted, file.digest), items: file.items, digest: file.digest, accepted: false };
  const known = readState(path);
  if (known === undefined) return fresh;
  if (known.digest !== file.digest || known.items !== file.items) {
    throw wrongUse(`${file.path} was changed since ${known.batch === undefined ? 'its batch was begun' : `batch ${known.batch} was begun from it`}: `
      + `put back what it held (${known.items} items) to go on, or give what it holds now another name to send it as a batch of its own`);
  }
  const differs = (['profile', 'ca', 'resendOf', 'key'] as const).find((name) => known[name] !== submitted[name]);
  if (differs !== undefined) {
    throw wrongUse(`${file.path} was sent with ${differs} ${known[differs] ?? '(none)'} before, and not ${submitted[differs] ?? '(none)'}: `
      + `give the same command to go on, or move ${path} away to send it as another batch`);
  }
  return known;
}
