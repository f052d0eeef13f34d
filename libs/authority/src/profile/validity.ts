import { PkiError } from '@fleetroot/core';
import type { ParsedCertificate } from '@fleetroot/x509';
import type { ProfileValidity } from './profile.ts';

/** No end that is known (RFC 5280 section 4.1.2.5). */
export const NO_END = new Date('9999-12-31T23:59:59Z');

/** Who asks: the profile's name, its issuer and the issuer's name, and the rule. */
interface Term {
  readonly name: string;
  readonly validity: ProfileValidity;
  readonly issuer: Pick<ParsedCertificate, 'notBefore' | 'notAfter'> & { readonly name: string };
}

/**
 * Whole seconds. Both ends count (RFC 5280 section 4.1.2.5), so the last second is one less than the duration says;
 * never in the future, never beyond the issuer's own validity (I7), whatever a profile asks for.
 * @throws PkiError `ca.not-active` where there is nothing left of the issuer, or less than a profile with `refuse` asks for
 */
export function validityAt({ name, validity, issuer }: Term, signedAt: Date): { notBefore: Date; notAfter: Date } {
  if (signedAt < issuer.notBefore || signedAt > issuer.notAfter) {
    throw new PkiError('ca.not-active', `the certificate of the CA ${issuer.name} is not valid at this time`);
  }
  const second = Math.floor(signedAt.getTime() / 1000) * 1000;
  const start = Math.max(second - validity.backdateSeconds * 1000, issuer.notBefore.getTime());
  const wanted = validity.seconds === undefined ? NO_END.getTime() : start + validity.seconds * 1000 - 1000;
  if (wanted > issuer.notAfter.getTime() && validity.atIssuerEnd === 'refuse') {
    throw new PkiError('ca.not-active', `the CA ${issuer.name} ends before a certificate of the profile ${name} would, and the profile says refuse: use a CA that lives longer`);
  }
  const end = Math.min(wanted, issuer.notAfter.getTime());
  if (end <= signedAt.getTime()) {
    throw new PkiError('ca.not-active', `a certificate of the profile ${name} by the CA ${issuer.name} would be over at once`);
  }
  return { notBefore: new Date(start), notAfter: new Date(end) };
}
