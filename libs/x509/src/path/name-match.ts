import { toHex } from '@fleetroot/core';
import { parseName } from '../name/name.ts';

/**
 * The relative distinguished names of a Name, each in a form that is equal exactly where RFC 5280 section 7.1 says that
 * they match: case, width and insignificant spaces of text do not count, nor does the order within one SET.
 * @throws PkiError `certificate.malformed` where it is not a Name
 */
export function comparableName(der: Uint8Array): string[] {
  const rdns: string[][] = [];
  for (const attribute of parseName(der, 'certificate.malformed')) {
    const value = attribute.value === undefined ? `#${toHex(attribute.der)}` : comparableText(attribute.value);
    (rdns[attribute.rdn] ??= []).push(`${attribute.oid}=${value}`);
  }
  return rdns.map((rdn) => rdn.sort().join('\0'));
}

/** Text after the parts of LDAP string preparation that change what equals what (RFC 5280 section 7.1). */
const comparableText = (text: string): string =>
  text.normalize('NFKC').toLowerCase().normalize('NFKC').trim().replace(/\s+/g, ' ');

export const sameName = (a: readonly string[], b: readonly string[]): boolean => a.length === b.length && isWithin(a, b);

/** Whether `name` lies in the subtree of `base`: it begins with all of its relative distinguished names. */
export const isWithin = (name: readonly string[], base: readonly string[]): boolean =>
  name.length >= base.length && base.every((rdn, place) => rdn === name[place]);
