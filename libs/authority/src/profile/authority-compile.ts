import { PkiError } from '@fleetroot/core';
import {
  CertificateTemplate, encodeName, extension, lintCertificate, type NamePart, publicKeyFacts, type SignatureAlgorithm,
  signatureAlgorithmFor,
} from '@fleetroot/x509';
import type { AuthorityProfile } from './authority-profile.ts';
import type { ProfileIssuer } from './compile.ts';
import { authorityKeyIdentifier, fixedExtensions, pointers } from './extensions.ts';
import { certificateOctets, refuseOverBudget } from './size.ts';
import { NO_END } from './validity.ts';

/** What a ceremony brings for one CA. */
export interface AuthorityHoles {
  readonly serial: Uint8Array;
  readonly spkiDer: Uint8Array;
  /** Whole seconds. */
  readonly notBefore: Date;
  /** Values of the subject's parts that the profile leaves to the ceremony, by type. */
  readonly subject: Readonly<Partial<Record<NamePart['type'], string>>>;
  /** What whoever signs it signs with; absent: the default of that key. */
  readonly signatureAlgorithm?: SignatureAlgorithm | undefined;
}

/**
 * TBSCertificate of a CA, linted. A pure function of its arguments.
 * @param issuer undefined for a profile that is self-signed, and only then
 * @throws PkiError `profile.field-missing`, `request.key-refused`, `ca.not-active`, `certificate.lint`; TypeError for an
 *   issuer that should or should not be there
 */
export function buildAuthorityTbs(
  profile: AuthorityProfile, issuer: ProfileIssuer | undefined, holes: AuthorityHoles,
): { tbs: Uint8Array; algorithm: SignatureAlgorithm; notAfter: Date } {
  if (profile.selfSigned !== (issuer === undefined)) throw new TypeError('a self-signed CA has no issuer, and every other has one');
  requireKey(profile, holes.spkiDer);
  const signer = issuer?.spkiDer ?? holes.spkiDer;
  const algorithm = requireAlgorithm(profile, holes.signatureAlgorithm ?? signatureAlgorithmFor(signer));
  const subject = profile.subject.map((part): NamePart => ({ type: part.type, value: 'fixed' in part ? part.fixed : said(profile, part.type, holes) }));
  const notAfter = lastSecond(profile, issuer, holes.notBefore);
  const tbs = CertificateTemplate.compileAuthority({
    signatureAlgorithm: algorithm,
    issuerDer: issuer?.subjectDer ?? encodeName(subject),
    subject: subject.map(({ type, value }) => ({ type, from: { fixed: value } })),
    extensions: [
      extension.basicConstraints({ ca: true, pathLength: profile.pathLength }),
      extension.keyUsage(profile.keyUsage),
      { hole: 'subjectKeyIdentifier' },
      ...(profile.extendedKeyUsage.length === 0 ? [] : [extension.extendedKeyUsage(profile.extendedKeyUsage)]),
      ...(profile.nameConstraints === undefined ? [] : [extension.nameConstraints(profile.nameConstraints)]),
      ...(issuer === undefined ? [] : [authorityKeyIdentifier(issuer), ...pointers(profile, issuer)]),
      ...fixedExtensions(profile),
    ],
  }).build({ ...holes, notAfter, subject: {} });
  refuseOverBudget(profile, certificateOctets(signer, algorithm)(tbs.length));
  const errors = lintCertificate(tbs, { issuer, kind: 'ca' }).filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new PkiError('certificate.lint', errors.map(({ rule, citation, detail }) => `${rule} (${citation}): ${detail}`).join('; '));
  return { tbs, algorithm, notAfter };
}

function requireKey({ name, keys }: AuthorityProfile, spkiDer: Uint8Array): void {
  const { keyType, bits } = publicKeyFacts(spkiDer, 'request.key-refused');
  const fits = keyType !== 'rsa' || (bits >= keys.rsaMinBits && bits <= (keys.rsaMaxBits ?? bits));
  if (keys.types.includes(keyType) && fits) return;
  throw new PkiError('request.key-refused', `the profile ${name} does not take a key ${keyType} of ${bits} bits`, { data: { keyType, bits } });
}

function requireAlgorithm({ name, signatureAlgorithms }: AuthorityProfile, algorithm: SignatureAlgorithm): SignatureAlgorithm {
  if (signatureAlgorithms?.includes(algorithm) !== false) return algorithm;
  throw new PkiError('certificate.lint', `the issuer signs with ${algorithm}; the profile ${name} takes ${signatureAlgorithms.join(', ')}`);
}

function said({ name }: AuthorityProfile, type: NamePart['type'], { subject }: AuthorityHoles): string {
  const value = subject[type];
  if (value === undefined) throw new PkiError('profile.field-missing', `the profile ${name} needs ${type}`, { data: { field: type } });
  return value;
}

/** The last second of so many years, itself valid (RFC 5280 section 4.1.2.5), and never after the issuer's. */
function lastSecond({ name, validity }: AuthorityProfile, issuer: ProfileIssuer | undefined, notBefore: Date): Date {
  const end = new Date(notBefore);
  end.setUTCFullYear(end.getUTCFullYear() + (validity.years ?? 0));
  const wanted = validity.years === undefined ? NO_END : new Date(end.getTime() - 1000);
  if (issuer === undefined || wanted <= issuer.notAfter) return wanted;
  if (validity.atIssuerEnd === 'refuse') {
    throw new PkiError('ca.not-active', `the CA ${issuer.name} ends before a CA of the profile ${name} would, and the profile says refuse`);
  }
  return issuer.notAfter;
}
