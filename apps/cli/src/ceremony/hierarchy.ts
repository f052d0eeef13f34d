import { mkdirSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { type Clock, PkiError, type Secret, systemRandom } from '@fleetroot/core';
import { type HeldObjects, holdCeremony, parseCeremonyPlan, type PrepareParts, readAuthorityProfiles } from '@fleetroot/authority';
import { startTokenProcess } from '@fleetroot/hsm';
import { checkout } from '../checkout.ts';
import { takeLock } from '../data-dir/lock.ts';

export interface TokenOptions {
  /** Path of the PKCS#11 library. */
  readonly module: string;
  readonly tokenLabel: string;
  readonly pin: Secret;
  /** SOFTHSM2_CONF of the process that opens the token; without it, that of this process. */
  readonly softhsmConf?: string;
}

export interface CeremonyOptions extends TokenOptions {
  /** The YAML file of the ceremony. */
  readonly planFile: string;
  /** The folder of ceremonies; made where it does not exist. */
  readonly folder: string;
  /** Folder of the profiles that the plan may name. */
  readonly profiles: string;
  /** Base of the URLs in the certificates of subordinate CAs. */
  readonly statusUrl: string;
  readonly clock: Clock;
}

export const ceremonyFolder = (dataDir: string): string => join(dataDir, 'ceremony');

export const profilesOfCheckout: string = join(checkout, 'hsm-config/profiles');

/**
 * Opens the token for one ceremony. PKCS#11 is spoken in a process of its own, which ends with `work`. Needs no database.
 * The folder is locked meanwhile, by itself: it may be reached through a data folder or without one.
 * @throws PkiError `ceremony.invalid`, `profile.invalid`, `hsm.*`; `setup.failed` where another ceremony is held in the folder
 */
export async function withCeremony<T>(options: CeremonyOptions, work: (parts: PrepareParts) => Promise<T>): Promise<T> {
  const { folder, statusUrl, clock, planFile, softhsmConf, module, tokenLabel, pin } = options;
  const plan = parseCeremonyPlan(readPlan(planFile), planFile, {
    profiles: readAuthorityProfiles(options.profiles, { statusUrl }), readFile: (path) => new Uint8Array(readNamed(path)),
  });
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const release = takeLock(join(folder, 'lock'));
  try {
    const admin = await startTokenProcess({ softhsmConf });
    try {
      const token = await admin.open({ module, tokenLabel, pin });
      return await work({ plan, folder, token, statusUrl, clock, random: systemRandom });
    } finally {
      await admin.close();
    }
  } finally {
    release();
  }
}

/**
 * Holds the ceremony of a plan that asks for no approvals, or finds it held: the CAs of the plan with their renewed
 * certificates, as `importCeremony` takes them. What else the folder holds comes on record by `fleetroot ca import`.
 * @throws PkiError `ceremony.invalid`, `certificate.lint`, `hsm.*`
 */
export async function ensureDevelopmentHierarchy(
  { dataDir, ...options }: Omit<CeremonyOptions, 'folder' | 'profiles'> & { readonly dataDir: string },
): Promise<HeldObjects> {
  const ceremony = { ...options, folder: ceremonyFolder(dataDir), profiles: profilesOfCheckout };
  return withCeremony(ceremony, async (parts) => {
    const { authorities, certificates } = await holdCeremony({ ...parts, by: userInfo().username });
    const names = new Set<string | undefined>(parts.plan.authorities.map(({ name }) => name));
    return {
      authorities: authorities.filter(({ name }) => names.has(name)),
      certificates: certificates.filter(({ kind, subject }) => kind === 'ca' && names.has(subject)), requests: [], crls: [],
    };
  });
}

function readPlan(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new PkiError('ceremony.invalid', `${path} cannot be read: ${(cause as NodeJS.ErrnoException).code ?? 'error'}`, { cause });
  }
}

/** A file that the plan names. */
function readNamed(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new Error((cause as NodeJS.ErrnoException).code ?? 'error', { cause });
  }
}
