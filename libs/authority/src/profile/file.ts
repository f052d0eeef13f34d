import { PkiError } from '@fleetroot/core';
import { z } from 'zod';
import { readYaml } from '../yaml/read.ts';
import { parseAuthorityProfile } from './authority-file.ts';
import { fields } from './fields.ts';
import { atIssuerEnd, flag, informationAccess, notAfterNone, notAList, oneOf, wholeNumber } from './forms.ts';
import { deepFreeze } from './freeze.ts';
import type { Profile } from './profile.ts';
import { MAX_CRL_SHARDS, type ProfileFault, profileFaults } from './rules.ts';
import { baseUrl, nameFaults, profileFiles, type ProfileSurroundings, saysCa, statusUrls } from './surroundings.ts';

const file = z.strictObject({
  ...fields,
  validity: z.strictObject({
    days: wholeNumber('a number of days', 1, 36_500).optional(),
    hours: wholeNumber('a number of hours', 1, 876_000).optional(),
    notAfter: notAfterNone.optional(),
    backdateMinutes: z.number({ error: 'must be a number of minutes' }).int().min(0, { error: 'must be 0 or more: a certificate never starts in the future' })
      .max(1440, { error: 'must be at most 1440' }).default(5),
    atIssuerEnd,
  }).refine(({ days, hours, notAfter }) => [days, hours, notAfter].filter((each) => each !== undefined).length === 1, {
    error: 'must have either days or hours, or notAfter: none',
  }),
  authorityInformationAccess: informationAccess.default(['ocsp', 'caIssuers']),
  crlDistributionPoint: flag.default(true),
  crlShards: wholeNumber('a number of shards', 1, MAX_CRL_SHARDS).default(1),
  noRevAvail: flag.default(false),
  serverKeys: oneOf(['allowed', 'refused']).default('refused'),
}, notAList);

/**
 * Reads one profile file.
 * @throws PkiError `profile.invalid` that names file, line and remedy of every fault; `data.file`, `data.line` are the first's
 */
export function parseProfile(yamlText: string, fileName: string, { statusUrl }: ProfileSurroundings): Profile {
  const { value, refuseIf } = readYaml(yamlText, fileName, file, 'profile.invalid');
  const { authorityInformationAccess: access, crlDistributionPoint, crlShards, noRevAvail, serverKeys, validity, ...rest } = value;
  const profile = {
    format: 1,
    ...rest,
    validity: validityOf(validity),
    urls: statusUrls(baseUrl(statusUrl), access, crlDistributionPoint ? crlShards : 0),
    ...(crlShards > 1 ? { crlShards } : {}),
    ...(noRevAvail ? { noRevAvail } : {}),
    ...(serverKeys === 'allowed' ? { serverKeys } : {}),
  } as Profile;
  refuseIf([...profileFaults(profile), ...fileFaults(profile, fileName)]);
  return deepFreeze(profile);
}

/**
 * Reads every `.yaml` and `.yml` of a folder, by name. Profiles of the kind `ca` are checked with the rest and left out:
 * nothing that issues for a request ever gets one. See `readAuthorityProfiles`.
 * @throws PkiError `profile.invalid`, also where the folder cannot be read or holds none
 */
export function readProfileFolder(dir: string, surroundings: ProfileSurroundings): Map<string, Profile> {
  const profiles = new Map<string, Profile>();
  for (const { path, text } of profileFiles(dir)) {
    if (saysCa(text)) {
      parseAuthorityProfile(text, path, surroundings);
      continue;
    }
    const profile = parseProfile(text, path, surroundings);
    if (profiles.has(profile.name)) throw new PkiError('profile.invalid', `${path}: a .yml and a .yaml of one name: remove one`);
    profiles.set(profile.name, profile);
  }
  if (profiles.size === 0) throw new PkiError('profile.invalid', `the folder of profiles ${dir} holds no .yaml file`);
  return profiles;
}

function validityOf(validity: z.infer<typeof file>['validity']): Profile['validity'] {
  const { days = 0, hours = 0, notAfter, backdateMinutes, atIssuerEnd: atEnd } = validity;
  return {
    ...(notAfter === undefined ? { seconds: days * 86_400 + hours * 3_600 } : { notAfter }),
    backdateSeconds: backdateMinutes * 60,
    ...(atEnd === 'refuse' ? { atIssuerEnd: atEnd } : {}),
  };
}

function fileFaults({ name, validity, crlShards, urls }: Profile, fileName: string): ProfileFault[] {
  const faults: ProfileFault[] = nameFaults(name, fileName);
  if (validity.seconds !== undefined && validity.backdateSeconds >= validity.seconds) {
    faults.push({ path: ['validity', 'backdateMinutes'], what: 'is longer than the validity: lower it' });
  }
  if (crlShards !== undefined && urls.crl === undefined) {
    faults.push({ path: ['crlShards'], what: 'is of a CRL that no certificate points to: remove it' });
  }
  return faults;
}
