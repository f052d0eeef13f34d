import { type CertificationAuthority, withTrust } from '@fleetroot/authority';
import { followCas, type Publisher, type TruststoreLedger } from '@fleetroot/trust';

/** Brings every truststore up to date with what is trusted now; returns how many have changed. */
export async function updateTruststores(truststores: TruststoreLedger, all: readonly CertificationAuthority[], publisher: Publisher): Promise<number> {
  let changed = 0;
  for (const name of await truststores.names()) {
    if (await followCas(truststores, name, withTrust(all), publisher) !== undefined) changed++;
  }
  return changed;
}
