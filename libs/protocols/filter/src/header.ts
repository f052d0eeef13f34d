import { newOctets } from '@fleetroot/core';
import { filterAlgorithms, type FilterHeader, FORMAT, HEADER_OCTETS, MAGIC } from './reader.ts';

/** The first 200 octets, which are what the CA signs. */
export function encodeHeader(header: FilterHeader): Uint8Array {
  const octets = newOctets(HEADER_OCTETS);
  const view = new DataView(octets.buffer, octets.byteOffset, HEADER_OCTETS);
  view.setUint32(0, MAGIC);
  view.setUint8(4, FORMAT);
  view.setUint8(5, header.kind === 'full' ? 0 : 1);
  view.setUint8(6, filterAlgorithms.indexOf(header.algorithm) + 1);
  view.setUint8(7, header.fingerprintBits);
  octets.set(header.ca, 8);
  view.setBigUint64(40, header.version);
  view.setBigUint64(48, header.baseVersion);
  const numbers = [header.madeAt, header.coveredUntil, header.nextUpdate, header.known, header.revoked, header.marked, header.baseCoveredUntil];
  numbers.forEach((number, place) => view.setBigUint64(56 + 8 * place, BigInt(number)));
  octets.set(header.key, 112);
  view.setUint32(128, header.blockBits);
  view.setUint32(132, header.bodyOctets);
  octets.set(header.bodySha256, 136);
  octets.set(header.baseSha256, 168);
  return octets;
}
