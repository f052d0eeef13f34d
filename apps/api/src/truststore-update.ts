import { type CertificationAuthority, withTrust } from '@fleetroot/authority';
import type { Clock } from '@fleetroot/core';
import type { HttpPrincipal } from '@fleetroot/http';
import { followCas, type Publisher, type TruststoreLedger } from '@fleetroot/trust';

/** A principal who publishes now. */
export const publisherOf = ({ name }: HttpPrincipal, clock: Clock): Publisher => ({ actor: `principal:${name}`, at: clock.now() });

/** Brings every truststore up to date with what is trusted now; returns how many have changed. */
export async function updateTruststores(truststores: TruststoreLedger, all: readonly CertificationAuthority[], publisher: Publisher): Promise<number> {
  let changed = 0;
  for (const name of await truststores.names()) {
    if (await followCas(truststores, name, withTrust(all), publisher) !== undefined) changed++;
  }
  return changed;
}
