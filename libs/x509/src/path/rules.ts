import { isPkiError } from '@fleetroot/core';
import type { ParsedCertificate } from '../certificate/certificate.ts';
import { extensionOids } from '../certificate/oids.ts';
import { publicKeyFacts } from '../key/public-key.ts';
import { verifySignature } from '../key/signature.ts';

export type PathPurpose = 'clientAuth' | 'serverAuth';

/** Why a path is not valid; `data.reason` of the error. */
export type PathFailure =
  /** Names and key identifiers lead to no anchor. */
  | 'no-anchor'
  /** More certificates than a path may have. */
  | 'too-many'
  | 'signature' | 'expired' | 'not-yet-valid'
  /** A key that is weak or of an unknown kind. */
  | 'key'
  | 'not-a-ca' | 'path-length' | 'key-usage' | 'eku'
  /** Outside the name constraints, or these cannot be processed. */
  | 'name'
  | 'critical-extension'
  /** No certificate policy that is asked for is valid along the path, or what it says of policies cannot be processed. */
  | 'policy'
  | 'revoked'
  /** No CRL of the issuer and its key was given. */
  | 'crl-missing'
  /** Not a complete CRL of the profile of RFC 5280 section 5. */
  | 'crl-invalid'
  /** The issuer may not sign CRLs. */
  | 'crl-key-usage'
  | 'crl-signature' | 'crl-expired' | 'crl-not-yet-valid'
  /** The leaf is a CA, which nobody authenticates with. */
  | 'ca-as-leaf';

export function checkSignature(certificate: ParsedCertificate, issuer: ParsedCertificate): PathFailure | undefined {
  const { signatureAlgorithm, tbsDer, signature } = certificate;
  return withKey(() => verifySignature(issuer.spkiDer, signatureAlgorithm, tbsDer, signature) ? undefined : 'signature');
}

/** What every certificate of a path is held to: its key, its validity, its critical extensions. */
export const checkCertificate = (certificate: ParsedCertificate, time: Date): PathFailure | undefined =>
  withKey(() => {
    publicKeyFacts(certificate.spkiDer, 'certificate.malformed');
    return undefined;
  }) ?? checkTime(certificate, time) ?? (hasUnknownCritical(certificate) ? 'critical-extension' : undefined);

function withKey(check: () => PathFailure | undefined): PathFailure | undefined {
  try {
    return check();
  } catch (error) {
    if (isPkiError(error) && error.code === 'request.key-refused') return 'key';
    throw error;
  }
}

/** Both ends belong to the validity (RFC 5280 section 4.1.2.5), in whole seconds. */
function checkTime(certificate: ParsedCertificate, time: Date): PathFailure | undefined {
  const second = Math.floor(time.getTime() / 1000);
  if (second * 1000 < certificate.notBefore.getTime()) return 'not-yet-valid';
  return second * 1000 > certificate.notAfter.getTime() ? 'expired' : undefined;
}

export function checkCa(certificate: ParsedCertificate, purpose: PathPurpose | undefined): PathFailure | undefined {
  if (!certificate.isCa) return 'not-a-ca';
  // A CA has a name (RFC 5280 section 4.1.2.6); the empty one would chain to every other nameless CA.
  if (certificate.subjectDer.length === 2) return 'name';
  if (certificate.keyUsage !== undefined && !certificate.keyUsage.includes('keyCertSign')) return 'key-usage';
  return allowsPurpose(certificate, purpose) ? undefined : 'eku';
}

export function checkLeaf(certificate: ParsedCertificate, purpose: PathPurpose | undefined): PathFailure | undefined {
  if (!certificate.isCa) {
    // Rights of a CA in what is none (RFC 5280 sections 4.2.1.9 and 4.2.1.10).
    if (certificate.keyUsage?.includes('keyCertSign') === true) return 'key-usage';
    if (certificate.extensions.some(({ oid }) => oid === extensionOids.nameConstraints)) return 'name';
  }
  // Without a subject the names stand in a critical subjectAltName (RFC 5280 section 4.2.1.6), or nobody is named.
  if (certificate.subjectDer.length === 2
    && !certificate.extensions.some(({ oid, critical }) => critical && oid === extensionOids.subjectAltName)) return 'name';
  if (purpose === undefined) return undefined;
  if (certificate.isCa) return 'ca-as-leaf';
  // TLS: a client signs; a server signs or, before TLS 1.3, takes part in key establishment.
  const uses = purpose === 'clientAuth' ? ['digitalSignature'] : ['digitalSignature', 'keyEncipherment', 'keyAgreement'];
  if (certificate.keyUsage !== undefined && !uses.some((use) => certificate.keyUsage?.includes(use))) return 'key-usage';
  return allowsPurpose(certificate, purpose) ? undefined : 'eku';
}

const allowsPurpose = ({ extendedKeyUsage }: ParsedCertificate, purpose: PathPurpose | undefined): boolean =>
  purpose === undefined || extendedKeyUsage === undefined
  || extendedKeyUsage.includes(purpose) || extendedKeyUsage.includes('anyExtendedKeyUsage');

/** Extensions that are processed here. */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  extensionOids.keyUsage, extensionOids.subjectAltName, extensionOids.basicConstraints, extensionOids.nameConstraints,
  extensionOids.certificatePolicies, extensionOids.policyMappings, extensionOids.policyConstraints,
  extensionOids.extendedKeyUsage, extensionOids.inhibitAnyPolicy,
]);

const hasUnknownCritical = ({ extensions }: ParsedCertificate): boolean =>
  extensions.some(({ oid, critical }) => critical && !UNDERSTOOD.has(oid));
