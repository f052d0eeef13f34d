import { type ErrorCode, PkiError } from '@fleetroot/core';
import { DerReader } from '../der/reader.ts';
import { contextTag, sequence, tag, tlv } from '../der/writer.ts';

/** GeneralName (RFC 5280 section 4.2.1.6). */
export type GeneralName =
  | { readonly kind: 'dns' | 'uri' | 'email'; readonly value: string }
  /** 4 or 16 octets in network order. */
  | { readonly kind: 'ip'; readonly value: Uint8Array }
  /** Any other choice, whole as it came: tag, length, content. */
  | { readonly kind: 'other'; readonly value: Uint8Array };

export type GeneralNameKind = GeneralName['kind'];

/** Numbers of the choices that are IA5String, implicitly tagged. */
export const generalNameNumbers = { email: 1, dns: 2, uri: 6, ip: 7 } as const;

/** @throws PkiError `request.name-refused` for text outside ASCII or empty, or an address that is not 4 or 16 octets */
export function encodeGeneralName(name: GeneralName): Uint8Array {
  if (name.kind === 'other') return name.value;
  return tlv(contextTag(generalNameNumbers[name.kind], false), generalNameContent(name));
}

/** Content octets of a name that is not `other`. @throws PkiError `request.name-refused` */
export function generalNameContent(name: Exclude<GeneralName, { kind: 'other' }>): Uint8Array {
  if (name.kind === 'ip') {
    if (name.value.length === 4 || name.value.length === 16) return name.value;
    throw new PkiError('request.name-refused', 'an IP address has 4 or 16 octets', { data: { field: 'ip' } });
  }
  if (!/^[\x21-\x7e]+$/.test(name.value)) {
    throw new PkiError('request.name-refused', `a ${name.kind} name is printable ASCII without spaces`, {
      data: { field: name.kind },
    });
  }
  return Buffer.from(name.value, 'latin1');
}

/** GeneralNames, DER. @throws PkiError `request.name-refused` */
export const encodeGeneralNames = (names: readonly GeneralName[]): Uint8Array => sequence(...names.map(encodeGeneralName));

/** The names of a GeneralNames value. @throws PkiError `code` */
export function parseGeneralNames(der: Uint8Array, code: ErrorCode): GeneralName[] {
  const outer = new DerReader(der, code);
  const reader = outer.enter(tag.sequence, 'generalNames');
  outer.end('generalNames');
  return readGeneralNames(reader);
}

/** Whatever GeneralNames are left in `reader`. */
export function readGeneralNames(reader: DerReader): GeneralName[] {
  const names: GeneralName[] = [];
  while (!reader.atEnd) names.push(readGeneralName(reader));
  return names;
}

const kinds = new Map<number, 'dns' | 'uri' | 'email' | 'ip'>(
  Object.entries(generalNameNumbers).map(([kind, n]) => [contextTag(n, false), kind as 'dns' | 'uri' | 'email' | 'ip']),
);

function readGeneralName(reader: DerReader): GeneralName {
  const found = reader.peek() ?? 0;
  const kind = kinds.get(found);
  if (kind === undefined) {
    if ((found & 0xc0) !== 0x80) reader.fail('generalName', 'has a tag that GeneralName does not know');
    return { kind: 'other', value: reader.element('generalName') };
  }
  const content = reader.value(found, 'generalName');
  if (kind === 'ip') {
    if (content.length !== 4 && content.length !== 16) reader.fail('iPAddress', 'has not 4 or 16 octets');
    return { kind, value: content };
  }
  const value = Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString('latin1');
  if (!/^[\x20-\x7e]*$/.test(value)) reader.fail('generalName', 'has characters outside ASCII');
  return { kind, value };
}
