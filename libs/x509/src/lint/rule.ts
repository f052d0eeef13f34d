import type { ParsedCertificate } from '../certificate/certificate.ts';
import type { Extension } from '../certificate/extension.ts';
import { extensionOids } from '../certificate/oids.ts';
import type { ParsedTbs } from '../certificate/tbs.ts';

export type LintKind = 'leaf' | 'ca' | 'ocsp-signer';

export interface LintContext {
  /** Who is to sign; undefined: the certificate's own key (a root). */
  readonly issuer: ParsedCertificate | undefined;
  readonly kind: LintKind;
  /** What the whole certificate may have, signature included; absent: as much as it likes. */
  readonly maxOctets?: number | undefined;
}

/** What rules need of whoever signs. */
interface Signatory {
  readonly subjectDer: Uint8Array;
  readonly spkiDer: Uint8Array;
  readonly notAfter: Date;
  readonly subjectKeyIdentifier: Uint8Array | undefined;
}

/** What every rule looks at: the TBSCertificate, taken apart once, and who is to sign it. */
export interface LintSubject {
  readonly tbsDer: Uint8Array;
  readonly tbs: ParsedTbs;
  readonly kind: LintKind;
  readonly maxOctets: number | undefined;
  readonly selfSigned: boolean;
  readonly issuer: Signatory;
}

export type LintSeverity = 'error' | 'warning';

export interface LintRule {
  readonly name: string;
  readonly severity: LintSeverity;
  /** The clause that asks for it. */
  readonly citation: string;
  /** What is wrong, or undefined. Never a name or another value of the certificate. */
  readonly check: (subject: LintSubject) => string | undefined;
}

export interface LintFinding {
  readonly rule: string;
  readonly severity: LintSeverity;
  readonly citation: string;
  readonly detail: string;
}

/** The extension of that name, or undefined. */
export const extensionOf = ({ tbs }: LintSubject, name: keyof typeof extensionOids): Extension | undefined =>
  tbs.extensions.find(({ oid }) => oid === extensionOids[name]);

/** Octets of the empty Name: a SEQUENCE without content. */
export const isEmptyName = (nameDer: Uint8Array): boolean => nameDer.length === 2;
