import type { DerReader } from '../der/reader.ts';
import { sequence, tag } from '../der/writer.ts';
import { encodeExtension, type Extension } from './extension.ts';
import { readExtensions } from './read-extension.ts';

/** Extensions, DER, in the given order, as CRLs, their entries and OCSP messages hold them. */
export const encodeExtensions = (extensions: readonly Extension[]): Uint8Array => sequence(...extensions.map(encodeExtension));

/** Reads Extensions whole: one at least, none twice (RFC 5280 section 4.2). */
export function readExtensionList(reader: DerReader, field: string): Extension[] {
  const extensions = readExtensions(reader.enter(tag.sequence, field));
  if (extensions.length === 0) reader.fail(field, 'is empty');
  const seen = new Set(extensions.map(({ oid }) => oid));
  if (seen.size !== extensions.length) reader.fail(field, 'has an extension twice');
  return extensions;
}
