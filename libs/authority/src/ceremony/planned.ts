import { toHex } from '@fleetroot/core';
import { spkiSha256 } from '@fleetroot/x509';
import { sha256Of } from './digest.ts';
import type {
  CeremonyPlan, PlannedAuthority, PlannedCrl, PlannedCross, PlannedKey, PlannedOcspSigner, PlannedRenewal, PlannedRequest,
} from './plan.ts';

/**
 * SHA-256 over what a plan says of one object. On record beside it: the same again is recognised, and another plan for
 * the same name refused. A CA and a request are known by their name; any other object by the title of its ceremony and
 * what it says, so that the same may be made again under another title.
 */

const hashed = (said: unknown): string => sha256Of(JSON.stringify(said));

/** As older releases wrote it, with what came later only where it is used. */
export function plannedAuthority({ name, parent, key, terms, succeeds, labels, signatureAlgorithm }: PlannedAuthority): string {
  const subject = terms?.subject.map(({ type, value }) => [type, value]) ?? null;
  const [years, pathLength] = terms === undefined || 'profile' in terms ? [null, null] : [terms.years, terms.pathLength];
  const later = {
    ...(terms !== undefined && 'profile' in terms ? { profile: terms.profile.name } : {}),
    ...(succeeds === undefined ? {} : { succeeds }), ...(signatureAlgorithm === undefined ? {} : { signatureAlgorithm }),
    ...(Object.keys(labels).length === 0 ? {} : { labels: Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)) }),
  };
  return hashed([name, parent ?? null, keyOf(key), subject, years, pathLength, ...(Object.keys(later).length === 0 ? [] : [later])]);
}

function keyOf(key: PlannedKey): unknown {
  if ('make' in key) return key.make;
  return 'request' in key ? { request: toHex(spkiSha256(key.request.spkiDer)) } : { certificate: sha256Of(key.certificate.der) };
}

export const plannedRequest = ({ name, key, subject }: PlannedRequest): string =>
  hashed(['request', name, key, subject.map(({ type, value }) => [type, value])]);

export const plannedRenewal = ({ title }: CeremonyPlan, { authority, years }: PlannedRenewal): string => hashed(['renewal', title, authority, years]);

export const plannedCross = ({ title }: CeremonyPlan, { subject, issuer, years, pathLength }: PlannedCross): string =>
  hashed(['cross', title, typeof subject === 'string' ? subject : sha256Of(subject.certificate.der), issuer, years, pathLength ?? null]);

export const plannedCrl = ({ title }: CeremonyPlan, { authority, days, revoked }: PlannedCrl): string => hashed([
  'crl', title, authority, days,
  revoked.map(({ serial, revokedAt, reasonName, invalidityDate }) => [toHex(serial), revokedAt.toISOString(), reasonName, invalidityDate?.toISOString() ?? null]),
]);

export const plannedOcspSigner = ({ title }: CeremonyPlan, { issuer, request, subject, days }: PlannedOcspSigner): string =>
  hashed(['ocsp-signer', title, issuer, toHex(spkiSha256(request.spkiDer)), subject.map(({ type, value }) => [type, value]), days]);
