import { fromBase64 } from '@fleetroot/core';
import type { ClientReason } from '@fleetroot/trust';
import { LONGEST_TEXT } from './certificate-text.ts';

/** A chain has a few; more is refused unread. */
const MOST_IN_CHAIN = 10;
const OCTETS = /^:([A-Za-z0-9+/]*={0,2}):$/;

/**
 * `Client-Cert` of RFC 9440: the DER as a byte sequence of structured fields, without parameters. With `Client-Cert-Chain`
 * as well, the two are separated by a line feed, which no field has. Nothing is taken from the chain: the CAs are on
 * record. One that is not of the form is refused all the same.
 */
export function readClientCert(text: string): Uint8Array | ClientReason {
  if (text.length > LONGEST_TEXT) return 'header.malformed';
  const [certificate = '', chain] = text.split('\n', 2);
  if (chain !== undefined && !isChain(chain)) return 'header.malformed';
  return octetsOf(certificate.trim()) ?? 'header.malformed';
}

function isChain(text: string): boolean {
  const members = text.split(',', MOST_IN_CHAIN + 1).map((member) => octetsOf(member.trim()));
  return members.length <= MOST_IN_CHAIN && !members.includes(undefined);
}

/** Base64 as it must be written (RFC 4648), padded; none of no octets. */
function octetsOf(text: string): Uint8Array | undefined {
  const octets = fromBase64(OCTETS.exec(text)?.[1] ?? '');
  return octets === undefined || octets.length === 0 ? undefined : octets;
}
