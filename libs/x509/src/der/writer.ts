import { concatBytes, utf8 } from '@fleetroot/core';

/** ASN.1 tags as DER writes them (X.690 section 8.1.2): class, constructed bit and number in one octet. */
export const tag = {
  boolean: 0x01, integer: 0x02, bitString: 0x03, octetString: 0x04, null: 0x05, oid: 0x06, enumerated: 0x0a,
  utf8String: 0x0c, printableString: 0x13, ia5String: 0x16, utcTime: 0x17, generalizedTime: 0x18, sequence: 0x30,
  set: 0x31,
} as const;

/** `[n]` of context-specific class. */
export const contextTag = (n: number, constructed: boolean): number => 0x80 | (constructed ? 0x20 : 0) | n;

/** Octets of tag and length for `contentLength` octets of content, the length in its shortest form. */
export function header(tagOctet: number, contentLength: number): Uint8Array {
  if (contentLength < 0x80) return Uint8Array.of(tagOctet, contentLength);
  if (contentLength < 0x100) return Uint8Array.of(tagOctet, 0x81, contentLength);
  if (contentLength < 0x10000) return Uint8Array.of(tagOctet, 0x82, contentLength >> 8, contentLength & 0xff);
  if (contentLength < 0x1000000) {
    return Uint8Array.of(tagOctet, 0x83, contentLength >> 16, (contentLength >> 8) & 0xff, contentLength & 0xff);
  }
  return Uint8Array.of(
    tagOctet, 0x84, contentLength >>> 24, (contentLength >> 16) & 0xff, (contentLength >> 8) & 0xff, contentLength & 0xff,
  );
}

export function tlv(tagOctet: number, ...content: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of content) length += part.length;
  return concatBytes(header(tagOctet, length), ...content);
}

export const sequence = (...content: readonly Uint8Array[]): Uint8Array => tlv(tag.sequence, ...content);

/** SET OF: the encodings in ascending order, as DER asks (X.690 section 11.6). */
export const setOf = (...elements: readonly Uint8Array[]): Uint8Array =>
  tlv(tag.set, ...[...elements].sort((a, b) => Buffer.compare(a, b)));

export const boolean = (value: boolean): Uint8Array => Uint8Array.of(tag.boolean, 1, value ? 0xff : 0);

export const nullValue = (): Uint8Array => Uint8Array.of(tag.null, 0);

/** INTEGER from a number that is not negative, or from big-endian magnitude octets; minimal and positive. */
export function integer(value: number | bigint | Uint8Array): Uint8Array {
  let bytes = typeof value === 'object' ? value : magnitude(BigInt(value));
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  bytes = bytes.subarray(start);
  if (bytes.length === 0) bytes = Uint8Array.of(0);
  return (bytes[0] ?? 0) >= 0x80 ? tlv(tag.integer, Uint8Array.of(0), bytes) : tlv(tag.integer, bytes);
}

function magnitude(value: bigint): Uint8Array {
  if (value < 0n) throw new RangeError('negative INTEGERs do not occur in X.509');
  const hex = value.toString(16);
  return new Uint8Array(Buffer.from(hex.length % 2 === 1 ? `0${hex}` : hex, 'hex'));
}

export const enumerated = (value: number): Uint8Array => Uint8Array.of(tag.enumerated, 1, value);

/** OBJECT IDENTIFIER from dotted decimal. @throws RangeError where it is not one */
export function oid(dotted: string): Uint8Array {
  if (!/^(?:[01]\.[1-3]?\d|2\.\d+)(?:\.\d+)*$/.test(dotted)) throw new RangeError('not an object identifier');
  const [first = 0n, second = 0n, ...rest] = dotted.split('.').map(BigInt);
  const content: number[] = [];
  for (const arc of [first * 40n + second, ...rest]) {
    const groups = [Number(arc & 0x7fn)];
    for (let left = arc >> 7n; left > 0n; left >>= 7n) groups.unshift(Number(left & 0x7fn) | 0x80);
    content.push(...groups);
  }
  return tlv(tag.oid, Uint8Array.from(content));
}

export const octetString = (content: Uint8Array): Uint8Array => tlv(tag.octetString, content);

/** BIT STRING of whole octets. */
export const bitString = (content: Uint8Array): Uint8Array => tlv(tag.bitString, Uint8Array.of(0), content);

/** BIT STRING with named bits: trailing zero bits are left out (X.690 section 11.2.2). */
export function namedBits(bits: Iterable<number>): Uint8Array {
  const set = [...bits];
  if (set.length === 0) return tlv(tag.bitString, Uint8Array.of(0));
  const highest = Math.max(...set);
  const octets = new Uint8Array((highest >> 3) + 1);
  for (const bit of set) octets[bit >> 3] = (octets[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return tlv(tag.bitString, Uint8Array.of(7 - (highest & 7)), octets);
}

/** Text in the given string type; characters that the type lacks are a programming error and throw. */
export function text(tagOctet: number, value: string): Uint8Array {
  if (tagOctet === tag.printableString && !isPrintable(value)) throw new RangeError('not a PrintableString');
  if (tagOctet === tag.ia5String && !/^[\x20-\x7e]*$/.test(value)) throw new RangeError('not an IA5String');
  return tlv(tagOctet, utf8(value));
}

/** The characters of PrintableString (X.680 section 41.4, table 10). */
export const isPrintable = (value: string): boolean => /^[A-Za-z0-9 '()+,\-./:=?]*$/.test(value);

/**
 * Time of a certificate or CRL: UTCTime through the year 2049, GeneralizedTime from 2050 on, whole seconds, `Z`
 * (RFC 5280 section 4.1.2.5). Milliseconds are cut off.
 */
export function time(date: Date): Uint8Array {
  const year = date.getUTCFullYear();
  const generalized = `${String(year).padStart(4, '0')}${twoDigits(date)}Z`;
  return year >= 1950 && year < 2050
    ? tlv(tag.utcTime, utf8(generalized.slice(2)))
    : tlv(tag.generalizedTime, utf8(generalized));
}

/** GeneralizedTime whatever the year, as OCSP uses it (RFC 6960 section 4.2.2.1). */
export const generalizedTime = (date: Date): Uint8Array =>
  tlv(tag.generalizedTime, utf8(`${String(date.getUTCFullYear()).padStart(4, '0')}${twoDigits(date)}Z`));

function twoDigits(date: Date): string {
  return [date.getUTCMonth() + 1, date.getUTCDate(), date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()]
    .map((part) => String(part).padStart(2, '0'))
    .join('');
}

/** `[n] EXPLICIT`. */
export const explicit = (n: number, content: Uint8Array): Uint8Array => tlv(contextTag(n, true), content);
