import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The folder of this installation: apps/cli/dist and apps/cli/src lie equally deep in it. */
export const checkout: string = join(import.meta.dirname, '../../..');

export const defaultDataDir: string = join(checkout, '.fleetroot');

export function version(): string {
  return (JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as { version: string }).version;
}
