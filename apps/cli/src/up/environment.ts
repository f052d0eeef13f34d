import { type SettingName, settings } from '@fleetroot/config';
import { PkiError } from '@fleetroot/core';

export type RoleName = 'api' | 'issuer' | 'status' | 'worker';

/** Which secrets a role is told the files of. Only the issuer gets the CA token's PIN, only status the OCSP token's. */
const secretsOf = {
  api: ['databaseUrl', 'ledgerKey', 'redisUrl'],
  issuer: ['databaseUrl', 'ledgerKey', 'redisUrl', 'caTokenPin'],
  status: ['statusDatabaseUrl', 'statusEnrolmentSecret', 'ocspTokenPin'],
  worker: ['databaseUrl', 'ledgerKey', 'redisUrl', 'statusEnrolmentSecret'],
} as const satisfies Record<RoleName, readonly SettingName[]>;

export type SettingValues = Readonly<Partial<Record<SettingName, string>>>;

const isSecret = (name: SettingName): boolean => settings[name].type === 'secret' || settings[name].type === 'secret-bytes';

/** The environment variable that carries a setting. */
export function variableOf(name: SettingName): string {
  return isSecret(name) ? `${settings[name].variable}_FILE` : settings[name].variable;
}

/**
 * The whole environment of a role's process: its settings, and nothing inherited. `values` holds the paths of files
 * where the setting is a secret. `softhsmConf` is read by the SoftHSM library itself.
 */
export function environmentFor(role: RoleName, values: SettingValues, softhsmConf?: string): Record<string, string> {
  const environment: Record<string, string> = { PATH: '/usr/local/bin:/usr/bin:/bin', TZ: 'UTC', NODE_ENV: 'production' };
  const wanted: readonly SettingName[] = secretsOf[role];
  for (const [key, value] of Object.entries(values)) {
    const name = key as SettingName;
    if (isSecret(name) && !wanted.includes(name)) continue;
    environment[variableOf(name)] = value;
  }
  if (softhsmConf !== undefined) environment['SOFTHSM2_CONF'] = softhsmConf;
  return environment;
}

/**
 * `FLEETROOT_CRL_LIFETIME_MINUTES=60` as a setting.
 * @throws PkiError `config.invalid` for what is no setting, or a secret
 */
export function parseSetting(text: string): SettingValues {
  const separator = text.indexOf('=');
  const variable = separator < 1 ? text : text.slice(0, separator);
  const name = (Object.keys(settings) as SettingName[]).find((each) => settings[each].variable === variable);
  if (separator < 1 || name === undefined) {
    throw new PkiError('config.invalid', `--set takes VARIABLE=VALUE with a variable of docs/operations.md, and ${variable} is none`);
  }
  if (isSecret(name)) throw new PkiError('config.invalid', `${variable} is a secret: it lies in a file of the data folder`);
  return { [name]: text.slice(separator + 1) };
}
