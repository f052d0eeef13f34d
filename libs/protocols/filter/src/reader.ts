import { constants, createHash, createPublicKey, type KeyObject, timingSafeEqual, verify } from 'node:crypto';

// The whole of a reader: copy this file into a gateway. It needs node:crypto alone. The format: docs/filter.md.

/** `not-covered`: issued after the filter was made, ask OCSP or a CRL. `too-old`: so is the filter, fetch a newer one. `other-ca`: the filter is of another CA. */
export type FilterAnswer = 'revoked' | 'not-revoked' | 'not-covered' | 'too-old' | 'other-ca';

/** In the order of their numbers in the file, from 1. */
export const filterAlgorithms = [
  'ecdsa-sha256', 'ecdsa-sha384', 'ecdsa-sha512', 'ed25519', 'rsa-sha256', 'rsa-sha384', 'rsa-sha512',
  'rsa-pss-sha256', 'rsa-pss-sha384', 'rsa-pss-sha512',
] as const;
export type FilterAlgorithm = (typeof filterAlgorithms)[number];

export const HEADER_OCTETS = 200;
export const BLOCK_OCTETS = 28;
const SERIAL_OCTETS = 20;
export const MAGIC = 0x46525246;
export const FORMAT = 1;
const MOST_BLOCK_BITS = 8;
const MOST_FINGERPRINT_BITS = 24;
const MOST_SEGMENT_BITS = 18;
/** Tables of one level have fewer cells than this. */
const MOST_CELLS = 2 ** 31;

export interface FilterHeader {
  readonly kind: 'full' | 'delta';
  readonly algorithm: FilterAlgorithm;
  readonly fingerprintBits: number;
  /** SHA-256 of the CA's SubjectPublicKeyInfo. */
  readonly ca: Uint8Array;
  readonly version: bigint;
  /** Of the full filter that a delta goes with; 0 in a full one. */
  readonly baseVersion: bigint;
  /** Times are seconds since 1970. */
  readonly madeAt: number;
  /** Certificates with a notBefore up to this are covered. */
  readonly coveredUntil: number;
  readonly nextUpdate: number;
  readonly known: number;
  readonly revoked: number;
  /** Serials that the tables say yes to: the revoked ones, in a delta those that changed. */
  readonly marked: number;
  readonly baseCoveredUntil: number;
  readonly key: Uint8Array;
  readonly blockBits: number;
  readonly bodyOctets: number;
  readonly bodySha256: Uint8Array;
  /** SHA-256 of the base's header; zeros in a full filter. */
  readonly baseSha256: Uint8Array;
}

/** The file is damaged, forged, or of another format. */
export class FilterError extends Error {
  override readonly name = 'FilterError';
}

/** The certificate that is asked about. It must have been verified: signature, issuer, and that it has not expired. */
export interface AskedCertificate {
  /** SHA-256 of the issuer's SubjectPublicKeyInfo. */
  readonly issuer: Uint8Array;
  /** Big-endian, with or without leading zeros. */
  readonly serial: Uint8Array;
  readonly notBefore: Date;
}

/** The 128 bits that tables are looked up by: SipHash-2-4-128 of the serial as 20 octets, as four words. */
export class SerialHash {
  x0 = 0;
  x1 = 0;
  x2 = 0;
  x3 = 0;
  readonly #key: Int32Array;

  constructor(key: Uint8Array) {
    const words = new DataView(key.buffer, key.byteOffset, 16);
    this.#key = Int32Array.from([0, 4, 8, 12], (at) => words.getInt32(at, true));
  }

