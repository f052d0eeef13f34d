import { concatBytes } from '@fleetroot/core';
import type { DerBackWriter } from '../der/back-writer.ts';
import { contextTag, oid, sequence, tag, tlv } from '../der/writer.ts';
import { keyIdentifier } from '../key/public-key.ts';
import { type AttributeTypeName, attributeTypes } from '../name/attribute-types.ts';
import { type GeneralName, generalNameContent, generalNameNumbers } from '../name/general-name.ts';
import { encodeValue, stringTag } from '../name/name.ts';
import { encodeExtension } from './extension.ts';
import { extensionOids } from './oids.ts';
import type { TemplateExtension, TemplateHoles, TemplateSubjectPart } from './template-fields.ts';

/** Bytes that never change, or what to write in their place. */
export type Piece =
  | { readonly kind: 'fixed'; readonly bytes: Uint8Array }
  | { readonly kind: 'attribute'; readonly type: AttributeTypeName; readonly oid: Uint8Array; readonly hole: string }
  | { readonly kind: 'subjectKeyIdentifier' }
  | { readonly kind: 'subjectAltName'; readonly header: Uint8Array };

/** SEQUENCE, OID and the headers of both OCTET STRINGs in front of a key identifier of 20 octets. */
const SKI_HEADER = encodeExtension({
  oid: extensionOids.subjectKeyIdentifier, critical: false, value: tlv(tag.octetString, new Uint8Array(20)),
}).subarray(0, -20);

export function subjectPiece({ type, from }: TemplateSubjectPart): Piece {
  const attribute = oid(attributeTypes[type].oid);
  return 'hole' in from
    ? { kind: 'attribute', type, oid: attribute, hole: from.hole }
    : { kind: 'fixed', bytes: tlv(tag.set, sequence(attribute, encodeValue(type, from.fixed))) };
}

export function extensionPiece(extension: TemplateExtension): Piece {
  if (!('hole' in extension)) return { kind: 'fixed', bytes: encodeExtension(extension) };
  if (extension.hole === 'subjectKeyIdentifier') return { kind: 'subjectKeyIdentifier' };
  const { critical } = extension;
  const empty = encodeExtension({ oid: extensionOids.subjectAltName, critical, value: new Uint8Array(0) });
  // OID and criticality: what stands between the header of the SEQUENCE and the OCTET STRING.
  return { kind: 'subjectAltName', header: empty.subarray(2, -2) };
}

/** Neighbouring fixed bytes as one run. */
export function merge(pieces: readonly Piece[]): Piece[] {
  const merged: Piece[] = [];
  for (const piece of pieces) {
    const last = merged.at(-1);
    if (piece.kind === 'fixed' && last?.kind === 'fixed') {
      merged[merged.length - 1] = { kind: 'fixed', bytes: concatBytes(last.bytes, piece.bytes) };
    } else {
      merged.push(piece);
    }
  }
  return merged;
}

export function writePiece(writer: DerBackWriter, piece: Piece, holes: TemplateHoles): void {
  switch (piece.kind) {
    case 'fixed':
      return writer.bytes(piece.bytes);
    case 'attribute':
      return writeAttribute(writer, piece.type, piece.oid, holes.subject[piece.hole]);
    case 'subjectKeyIdentifier':
      writer.bytes(keyIdentifier(holes.spkiDer));
      return writer.bytes(SKI_HEADER);
    case 'subjectAltName':
      return writeSubjectAltName(writer, piece.header, holes.subjectAltNames);
  }
}

function writeAttribute(
  writer: DerBackWriter, type: AttributeTypeName, attribute: Uint8Array, value: string | undefined,
): void {
  if (value === undefined) return;
  const end = writer.length;
  const found = stringTag(type, value);
  if (found === tag.utf8String) writer.bytes(Buffer.from(value, 'utf8'));
  else writer.latin1(value);
  writer.header(found, writer.length - end);
  writer.bytes(attribute);
  writer.header(tag.sequence, writer.length - end);
  writer.header(tag.set, writer.length - end);
}

function writeSubjectAltName(
  writer: DerBackWriter, header: Uint8Array, names: readonly GeneralName[] | undefined,
): void {
  if (names === undefined || names.length === 0) return;
  const end = writer.length;
  for (let i = names.length - 1; i >= 0; i--) {
    const name = names[i];
    if (name === undefined) continue;
    if (name.kind === 'other') {
      writer.bytes(name.value);
      continue;
    }
    const content = generalNameContent(name);
    writer.bytes(content);
    writer.header(contextTag(generalNameNumbers[name.kind], false), content.length);
  }
  writer.header(tag.sequence, writer.length - end);
  writer.header(tag.octetString, writer.length - end);
  writer.bytes(header);
  writer.header(tag.sequence, writer.length - end);
}
