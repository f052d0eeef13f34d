import { isUtf8 } from 'node:buffer';
import { type ErrorCode, PkiError } from '@fleetroot/core';
import { DerReader } from '../der/reader.ts';
import { isPrintable, oid, sequence, tag, text, tlv } from '../der/writer.ts';
import { type AttributeType, type AttributeTypeName, attributeTypeName, attributeTypes } from './attribute-types.ts';

/** One attribute of a name, in a relative distinguished name of its own. */
export interface NamePart {
  readonly type: AttributeTypeName;
  readonly value: string;
}

/** An attribute as it stands in a name of others. */
export interface NameAttribute {
  /** Place of the relative distinguished name, from 0; attributes with the same place stand in one SET. */
  readonly rdn: number;
  readonly oid: string;
  readonly type: AttributeTypeName | undefined;
  /** The text, or undefined where the value is not of a string type that is known. */
  readonly value: string | undefined;
  /** The whole value: tag, length, content. */
  readonly der: Uint8Array;
}

/**
 * Name, DER: each part in its string type (RFC 5280 section 4.1.2.4), in the order given. PrintableString where the
 * characters allow, else UTF8String; countryName, serialNumber and dnQualifier only ever PrintableString;
 * domainComponent and emailAddress IA5String.
 * @throws PkiError `request.name-refused` where a value is too long, empty, or has characters that its type lacks
 */
export const encodeName = (parts: readonly NamePart[]): Uint8Array =>
  sequence(...parts.map(({ type, value }) => tlv(tag.set, sequence(oid(attributeTypes[type].oid), encodeValue(type, value)))));

/** The string of an attribute. @throws PkiError `request.name-refused` */
export function encodeValue(type: AttributeTypeName, value: string): Uint8Array {
  return text(stringTag(type, value), value);
}

/** The tag of the string type that `value` goes out in. @throws PkiError `request.name-refused` */
export function stringTag(type: AttributeTypeName, value: string): number {
  const { form, max, min }: AttributeType = attributeTypes[type];
  if (value.length < min) refuse(type, min === 1 ? 'is empty' : `has fewer than ${min} characters`);
  if (max !== undefined && value.length > max && [...value].length > max) refuse(type, `has more than ${max} characters`);
  if (form === 'ia5') return /^[\x20-\x7e]+$/.test(value) ? tag.ia5String : refuse(type, 'has characters outside ASCII');
  if (isPrintable(value)) return tag.printableString;
  if (form === 'printable') refuse(type, 'has characters that a PrintableString lacks');
  // Controls never belong in a name: they serve to deceive who reads it. A lone surrogate is not text.
  if (/\p{Cc}/u.test(value) || !value.isWellFormed()) refuse(type, 'has characters that are not text');
  return tag.utf8String;
}

function refuse(type: AttributeTypeName, what: string): never {
  throw new PkiError('request.name-refused', `${type} ${what}`, { data: { field: type } });
}

/** The attributes of a Name, in order. @throws PkiError `code` */
export function parseName(der: Uint8Array, code: ErrorCode): NameAttribute[] {
  const outer = new DerReader(der, code);
  const names = outer.enter(tag.sequence, 'name');
  outer.end('name');
  const attributes: NameAttribute[] = [];
  for (let rdn = 0; !names.atEnd; rdn++) {
    const set = names.enter(tag.set, 'relativeDistinguishedName');
    if (set.atEnd) set.fail('relativeDistinguishedName', 'is empty');
    while (!set.atEnd) attributes.push(readAttribute(set, rdn));
  }
  return attributes;
}

function readAttribute(set: DerReader, rdn: number): NameAttribute {
  const pair = set.enter(tag.sequence, 'attributeTypeAndValue');
  const dotted = pair.oid('attributeType');
  const found = pair.peek() ?? pair.fail('attributeValue', 'is missing');
  const der = pair.element('attributeValue');
  pair.end('attributeValue');
  const header = der.length > 0x81 ? (der[1] ?? 0) - 0x80 + 2 : 2;
  return {
    rdn, oid: dotted, type: attributeTypeName(dotted), der,
    value: decodeString(found, der.subarray(header)),
  };
}

const BMP_STRING = 0x1e;
const TELETEX_STRING = 0x14;

function decodeString(found: number, content: Uint8Array): string | undefined {
  const octets = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  switch (found) {
    case tag.utf8String:
      return isUtf8(octets) ? octets.toString('utf8') : undefined;
    case tag.printableString:
    case tag.ia5String:
    case TELETEX_STRING:
      return octets.toString('latin1');
    case BMP_STRING:
      return octets.length % 2 === 0 ? Buffer.from(octets).swap16().toString('utf16le') : undefined;
    default:
      return undefined;
  }
}