  /** @param serial 1 to 20 octets; a shorter one counts as with zeros before it */
  of(serial: Uint8Array): this {
    const padding = SERIAL_OCTETS - serial.length;
    if (padding < 0) throw new RangeError('a serial has 20 octets at most');
    const word = (at: number): number => {
      let value = 0;
      for (let i = 3; i >= 0; i--) value = (value << 8) | (at + i < padding ? 0 : (serial[at + i - padding] ?? 0));
      return value;
    };
    const key = this.#key;
    const [k0, k1, k2, k3] = [key[0] ?? 0, key[1] ?? 0, key[2] ?? 0, key[3] ?? 0];
    // v0 to v3, low and high halves.
    let a = k0 ^ 0x70736575, A = k1 ^ 0x736f6d65;
    let b = k2 ^ 0x6e646f6d ^ 0xee, B = k3 ^ 0x646f7261;
    let c = k0 ^ 0x6e657261, C = k1 ^ 0x6c796765;
    let d = k2 ^ 0x79746573, D = k3 ^ 0x74656462;
    // Three blocks of two rounds, four rounds, four rounds.
    for (let round = 0; round < 14; round++) {
      let low = 0, high = 0;
      const block = round < 6 && (round & 1) === 0;
      if (block) {
        low = word(round << 2);
        high = round === 4 ? SERIAL_OCTETS << 24 : word((round << 2) + 4);
        d ^= low; D ^= high;
      } else if (round === 6) {
        c ^= 0xee;
      } else if (round === 10) {
        this.x0 = (a ^ b ^ c ^ d) >>> 0; this.x1 = (A ^ B ^ C ^ D) >>> 0;
        b ^= 0xdd;
      }
      let sum = (a >>> 0) + (b >>> 0);
      A = (A + B + (sum > 0xffffffff ? 1 : 0)) | 0; a = sum | 0;
      let turned = (b << 13) | (B >>> 19);
      B = ((B << 13) | (b >>> 19)) ^ A; b = turned ^ a;
      turned = a; a = A; A = turned;
      sum = (c >>> 0) + (d >>> 0);
      C = (C + D + (sum > 0xffffffff ? 1 : 0)) | 0; c = sum | 0;
      turned = (d << 16) | (D >>> 16);
      D = ((D << 16) | (d >>> 16)) ^ C; d = turned ^ c;
      sum = (a >>> 0) + (d >>> 0);
      A = (A + D + (sum > 0xffffffff ? 1 : 0)) | 0; a = sum | 0;
      turned = (d << 21) | (D >>> 11);
      D = ((D << 21) | (d >>> 11)) ^ A; d = turned ^ a;
      sum = (c >>> 0) + (b >>> 0);
      C = (C + B + (sum > 0xffffffff ? 1 : 0)) | 0; c = sum | 0;
      turned = (b << 17) | (B >>> 15);
      B = ((B << 17) | (b >>> 15)) ^ C; b = turned ^ c;
      turned = c; c = C; C = turned;
      if ((round & 1) === 1 && round < 6) {
        const at = (round >> 1) << 3;
        a ^= word(at); A ^= at === 16 ? SERIAL_OCTETS << 24 : word(at + 4);
      }
    }
    this.x2 = (a ^ b ^ c ^ d) >>> 0; this.x3 = (A ^ B ^ C ^ D) >>> 0;
    return this;
  }
}

