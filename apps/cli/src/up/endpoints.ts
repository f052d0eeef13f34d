import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DataDir } from '../data-dir/layout.ts';

/** Where a running installation is found; kept in the data folder for programs that look for it. */
export interface Endpoints {
  readonly api: string;
  readonly device: string;
  readonly status: string;
}

export function writeEndpoints(dir: DataDir, endpoints: Endpoints): void {
  writeFileSync(join(dir.path, 'endpoints.json'), `${JSON.stringify(endpoints, null, 2)}\n`);
}

/** Those of the folder's last `fleetroot up`; undefined where there was none. */
export function readEndpoints(dir: DataDir): Endpoints | undefined {
  try {
    return JSON.parse(readFileSync(join(dir.path, 'endpoints.json'), 'utf8')) as Endpoints;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
