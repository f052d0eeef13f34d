import { PkiError } from '@fleetroot/core';
import type { DerBackWriter } from '../der/back-writer.ts';
import { tag } from '../der/writer.ts';

/** INTEGER, minimal and positive, at most 20 octets (RFC 5280 section 4.1.2.2). */
export function writeSerial(writer: DerBackWriter, serial: Uint8Array): void {
  let start = 0;
  while (start < serial.length - 1 && serial[start] === 0) start++;
  const end = writer.length;
  const magnitude = start === 0 ? serial : serial.subarray(start);
  const first = magnitude[0] ?? 0;
  writer.bytes(magnitude);
  if (first >= 0x80) writer.octet(0);
  const length = writer.length - end;
  if (first === 0 || length > 20) {
    throw new PkiError('certificate.serial-invalid', 'a serial number is positive and at most 20 octets long');
  }
  writer.header(tag.integer, length);
}

export function writeValidity(writer: DerBackWriter, notBefore: Date, notAfter: Date): void {
  const end = writer.length;
  writeTime(writer, notAfter);
  writeTime(writer, notBefore);
  writer.header(tag.sequence, writer.length - end);
}

/** UTCTime through the year 2049, GeneralizedTime from 2050 on (RFC 5280 section 4.1.2.5). */
function writeTime(writer: DerBackWriter, date: Date): void {
  const year = date.getUTCFullYear();
  if (!(year >= 1950 && year <= 9999)) throw new RangeError('a certificate cannot express this time');
  writer.octet(0x5a);
  writer.twoDigits(date.getUTCSeconds());
  writer.twoDigits(date.getUTCMinutes());
  writer.twoDigits(date.getUTCHours());
  writer.twoDigits(date.getUTCDate());
  writer.twoDigits(date.getUTCMonth() + 1);
  writer.twoDigits(year);
  if (year < 2050) return writer.header(tag.utcTime, 13);
  writer.twoDigits(Math.trunc(year / 100));
  writer.header(tag.generalizedTime, 15);
}