/** The last step of MurmurHash3: each bit of the result hangs on each bit of `word`. */
function mix(word: number): number {
  let h = word;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

type Words = Pick<SerialHash, 'x0' | 'x1' | 'x2' | 'x3'>;

/** Which of 2^bits blocks a serial belongs to. */
export const blockOf = ({ x0, x1, x2, x3 }: Words, bits: number): number => (bits === 0 ? 0 : mix(x0 ^ x1 ^ x2 ^ x3) >>> (32 - bits));

/** One level of one block: cells of some bits, of which the three that belong to a serial are xored. */
export interface Table {
  readonly seed: number;
  /** So many segments may be the first of three that follow one another; 0: the table is empty. */
  readonly segments: number;
  /** log2 of the cells a segment. */
  readonly segmentBits: number;
}

export const cellsOf = ({ segments, segmentBits }: Table): number => (segments === 0 ? 0 : (segments + 2) * 2 ** segmentBits);

/** The cells of a serial in the table. */
export function placesOf(table: Table, { x0, x1, x2, x3 }: Words, into: Uint32Array | number[]): void {
  const { seed, segments, segmentBits } = table;
  const mask = (1 << segmentBits) - 1;
  const segment = Math.floor((mix(x0 ^ seed) * segments) / 0x1_0000_0000);
  into[0] = segment * (mask + 1) + (mix(x1 ^ seed) & mask);
  into[1] = (segment + 1) * (mask + 1) + (mix(x2 ^ seed) & mask);
  into[2] = (segment + 2) * (mask + 1) + (mix(x3 ^ seed) & mask);
}

/** What the cells of the first level give, xored, for a serial that is marked. */
export const fingerprintOf = ({ x0, x1, x2, x3 }: Words, seed: number, bits: number): number =>
  (mix(Math.imul(x0, 3) ^ Math.imul(x1, 5) ^ Math.imul(x2, 7) ^ Math.imul(x3, 9) ^ ~seed) & ((1 << bits) - 1)) >>> 0;

/** Cell number `place` of `bits` bits each: the lowest bit of an octet comes first. */
function cell(octets: Uint8Array, at: number, place: number, bits: number): number {
  const first = place * bits;
  let octet = at + Math.floor(first / 8);
  const skipped = first % 8;
  let value = (octets[octet] ?? 0) >>> skipped;
  for (let had = 8 - skipped; had < bits; had += 8) value |= (octets[++octet] ?? 0) << had;
  return value & ((1 << bits) - 1);
}

interface Block {
  readonly first: Table;
  readonly firstAt: number;
  readonly second: Table;
  readonly secondAt: number;
}

/** The tables of one file, which say of each serial they were made of whether it is marked. */
export class Marks {
  readonly #body: Uint8Array;
  readonly #blocks: readonly Block[];
  readonly #header: Pick<FilterHeader, 'blockBits' | 'fingerprintBits'>;
  readonly #places = [0, 0, 0];

  /** @throws FilterError where a table does not lie in the body */
  constructor(header: Pick<FilterHeader, 'blockBits' | 'fingerprintBits'>, body: Uint8Array) {
    this.#header = header;
    this.#body = body;
    const count = 2 ** header.blockBits;
    const least = count * BLOCK_OCTETS;
    if (body.length < least) throw new FilterError('the blocks are cut off');
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    this.#blocks = Array.from({ length: count }, (_, i) => {
      const word = (at: number): number => view.getUint32(i * BLOCK_OCTETS + at);
      const block: Block = {
        firstAt: word(0), secondAt: word(4),
        first: { seed: word(8), segments: word(16), segmentBits: view.getUint8(i * BLOCK_OCTETS + 24) },
        second: { seed: word(12), segments: word(20), segmentBits: view.getUint8(i * BLOCK_OCTETS + 25) },
      };
      if (view.getUint16(i * BLOCK_OCTETS + 26) !== 0) throw new FilterError('a block has octets that are not zero');
      requireInside(block.first, block.firstAt, header.fingerprintBits, least, body.length);
      requireInside(block.second, block.secondAt, 1, least, body.length);
      if (block.second.segments > 0 && header.fingerprintBits > 0 && block.first.segments === 0) throw new FilterError('a block has no first level');
      return block;
    });
  }

  has(words: Words): boolean {
    const { blockBits, fingerprintBits } = this.#header;
    const block = this.#blocks[blockOf(words, blockBits)];
    if (block === undefined || block.second.segments === 0) return false;
    if (fingerprintBits > 0
      && this.#cells(block.first, block.firstAt, words, fingerprintBits) !== fingerprintOf(words, block.first.seed, fingerprintBits)) return false;
    return this.#cells(block.second, block.secondAt, words, 1) === 1;
  }

  #cells(table: Table, at: number, words: Words, bits: number): number {
    placesOf(table, words, this.#places);
    const [a = 0, b = 0, c = 0] = this.#places;
    return cell(this.#body, at, a, bits) ^ cell(this.#body, at, b, bits) ^ cell(this.#body, at, c, bits);
  }
}

function requireInside(table: Table, at: number, bits: number, least: number, most: number): void {
  const { segments, segmentBits } = table;
  if (segmentBits > MOST_SEGMENT_BITS || segments >= MOST_CELLS || cellsOf(table) >= MOST_CELLS) throw new FilterError('a table is larger than any may be');
  if (segments === 0) return;
  if (at < least || at + Math.ceil((cellsOf(table) * bits) / 8) > most) throw new FilterError('a table does not lie in the file');
}

/**
 * Reads the header alone, for which the first 200 octets are enough.
 * @throws FilterError where it is no header of this format
 */
export function readHeader(octets: Uint8Array): FilterHeader {
  if (octets.length < HEADER_OCTETS) throw new FilterError('the header is cut off');
  const view = new DataView(octets.buffer, octets.byteOffset, HEADER_OCTETS);
  const bytes = (from: number, length: number): Uint8Array => octets.slice(from, from + length);
  const number = (at: number): number => {
    const value = Number(view.getBigUint64(at));
    if (!Number.isSafeInteger(value)) throw new FilterError('a number of the header is too large');
    return value;
  };
  if (view.getUint32(0) !== MAGIC) throw new FilterError('this is no revocation filter');
  if (view.getUint8(4) !== FORMAT) throw new FilterError('the format is newer than this reader');
  const [kind, algorithm, fingerprintBits, blockBits] = [view.getUint8(5), filterAlgorithms[view.getUint8(6) - 1], view.getUint8(7), view.getUint32(128)];
  if (kind > 1 || algorithm === undefined || fingerprintBits > MOST_FINGERPRINT_BITS || blockBits > MOST_BLOCK_BITS) throw new FilterError('the header says what cannot be');
  const header: FilterHeader = {
    kind: kind === 0 ? 'full' : 'delta', algorithm, fingerprintBits, ca: bytes(8, 32), version: view.getBigUint64(40), baseVersion: view.getBigUint64(48),
    madeAt: number(56), coveredUntil: number(64), nextUpdate: number(72), known: number(80), revoked: number(88), marked: number(96), baseCoveredUntil: number(104),
    key: bytes(112, 16), blockBits, bodyOctets: view.getUint32(132), bodySha256: bytes(136, 32), baseSha256: bytes(168, 32),
  };
  if ((header.kind === 'full') !== (header.baseVersion === 0n) || header.baseVersion >= header.version) throw new FilterError('the header names a base that cannot be');
  return header;
}

/** A file whose signature and digest hold. */
export class FilterFile {
  readonly header: FilterHeader;
  /** SHA-256 of the header, by which a delta names its base. */
  readonly headerSha256: Uint8Array;
  readonly marks: Marks;

  /**
   * Keeps `octets`, which must not change.
   * @param issuerSpki SubjectPublicKeyInfo (DER) of the CA, from its certificate
   * @throws FilterError where the file is damaged or not signed by this CA
   */
  constructor(octets: Uint8Array, issuerSpki: Uint8Array) {
    this.header = readHeader(octets);
    if (!same(this.header.ca, sha256(issuerSpki))) throw new FilterError('the filter is of another CA');
    if (octets.length < HEADER_OCTETS + 2) throw new FilterError('the signature is cut off');
    const signatureEnd = HEADER_OCTETS + 2 + ((octets[HEADER_OCTETS] ?? 0) << 8 | (octets[HEADER_OCTETS + 1] ?? 0));
    if (octets.length !== signatureEnd + this.header.bodyOctets) throw new FilterError('the file is longer or shorter than its header says');
    const signed = octets.subarray(0, HEADER_OCTETS);
    if (!signatureHolds(this.header.algorithm, issuerSpki, signed, octets.subarray(HEADER_OCTETS + 2, signatureEnd))) throw new FilterError('the signature is not of this CA');
    const body = octets.subarray(signatureEnd);
    if (!same(sha256(body), this.header.bodySha256)) throw new FilterError('the tables are not those that were signed');
    this.headerSha256 = sha256(signed);
    this.marks = new Marks(this.header, body);
  }
}

/** A full filter, with the newest delta of it where there is one. */
export class RevocationFilter {
  readonly #full: FilterFile;
  readonly #delta: FilterFile | undefined;
  readonly #hash: SerialHash;

  /** @throws FilterError where the delta is of another base */
  constructor(full: FilterFile, delta?: FilterFile) {
    if (full.header.kind !== 'full') throw new FilterError('a delta is of no use without the full filter it goes with');
    if (delta !== undefined) {
      const { kind, baseVersion, baseSha256, baseCoveredUntil, key } = delta.header;
      const fits = kind === 'delta' && baseVersion === full.header.version && same(baseSha256, full.headerSha256)
        && baseCoveredUntil === full.header.coveredUntil && same(key, full.header.key);
      if (!fits) throw new FilterError('the delta goes with another full filter');
    }
    this.#full = full;
    this.#delta = delta;
    this.#hash = new SerialHash(full.header.key);
  }

  /** Which it is as: that of the delta where there is one. */
  get version(): bigint {
    return (this.#delta ?? this.#full).header.version;
  }

  status({ issuer, serial, notBefore }: AskedCertificate, now: Date): FilterAnswer {
    const { header } = this.#delta ?? this.#full;
    if (!same(issuer, header.ca)) return 'other-ca';
    if (now.getTime() > header.nextUpdate * 1000) return 'too-old';
    const begins = Math.floor(notBefore.getTime() / 1000);
    const digits = withoutZeros(serial);
    if (!(begins <= header.coveredUntil) || digits.length > SERIAL_OCTETS) return 'not-covered';
    const words = this.#hash.of(digits);
    const before = begins <= this.#full.header.coveredUntil && this.#full.marks.has(words);
    return before !== (this.#delta?.marks.has(words) ?? false) ? 'revoked' : 'not-revoked';
  }
}

function withoutZeros(serial: Uint8Array): Uint8Array {
  let zeros = 0;
  while (zeros < serial.length && serial[zeros] === 0) zeros++;
  return serial.subarray(zeros);
}

const sha256 = (octets: Uint8Array): Uint8Array => createHash('sha256').update(octets).digest();
const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b);

/** ECDSA signatures are r and s, each as long as the curve's order. */
function signatureHolds(algorithm: FilterAlgorithm, spki: Uint8Array, signed: Uint8Array, signature: Uint8Array): boolean {
  try {
    const key: KeyObject = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
    const type = key.asymmetricKeyType === 'ec' ? 'ecdsa' : key.asymmetricKeyType;
    if (type === undefined || !algorithm.startsWith(type)) return false;
    if (algorithm === 'ed25519') return verify(null, signed, key, signature);
    if (algorithm.startsWith('rsa-pss')) {
      return verify(digestOf(algorithm), signed, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }, signature);
    }
    return verify(digestOf(algorithm), signed, algorithm.startsWith('ecdsa') ? { key, dsaEncoding: 'ieee-p1363' } : key, signature);
  } catch {
    return false;
  }
}

const digestOf = (algorithm: FilterAlgorithm): string => algorithm.slice(algorithm.lastIndexOf('-') + 1);
