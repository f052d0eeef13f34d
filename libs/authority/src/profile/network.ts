import { isIPv4, isIPv6 } from 'node:net';

/**
 * Address and mask of a network in CIDR notation, as name constraints write them: 8 or 32 octets (RFC 5280 section
 * 4.2.1.10); undefined where the text is none, or has bits set beyond its prefix.
 */
export function network(text: string): Uint8Array | undefined {
  const [, address = '', digits = ''] = /^([0-9a-fA-F.:]+)\/(0|[1-9]\d{0,2})$/.exec(text) ?? [];
  const octets = addressOctets(address);
  const prefix = Number(digits);
  if (octets === undefined || digits === '' || prefix > octets.length * 8) return undefined;
  const mask = octets.map((_, i) => 0xff & (0xff00 >> Math.min(8, Math.max(0, prefix - i * 8))));
  const within = octets.every((octet, i) => (octet & ~(mask[i] ?? 0)) === 0);
  return within ? Uint8Array.from([...octets, ...mask]) : undefined;
}

/** Whether an address of 4 or 16 octets lies in a network. */
export const inNetwork = (address: Uint8Array, base: Uint8Array): boolean =>
  base.length === address.length * 2
  && address.every((octet, i) => ((octet ^ (base[i] ?? 0)) & (base[address.length + i] ?? 0)) === 0);

function addressOctets(text: string): number[] | undefined {
  if (isIPv4(text)) return text.split('.').map(Number);
  // The mixed form "::ffff:192.0.2.1" is an IPv4 address in disguise.
  if (!isIPv6(text) || text.includes('.')) return undefined;
  const [head = '', tail] = text.split('::');
  const octets = (part: string): number[] => part.split(':').filter((group) => group !== '')
    .map((group) => Number.parseInt(group, 16)).flatMap((group) => [group >> 8, group & 0xff]);
  const [before, after] = [octets(head), octets(tail ?? '')];
  return [...before, ...new Uint8Array(16 - before.length - after.length), ...after];
}
