import { parseAnyCrl } from '@fleetroot/x509';

/** undefined: these octets are no CRL of ours. */
export function crlNumberOf(octets: Uint8Array): bigint | undefined {
  try {
    return parseAnyCrl(octets).number;
  } catch {
    return undefined;
  }
}
