/** Who may ask for a certificate of a profile: roles of principals, by name. */
export const requesters = ['line', 'admin', 'gateway', 'system'] as const;
export const requirements = ['ecuSerial', 'partNumber', 'vin', 'dnsNames'] as const;
export const profileKeyTypes = ['p-256', 'p-384', 'p-521', 'ed25519', 'rsa'] as const;
/** Without keyCertSign and cRLSign: a profile cannot make a CA (I9). */
export const profileKeyUsages = ['digitalSignature', 'nonRepudiation', 'keyEncipherment', 'keyAgreement'] as const;
export const subjectAttributes = [
  'commonName', 'serialNumber', 'organizationName', 'organizationalUnitName', 'countryName',
] as const;
export const profileKinds = ['leaf', 'ocsp-signer'] as const;

export type Requester = (typeof requesters)[number];
export type Requirement = (typeof requirements)[number];
type ProfileKeyType = (typeof profileKeyTypes)[number];
type ProfileKeyUsage = (typeof profileKeyUsages)[number];
export type ProfileKind = (typeof profileKinds)[number];

/** One attribute of the subject, in the order of the RDNs: a fixed text or a fact of the request. */
export type SubjectPart =
  | { readonly type: (typeof subjectAttributes)[number]; readonly fixed: string }
  | { readonly type: (typeof subjectAttributes)[number]; readonly from: 'ecuSerial' | 'partNumber' | 'dnsName' };

type SubjectAltNameRule =
  /** The DNS names of the request, each checked. `wildcards`: `*.` may stand for the leftmost label. */
  | { readonly kind: 'dns'; readonly from: 'request'; readonly wildcards: boolean }
  | { readonly kind: 'uri'; readonly from: 'vin' | 'ecuSerial' | 'partNumber'; readonly prefix: string };

/**
 * A validated profile: what a certificate may hold, and nothing else gets into one (I9). Immutable, and complete: with
 * the issuer, the request, the serial and the time it fixes every octet of the TBSCertificate, so it is kept in the
 * ledger as a document and never read from the file again once a batch was accepted with it.
 */
export interface Profile {
  /** Of the document; grows when a field gets another meaning. */
  readonly format: 1;
  readonly name: string;
  readonly kind: ProfileKind;
  readonly requestedBy: readonly Requester[];
  readonly requires: readonly Requirement[];
  readonly keys: { readonly types: readonly ProfileKeyType[]; readonly rsaMinBits: number };
  readonly subject: readonly SubjectPart[];
  readonly subjectAltNames: readonly SubjectAltNameRule[];
  readonly validity: { readonly seconds: number; readonly backdateSeconds: number };
  readonly keyUsage: readonly ProfileKeyUsage[];
  /** Names, or OIDs in dotted decimal. */
  readonly extendedKeyUsage: readonly string[];
  /** OIDs in dotted decimal; empty leaves the extension out. */
  readonly certificatePolicies: readonly string[];
  /** `{ca}` stands for the name of the issuing CA. An absent one leaves its pointer out. */
  readonly urls: { readonly ocsp?: string; readonly caIssuers?: string; readonly crl?: string };
  readonly ocspNoCheck: boolean;
}
