import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { settings } from '@fleetroot/config';
import { PkiError } from '@fleetroot/core';
import { defaultDataDir } from '../checkout.ts';
import type { Endpoints } from './endpoints.ts';
import { parseSetting, type SettingValues } from './environment.ts';
import type { WantedPort } from './ports.ts';
import type { InstallationOptions } from './prepare.ts';

/** As commander reads them from the command line. */
export interface UpOptions extends Omit<InstallationOptions, 'statusUrl'> {
  readonly demo: boolean;
  readonly ecus: number;
  readonly exit: boolean;
  readonly dataDir: string;
  readonly issuers: number;
  readonly listen: string;
  readonly apiPort: number;
  readonly devicePort: number;
  readonly statusPort: number;
  readonly statusInternalPort: number;
  readonly statusUrl?: string;
  readonly redisUrlFile?: string;
  readonly set: SettingValues;
}

/** More issuers than this want a database with more connections than the embedded one allows. */
const MOST_ISSUERS = 8;

const whole = (least: number, most: number) => (text: string): number => {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) throw new InvalidArgumentError(`a whole number from ${least} to ${most}`);
  return value;
};
const port = whole(1, 65_535);
const path = (text: string): string => resolve(text);

/** Options of every command that makes or changes an installation. */
function withInstallation(command: Command): Command {
  return command
    .option('--data-dir <folder>', 'where everything is kept', path, defaultDataDir)
    .option('--hsm-module <file>', 'PKCS#11 library (default: SoftHSM)', path)
    .option('--admin-database-url-file <file>', 'external PostgreSQL: file with the URL of a role that may make a database and roles', path)
    .option('--database-url-file <file>', 'external PostgreSQL that is prepared: file with the URL of the ledger\'s owner', path)
    .option('--status-database-url-file <file>', 'and of the role that may only read', path);
}

export interface InitOptions extends InstallationOptions {
  readonly dataDir: string;
}

export function initCommand(run: (options: InitOptions) => Promise<void>): Command {
  return withInstallation(new Command('init'))
    .description('make what the roles need: database, tokens, CAs, first principals; for installations that start the roles themselves')
    .option('--status-url <url>', 'base of the URLs baked into certificates', settings.statusPublicUrl.default)
    .action((options: InitOptions) => run(checked(options)));
}

export function upCommand(run: (options: UpOptions) => Promise<void>): Command {
  return withInstallation(new Command('up'))
    .description('bring up PostgreSQL, the tokens, the CAs and every role on this machine, and show them at work')
    .option('--no-demo', 'leave out the demonstration line')
    .option('--ecus <n>', 'ECUs that the demonstration line builds', whole(2, 10_000_000), 1000)
    .option('--exit', 'stop after the demonstration; exit status 1 where it failed', false)
    .option('--issuers <n>', 'signing processes (default: one a core)', whole(1, 64), Math.min(availableParallelism(), MOST_ISSUERS))
    .option('--listen <address>', 'address that the api, the device listener and status listen on', '127.0.0.1')
    .option('--api-port <port>', 'REST API', port, 8080)
    .option('--device-port <port>', 'mutual TLS for ECUs', port, 8443)
    .option('--status-port <port>', 'OCSP, CRLs, CA certificates, truststores', port, 8081)
    .option('--status-internal-port <port>', 'between status and worker', port, 8082)
    .option('--status-url <url>', 'base of the URLs baked into certificates (default: http://127.0.0.1:STATUS-PORT)')
    .option('--redis-url-file <file>', 'file with the URL of a Redis for the queue (default: the queue lies in PostgreSQL)', path)
    .addOption(new Option('--set <VARIABLE=VALUE>', 'a setting of docs/operations.md; may be repeated').default({}, 'none')
      .argParser((text, before: SettingValues) => ({ ...before, ...parseSetting(text) })))
    .action((options: UpOptions) => run(checked(options)));
}

function checked<T extends UpOptions | InitOptions>(options: T): T {
  if ((options.databaseUrlFile === undefined) !== (options.statusDatabaseUrlFile === undefined)) {
    throw new PkiError('config.invalid', 'an external PostgreSQL that is prepared takes both --database-url-file and --status-database-url-file');
  }
  if (options.statusUrl !== undefined && !/^https?:\/\/[^/]+(?:\/.*[^/])?$/.test(options.statusUrl)) {
    throw new PkiError('config.invalid', '--status-url takes an http URL without a slash at its end');
  }
  return options;
}

/** Every port that `up` opens. PostgreSQL finds one by itself. */
export function portsOf(options: UpOptions): WantedPort[] {
  return [
    { host: options.listen, port: options.apiPort, option: '--api-port' },
    { host: options.listen, port: options.devicePort, option: '--device-port' },
    { host: options.listen, port: options.statusPort, option: '--status-port' },
    { host: '127.0.0.1', port: options.statusInternalPort, option: '--status-internal-port' },
  ];
}

/** Where this machine finds what `up` started. An address that means "all" is reached as 127.0.0.1. */
export function endpointsOf(options: UpOptions): Endpoints & { readonly statusHere: string } {
  const host = options.listen === '0.0.0.0' || options.listen === '::' ? '127.0.0.1' : options.listen;
  const at = (port: number): string => `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const statusHere = at(options.statusPort);
  return {
    api: at(options.apiPort),
    device: `https://localhost:${options.devicePort}`,
    status: options.statusUrl ?? statusHere,
    statusHere,
  };
}
