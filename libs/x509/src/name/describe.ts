import { toHex, utf8 } from '@fleetroot/core';
import { attributeTypes } from './attribute-types.ts';
import { type NameAttribute, parseName } from './name.ts';

/**
 * A Name as people read it (RFC 4514): the last relative distinguished name first, `+` within one. Values that are no
 * text come as `#` and hex. Empty for the empty name.
 * @throws PkiError `certificate.malformed`
 */
export function describeName(der: Uint8Array): string {
  const rdns: string[][] = [];
  for (const attribute of parseName(der, 'certificate.malformed')) (rdns[attribute.rdn] ??= []).push(describe(attribute));
  return rdns.reverse().map((rdn) => rdn.join('+')).join(',');
}

function describe({ oid, type, value, der }: NameAttribute): string {
  // An unknown type comes with its encoding, so that nothing of it is guessed (RFC 4514 section 2.4).
  return type === undefined || value === undefined
    ? `${type === undefined ? oid : attributeTypes[type].keyword}=#${toHex(der)}`
    : `${attributeTypes[type].keyword}=${escape(value)}`;
}

/** Escapes of RFC 4514 section 2.4; controls as hex pairs too, so that a log line stays one line. */
function escape(value: string): string {
  return value
    .replace(/["+,;<>\\]/g, (character) => `\\${character}`)
    .replace(/\p{Cc}/gu, (character) => toHex(utf8(character)).replace(/../g, '\\$&'))
    .replace(/^[ #]/, (character) => `\\${character}`)
    .replace(/ $/, '\\ ');
}
