import { PkiError } from '@fleetroot/core';
import type { Extension } from '../certificate/extension.ts';
import { encodeExtensions } from '../certificate/extension-list.ts';
import { enumerated, generalizedTime, tag, time as encodeTime } from '../der/writer.ts';

/** One revoked certificate of a CRL. */
export interface CrlEntry {
  /** Content octets of the serial's INTEGER, or its magnitude. */
  readonly serial: Uint8Array;
  /** Whole seconds count. */
  readonly revokedAt: Date;
  /** CRLReason of RFC 5280 section 5.3.1; 0 (unspecified) is left out of the entry. */
  readonly reason: number;
  readonly invalidityDate?: Date | undefined;
}

export const ID_CE_CRL_REASONS = '2.5.29.21';
export const ID_CE_INVALIDITY_DATE = '2.5.29.24';
/** removeFromCRL (8) belongs in delta CRLs only, and 7 is not used (RFC 5280 section 5.3.1). */
const REMOVE_FROM_CRL = 8;
const NAMED_REASONS: ReadonlySet<number> = new Set([0, 1, 2, 3, 4, 5, 6, REMOVE_FROM_CRL, 9, 10]);

/** Whether an entry may have this reason. */
export const isReasonOf = (reason: number, delta: boolean): boolean => NAMED_REASONS.has(reason) && (delta || reason !== REMOVE_FROM_CRL);
const CHUNK = 1 << 16;

/** Serial, GeneralizedTime and both extensions have 79 octets at most, so the length of an entry is one octet. */
const MAX_ENTRY = 2 + 0x7f;
const MAX_SERIAL = 20;
const SECONDS_A_DAY = 86_400;
const MAX_DAYS = 4000;

/**
 * Encodes entries of one CRL one after the other into chunks of 64 KiB, with as good as nothing to collect after each.
 * Neighbours in a ledger share their day and their reason, so those are encoded once.
 */
export class CrlEntryEncoder {
  #chunk: Uint8Array = new Uint8Array(CHUNK);
  #used = 0;
  #octets = 0;
  #count = 0;
  /** Content octets of the serial before. */
  readonly #last = new Uint8Array(MAX_SERIAL);
  #lastLength = 0;
  #ascending = true;
  #day = Number.NaN;
  /** Time, DER; the time of day in it is overwritten. */
  #time: Uint8Array = new Uint8Array(0);
  /** By day: revocations of some years, in the order of random serials, come from all of them in turn. */
  readonly #times = new Map<number, Uint8Array>();
  readonly #reasonExtensions = new Map<number, Uint8Array>();
  readonly #full: (chunk: Uint8Array) => Uint8Array | undefined;
  readonly delta: boolean;

  /**
   * @param full gets each chunk that is full, the start of its buffer, and may keep it: it is not written to again,
   *   unless `full` returns it, or an older one of CHUNK octets, to go on with
   * @param delta entries may say removeFromCRL
   */
  constructor(full: (chunk: Uint8Array) => Uint8Array | undefined, delta: boolean) {
    this.#full = full;
    this.delta = delta;
  }

  get count(): number {
    return this.#count;
  }

  /** Of all entries so far. */
  get octets(): number {
    return this.#octets;
  }

  /** Whether the content octets of each serial sort after those of the one before: then none came twice. */
  get ascending(): boolean {
    return this.#ascending;
  }

  /** What is left after the last full chunk. */
  get rest(): Uint8Array {
    return this.#chunk.subarray(0, this.#used);
  }

