import type { ErrorCode } from '@fleetroot/core';
import { DerReader } from '../der/reader.ts';
import { contextTag, tag } from '../der/writer.ts';
import { type GeneralName, parseGeneralNames } from '../name/general-name.ts';
import type { BasicConstraints, Extension } from './extension.ts';
import { extensionOids } from './oids.ts';
import {
  type DefaultValues, type InformationAccess, readAuthorityKeyIdentifier, readBasicConstraints, readDistributionPoints,
  readExtendedKeyUsage, readExtensions, readInformationAccess, readKeyUsage, readSubjectKeyIdentifier,
} from './read-extension.ts';

/** A time and the form it was written in. */
export interface TbsTime {
  readonly date: Date;
  readonly generalized: boolean;
}

/** TBSCertificate, taken apart once (RFC 5280 section 4.1.2). Byte fields are views of the input. */
export interface ParsedTbs {
  /** 1, 2 or 3. */
  readonly version: number;
  /** Content octets of the INTEGER. */
  readonly serial: Uint8Array;
  /** AlgorithmIdentifier, DER. */
  readonly algorithmDer: Uint8Array;
  readonly issuerDer: Uint8Array;
  readonly notBefore: TbsTime;
  readonly notAfter: TbsTime;
  readonly subjectDer: Uint8Array;
  readonly spkiDer: Uint8Array;
  readonly extensions: readonly Extension[];
  readonly known: KnownExtensions;
}

/** What the extensions say; undefined where one is absent. Of an extension that stands twice the first is read. */
interface KnownExtensions {
  basicConstraints?: BasicConstraints;
  keyUsage?: readonly string[];
  extendedKeyUsage?: readonly string[];
  subjectKeyIdentifier?: Uint8Array;
  /** Present though empty where the AKI names no key identifier. */
  authorityKeyIdentifier?: { readonly keyId: Uint8Array | undefined };
  subjectAltNames?: readonly GeneralName[];
  informationAccess?: InformationAccess;
  crlUrls?: readonly string[];
}

/** @throws PkiError `code` */
export function parseTbs(tbsDer: Uint8Array, code: ErrorCode, defaults: DefaultValues): ParsedTbs {
  const outer = new DerReader(tbsDer, code);
  const tbs = readTbs(outer, code, defaults);
  outer.end('tbsCertificate');
  return tbs;
}

export function readTbs(outer: DerReader, code: ErrorCode, defaults: DefaultValues): ParsedTbs {
  const reader = outer.enter(tag.sequence, 'tbsCertificate');
  const version = readVersion(reader);
  const serial = reader.integer('serialNumber');
  const algorithmDer = reader.element('signature', tag.sequence);
  const issuerDer = reader.element('issuer', tag.sequence);
  const validity = reader.enter(tag.sequence, 'validity');
  const notBefore = readTime(validity, 'notBefore');
  const notAfter = readTime(validity, 'notAfter');
  validity.end('validity');
  const subjectDer = reader.element('subject', tag.sequence);
  const spkiDer = reader.element('subjectPublicKeyInfo', tag.sequence);
  skipUniqueIdentifiers(reader);
  const extensions = readTbsExtensions(reader, version, defaults);
  reader.end('tbsCertificate');
  return {
    version, serial, algorithmDer, issuerDer, notBefore, notAfter, subjectDer, spkiDer, extensions,
    known: interpret(extensions, code, defaults),
  };
}

function readVersion(reader: DerReader): number {
  const explicit = reader.enterOptional(contextTag(0, true), 'version');
  if (explicit === undefined) return 1;
  const version = explicit.smallInteger('version') + 1;
  explicit.end('version');
  if (version !== 2 && version !== 3) reader.fail('version', 'is neither 2 nor 3');
  return version;
}

/** issuerUniqueID and subjectUniqueID (RFC 5280 section 4.1.2.8): never written, read over. */
function skipUniqueIdentifiers(reader: DerReader): void {
  for (const n of [1, 2]) if (reader.peek() === contextTag(n, false)) reader.element('uniqueIdentifier');
}

function readTbsExtensions(reader: DerReader, version: number, defaults: DefaultValues): Extension[] {
  const explicit = reader.enterOptional(contextTag(3, true), 'extensions');
  if (explicit === undefined) return [];
  if (version !== 3) reader.fail('extensions', 'stand in a certificate that is not of version 3');
  const list = explicit.enter(tag.sequence, 'extensions');
  explicit.end('extensions');
  if (list.atEnd) list.fail('extensions', 'are empty');
  return readExtensions(list, defaults);
}

/** UTCTime or GeneralizedTime in the one form that RFC 5280 section 4.1.2.5 allows each. */
export function readTime(reader: DerReader, field: string): TbsTime {
  const generalized = reader.peek() === tag.generalizedTime;
  const text = reader.value(generalized ? tag.generalizedTime : tag.utcTime, field);
  const digits = text.length - 1;
  if (digits !== (generalized ? 14 : 12) || text[digits] !== 0x5a) {
    reader.fail(field, 'is not of the form that RFC 5280 asks for');
  }
  const pair = (at: number): number => {
    const tens = (text[at] ?? 0) - 0x30;
    const ones = (text[at + 1] ?? 0) - 0x30;
    if (tens < 0 || tens > 9 || ones < 0 || ones > 9) reader.fail(field, 'has a character that is not a digit');
    return tens * 10 + ones;
  };
  const short = pair(digits - 12);
  const year = generalized ? pair(0) * 100 + short : short < 50 ? 2000 + short : 1900 + short;
  const date = dateOf(year, [pair(digits - 10), pair(digits - 8), pair(digits - 6), pair(digits - 4), pair(digits - 2)]);
  return { date: date ?? reader.fail(field, 'is no date'), generalized };
}

/** undefined for the 30th of February and the like: Date would quietly turn it into March. */
function dateOf(year: number, [month, day, hour, minute, second]: [number, number, number, number, number]): Date | undefined {
  const date = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  // Date.UTC takes the years 0 to 99 for 1900 to 1999.
  if (year < 100) date.setUTCFullYear(year);
  const same = date.getUTCMonth() === month - 1 && date.getUTCDate() === day && hour < 24 && minute < 60 && second < 60;
  return same ? date : undefined;
}

function interpret(extensions: readonly Extension[], code: ErrorCode, defaults: DefaultValues): KnownExtensions {
  const known: KnownExtensions = {};
  for (const { oid, value } of extensions) {
    switch (oid) {
      case extensionOids.basicConstraints: known.basicConstraints ??= readBasicConstraints(value, code, defaults); break;
      case extensionOids.keyUsage: known.keyUsage ??= readKeyUsage(value, code); break;
      case extensionOids.extendedKeyUsage: known.extendedKeyUsage ??= readExtendedKeyUsage(value, code); break;
      case extensionOids.subjectKeyIdentifier: known.subjectKeyIdentifier ??= readSubjectKeyIdentifier(value, code); break;
      case extensionOids.authorityKeyIdentifier:
        known.authorityKeyIdentifier ??= { keyId: readAuthorityKeyIdentifier(value, code) }; break;
      case extensionOids.subjectAltName: known.subjectAltNames ??= parseGeneralNames(value, code); break;
      case extensionOids.authorityInformationAccess: known.informationAccess ??= readInformationAccess(value, code); break;
      case extensionOids.crlDistributionPoints: known.crlUrls ??= readDistributionPoints(value, code); break;
      default:
    }
  }
  return known;
}
