import { utf8 } from '@fleetroot/core';
import { contextTag, sequence, tlv } from '../der/writer.ts';
import { generalNameNumbers } from '../name/general-name.ts';

/** Base of a subtree of names (RFC 5280 section 4.2.1.10). */
export type NameSubtree =
  /** A domain; for URIs a host, or with a leading period a domain; for mail a mailbox, a host, or with a period a domain. */
  | { readonly kind: 'dns' | 'uri' | 'email'; readonly value: string }
  /** Address and mask: 8 or 32 octets. */
  | { readonly kind: 'ip'; readonly value: Uint8Array }
  /** Name, DER: the names that begin with its relative distinguished names. */
  | { readonly kind: 'directory'; readonly value: Uint8Array };

export interface NameSubtrees {
  readonly permitted?: readonly NameSubtree[];
  readonly excluded?: readonly NameSubtree[];
}

/** NameConstraints, DER; `minimum` is its DEFAULT 0 and `maximum` absent, as section 4.2.1.10 asks. */
export function encodeNameConstraints({ permitted = [], excluded = [] }: NameSubtrees): Uint8Array {
  if (permitted.length + excluded.length === 0) throw new RangeError('name constraints must not be empty (RFC 5280 section 4.2.1.10)');
  const list = (n: number, subtrees: readonly NameSubtree[]) =>
    (subtrees.length === 0 ? [] : [tlv(contextTag(n, true), ...subtrees.map((subtree) => sequence(base(subtree))))]);
  return sequence(...list(0, permitted), ...list(1, excluded));
}

function base({ kind, value }: NameSubtree): Uint8Array {
  // Name is a CHOICE, and a tag around a CHOICE is always explicit.
  if (kind === 'directory') return tlv(contextTag(4, true), value);
  if (kind === 'ip') {
    if (value.length !== 8 && value.length !== 32) throw new RangeError('an address and its mask have 8 or 32 octets');
    return tlv(contextTag(generalNameNumbers.ip, false), value);
  }
  if (!/^[\x21-\x7e]+$/.test(value)) throw new RangeError('the base of a subtree is printable ASCII without spaces');
  return tlv(contextTag(generalNameNumbers[kind], false), utf8(value));
}
