import type { SignatureAlgorithm } from '../key/algorithm.ts';
import type { AttributeTypeName } from '../name/attribute-types.ts';
import type { GeneralName } from '../name/general-name.ts';
import type { Extension } from './extension.ts';

export interface TemplateSubjectPart {
  readonly type: AttributeTypeName;
  /** The value itself, or the name of the hole that holds it. */
  readonly from: { readonly fixed: string } | { readonly hole: string };
}

export type TemplateExtension =
  | Extension
  | { readonly hole: 'subjectKeyIdentifier' }
  | { readonly hole: 'subjectAltName'; readonly critical: boolean };

export interface TemplateFields {
  readonly signatureAlgorithm: SignatureAlgorithm;
  /** Name of the issuer: the subject of its certificate, byte for byte. */
  readonly issuerDer: Uint8Array;
  /** One relative distinguished name each, in this order. */
  readonly subject: readonly TemplateSubjectPart[];
  /** In the order in which they are written. */
  readonly extensions: readonly TemplateExtension[];
}

export interface TemplateHoles {
  /** Big-endian, 1 to 20 octets; written minimal and positive. */
  readonly serial: Uint8Array;
  /** Whole seconds are written; milliseconds are cut off. */
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Values by hole. A part whose hole has no value is left out. */
  readonly subject: Readonly<Record<string, string | undefined>>;
  /** SubjectPublicKeyInfo, carried byte for byte. */
  readonly spkiDer: Uint8Array;
  /** Absent or empty: the extension is left out. */
  readonly subjectAltNames?: readonly GeneralName[];
}
