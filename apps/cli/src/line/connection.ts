import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { readConfig } from '@fleetroot/config';
import type { Command } from 'commander';
import { defaultDataDir } from '../checkout.ts';
import { dataDirAt } from '../data-dir/layout.ts';
import { readSecret } from '../data-dir/secret-file.ts';
import { readEndpoints } from '../up/endpoints.ts';
import { wrongUse } from './batch/line-error.ts';

export interface ConnectionFlags {
  readonly api?: string;
  readonly tokenFile?: string;
  readonly dataDir: string;
}

export interface Connection {
  /** Without a slash at its end. */
  readonly api: string;
  readonly token: string;
}

/** Whose token of a local data folder a command uses where none is named. */
export type TokenOf = 'line' | 'security' | 'admin';

/** How a command is told which API is meant, and as whom it calls. */
export function withConnectionFlags(command: Command, token: TokenOf = 'line'): Command {
  return command
    .option('--api <url>', 'base URL of the REST API (default: $FLEETROOT_API_URL, else that of --data-dir)')
    .option('--token-file <file>', `file with the bearer token (default: $FLEETROOT_API_TOKEN_FILE, else secrets/${token}.token in --data-dir)`, (text) => resolve(text))
    .option('--data-dir <folder>', 'of a local `fleetroot up`', (text) => resolve(text), defaultDataDir);
}

/** @throws LineError where it cannot be told, PkiError `config.invalid` */
export function connectionOf({ api, tokenFile, dataDir }: ConnectionFlags, token: TokenOf = 'line'): Connection {
  const dir = dataDirAt(dataDir);
  const url = api ?? readConfig(['apiUrl']).apiUrl ?? readEndpoints(dir)?.api;
  if (url === undefined) throw wrongUse(`say where the API is: --api URL; ${dir.path} is no data folder of a local \`fleetroot up\``);
  if (!/^https?:\/\/[^/]+/.test(url)) throw wrongUse(`--api takes an http or https URL, and ${url} is none`);
  return { api: url.replace(/\/+$/, ''), token: tokenFile === undefined ? readConfig(['apiToken']).apiToken?.reveal() ?? tokenIn(dir.secret(`${token}.token`)) : tokenIn(tokenFile) };
}

/** @throws LineError where the file has none */
export function tokenIn(path: string): string {
  const token = existsSync(path) ? readSecret(path) : undefined;
  if (token === undefined || token === '') throw wrongUse(`there is no token in ${path}: name its file with --token-file`);
  return token;
}
