import { type ErrorCode, PkiError } from '@fleetroot/core';
import { tag } from './writer.ts';

/** Nothing of X.509 nests deeper; a bound keeps a hostile input from eating the stack. */
const MAX_DEPTH = 32;
/** Octets of 7 bits that 128 bits need. */
const MAX_ARC_OCTETS = 19;

/**
 * Reads DER strictly, in order, without copying: definite lengths in their shortest form (X.690 sections 8.1.3 and
 * 10.1), single-octet tags, nothing past the end. Errors carry the offset from the start of the whole input and the
 * code that the caller chose.
 */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #code: ErrorCode;
  readonly #depth: number;
  readonly #end: number;
  #offset: number;

  constructor(bytes: Uint8Array, code: ErrorCode, offset = 0, end = bytes.length, depth = 0) {
    this.#bytes = bytes;
    this.#code = code;
    this.#offset = offset;
    this.#end = end;
    this.#depth = depth;
  }

  get atEnd(): boolean {
    return this.#offset === this.#end;
  }

  get offset(): number {
    return this.#offset;
  }

  /** The tag octet that comes next, or undefined at the end. */
  peek(): number | undefined {
    return this.#offset < this.#end ? this.#bytes[this.#offset] : undefined;
  }

  /** Content octets of the next value, which must have this tag. `field` names it in errors. */
  value(tagOctet: number, field: string): Uint8Array {
    const start = this.#take(tagOctet, field);
    return this.#bytes.subarray(start, this.#offset);
  }

  /** The next value whole: tag, length and content. */
  element(field: string, tagOctet?: number): Uint8Array {
    const from = this.#offset;
    this.#take(tagOctet, field);
    return this.#bytes.subarray(from, this.#offset);
  }

  /** A reader over the content of the next value. */
  enter(tagOctet: number, field: string): DerReader {
    if (this.#depth >= MAX_DEPTH) this.fail(field, 'is nested too deeply');
    const start = this.#take(tagOctet, field);
    return new DerReader(this.#bytes, this.#code, start, this.#offset, this.#depth + 1);
  }

  /** A reader over the next value if it has this tag, else undefined and nothing is read. */
  enterOptional(tagOctet: number, field: string): DerReader | undefined {
    return this.peek() === tagOctet ? this.enter(tagOctet, field) : undefined;
  }

  /** Content octets of an INTEGER, minimal; negative ones are refused. */
  integer(field: string): Uint8Array {
    const content = this.value(tag.integer, field);
    const [first, second] = content;
    if (first === undefined) this.fail(field, 'is an INTEGER without content');
    if (first === 0 && second !== undefined && second < 0x80) this.fail(field, 'is an INTEGER in more octets than it needs');
    if (first >= 0x80) this.fail(field, 'is negative');
    return content;
  }

  /** An INTEGER of at most 6 octets, as a number. */
  smallInteger(field: string): number {
    const content = this.integer(field);
    if (content.length > 6) this.fail(field, 'is too large');
    let value = 0;
    for (let i = 0; i < content.length; i++) value = value * 256 + (content[i] ?? 0);
    return value;
  }

  /** An OBJECT IDENTIFIER in dotted decimal. */
  oid(field: string): string {
    const content = this.value(tag.oid, field);
    let dotted = '';
    let arc: number | bigint = 0;
    let octets = 0;
    let first = true;
    for (let i = 0; i < content.length; i++) {
      const octet = content[i] ?? 0;
      if (first && octet === 0x80) this.fail(field, 'is an OID with a padded arc');
      // UUIDs (under 2.25) have 128 bits, and that is the most there is.
      if (++octets > MAX_ARC_OCTETS) this.fail(field, 'is an OID with an arc too large');
      arc = octets > 7 ? BigInt(arc) * 128n + BigInt(octet & 0x7f) : Number(arc) * 128 + (octet & 0x7f);
      first = octet < 0x80;
      if (!first) continue;
      dotted = dotted === '' ? firstArcs(arc) : `${dotted}.${arc}`;
      arc = octets = 0;
    }
    if (dotted === '' || !first) this.fail(field, 'is an OID that is cut off');
    return dotted;
  }

  /** Octets of a BIT STRING that has no unused bits. */
  bitString(field: string): Uint8Array {
    const content = this.value(tag.bitString, field);
    if (content[0] !== 0) this.fail(field, 'is a BIT STRING that does not end on an octet');
    return content.subarray(1);
  }

  boolean(field: string): boolean {
    const content = this.value(tag.boolean, field);
    if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) this.fail(field, 'is not a DER BOOLEAN');
    return content[0] === 0xff;
  }

  /** Refuses whatever follows. */
  end(field: string): void {
    if (!this.atEnd) this.fail(field, 'is followed by bytes that do not belong there');
  }

  fail(field: string, what: string): never {
    throw new PkiError(this.#code, `${field} at byte ${this.#offset} ${what}`, {
      data: { offset: this.#offset, field },
    });
  }

  /** Start of the content of the next value; moves past it, to its end. */
  #take(tagOctet: number | undefined, field: string): number {
    const bytes = this.#bytes;
    const from = this.#offset;
    const found = from < this.#end ? bytes[from] : undefined;
    if (found === undefined) this.fail(field, 'is missing: the input ends here');
    if (tagOctet !== undefined && found !== tagOctet) {
      this.fail(field, `has the tag 0x${hex(found)} where 0x${hex(tagOctet)} belongs`);
    }
    if ((found & 0x1f) === 0x1f) this.fail(field, 'has a tag of more than one octet');
    if (tagOctet === undefined && isConstructedString(found)) this.fail(field, 'is a string in pieces, which DER does not know');
    let at = from + 1;
    let length = at < this.#end ? (bytes[at] ?? 0) : this.fail(field, 'is cut off in its length');
    at++;
    if (length >= 0x80) {
      const octets = length & 0x7f;
      if (octets === 0) this.fail(field, 'has an indefinite length, which DER does not know');
      if (octets > 4 || at + octets > this.#end) this.fail(field, 'has a length that does not fit the input');
      length = 0;
      for (let i = 0; i < octets; i++) length = length * 256 + (bytes[at + i] ?? 0);
      if (length < 0x80 || (octets > 1 && (bytes[at] ?? 0) === 0)) {
        this.fail(field, 'has a length in more octets than it needs');
      }
      at += octets;
    }
    if (at + length > this.#end) this.fail(field, 'is longer than the input');
    this.#offset = at + length;
    return at;
  }
}

/** The first subidentifier holds two arcs (X.690 section 8.19). */
function firstArcs(subidentifier: number | bigint): string {
  if (subidentifier >= 80) return `2.${BigInt(subidentifier) - 80n}`;
  return subidentifier >= 40 ? `1.${Number(subidentifier) - 40}` : `0.${subidentifier}`;
}

/** A universal type in constructed form that is neither SEQUENCE nor SET (X.690 section 10.2). */
const isConstructedString = (tagOctet: number): boolean =>
  (tagOctet & 0xe0) === 0x20 && tagOctet !== tag.sequence && tagOctet !== tag.set;

const hex = (octet: number): string => octet.toString(16).padStart(2, '0');
