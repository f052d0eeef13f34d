import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PkiError, Secret } from '@fleetroot/core';
import { type Setting, settings } from './settings.ts';

type Value<S extends Setting> =
  S['type'] extends 'secret' | 'secret-bytes' ? (S['type'] extends 'secret' ? Secret : Uint8Array)
  : S['type'] extends 'number' ? number
  : S['type'] extends 'file' ? Uint8Array
  : S['type'] extends 'address' ? Address
  : string;

export interface Address {
  readonly host: string;
  readonly port: number;
}

type Settings = typeof settings;
type Known<N extends keyof Settings> =
  Settings[N] extends { optional: true } ? Value<Settings[N]> | undefined : Value<Settings[N]>;

/** The settings a process asked for, validated, typed and frozen. */
export type Config<N extends keyof Settings> = Readonly<{ [K in N]: Known<K> }>;
export type SettingName = keyof Settings;

/**
 * Reads the settings that a process needs from `environment`. A secret comes from the file that NAME_FILE names, else from
 * the systemd credential NAME, a file in $CREDENTIALS_DIRECTORY; never from the environment itself.
 * @throws PkiError `config.invalid` that lists every setting at fault, by name and without its value
 */
export function readConfig<N extends SettingName>(
  names: readonly N[],
  environment: Environment = process.env,
): Config<N> {
  const faults: string[] = [];
  const config: Partial<Record<SettingName, unknown>> = {};
  for (const name of names) {
    try {
      config[name] = read(settings[name], environment);
    } catch (error) {
      faults.push((error as Error).message);
    }
  }
  if (faults.length > 0) throw new PkiError('config.invalid', `${faults.join('; ')} (see docs/operations.md)`);
  return Object.freeze(config) as Config<N>;
}

type Environment = Readonly<Record<string, string | undefined>>;

function read(setting: Setting, environment: Environment): unknown {
  if (setting.type === 'secret' || setting.type === 'secret-bytes') return secret(setting, environment);
  const { variable } = setting;
  const given = environment[variable] || setting.default;
  if (given === undefined || given === '') {
    if (setting.optional) return undefined;
    throw new Error(`${variable} is not set`);
  }
  if (setting.values !== undefined && !setting.values.includes(given)) {
    throw new Error(`${variable} must be one of ${setting.values.join(', ')}`);
  }
  switch (setting.type) {
    case 'string': return given;
    case 'number': return wholeNumber(variable, given);
    case 'address': return address(variable, given);
    case 'file': return new Uint8Array(contentOf(`the file that ${variable} names`, given));
  }
}

function secret({ variable, type, optional }: Setting, environment: Environment): Secret | Uint8Array | undefined {
  const named = environment[`${variable}_FILE`];
  const path = named || credential(variable, environment);
  if (path === undefined) {
    if (optional) return undefined;
    throw new Error(`neither ${variable}_FILE is set, nor is there a systemd credential ${variable}`);
  }
  const content = contentOf(named ? `the file that ${variable}_FILE names` : `the systemd credential ${variable}`, path).toString('utf8').trim();
  return type === 'secret' ? new Secret(content) : new Uint8Array(Buffer.from(content, 'hex'));
}

/** The file of the systemd credential with this name (LoadCredential=, LoadCredentialEncrypted=), where the unit has it. */
function credential(name: string, environment: Environment): string | undefined {
  const directory = environment['CREDENTIALS_DIRECTORY'];
  const path = directory ? join(directory, name) : undefined;
  return path !== undefined && existsSync(path) ? path : undefined;
}

function wholeNumber(variable: string, given: string): number {
  const value = Number(given);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${variable} must be a whole number`);
  return value;
}

function address(variable: string, given: string): Address {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(given);
  const port = Number(match?.[3]);
  if (match === null || port > 65535) throw new Error(`${variable} must be HOST:PORT`);
  return { host: match[1] ?? match[2] ?? '', port };
}

function contentOf(what: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`${what} cannot be read (${code ?? 'error'})`, { cause: error });
  }
}
