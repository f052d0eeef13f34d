import type { CaName } from '@fleetroot/core';
import type { CertificationRequest, CrlEntry, NamePart, ParsedCertificate, SignatureAlgorithm } from '@fleetroot/x509';
import type { RevocationReason } from '../ports/status.ts';
import type { AuthorityProfile } from '../profile/authority-profile.ts';
import type { YamlFault } from '../yaml/read.ts';
import type { Officer } from './approval.ts';
import type { CeremonyKeyAlgorithm } from './token.ts';

/** Whose key a CA gets: one made in the token; one elsewhere, that has signed a request; or all of it was made elsewhere. */
export type PlannedKey =
  | { readonly make: CeremonyKeyAlgorithm }
  | { readonly request: CertificationRequest }
  | { readonly certificate: ParsedCertificate };

/** What the certificate of a CA is to say: by fields of the plan, or by a profile. */
export type PlannedTerms =
  /** `subject`: one relative distinguished name each, in this order. */
  | { readonly subject: readonly NamePart[]; readonly years: number; readonly pathLength: number }
  /** `subject`: what the profile leaves to the ceremony. */
  | { readonly profile: AuthorityProfile; readonly subject: readonly NamePart[] };

/** One CA of a ceremony. */
export interface PlannedAuthority {
  readonly name: CaName;
  /** undefined: a root. */
  readonly parent: CaName | undefined;
  readonly key: PlannedKey;
  /** undefined: its certificate was made elsewhere. */
  readonly terms: PlannedTerms | undefined;
  /** The CA whose next generation it is. */
  readonly succeeds: CaName | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** What it signs with; undefined: the default of its key. */
  readonly signatureAlgorithm: SignatureAlgorithm | undefined;
}

/** A key made here, for a CA whose certificate is signed elsewhere. */
export interface PlannedRequest {
  readonly name: CaName;
  readonly key: CeremonyKeyAlgorithm;
  readonly subject: readonly NamePart[];
}

/** A new certificate for the same key and subject, by the same issuer. */
export interface PlannedRenewal {
  readonly authority: CaName;
  readonly years: number;
}

/** A certificate for the key and the name of a CA that has one already. */
export interface PlannedCross {
  /** A CA on record or in the plan, or the certificate of one elsewhere, with a name for the file. */
  readonly subject: CaName | { readonly certificate: ParsedCertificate; readonly stem: string };
  readonly issuer: CaName;
  readonly years: number;
  /** undefined: the subject's own, or what the issuer allows where that is less. */
  readonly pathLength: number | undefined;
}

interface PlannedCrlEntry extends CrlEntry {
  readonly reasonName: RevocationReason;
}

export interface PlannedCrl {
  readonly authority: CaName;
  readonly days: number;
  readonly revoked: readonly PlannedCrlEntry[];
}

/** The certificate of an OCSP responder's key (RFC 6960 section 4.2.2.2). */
export interface PlannedOcspSigner {
  readonly issuer: CaName;
  readonly request: CertificationRequest;
  readonly subject: readonly NamePart[];
  readonly days: number;
}

export interface CeremonyPlan {
  readonly title: string;
  /** SHA-256 of the file, in hex. */
  readonly sha256: string;
  /** The files that it names, as it names them, with the SHA-256 of each in hex. */
  readonly inputs: readonly { readonly file: string; readonly sha256: string }[];
  /** How many officers must approve; 0: none. */
  readonly approvals: number;
  readonly officers: readonly Officer[];
  /** Parents before their children. */
  readonly authorities: readonly PlannedAuthority[];
  readonly requests: readonly PlannedRequest[];
  readonly renewals: readonly PlannedRenewal[];
  readonly crossCertificates: readonly PlannedCross[];
  readonly crls: readonly PlannedCrl[];
  readonly ocspSigners: readonly PlannedOcspSigner[];
  /** Throws `ceremony.invalid` with file and line of faults that show only beside what is on record. */
  refuseIf(faults: readonly YamlFault[]): void;
}

export const pathLengthOf = (terms: PlannedTerms): number => ('profile' in terms ? terms.profile.pathLength : terms.pathLength);

/** Infinity: no end that is known. */
export const yearsOf = (terms: PlannedTerms): number => ('profile' in terms ? terms.profile.validity.years ?? Infinity : terms.years);

/** The subject whole; parts that are missing are left out. */
export function subjectOf(terms: PlannedTerms): readonly NamePart[] {
  if (!('profile' in terms)) return terms.subject;
  return terms.profile.subject.flatMap((part) => {
    const value = 'fixed' in part ? part.fixed : terms.subject.find(({ type }) => type === part.type)?.value;
    return value === undefined ? [] : [{ type: part.type, value }];
  });
}
