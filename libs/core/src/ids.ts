import { fromHex, toHex } from './bytes.ts';
import { PkiError } from './pki-error.ts';

declare const brand: unique symbol;
type Branded<T, B extends string> = T & { readonly [brand]: B };

/** A certificate serial number as lower-case hex of its DER content octets: 2 to 40 digits, positive, minimal. */
export type Serial = Branded<string, 'Serial'>;

/** The serial number of an ECU as its maker printed it: 1 to 64 of `A-Z a-z 0-9 . _ : -`. */
export type EcuSerial = Branded<string, 'EcuSerial'>;

/** A part number: 1 to 64 of `A-Z a-z 0-9 . _ : -`, spaces excluded. */
export type PartNumber = Branded<string, 'PartNumber'>;

/** The lot that a supplier delivered an ECU in, as its papers have it: 1 to 64 of printable ASCII, no space at either end. */
export type Lot = Branded<string, 'Lot'>;

/** The short name of a CA in URLs, files and logs: `ecu-issuing-1`. */
export type CaName = Branded<string, 'CaName'>;

/** PrintableString has no `_` (X.680 section 41.4); such names go out as UTF8String. */
const PLATE = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;
const LOT = /^[\x21-\x7e](?:[\x20-\x7e]{0,62}[\x21-\x7e])?$/;
const CA_NAME = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;

/** @throws PkiError `ecu.serial-invalid` */
export function ecuSerial(text: string): EcuSerial {
  if (!PLATE.test(text)) {
    throw new PkiError('ecu.serial-invalid', 'an ECU serial has 1 to 64 letters, digits, ".", "_", ":" or "-"');
  }
  return text as EcuSerial;
}

/** @throws PkiError `ecu.part-number-invalid` */
export function partNumber(text: string): PartNumber {
  if (!PLATE.test(text)) {
    throw new PkiError('ecu.part-number-invalid', 'a part number has 1 to 64 letters, digits, ".", "_", ":" or "-"');
  }
  return text as PartNumber;
}

/** @throws PkiError `ecu.lot-invalid` */
export function lot(text: string): Lot {
  if (!LOT.test(text)) {
    throw new PkiError('ecu.lot-invalid', 'a lot has 1 to 64 printable ASCII characters, and no space at either end');
  }
  return text as Lot;
}

/** @throws PkiError `ca.name-invalid` */
export function caName(text: string): CaName {
  if (!CA_NAME.test(text)) {
    throw new PkiError('ca.name-invalid', 'a CA name has 1 to 64 lower-case letters, digits or inner "-"');
  }
  return text as CaName;
}

/**
 * Serial from hex as people and tools write it: upper or lower case, colons, leading zeros (OpenSSL prints both).
 * @throws PkiError `certificate.serial-invalid`
 */
export function serialFromHex(text: string): Serial {
  const digits = text.replaceAll(':', '');
  const bytes = fromHex(digits.length % 2 === 1 ? `0${digits}` : digits);
  if (bytes === undefined || bytes.length === 0 || bytes.length > 21) {
    throw new PkiError('certificate.serial-invalid', 'a serial number is 1 to 20 octets in hexadecimal');
  }
  return serialFromBytes(bytes);
}

/**
 * Serial from the content octets of a DER INTEGER, or from such octets with leading zeros.
 * A serial is positive and has at most 20 octets (RFC 5280 section 4.1.2.2).
 * @throws PkiError `certificate.serial-invalid`
 */
export function serialFromBytes(bytes: Uint8Array): Serial {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const magnitude = bytes.subarray(start);
  const first = magnitude[0] ?? 0;
  const content = first >= 0x80 ? Buffer.concat([Buffer.of(0), magnitude]) : magnitude;
  if (first === 0 || content.length > 20) {
    throw new PkiError('certificate.serial-invalid', 'a serial number is positive and at most 20 octets long');
  }
  return toHex(content) as Serial;
}

/** The DER content octets of a serial. */
export function serialToBytes(serial: Serial): Uint8Array {
  return new Uint8Array(Buffer.from(serial, 'hex'));
}
