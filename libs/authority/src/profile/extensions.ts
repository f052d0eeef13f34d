import { type Extension, extension, keyIdentifier, type ParsedCertificate, type TemplateFields } from '@fleetroot/x509';
import { type FixedExtension, type Profile, tlsFeatures } from './profile.ts';

type Issuer = ParsedCertificate & { readonly name: string };

/**
 * In this order, and no other than these (I9). Nothing here can say CA:TRUE: the argument is not a variable.
 * @param shard of the certificate's CRL
 */
export function leafExtensions(profile: Profile, issuer: Issuer, shard: number): TemplateFields['extensions'] {
  const usual: TemplateFields['extensions'][number][] = [
    authorityKeyIdentifier(issuer),
    { hole: 'subjectKeyIdentifier' },
    extension.basicConstraints({ ca: false }),
    extension.keyUsage(profile.keyUsage),
    extension.extendedKeyUsage(profile.extendedKeyUsage),
  ];
  const where = pointers(profile, issuer, shard);
  if (profile.ocspNoCheck) where.push(extension.ocspNoCheck());
  if (profile.noRevAvail === true) where.push(extension.noRevAvail());
  if (profile.tlsFeature !== undefined) where.push(extension.tlsFeature(profile.tlsFeature.map((name) => tlsFeatures[name])));
  where.push(...fixedExtensions(profile));
  // RFC 5280 section 4.1.2.6: with an empty subject the names are all there is, and critical.
  const names = profile.subjectAltNames.length === 0 ? [] : [{ hole: 'subjectAltName' as const, critical: profile.subject.length === 0 }];
  return [...usual, ...names, ...where];
}

export const authorityKeyIdentifier = ({ subjectKeyIdentifier, spkiDer }: ParsedCertificate): Extension =>
  extension.authorityKeyIdentifier(subjectKeyIdentifier ?? keyIdentifier(spkiDer));

/** Policies, CRL and AIA, as far as the profile has them. */
export function pointers(
  { certificatePolicies, urls }: Pick<Profile, 'certificatePolicies' | 'urls'>, issuer: Issuer, shard = 0,
): Extension[] {
  const at = (url: string) => url.replace('{ca}', issuer.name).replace('{shard}', String(shard));
  const { ocsp, caIssuers, crl } = urls;
  const where: Extension[] = [];
  if (certificatePolicies.length > 0) where.push(extension.certificatePolicies(certificatePolicies));
  if (crl !== undefined) where.push(extension.crlDistributionPoints([at(crl)]));
  if (ocsp !== undefined || caIssuers !== undefined) {
    where.push(extension.authorityInformationAccess({
      ...(ocsp === undefined ? {} : { ocsp: at(ocsp) }), ...(caIssuers === undefined ? {} : { caIssuers: at(caIssuers) }),
    }));
  }
  return where;
}

export const fixedExtensions = ({ extensions = [] }: { readonly extensions?: readonly FixedExtension[] }): Extension[] =>
  extensions.map(({ oid, der }) => ({ oid, critical: false, value: Buffer.from(der, 'hex') }));
