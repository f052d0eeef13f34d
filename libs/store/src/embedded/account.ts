import { execFile } from 'node:child_process';
import { lstat, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { PkiError } from '@fleetroot/core';

const run = promisify(execFile);

/** The system user that PostgreSQL runs as where Fleetroot is started by root: PostgreSQL refuses root. */
const NAME = 'fleetroot-pg';

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The account for PostgreSQL: undefined means our own, otherwise a system user made for it.
 * @throws PkiError `setup.failed` where root cannot make that user
 */
export async function postgresAccount(): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  let reason = '';
  // Another set-up on this machine may hold the lock of /etc/passwd, or make the same user in this moment.
  for (let attempt = 0; attempt < 10; attempt++) {
    const known = await lookUp();
    if (known !== undefined) return known;
    reason = await create();
    if (reason !== '') await sleep(200);
  }
  throw new PkiError('setup.failed', `PostgreSQL does not run as root, and the system user ${NAME} could not be made: ${reason}`);
}

async function lookUp(): Promise<Account | undefined> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', NAME]), run('id', ['-g', NAME])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return undefined;
  }
}

/** Returns why it failed, or ''. */
async function create(): Promise<string> {
  const ways: [string, string[]][] = [
    ['useradd', ['--system', '--user-group', '--no-create-home', '--home-dir', '/nonexistent', '--shell', '/usr/sbin/nologin', NAME]],
    ['adduser', ['--system', '--group', '--no-create-home', '--home', '/nonexistent', NAME]],
  ];
  let reason = '';
  for (const [command, parameters] of ways) {
    try {
      await run(command, parameters);
      return '';
    } catch (error) {
      const { code, stderr } = error as { code?: string; stderr?: string };
      reason = code === 'ENOENT' ? `there is neither useradd nor adduser` : (stderr ?? String(error)).trim();
      if (code !== 'ENOENT') return reason;
    }
  }
  return reason;
}

/** Whether others than the owner may pass through every folder from the root down to `path`, which need not exist yet. */
export async function reachableByOthers(path: string): Promise<boolean> {
  for (let folder = resolve(path); ; folder = dirname(folder)) {
    try {
      if ((await lstat(folder)).isSymbolicLink()) return false;
      const { mode } = await stat(folder);
      if ((mode & 0o001) === 0) return false;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    if (folder === dirname(folder)) return true;
  }
}