  /** @throws PkiError `crl.invalid` for a reason that a CRL of this kind does not know, or a serial that is not positive */
  add(entry: CrlEntry): void {
    const extensions = this.#extensions(entry);
    this.#setTime(entry.revokedAt);
    if (this.#used + MAX_ENTRY > CHUNK) {
      this.#chunk = this.#full(this.rest) ?? new Uint8Array(CHUNK);
      this.#used = 0;
    }
    const chunk = this.#chunk;
    const start = this.#used;
    let at = this.#putSerial(entry.serial, start + 2);
    chunk.set(this.#time, at);
    at += this.#time.length;
    chunk.set(extensions, at);
    at += extensions.length;
    chunk[start] = tag.sequence;
    chunk[start + 1] = at - start - 2;
    this.#used = at;
    this.#octets += at - start;
    this.#count++;
  }

  /** Writes the INTEGER, minimal and positive, and returns the place after it. */
  #putSerial(serial: Uint8Array, place: number): number {
    let from = 0;
    while (from < serial.length && serial[from] === 0) from++;
    const padding = (serial[from] ?? 0) >= 0x80 ? 1 : 0;
    const length = serial.length - from + padding;
    if (from === serial.length || length > MAX_SERIAL) {
      throw new PkiError('crl.invalid', 'a serial number on a CRL is positive and has at most 20 octets');
    }
    const chunk = this.#chunk;
    chunk[place] = tag.integer;
    chunk[place + 1] = length;
    const content = place + 2;
    if (padding === 1) chunk[content] = 0;
    for (let i = padding; i < length; i++) chunk[content + i] = serial[from + i - padding] ?? 0;
    this.#compareWithLast(content, length);
    return content + length;
  }

  #compareWithLast(content: number, length: number): void {
    const chunk = this.#chunk;
    const last = this.#last;
    const shared = Math.min(length, this.#lastLength);
    let same = 0;
    while (same < shared && chunk[content + same] === last[same]) same++;
    this.#ascending &&= same < shared ? (chunk[content + same] ?? 0) > (last[same] ?? 0) : length > this.#lastLength;
    for (let i = same; i < length; i++) last[i] = chunk[content + i] ?? 0;
    this.#lastLength = length;
  }

  #setTime(date: Date): void {
    const second = Math.floor(date.getTime() / 1000);
    const day = Math.floor(second / SECONDS_A_DAY);
    if (day !== this.#day) {
      this.#day = day;
      const known = this.#times.get(day);
      if (this.#times.size >= MAX_DAYS) this.#times.clear();
      this.#time = known ?? encodeTime(date);
      this.#times.set(day, this.#time);
    }
    const ofDay = second - day * SECONDS_A_DAY;
    // Either form ends in hhmmssZ.
    const at = this.#time.length - 7;
    this.#putDigits(at, Math.floor(ofDay / 3600));
    this.#putDigits(at + 2, Math.floor(ofDay / 60) % 60);
    this.#putDigits(at + 4, ofDay % 60);
  }

  #putDigits(at: number, value: number): void {
    const tens = Math.floor(value / 10);
    this.#time[at] = 0x30 + tens;
    this.#time[at + 1] = 0x30 + value - tens * 10;
  }

  #extensions(entry: CrlEntry): Uint8Array {
    if (!isReasonOf(entry.reason, this.delta)) throw new PkiError('crl.invalid', `CRLReason ${entry.reason} does not belong on a ${this.delta ? 'delta' : 'complete'} CRL`);
    if (entry.invalidityDate === undefined) {
      const known = this.#reasonExtensions.get(entry.reason);
      if (known !== undefined) return known;
    }
    const extensions: Extension[] = [];
    if (entry.reason !== 0) {
      extensions.push({ oid: ID_CE_CRL_REASONS, critical: false, value: enumerated(entry.reason) });
    }
    if (entry.invalidityDate !== undefined) {
      extensions.push({ oid: ID_CE_INVALIDITY_DATE, critical: false, value: generalizedTime(entry.invalidityDate) });
    }
    const encoded = extensions.length === 0 ? new Uint8Array(0) : encodeExtensions(extensions);
    if (entry.invalidityDate === undefined) this.#reasonExtensions.set(entry.reason, encoded);
    return encoded;
  }
}
