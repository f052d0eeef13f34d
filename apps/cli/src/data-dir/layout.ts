import { existsSync, mkdirSync, realpathSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Where everything of a small installation lies. */
export interface DataDir {
  readonly path: string;
  readonly lock: string;
  readonly logs: string;
  readonly deviceTls: string;
  /** Of what expired and was moved out of the ledger; made when it is first needed. */
  readonly archive: string;
  /** Path of a secret: `admin.token`, `ledger-key`. */
  secret(name: string): string;
  /** `softhsm2.conf` of a token; handed to the one process that may open it. */
  softhsmConf(token: 'ca' | 'ocsp'): string;
}

export function dataDirAt(path: string): DataDir {
  const root = resolve(path);
  return {
    path: root,
    lock: join(root, 'lock'),
    logs: join(root, 'logs'),
    deviceTls: join(root, 'device-tls'),
    archive: join(root, 'archive'),
    secret: (name) => join(root, 'secrets', name),
    softhsmConf: (token) => join(root, 'softhsm', token, 'softhsm2.conf'),
  };
}

/**
 * Makes the folder and those in it that hold secrets or logs (mode 0700). The folder itself may be passed through by
 * others: where Fleetroot is started by root, PostgreSQL's own user must reach its part.
 */
export function makeDataDir(path: string): DataDir {
  mkdirSync(resolve(path), { recursive: true, mode: 0o755 });
  const dir = dataDirAt(realpathSync(resolve(path)));
  for (const folder of ['secrets', 'logs', 'device-tls']) mkdirSync(join(dir.path, folder), { recursive: true, mode: 0o700 });
  return dir;
}

/** Whether something was brought up here before. */
export function isInitialised(dir: DataDir): boolean {
  return existsSync(dir.secret('ledger-key'));
}
