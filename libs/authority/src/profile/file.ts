import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { PkiError } from '@fleetroot/core';
import { z } from 'zod';
import { readYaml } from '../yaml/read.ts';
import { deepFreeze } from './document.ts';
import { fields } from './fields.ts';
import type { Profile } from './profile.ts';
import { type ProfileFault, profileFaults } from './rules.ts';

export interface ProfileSurroundings {
  /** Base of the URLs in AIA and CDP: where the status app is reached. */
  readonly statusUrl: string;
}

const count = (unit: string, most: number) =>
  z.number({ error: `must be a number of ${unit}` }).int({ error: `must be a whole number of ${unit}` })
    .min(1, { error: 'must be at least 1' }).max(most, { error: `must be at most ${most}` });

const file = z.strictObject({
  ...fields,
  validity: z.strictObject({
    days: count('days', 36_500).optional(),
    hours: count('hours', 876_000).optional(),
    backdateMinutes: z.number({ error: 'must be a number of minutes' }).int().min(0, { error: 'must be 0 or more: a certificate never starts in the future' })
      .max(1440, { error: 'must be at most 1440' }).default(5),
  }).refine((validity) => (validity.days === undefined) !== (validity.hours === undefined), {
    error: 'must have either days or hours',
  }),
  authorityInformationAccess: z.array(z.enum(['ocsp', 'caIssuers'], { error: 'must be ocsp or caIssuers' })).default(['ocsp', 'caIssuers']),
  crlDistributionPoint: z.boolean({ error: 'must be true or false' }).default(true),
}, { error: (issue) => (issue.code === 'invalid_type' ? 'must be a list of fields, "name: ..." and so on' : undefined) });

/**
 * Reads one profile file.
 * @throws PkiError `profile.invalid` that names file, line and remedy of every fault; `data.file`, `data.line` are the first's
 */
export function parseProfile(yamlText: string, fileName: string, { statusUrl }: ProfileSurroundings): Profile {
  const { value, refuseIf } = readYaml(yamlText, fileName, file, 'profile.invalid');
  const { authorityInformationAccess: access, crlDistributionPoint, validity, ...rest } = value;
  const base = baseUrl(statusUrl);
  const profile: Profile = {
    format: 1,
    ...rest,
    validity: {
      seconds: (validity.days ?? 0) * 86_400 + (validity.hours ?? 0) * 3_600,
      backdateSeconds: validity.backdateMinutes * 60,
    },
    urls: {
      ...(access.includes('ocsp') ? { ocsp: `${base}/ocsp` } : {}),
      ...(access.includes('caIssuers') ? { caIssuers: `${base}/ca/{ca}.cer` } : {}),
      ...(crlDistributionPoint ? { crl: `${base}/crl/{ca}.crl` } : {}),
    },
  };
  refuseIf([...profileFaults(profile), ...fileFaults(profile, fileName)]);
  return deepFreeze(profile);
}

/**
 * Reads every `.yaml` and `.yml` of a folder, by name.
 * @throws PkiError `profile.invalid`, also where the folder cannot be read or holds none
 */
export function readProfileFolder(dir: string, surroundings: ProfileSurroundings): Map<string, Profile> {
  let names: string[];
  try {
    names = readdirSync(dir).filter((name) => /\.ya?ml$/.test(name)).sort();
  } catch (cause) {
    throw new PkiError('profile.invalid', `the folder of profiles ${dir} cannot be read: set FLEETROOT_PROFILES_DIR`, { cause });
  }
  const profiles = new Map<string, Profile>();
  for (const name of names) {
    const path = join(dir, name);
    const profile = parseProfile(readFileSync(path, 'utf8'), path, surroundings);
    if (profiles.has(profile.name)) throw new PkiError('profile.invalid', `${path}: a .yml and a .yaml of one name: remove one`);
    profiles.set(profile.name, profile);
  }
  if (profiles.size === 0) throw new PkiError('profile.invalid', `the folder of profiles ${dir} holds no .yaml file`);
  return profiles;
}

function fileFaults({ name, validity }: Profile, fileName: string): ProfileFault[] {
  const faults: ProfileFault[] = [];
  if (validity.backdateSeconds >= validity.seconds) {
    faults.push({ path: ['validity', 'backdateMinutes'], what: 'is longer than the validity: lower it' });
  }
  const stem = basename(fileName).replace(/\.ya?ml$/, '');
  if (name !== stem) faults.push({ path: ['name'], what: `must be the file's name: write ${stem}, or rename the file` });
  return faults;
}

function baseUrl(statusUrl: string): string {
  const base = statusUrl.replace(/\/+$/, '');
  if (!/^https?:\/\/[^\s/?#{}]+(?:\/[^\s?#{}]*)?$/.test(base) || !URL.canParse(base)) {
    throw new PkiError('config.invalid', 'FLEETROOT_STATUS_PUBLIC_URL must be an http or https URL without a query');
  }
  return base;
}
