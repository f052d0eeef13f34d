/** Who may ask for a certificate of a profile: roles of principals, by name. */
export const requesters = ['line', 'admin', 'gateway', 'system'] as const;
export const requirements = ['ecuSerial', 'partNumber', 'vin', 'dnsNames'] as const;
export const profileKeyTypes = ['p-256', 'p-384', 'p-521', 'ed25519', 'rsa'] as const;
/** Without keyCertSign and cRLSign: a profile cannot make a CA (I9). */
export const profileKeyUsages = ['digitalSignature', 'nonRepudiation', 'keyEncipherment', 'keyAgreement'] as const;
export const subjectAttributes = [
  'commonName', 'serialNumber', 'organizationName', 'organizationalUnitName', 'countryName', 'localityName',
  'stateOrProvinceName', 'domainComponent', 'dnQualifier', 'userId',
] as const;
export const profileKinds = ['leaf', 'ocsp-signer'] as const;
export const profileSignatureAlgorithms = [
  'ecdsa-sha256', 'ecdsa-sha384', 'ecdsa-sha512', 'ed25519', 'rsa-sha256', 'rsa-pss-sha256', 'rsa-pss-sha384', 'rsa-pss-sha512',
] as const;
/** TLS extensions by the names of their registry, with their numbers there. */
export const tlsFeatures = { status_request: 5 } as const;

export type Requester = (typeof requesters)[number];
export type Requirement = (typeof requirements)[number];
export type SubjectAttribute = (typeof subjectAttributes)[number];
type ProfileKeyType = (typeof profileKeyTypes)[number];
type ProfileKeyUsage = (typeof profileKeyUsages)[number];
export type ProfileKind = (typeof profileKinds)[number];

/** One attribute of the subject, in the order of the RDNs: a fixed text, a fact, or what the request's subject says. */
export type SubjectPart =
  | { readonly type: SubjectAttribute; readonly fixed: string }
  | { readonly type: SubjectAttribute; readonly from: 'ecuSerial' | 'partNumber' | 'dnsName' }
  /** The attribute of the same type in the request's subject. `optional`: left out where the request lacks it. */
  | { readonly type: SubjectAttribute; readonly from: 'request'; readonly optional?: true };

export type SubjectAltNameRule =
  /** The DNS names of the request, each checked. `wildcards`: `*.` may stand for the leftmost label. */
  | { readonly kind: 'dns'; readonly from: 'request'; readonly wildcards: boolean }
  /** A fact behind the prefix; from the request, its URIs, each of which must begin with the prefix. */
  | { readonly kind: 'uri'; readonly from: 'vin' | 'ecuSerial' | 'partNumber' | 'request'; readonly prefix: string }
  /** Addresses of the request, each within one of the networks (CIDR). */
  | { readonly kind: 'ip'; readonly from: 'request'; readonly networks: readonly string[] }
  /** hardwareModuleName (RFC 4108 section 5): hwType, and the ECU serial's octets as hwSerialNum. */
  | { readonly kind: 'hardwareModuleName'; readonly from: 'ecuSerial'; readonly hwType: string };

export interface ProfileValidity {
  /** Absent only with `notAfter`. */
  readonly seconds?: number;
  /** No end that is known: 99991231235959Z (RFC 5280 section 4.1.2.5). */
  readonly notAfter?: 'none';
  readonly backdateSeconds: number;
  /** What happens where the issuer ends first. Absent: the certificate ends with it. `refuse`: it is not issued. */
  readonly atIssuerEnd?: 'refuse';
}

/** An extension that is written as it stands, never critical. */
export interface FixedExtension {
  readonly oid: string;
  /** Its value, DER, in lower-case hex. */
  readonly der: string;
}

/**
 * A validated profile: what a certificate may hold, and nothing else gets into one (I9). Immutable, and complete: with
 * the issuer, the request, the serial and the time it fixes every octet of the TBSCertificate, so it is kept in the
 * ledger as a document and never read from the file again once a batch was accepted with it.
 *
 * Optional members came later. They are absent where a profile does not use them, so that its document stays what it was.
 */
export interface Profile {
  /** Of the document; grows when a field gets another meaning. */
  readonly format: 1;
  readonly name: string;
  readonly kind: ProfileKind;
  readonly requestedBy: readonly Requester[];
  readonly requires: readonly Requirement[];
  readonly keys: { readonly types: readonly ProfileKeyType[]; readonly rsaMinBits: number; readonly rsaMaxBits?: number };
  readonly subject: readonly SubjectPart[];
  readonly subjectAltNames: readonly SubjectAltNameRule[];
  readonly validity: ProfileValidity;
  readonly keyUsage: readonly ProfileKeyUsage[];
  /** Names, or OIDs in dotted decimal. */
  readonly extendedKeyUsage: readonly string[];
  /** OIDs in dotted decimal; empty leaves the extension out. */
  readonly certificatePolicies: readonly string[];
  /**
   * `{ca}` stands for the name of the issuing CA, `{shard}` for the number of the certificate's CRL shard. An absent one
   * leaves its pointer out.
   */
  readonly urls: { readonly ocsp?: string; readonly caIssuers?: string; readonly crl?: string };
  /** 2 or more: `urls.crl` has `{shard}`. Absent: one CRL. */
  readonly crlShards?: number;
  readonly ocspNoCheck: boolean;
  /** RFC 9608. */
  readonly noRevAvail?: true;
  /** RFC 7633. */
  readonly tlsFeature?: readonly (keyof typeof tlsFeatures)[];
  readonly extensions?: readonly FixedExtension[];
  /** What the issuer may sign with; absent: whatever its key is for. */
  readonly signatureAlgorithms?: readonly (typeof profileSignatureAlgorithms)[number][];
  /** Its keys may be made here, where an ECU cannot make its own. Absent: refused. */
  readonly serverKeys?: 'allowed';
  /** Octets of DER that a whole certificate may have. */
  readonly sizeBudget?: number;
}
