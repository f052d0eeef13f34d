import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { createGunzip, gzip } from 'node:zlib';
import { PkiError } from '@fleetroot/core';
import { type ArchivedRow, type ArchivedTable, tableOf } from './lines.ts';

const compress = promisify(gzip);
/** Octets of lines that are compressed as one member of the gzip file (RFC 1952 section 2.2: members may follow one another). */
const MEMBER = 4 << 20;
const NAME = /^fleetroot-archive-\d{8}T\d{6}-\d{6}\.ndjson\.gz$/;

export interface ArchiveFile {
  readonly name: string;
  readonly sha256: Uint8Array;
  readonly bytes: number;
  /** Rows by table. */
  readonly counts: Readonly<Partial<Record<ArchivedTable, number>>>;
}

export function archiveName(at: Date, number: number): string {
  return `fleetroot-archive-${at.toISOString().replaceAll(/[-:]|\.\d+Z/g, '')}-${String(number).padStart(6, '0')}.ndjson.gz`;
}

/**
 * Writes the lines into a new file of the folder: compressed, whole and on disk on return, or not there under its name.
 * @returns undefined, and no file, where there is no line
 */
export async function writeArchive(folder: string, name: string, rows: AsyncIterable<ArchivedRow>): Promise<ArchiveFile | undefined> {
  const partial = join(folder, `${name}.partial`);
  const handle = await open(partial, 'w', 0o600);
  let file: ArchiveFile | undefined;
  try {
    file = await writeMembers(handle, name, rows);
    await handle.sync();
  } finally {
    await handle.close();
  }
  if (file === undefined) {
    await rm(partial);
    return undefined;
  }
  await rename(partial, join(folder, name));
  await syncFolder(folder);
  return file;
}

async function writeMembers(handle: FileHandle, name: string, rows: AsyncIterable<ArchivedRow>): Promise<ArchiveFile | undefined> {
  const hash = createHash('sha256');
  const counts: Partial<Record<ArchivedTable, number>> = {};
  let bytes = 0;
  let [lines, size]: [string[], number] = [[], 0];
  const flush = async (): Promise<void> => {
    const member = await compress(lines.join(''));
    [lines, size] = [[], 0];
    hash.update(member);
    bytes += member.length;
    await handle.writeFile(member);
  };
  for await (const { table, text } of rows) {
    counts[table] = (counts[table] ?? 0) + 1;
    lines.push(text);
    size += text.length;
    if (size >= MEMBER) await flush();
  }
  if (lines.length > 0) await flush();
  return bytes === 0 ? undefined : { name, sha256: new Uint8Array(hash.digest()), bytes, counts };
}

/** @throws PkiError `archive.damaged` where the file is not there, or is not the one on record */
export async function checkArchive(folder: string, name: string, sha256: Uint8Array): Promise<void> {
  const hash = createHash('sha256');
  try {
    for await (const part of createReadStream(join(folder, name))) hash.update(part as Buffer);
  } catch (cause) {
    throw new PkiError('archive.damaged', `the file ${name} cannot be read from ${folder}: nothing of what it holds is deleted before it is there again (${(cause as Error).message})`, { cause });
  }
  if (!hash.digest().equals(sha256)) {
    throw new PkiError('archive.damaged', `the file ${name} is not the one that was written: take it from your backup; nothing more of what it holds is deleted before`);
  }
}

/** The lines of one table that follow one another, at most `limit` at a time. */
export async function* readArchive(folder: string, name: string, limit: number): AsyncIterable<{ readonly table: ArchivedTable; readonly lines: readonly string[] }> {
  let [table, lines]: [ArchivedTable, string[]] = ['certificate', []];
  for await (const line of createInterface({ input: createReadStream(join(folder, name)).pipe(createGunzip()), crlfDelay: Infinity })) {
    const of = tableOf(line);
    if (lines.length >= limit || of !== table) {
      if (lines.length > 0) yield { table, lines };
      [table, lines] = [of, []];
    }
    lines.push(line);
  }
  if (lines.length > 0) yield { table, lines };
}

/** Makes the folder, and removes from it what a killed run left: files that are on no record, so that nothing was deleted for them. */
export async function prepareFolder(folder: string, onRecord: ReadonlySet<string>): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const name of await readdir(folder)) {
    const whole = name.replace(/\.partial$/, '');
    if (NAME.test(whole) && (name !== whole || !onRecord.has(name))) await rm(join(folder, name));
  }
}

/** The manifest, in the form that `sha256sum -c` checks; replaced whole. */
export async function writeManifest(folder: string, files: readonly Pick<ArchiveFile, 'name' | 'sha256'>[]): Promise<void> {
  const path = join(folder, 'SHA256SUMS');
  await writeFile(`${path}.partial`, files.map(({ name, sha256 }) => `${Buffer.from(sha256).toString('hex')}  ${name}\n`).join(''), { mode: 0o600, flush: true });
  await rename(`${path}.partial`, path);
  await syncFolder(folder);
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
