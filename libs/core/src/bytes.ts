const SLAB = 32 * 1024;
/** Longer arrays have memory of their own, lest one that is kept holds much more than it needs. */
const LONGEST_SHARED = 2048;
let slab = new ArrayBuffer(SLAB);
let used = 0;

/**
 * A new array of zeros. Short ones share an ArrayBuffer, of which each has its own part: one of its own costs an
 * allocation outside of the heap, and the collector's work to free it.
 */
export function newOctets(length: number): Uint8Array {
  if (length > LONGEST_SHARED) return new Uint8Array(length);
  if (used + length > SLAB) {
    slab = new ArrayBuffer(SLAB);
    used = 0;
  }
  const octets = new Uint8Array(slab, used, length);
  used += length;
  return octets;
}

/** A copy with octets of its own, which `slice` of a Buffer is not. */
export function copyBytes(octets: Uint8Array): Uint8Array {
  const copy = newOctets(octets.length);
  copy.set(octets);
  return copy;
}

/** Concatenates the parts into one new array. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const joined = newOctets(length);
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/** Byte equality of public values. Not constant-time: compare secrets by `timingSafeEqual` of their hashes. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

/** Lower-case hexadecimal, two digits an octet. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** Octets of a hexadecimal string, or undefined where it is not one (odd length, other characters). */
export function fromHex(text: string): Uint8Array | undefined {
  return /^(?:[0-9a-fA-F]{2})*$/.test(text) ? new Uint8Array(Buffer.from(text, 'hex')) : undefined;
}

/** Base64 (RFC 4648 section 4), padded. */
export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/** Octets of padded base64 without white space, or undefined where the text is not exactly that. */
export function fromBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0) return undefined;
  const bytes = Buffer.from(text, 'base64');
  // Buffer skips what it does not know; encoding again is the cheapest exact check.
  return bytes.toString('base64') === text ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length) : undefined;
}

/** UTF-8 octets of a string. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
