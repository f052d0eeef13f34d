import { existsSync, globSync } from 'node:fs';
import { PkiError } from '@fleetroot/core';

/**
 * SoftHSM's library, where Debian and Ubuntu put it.
 * @throws PkiError `setup.failed`
 */
export function findSoftHsm(): string {
  const places = ['/usr/lib/softhsm/libsofthsm2.so', ...globSync('/usr/lib/*/softhsm/libsofthsm2.so')];
  const found = places.find((place) => existsSync(place));
  if (found === undefined) throw new PkiError('setup.failed', 'SoftHSM is not installed: apt-get install softhsm2, or name a PKCS#11 library with --hsm-module');
  return found;
}
