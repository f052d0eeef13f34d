import {
  boolean, contextTag, integer, namedBits, nullValue, octetString, oid, sequence, tlv,
} from '../der/writer.ts';
import { encodeGeneralName, encodeGeneralNames, type GeneralName } from '../name/general-name.ts';
import {
  accessMethodOids, extensionOids, type KeyPurpose, keyPurposeOids, type KeyUsage, keyUsages,
} from './oids.ts';
import { encodeNameConstraints, type NameSubtrees } from './extension-name-constraints.ts';

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  /** What the OCTET STRING holds, DER. */
  readonly value: Uint8Array;
}

export interface BasicConstraints {
  readonly ca: boolean;
  /** How many CAs may follow below; only with `ca`. */
  readonly pathLength?: number;
}

const make = (name: keyof typeof extensionOids, critical: boolean, value: Uint8Array): Extension =>
  ({ oid: extensionOids[name], critical, value });

const uri = (value: string): Uint8Array => encodeGeneralName({ kind: 'uri', value });

/** Extension, DER. `critical` FALSE is the default and is left out, as DER asks (X.690 section 11.5). */
export const encodeExtension = ({ oid: dotted, critical, value }: Extension): Uint8Array =>
  sequence(oid(dotted), ...(critical ? [boolean(true)] : []), octetString(value));

/** The extensions that Fleetroot writes, each with the criticality that RFC 5280 section 4.2 gives it. */
export const extension = {
  /** Critical (section 4.2.1.9). */
  basicConstraints: ({ ca, pathLength }: BasicConstraints): Extension => {
    if (!ca && pathLength !== undefined) throw new RangeError('pathLenConstraint belongs to a CA');
    return make('basicConstraints', true, sequence(
      ...(ca ? [boolean(true)] : []), ...(pathLength === undefined ? [] : [integer(pathLength)]),
    ));
  },

  /** Critical (section 4.2.1.3: SHOULD). */
  keyUsage: (usages: readonly KeyUsage[]): Extension => {
    if (usages.length === 0) throw new RangeError('at least one key usage must be set (RFC 5280 section 4.2.1.3)');
    return make('keyUsage', true, namedBits(usages.map((usage) => keyUsages.indexOf(usage))));
  },

  /** Purposes by name or as dotted OID. */
  extendedKeyUsage: (purposes: readonly (KeyPurpose | (string & {}))[], critical = false): Extension => {
    if (purposes.length === 0) throw new RangeError('an extended key usage names at least one purpose');
    return make('extendedKeyUsage', critical, sequence(...purposes.map((purpose) => oid(purposeOid(purpose)))));
  },

  authorityKeyIdentifier: (keyId: Uint8Array): Extension =>
    make('authorityKeyIdentifier', false, sequence(tlv(contextTag(0, false), keyId))),

  subjectKeyIdentifier: (keyId: Uint8Array): Extension => make('subjectKeyIdentifier', false, octetString(keyId)),

  authorityInformationAccess: (access: { readonly ocsp?: string; readonly caIssuers?: string }): Extension => {
    const methods = (['ocsp', 'caIssuers'] as const).flatMap((method) => {
      const location = access[method];
      return location === undefined ? [] : [sequence(oid(accessMethodOids[method]), uri(location))];
    });
    if (methods.length === 0) throw new RangeError('an authority information access names at least one location');
    return make('authorityInformationAccess', false, sequence(...methods));
  },

  /** One distribution point a URI, with neither reasons nor another CRL issuer. */
  crlDistributionPoints: (uris: readonly string[]): Extension => {
    if (uris.length === 0) throw new RangeError('a CRL distribution point needs a URI');
    const point = (value: string) => sequence(tlv(contextTag(0, true), tlv(contextTag(0, true), uri(value))));
    return make('crlDistributionPoints', false, sequence(...uris.map(point)));
  },

  /** Policies without qualifiers. */
  certificatePolicies: (policies: readonly string[]): Extension => {
    if (policies.length === 0) throw new RangeError('certificate policies name at least one policy');
    return make('certificatePolicies', false, sequence(...policies.map((policy) => sequence(oid(policy)))));
  },

  /** Critical where the subject is empty (section 4.2.1.6). */
  subjectAltName: (names: readonly GeneralName[], critical: boolean): Extension => {
    if (names.length === 0) throw new RangeError('a subject alternative name has at least one name');
    return make('subjectAltName', critical, encodeGeneralNames(names));
  },

  /** Its value is NULL (RFC 6960 section 4.2.2.2.1). */
  ocspNoCheck: (): Extension => make('ocspNoCheck', false, nullValue()),

  /** No status is ever published; its value is NULL, and it is not critical (RFC 9608 sections 2 and 5). */
  noRevAvail: (): Extension => make('noRevAvail', false, nullValue()),

  /** Numbers of TLS extensions that a server must answer with; 5 is status_request (RFC 7633). */
  tlsFeature: (features: readonly number[]): Extension => {
    if (features.length === 0) throw new RangeError('a TLS feature extension names at least one feature');
    return make('tlsFeature', false, sequence(...features.map((feature) => integer(feature))));
  },

  /** For CAs only; critical (section 4.2.1.10). */
  nameConstraints: (subtrees: NameSubtrees): Extension => make('nameConstraints', true, encodeNameConstraints(subtrees)),
} as const;

function purposeOid(purpose: string): string {
  const known = (keyPurposeOids as Readonly<Record<string, string | undefined>>)[purpose];
  if (known === undefined && !/^[0-2](?:\.\d+)+$/.test(purpose)) throw new RangeError(`unknown key purpose ${purpose}`);
  return known ?? purpose;
}
