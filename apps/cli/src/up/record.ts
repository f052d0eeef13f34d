import { type HeldObjects, importCeremony, withTrust } from '@fleetroot/authority';
import { systemClock, systemRandom } from '@fleetroot/core';
import type { Store } from '@fleetroot/store';
import { publishTruststore } from '@fleetroot/trust';
import type { DataDir } from '../data-dir/layout.ts';
import { ensurePrincipals } from './principals.ts';

const ACTOR = 'system:bring-up';
const TRUSTSTORE = 'ecu-clients';

/** Puts on record what the other processes begin with: the CAs, the truststore made of them, the first principals. */
export async function recordBeginnings(store: Store, dir: DataDir, held: HeldObjects): Promise<void> {
  const authorities = await importCeremony(store.authorities, store.crls, held, { actor: ACTOR, clock: systemClock, state: 'active' });
  // Later the worker keeps it: next generations join, and what is revoked or retired leaves.
  if (!(await store.truststores.names()).includes(TRUSTSTORE)) {
    const content = { name: TRUSTSTORE, description: 'CAs of the client certificates of ECUs', memberIds: authorities.map(({ id }) => id) };
    await publishTruststore(store.truststores, content, withTrust(await store.authorities.all()), { actor: ACTOR, at: systemClock.now() });
  }
  await ensurePrincipals(store.principals, dir, systemClock, systemRandom);
}
