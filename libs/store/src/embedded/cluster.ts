import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { PkiError } from '@fleetroot/core';
import { type Account, reachableByOthers } from './account.ts';
import { type Binaries, exists, openFolder, SHARED_DIR } from './binaries.ts';

const run = promisify(execFile);

export const SUPERUSER = 'postgres';

export interface Cluster {
  /** PostgreSQL's data folder. */
  readonly folder: string;
  readonly password: string;
}

/**
 * The database cluster of a data folder, made where there is none. It lies in the data folder; for root, where
 * PostgreSQL's user cannot reach that, in a folder of /var/lib/fleetroot that is named after it. The superuser's
 * password stays in the data folder's secrets.
 * @throws PkiError `setup.failed`
 */
export async function openCluster(
  dataDir: string, binaries: Binaries, account: Account | undefined, onNotice: (line: string) => void,
): Promise<Cluster> {
  const secret = join(dataDir, 'secrets', 'postgres-admin.password');
  const folder = await place(dataDir, account);
  const password = await readFile(secret, 'utf8').then((text) => text.trim(), () => undefined);
  if (await exists(folder)) {
    if (password !== undefined) return { folder, password };
    if (dirname(folder) === dataDir) {
      throw new PkiError('setup.failed', `${folder} holds a database, but its password in ${secret} is missing: restore the file`);
    }
    // The data folder that this cluster belonged to was deleted. A ledger is never deleted by us.
    const aside = `${folder}.left-${Date.now()}`;
    await rename(folder, aside);
    onNotice(`the database of an earlier installation in ${dataDir} was put aside as ${aside}`);
  }
  return { folder, password: await create(folder, secret, password, binaries, account) };
}

async function place(dataDir: string, account: Account | undefined): Promise<string> {
  if (account === undefined || (await reachableByOthers(dataDir))) return join(dataDir, 'postgres');
  const name = createHash('sha256').update(dataDir).digest('hex').slice(0, 16);
  await openFolder(SHARED_DIR);
  await openFolder(join(SHARED_DIR, name));
  return join(SHARED_DIR, name, 'postgres');
}

/** Makes the cluster beside its place and renames it: one that was interrupted is never taken for a whole one. */
async function create(
  folder: string, secret: string, known: string | undefined, binaries: Binaries, account: Account | undefined,
): Promise<string> {
  const password = known ?? randomBytes(24).toString('base64url');
  if (known === undefined) {
    await mkdir(dirname(secret), { recursive: true, mode: 0o700 });
    await writeFile(secret, `${password}\n`, { mode: 0o600 });
  }
  const fresh = `${folder}.new`;
  const passwordFile = join(fresh, 'password');
  const data = join(fresh, 'data');
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { mode: 0o700 });
  try {
    await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
    if (account !== undefined) await Promise.all([fresh, passwordFile].map((path) => chown(path, account.uid, account.gid)));
    await run(binaries.initdb, [
      '-D', data, '-U', SUPERUSER, `--pwfile=${passwordFile}`, '--auth=scram-sha-256', '--encoding=UTF8', '--locale=C',
      '--no-instructions',
    ], { cwd: fresh, env: { LC_ALL: 'C', TZ: 'UTC' }, ...account });
    await chmod(data, 0o700);
    await rename(data, folder);
  } catch (cause) {
    throw new PkiError('setup.failed', `the database could not be made in ${dirname(folder)}: ${reason(cause)}`, { cause });
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  return password;
}

/** One line of what went wrong, a full disk first: it hides behind later messages. */
export function reason(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message?: string };
  const lines = `${stderr ?? ''}\n${message ?? String(error)}`.split('\n').map((line) => line.trim());
  if (lines.some((line) => /No space left on device|ENOSPC/.test(line))) return 'the disk is full';
  if (lines.some((line) => /Disk quota exceeded|EDQUOT/.test(line))) return 'the disk quota is used up';
  return lines.find((line) => /(?:error|FATAL|PANIC|could not|denied)/i.test(line)) ?? lines.find((line) => line !== '') ?? 'unknown';
}

/** The data folder without symbolic links in its path, made where it is missing. */
export async function prepareDataDir(dataDir: string): Promise<string> {
  try {
    await mkdir(dataDir, { recursive: true });
    return await realpath(dataDir);
  } catch (cause) {
    throw new PkiError('setup.failed', `the data folder ${dataDir} cannot be made: ${reason(cause)}`, { cause });
  }
}
