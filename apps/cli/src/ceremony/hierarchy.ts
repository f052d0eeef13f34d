import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { type Clock, PkiError, type Secret, systemRandom } from '@fleetroot/core';
import { type HeldAuthority, holdCeremony, parseCeremonyPlan } from '@fleetroot/authority';
import { startTokenProcess } from '@fleetroot/hsm';

export interface HierarchyOptions {
  /** The YAML file of the ceremony. */
  readonly planFile: string;
  /** The ceremony's files go to `ceremony/` in it. The caller holds the folder's lock. */
  readonly dataDir: string;
  /** Path of the PKCS#11 library. */
  readonly module: string;
  readonly tokenLabel: string;
  readonly pin: Secret;
  /** SOFTHSM2_CONF of the process that opens the token; without it, that of this process. */
  readonly softhsmConf?: string;
  /** Base of the URLs in the certificates of subordinate CAs. */
  readonly statusUrl: string;
  readonly clock: Clock;
}

export const ceremonyFolder = (dataDir: string): string => join(dataDir, 'ceremony');

/**
 * Holds the ceremony of a plan, or finds it held: every CA of the plan, parents first, as `importAuthorities` takes
 * them. PKCS#11 is spoken in a process of its own. Needs no database.
 * @throws PkiError `ceremony.invalid`, `certificate.lint`, `hsm.*`
 */
export async function ensureDevelopmentHierarchy(options: HierarchyOptions): Promise<readonly HeldAuthority[]> {
  const plan = parseCeremonyPlan(readPlan(options.planFile), options.planFile);
  const { softhsmConf, module, tokenLabel, pin, statusUrl, clock } = options;
  const admin = await startTokenProcess({ softhsmConf });
  try {
    const token = await admin.open({ module, tokenLabel, pin });
    return await holdCeremony({
      plan, folder: ceremonyFolder(options.dataDir), token, statusUrl, by: userInfo().username, clock, random: systemRandom,
    });
  } finally {
    await admin.close();
  }
}

function readPlan(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new PkiError('ceremony.invalid', `${path} cannot be read: ${(cause as NodeJS.ErrnoException).code ?? 'error'}`, { cause });
  }
}
