import { equalBytes, PkiError } from '@fleetroot/core';
import { encodeCertsOnly, encodePem } from '@fleetroot/x509';
import { isTrusted } from '../hierarchy/lineage.ts';
import { signsStatus } from '../hierarchy/state.ts';
import type { CeremonyCertificate, CertificationAuthority } from '../ports/authorities.ts';
import type { PublishedTruststore } from '../ports/published.ts';

export const publishedTypes = {
  certificate: 'application/pkix-cert', certificates: 'application/pkcs7-mime; smime-type=certs-only', crl: 'application/pkix-crl',
  pem: 'application/x-pem-file',
} as const;

/**
 * Every certificate of the CA's key that a path may go through, cross-certificates among them, as a certs-only message
 * (RFC 5280 section 4.2.2.1).
 */
export function certificatesOfKey({ id, certificate }: CertificationAuthority, made: readonly CeremonyCertificate[]): Uint8Array {
  const all = [certificate, ...made.filter(({ subjectId }) => subjectId === id).map((one) => one.certificate)];
  return encodeCertsOnly({ certificates: all.filter((der, place) => all.findIndex((other) => equalBytes(other, der)) === place) });
}

/** The CAs of a truststore that are to be trusted, in its order. One that is revoked or retired goes with the next version. */
export const trustedOf = ({ caIds }: Pick<PublishedTruststore, 'caIds'>, all: readonly CertificationAuthority[]): readonly CertificationAuthority[] =>
  caIds.flatMap((caId) => all.find(({ id }) => id === caId) ?? []).filter((ca) => isTrusted(ca, all));

/** Field of an answer with the CRLs of a truststore: the CAs whose CRL is not in it, by name. */
export const LEFT_OUT_FIELD = 'x-fleetroot-left-out';

/**
 * Names of the CAs whose CRLs are not in the bundle of a truststore that still holds them: those that are not to be trusted
 * any more. A gateway that checks CRLs lets nobody in whose CA has none, so that a revoked root counts for nothing before
 * the next version of the truststore is fetched; with its CRL, its clients would be let in until then.
 */
export const leftOutOf = ({ caIds }: Pick<PublishedTruststore, 'caIds'>, all: readonly CertificationAuthority[]): readonly string[] =>
  caIds.flatMap((caId) => all.find(({ id }) => id === caId) ?? []).filter((ca) => !isTrusted(ca, all)).map(({ name }) => name);

/**
 * The CRL of the whole CA for each of `cas`, in their order, as PEM: with one missing or expired, nginx and others refuse
 * every client (I29).
 * @throws PkiError `truststore.incomplete`
 */
export function crlBundleOf(
  cas: readonly CertificationAuthority[], crl: (caId: number) => { readonly nextUpdate: Date; readonly der: Uint8Array } | undefined, now: Date,
): Uint8Array {
  return Buffer.concat(cas.map((ca) => {
    const current = crl(ca.id);
    if (!isCurrent(current, now)) throw lacksCrl(ca);
    return Buffer.from(encodePem('X509 CRL', current.der));
  }));
}

export const isCurrent = <C extends { readonly nextUpdate: Date }>(crl: C | undefined, now: Date): crl is C => crl !== undefined && crl.nextUpdate > now;

/** For a truststore of which a CA has no CRL, or an expired one. */
export function lacksCrl(ca: CertificationAuthority): PkiError {
  const next = signsStatus(ca) ? 'try again once it is published' : 'its key is not online: have a ceremony sign the next one, and import it';
  return new PkiError('truststore.incomplete', `${ca.name} has no current CRL: ${next}`);
}
