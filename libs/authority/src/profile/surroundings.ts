import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { PkiError } from '@fleetroot/core';
import { type Document, isMap, parseDocument } from 'yaml';
import type { Profile } from './profile.ts';
import type { ProfileFault } from './rules.ts';

export interface ProfileSurroundings {
  /** Base of the URLs in AIA and CDP: where the status app is reached. */
  readonly statusUrl: string;
}

/**
 * Every `.yaml` and `.yml` of a folder, in the order of their names.
 * @throws PkiError `profile.invalid` where the folder cannot be read
 */
export function profileFiles(dir: string): { path: string; text: string }[] {
  try {
    return readdirSync(dir).filter((name) => /\.ya?ml$/.test(name)).sort()
      .map((name) => ({ path: join(dir, name), text: readFileSync(join(dir, name), 'utf8') }));
  } catch (cause) {
    throw new PkiError('profile.invalid', `the folder of profiles ${dir} cannot be read: set FLEETROOT_PROFILES_DIR`, { cause });
  }
}

/** Whether a file is meant for a CA. One that is no YAML is not: whoever parses it says what is wrong. */
export function saysCa(text: string): boolean {
  const { contents }: Document = parseDocument(text);
  return isMap(contents) && contents.get('kind') === 'ca';
}

export function nameFaults(name: string, fileName: string): ProfileFault[] {
  const stem = basename(fileName).replace(/\.ya?ml$/, '');
  return name === stem ? [] : [{ path: ['name'], what: `must be the file's name: write ${stem}, or rename the file` }];
}

/** `shards`: how many CRLs the certificates are spread over; 0 where they point to none. */
export function statusUrls(base: string, access: readonly ('ocsp' | 'caIssuers')[], shards: number): Profile['urls'] {
  return {
    ...(access.includes('ocsp') ? { ocsp: `${base}/ocsp` } : {}),
    ...(access.includes('caIssuers') ? { caIssuers: `${base}/ca/{ca}.cer` } : {}),
    ...(shards === 0 ? {} : { crl: shards === 1 ? `${base}/crl/{ca}.crl` : `${base}/crl/{ca}/${shards}/{shard}.crl` }),
  };
}

/** @throws PkiError `config.invalid` */
export function baseUrl(statusUrl: string): string {
  const base = statusUrl.replace(/\/+$/, '');
  if (!/^https?:\/\/[^\s/?#{}]+(?:\/[^\s?#{}]*)?$/.test(base) || !URL.canParse(base)) {
    throw new PkiError('config.invalid', 'FLEETROOT_STATUS_PUBLIC_URL must be an http or https URL without a query');
  }
  return base;
}
