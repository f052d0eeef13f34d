import { concatBytes, PkiError } from '@fleetroot/core';
import { DerBackWriter } from '../der/back-writer.ts';
import { contextTag, tag } from '../der/writer.ts';
import { algorithmIdentifier } from '../key/algorithm.ts';
import type { Extension } from './extension.ts';
import { extensionOids } from './oids.ts';
import { readBasicConstraints, readKeyUsage } from './read-extension.ts';
import type { TemplateExtension, TemplateFields, TemplateHoles } from './template-fields.ts';
import { extensionPiece, merge, type Piece, subjectPiece, writePiece } from './template-pieces.ts';
import { writeSerial, writeValidity } from './template-scalars.ts';

const VERSION_3 = Uint8Array.of(0xa0, 0x03, 0x02, 0x01, 0x02);

// Building is synchronous from beginning to end: one writer serves every template of the process.
const writer = new DerBackWriter();

/**
 * A profile of one issuer, compiled once: runs of bytes that never change, with holes for what a certificate brings.
 * `build` is a pure function of the template and its holes: building twice gives the same bytes.
 */
export class CertificateTemplate {
  readonly #head: Uint8Array;
  readonly #subject: readonly Piece[];
  readonly #extensions: readonly Piece[];

  private constructor(fields: TemplateFields) {
    this.#head = concatBytes(algorithmIdentifier(fields.signatureAlgorithm), fields.issuerDer);
    this.#subject = merge(fields.subject.map(subjectPiece)).reverse();
    this.#extensions = merge(fields.extensions.map(extensionPiece)).reverse();
  }

  /**
   * Template of end entities. It cannot make a CA certificate: fields that would are refused here, and no hole reaches
   * basicConstraints or keyUsage.
   * @throws PkiError `certificate.lint` for an extension that grants CA rights, or that stands twice
   */
  static compile(fields: TemplateFields): CertificateTemplate {
    checkExtensions(fields.extensions);
    for (const extension of fields.extensions) {
      if (!('hole' in extension) && grantsCaRights(extension)) {
        throw new PkiError('certificate.lint', 'a template of end entities must not grant CA rights');
      }
    }
    return new CertificateTemplate(fields);
  }

  /** Template of CA certificates, for key ceremonies only. @throws PkiError `certificate.lint` for an extension twice */
  static compileAuthority(fields: TemplateFields): CertificateTemplate {
    checkExtensions(fields.extensions);
    return new CertificateTemplate(fields);
  }

  /**
   * TBSCertificate, DER (RFC 5280 section 4.1.2).
   * @throws PkiError `request.name-refused` for a value that does not fit its attribute or general name;
   *   `certificate.serial-invalid`
   */
  build(holes: TemplateHoles): Uint8Array {
    writer.clear();
    this.#writeExtensions(holes);
    writer.bytes(holes.spkiDer);
    this.#writeSubject(holes);
    writeValidity(writer, holes.notBefore, holes.notAfter);
    writer.bytes(this.#head);
    writeSerial(writer, holes.serial);
    writer.bytes(VERSION_3);
    writer.header(tag.sequence, writer.length);
    return writer.take();
  }

  #writeSubject(holes: TemplateHoles): void {
    const end = writer.length;
    for (const piece of this.#subject) writePiece(writer, piece, holes);
    writer.header(tag.sequence, writer.length - end);
  }

  #writeExtensions(holes: TemplateHoles): void {
    for (const piece of this.#extensions) writePiece(writer, piece, holes);
    // Without extensions the field is absent: it holds at least one (RFC 5280 section 4.1).
    if (writer.length === 0) return;
    writer.header(tag.sequence, writer.length);
    writer.header(contextTag(3, true), writer.length);
  }
}

function checkExtensions(extensions: readonly TemplateExtension[]): void {
  const seen = new Set<string>();
  for (const extension of extensions) {
    const dotted = 'hole' in extension ? extensionOids[extension.hole] : extension.oid;
    if (seen.has(dotted)) throw new PkiError('certificate.lint', `the extension ${dotted} stands twice in the template`);
    seen.add(dotted);
  }
}

function grantsCaRights({ oid: dotted, value }: Extension): boolean {
  if (dotted === extensionOids.basicConstraints) return readBasicConstraints(value, 'certificate.lint').ca;
  if (dotted !== extensionOids.keyUsage) return false;
  const usages = readKeyUsage(value, 'certificate.lint');
  return usages.includes('keyCertSign') || usages.includes('cRLSign');
}
