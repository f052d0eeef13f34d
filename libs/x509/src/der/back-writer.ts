import { newOctets } from '@fleetroot/core';
import { tag } from './writer.ts';

/**
 * Writes DER from its end to its beginning, so that every length is known when its header is written: no copy of inner
 * values, no second pass. One instance is used over and over; nothing may be kept of its buffer.
 */
export class DerBackWriter {
  #buffer = Buffer.allocUnsafeSlow(4096);
  #start = this.#buffer.length;

  /** Octets written so far. Take it before and after to know the length of what is between. */
  get length(): number {
    return this.#buffer.length - this.#start;
  }

  clear(): void {
    this.#start = this.#buffer.length;
  }

  /** Puts `octets` in front. */
  bytes(octets: Uint8Array): void {
    this.#reserve(octets.length);
    this.#start -= octets.length;
    this.#buffer.set(octets, this.#start);
  }

  octet(value: number): void {
    this.#reserve(1);
    this.#buffer[--this.#start] = value;
  }

  /** Puts a string of characters up to U+00FF in front, an octet each. */
  latin1(text: string): void {
    this.#reserve(text.length);
    this.#start -= text.length;
    for (let i = 0; i < text.length; i++) this.#buffer[this.#start + i] = text.charCodeAt(i);
  }

  /** Puts two decimal digits in front. */
  twoDigits(value: number): void {
    this.octet(0x30 + (value % 10));
    this.octet(0x30 + (Math.trunc(value / 10) % 10));
  }

  /** Puts an INTEGER in front, minimal and positive, from big-endian magnitude octets: at least one. */
  integer(magnitude: Uint8Array): void {
    let start = 0;
    while (start < magnitude.length - 1 && magnitude[start] === 0) start++;
    const end = this.length;
    this.bytes(start === 0 ? magnitude : magnitude.subarray(start));
    if ((magnitude[start] ?? 0) >= 0x80) this.octet(0);
    this.header(tag.integer, this.length - end);
  }

  /** Puts tag and length in front of the `contentLength` octets written last. */
  header(tagOctet: number, contentLength: number): void {
    let length = contentLength;
    if (length < 0x80) {
      this.octet(length);
    } else {
      let octets = 0;
      for (; length > 0; length >>>= 8, octets++) this.octet(length & 0xff);
      this.octet(0x80 | octets);
    }
    this.octet(tagOctet);
  }

  /** A copy of everything written. */
  take(): Uint8Array {
    const copy = newOctets(this.#buffer.length - this.#start);
    copy.set(this.#buffer.subarray(this.#start));
    return copy;
  }

  #reserve(octets: number): void {
    if (octets <= this.#start) return;
    const used = this.#buffer.subarray(this.#start);
    const grown = Buffer.allocUnsafeSlow(2 * (used.length + octets));
    this.#start = grown.length - used.length;
    grown.set(used, this.#start);
    this.#buffer = grown;
  }
}
