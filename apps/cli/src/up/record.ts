import { type CertificationAuthority, type HeldAuthority, importAuthorities } from '@fleetroot/authority';
import { systemClock, systemRandom, toHex } from '@fleetroot/core';
import type { Store } from '@fleetroot/store';
import { truststorePem } from '@fleetroot/trust';
import { createHash } from 'node:crypto';
import type { DataDir } from '../data-dir/layout.ts';
import { ensurePrincipals } from './principals.ts';

const ACTOR = 'system:bring-up';
const TRUSTSTORE = 'ecu-clients';

/** Puts on record what the other processes begin with: the CAs, the truststore made of them, the first principals. */
export async function recordBeginnings(store: Store, dir: DataDir, held: readonly HeldAuthority[]): Promise<void> {
  await publishTruststore(store, await importAuthorities(store.authorities, held, ACTOR, systemClock));
  await ensurePrincipals(store.principals, dir, systemClock, systemRandom);
}

async function publishTruststore(store: Store, authorities: readonly CertificationAuthority[]): Promise<void> {
  const pem = truststorePem(authorities);
  await store.truststores.publish(TRUSTSTORE, 'CAs of the client certificates of ECUs', authorities.map(({ id }) => id), pem, (version) => ({
    action: 'truststore.published', actor: ACTOR, at: systemClock.now(), subject: `truststore:${TRUSTSTORE}`,
    data: { version, cas: authorities.map(({ name }) => name), sha256: toHex(createHash('sha256').update(pem).digest()) },
  }));
}
