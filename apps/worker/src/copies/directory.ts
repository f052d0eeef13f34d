import { hash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { crashPoint, PkiError, toHex } from '@fleetroot/core';
import { crlNumberOf } from './crl-number.ts';
import type { CopyObject, CopyTarget, Lying } from './target.ts';

/** What is being written lies here, on the same file system; no web server hands it out. */
const INCOMING = '.incoming';
/** A file there that is so old was left by a process that was killed, in milliseconds. */
const LEFT_MS = 3_600_000;

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

/** Copies in a folder that a web server hands out: its paths are those of the URLs. The folder must be there. */
export class DirectoryTarget implements CopyTarget {
  readonly name = 'directory';
  readonly #root: string;
  /** What was put or looked at here, by path. */
  readonly #states = new Map<string, string>();
  readonly #touched = new Set<string>();
  #prepared = false;
  #count = 0;

  constructor(root: string) {
    this.#root = root;
  }

  async look(path: string): Promise<Lying | undefined> {
    const file = join(this.#root, path);
    try {
      const state = stateOf(await stat(file, { bigint: true }));
      const octets = await readFile(file);
      this.#states.set(path, state);
      return { sha256: toHex(hash('sha256', octets, 'buffer')), number: path.endsWith('.crl') ? crlNumberOf(octets) : undefined, state };
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async isUntouched(path: string): Promise<boolean> {
    const known = this.#states.get(path);
    return known !== undefined && known === (await this.#state(path));
  }

  async put({ path, crl }: Pick<CopyObject, 'path' | 'crl'>, octets: Uint8Array, _sha256: string, over: Lying | undefined): Promise<boolean> {
    await this.#prepare();
    const file = join(this.#root, path);
    const fresh = join(this.#root, INCOMING, `${process.pid}-${++this.#count}`);
    try {
      await writeWhole(fresh, octets);
      const before = await stat(file).catch(() => undefined);
      // Web servers tell versions apart by the second: no two of one path share theirs.
      const time = Math.max(Math.floor((crl?.thisUpdate.getTime() ?? Date.now()) / 1000), Math.floor((before?.mtimeMs ?? 0) / 1000) + 1);
      await utimes(fresh, time, time);
      await this.#makeFolder(dirname(file));
      if ((await this.#state(path)) !== over?.state) return false;
      crashPoint('copy.written');
      await rename(fresh, file);
      crashPoint('copy.renamed');
    } finally {
      await rm(fresh, { force: true });
    }
    this.#touched.add(dirname(file));
    this.#states.set(path, (await this.#state(path)) ?? '');
    return true;
  }

  async settle(): Promise<void> {
    for (const folder of this.#touched) await syncFolder(folder);
    this.#touched.clear();
  }

  async get(path: string): Promise<Uint8Array | undefined> {
    try {
      return await readFile(join(this.#root, path));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async #state(path: string): Promise<string | undefined> {
    try {
      return stateOf(await stat(join(this.#root, path), { bigint: true }));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async #prepare(): Promise<void> {
    if (this.#prepared) return;
    const incoming = join(this.#root, INCOMING);
    try {
      await mkdir(incoming, { mode: 0o700 });
    } catch (error) {
      if (isMissing(error)) throw new PkiError('config.invalid', `FLEETROOT_COPY_DIR names ${this.#root}, which is not there: make it, or mount it`, { cause: error });
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    for (const name of await readdir(incoming)) {
      const { mtimeMs } = await stat(join(incoming, name)).catch(() => ({ mtimeMs: Date.now() }));
      if (Date.now() - mtimeMs > LEFT_MS) await rm(join(incoming, name), { force: true });
    }
    this.#prepared = true;
  }

  async #makeFolder(folder: string): Promise<void> {
    const first = await mkdir(folder, { recursive: true, mode: 0o755 });
    if (first === undefined) return;
    for (let each = folder; each.length >= first.length; each = dirname(each)) this.#touched.add(dirname(each));
  }
}

/** A file that was replaced has another inode; one that was written to, another time. */
const stateOf = ({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string => `${ino} ${size} ${mtimeNs} ${ctimeNs}`;

async function writeWhole(path: string, octets: Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o644);
  try {
    await file.writeFile(octets);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncFolder(folder: string): Promise<void> {
  const opened = await open(folder, 'r');
  try {
    await opened.sync();
  } finally {
    await opened.close();
  }
}
