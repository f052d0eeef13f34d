import type { ErrorCode } from '@fleetroot/core';
import { DerReader } from '../der/reader.ts';
import { contextTag, tag } from '../der/writer.ts';
import { readGeneralNames } from '../name/general-name.ts';
import type { BasicConstraints, Extension } from './extension.ts';
import { accessMethodOids, type KeyUsage, keyPurposeOids, keyUsages } from './oids.ts';

/** Opens the one SEQUENCE that an extension's value is. */
function open(value: Uint8Array, code: ErrorCode, field: string): DerReader {
  const outer = new DerReader(value, code);
  const reader = outer.enter(tag.sequence, field);
  outer.end(field);
  return reader;
}

/**
 * DER leaves out a value that equals its DEFAULT (X.690 section 11.5), but many CAs write `FALSE` out. Accepted where
 * others' certificates and requests are read, refused in what we are about to sign.
 */
export type DefaultValues = 'accept-defaults' | 'refuse-defaults';

/** The Extensions SEQUENCE that `reader` stands in (RFC 5280 section 4.1.2.9). */
export function readExtensions(reader: DerReader, defaults: DefaultValues = 'accept-defaults'): Extension[] {
  const extensions: Extension[] = [];
  while (!reader.atEnd) {
    const one = reader.enter(tag.sequence, 'extension');
    const oid = one.oid('extnID');
    const critical = readFlag(one, 'critical', defaults);
    const value = one.value(tag.octetString, 'extnValue');
    one.end('extnValue');
    extensions.push({ oid, critical, value });
  }
  return extensions;
}

/** BOOLEAN DEFAULT FALSE. */
function readFlag(reader: DerReader, field: string, defaults: DefaultValues): boolean {
  if (reader.peek() !== tag.boolean) return false;
  const flag = reader.boolean(field);
  if (!flag && defaults === 'refuse-defaults') reader.fail(field, 'writes out FALSE, which DER leaves out');
  return flag;
}

export function readBasicConstraints(
  value: Uint8Array, code: ErrorCode, defaults: DefaultValues = 'accept-defaults',
): BasicConstraints {
  const reader = open(value, code, 'basicConstraints');
  const ca = readFlag(reader, 'cA', defaults);
  const pathLength = reader.atEnd ? undefined : reader.smallInteger('pathLenConstraint');
  reader.end('basicConstraints');
  return pathLength === undefined ? { ca } : { ca, pathLength };
}

export function readKeyUsage(value: Uint8Array, code: ErrorCode): KeyUsage[] {
  const reader = new DerReader(value, code);
  const bits = reader.value(tag.bitString, 'keyUsage');
  reader.end('keyUsage');
  const unused = bits[0] ?? reader.fail('keyUsage', 'is a BIT STRING without content');
  const last = bits[bits.length - 1] ?? 0;
  if (unused > 7 || bits.length > 3 || (bits.length === 1 && unused !== 0)) reader.fail('keyUsage', 'is not a valid BIT STRING');
  if (bits.length > 1 && (last & ((1 << unused) - 1)) !== 0) reader.fail('keyUsage', 'has padding bits that are set');
  return keyUsages.filter((_, bit) => (((bits[1 + (bit >> 3)] ?? 0) << (bit & 7)) & 0x80) !== 0);
}

const purposeNames = new Map<string, string>(Object.entries(keyPurposeOids).map(([name, oid]) => [oid, name]));

/** Names where they are known, else OIDs. */
export function readExtendedKeyUsage(value: Uint8Array, code: ErrorCode): string[] {
  const reader = open(value, code, 'extKeyUsage');
  const purposes: string[] = [];
  while (!reader.atEnd) {
    const oid = reader.oid('keyPurposeId');
    purposes.push(purposeNames.get(oid) ?? oid);
  }
  if (purposes.length === 0) reader.fail('extKeyUsage', 'names no purpose');
  return purposes;
}

export function readSubjectKeyIdentifier(value: Uint8Array, code: ErrorCode): Uint8Array {
  const reader = new DerReader(value, code);
  const id = reader.value(tag.octetString, 'subjectKeyIdentifier');
  reader.end('subjectKeyIdentifier');
  return id;
}

/** The keyIdentifier, or undefined where the extension names the issuer in another way. */
export function readAuthorityKeyIdentifier(value: Uint8Array, code: ErrorCode): Uint8Array | undefined {
  const reader = open(value, code, 'authorityKeyIdentifier');
  const id = reader.peek() === contextTag(0, false) ? reader.value(contextTag(0, false), 'keyIdentifier') : undefined;
  if (reader.peek() === contextTag(1, true)) reader.element('authorityCertIssuer');
  if (reader.peek() === contextTag(2, false)) reader.element('authorityCertSerialNumber');
  reader.end('authorityKeyIdentifier');
  return id;
}

export interface InformationAccess {
  readonly ocsp: readonly string[];
  readonly caIssuers: readonly string[];
}

export function readInformationAccess(value: Uint8Array, code: ErrorCode): InformationAccess {
  const reader = open(value, code, 'authorityInfoAccess');
  const found = { ocsp: [] as string[], caIssuers: [] as string[] };
  if (reader.atEnd) reader.fail('authorityInfoAccess', 'names no location');
  while (!reader.atEnd) {
    const description = reader.enter(tag.sequence, 'accessDescription');
    const method = description.oid('accessMethod');
    const [location] = readGeneralNames(description);
    if (location?.kind !== 'uri') continue;
    if (method === accessMethodOids.ocsp) found.ocsp.push(location.value);
    if (method === accessMethodOids.caIssuers) found.caIssuers.push(location.value);
  }
  return found;
}

/** URIs of the full names of all distribution points, in order. */
export function readDistributionPoints(value: Uint8Array, code: ErrorCode): string[] {
  const reader = open(value, code, 'cRLDistributionPoints');
  if (reader.atEnd) reader.fail('cRLDistributionPoints', 'names no distribution point');
  const uris: string[] = [];
  while (!reader.atEnd) {
    const point = reader.enter(tag.sequence, 'distributionPoint');
    const name = point.enterOptional(contextTag(0, true), 'distributionPointName');
    const fullName = name?.enterOptional(contextTag(0, true), 'fullName');
    if (fullName === undefined) continue;
    for (const { kind, value: location } of readGeneralNames(fullName)) if (kind === 'uri') uris.push(location);
  }
  return uris;
}
