import type { AttributeTypeName, KeyType, NameSubtrees, SignatureAlgorithm } from '@fleetroot/x509';
import type { FixedExtension, Profile } from './profile.ts';

/** One attribute of a CA's subject: a fixed text, or what the ceremony says. */
export type AuthoritySubjectPart =
  | { readonly type: AttributeTypeName; readonly fixed: string }
  | { readonly type: AttributeTypeName; readonly from: 'ceremony' };

/**
 * A validated profile of CA certificates. It is another type than `Profile`, is never kept in the ledger, and nothing
 * that issues for a request takes one (I9): for ceremonies only.
 */
export interface AuthorityProfile {
  readonly name: string;
  readonly kind: 'ca';
  /** A root, which signs its own certificate. */
  readonly selfSigned: boolean;
  readonly keys: { readonly types: readonly KeyType[]; readonly rsaMinBits: number; readonly rsaMaxBits?: number };
  readonly subject: readonly AuthoritySubjectPart[];
  readonly validity: { readonly years?: number; readonly notAfter?: 'none'; readonly atIssuerEnd?: 'refuse' };
  /** How many CAs may follow below in a path (RFC 5280 section 4.2.1.9). */
  readonly pathLength: number;
  readonly keyUsage: readonly ('keyCertSign' | 'cRLSign' | 'digitalSignature')[];
  /** Empty: leaves are not held to any purpose. */
  readonly extendedKeyUsage: readonly string[];
  readonly certificatePolicies: readonly string[];
  readonly nameConstraints?: NameSubtrees;
  readonly urls: Profile['urls'];
  readonly extensions?: readonly FixedExtension[];
  readonly signatureAlgorithms?: readonly SignatureAlgorithm[];
  readonly sizeBudget?: number;
}
