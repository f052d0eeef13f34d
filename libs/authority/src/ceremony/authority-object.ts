import { equalBytes, toHex } from '@fleetroot/core';
import { encodeName, lineFailure, type ParsedCertificate, sameSubject, signatureAlgorithmFor, verifySignature } from '@fleetroot/x509';
import { buildAuthorityTbs } from '../profile/authority-compile.ts';
import type { AuthorityProfile } from '../profile/authority-profile.ts';
import type { ProfileIssuer } from '../profile/compile.ts';
import { profileKeyTypes } from '../profile/profile.ts';
import { baseUrl, statusUrls } from '../profile/surroundings.ts';
import { octets, sha256Of } from './digest.ts';
import type { KnownAuthority } from './hierarchy.ts';
import { type CeremonyObject, ceremonyObject, unsignedCertificate } from './object.ts';
import { pathLengthOf, type PlannedAuthority, type PlannedTerms, subjectOf } from './plan.ts';
import { plannedAuthority } from './planned.ts';
import type { HeldRecord } from './record.ts';
import { atPlace, authorityAt, type CeremonySite, intentOf, pathLengthUnder, type Place, refuse, requireAllowed, signatoryAt } from './site.ts';

/** The certificate of a new CA. From then on the site knows the CA. */
export async function prepareAuthority(site: CeremonySite, planned: PlannedAuthority, path: Place): Promise<CeremonyObject> {
  const { name, key, terms, succeeds } = planned;
  if (!site.hierarchy.take(`${name}.cer`)) refuse(site, [...path, 'name'], `is the name of another file, ${name}.cer: choose another`);
  if (succeeds !== undefined) authorityAt(site, succeeds, [...path, 'succeeds']);
  if ('certificate' in key || terms === undefined) {
    return takenIn(site, planned, 'certificate' in key ? key.certificate : refuse(site, path, 'has no certificate'), path);
  }
  const issuer = planned.parent === undefined ? undefined : signatoryAt(site, planned.parent, [...path, 'parent']);
  requireOwnName(site, planned, terms, path);
  if (issuer !== undefined) requirePathLength(site, issuer, terms, path);

  const basis = [plannedAuthority(planned), issuer === undefined ? null : [sha256Of(issuer.certificate.tbsDer), site.statusUrl], ...('profile' in terms ? [terms.profile] : [])];
  const intent = intentOf(site, basis, { name });
  const spkiDer = 'make' in key ? await site.keys.make(name, intent.keyId, key.make) : key.request.spkiDer;
  const keyId = 'make' in key ? intent.keyId : keyHere(site, spkiDer);
  const holder = site.hierarchy.holderOf(spkiDer);
  if (holder !== undefined) refuse(site, path, `has the key of the CA ${holder.name}: every CA has a key of its own`);
  const algorithm = planned.signatureAlgorithm ?? signatureAlgorithmFor(spkiDer);
  const built = atPlace(site, path, () => buildAuthorityTbs(profileOf(terms, issuer === undefined, site.statusUrl), profileIssuer(issuer), {
    serial: octets(intent.serial), spkiDer, notBefore: new Date(intent.notBefore),
    subject: Object.fromEntries(terms.subject.map(({ type, value }) => [type, value])), signatureAlgorithm: issuer?.algorithm ?? algorithm,
  }));
  const certificate = unsignedCertificate(built.tbs, built.algorithm);
  if (issuer !== undefined) requireAllowed(site, issuer, built.tbs, certificate.subjectDer, path);
  site.hierarchy.add({ name, parent: planned.parent, certificate, keyId, algorithm });
  return authorityObject(planned, certificate, keyId, issuer ?? { name: undefined, keyId, certificate });
}

/** A certificate that was made elsewhere comes on record as it is: that of a root, or one for a key that was requested here. */
function takenIn(site: CeremonySite, planned: PlannedAuthority, certificate: ParsedCertificate, path: Place): CeremonyObject {
  const at = [...path, 'certificate'];
  const issuer = planned.parent === undefined ? undefined : authorityAt(site, planned.parent, [...path, 'parent']);
  const { spkiDer, signatureAlgorithm, tbsDer, signature, notAfter } = certificate;
  const above = issuer?.certificate ?? certificate;
  if (!equalBytes(above.subjectDer, certificate.issuerDer) || !verifySignature(above.spkiDer, signatureAlgorithm, tbsDer, signature)) {
    refuse(site, at, issuer === undefined ? 'is not signed by its own key: name the parent that signed it' : `is not signed by ${issuer.name}: correct the parent`);
  }
  if (notAfter > above.notAfter) refuse(site, at, `ends after its issuer ${issuer?.name ?? ''}`);
  // One whose validity is yet to begin is judged by the time when it begins.
  const now = Math.max(Date.parse(intentOf(site, [plannedAuthority(planned)], { name: planned.name }).notBefore), certificate.notBefore.getTime());
  const failure = atPlace(site, at, () => lineFailure(
    [certificate, ...(issuer === undefined ? [] : site.hierarchy.line(issuer).map((ca) => ca.certificate))], new Date(now),
  ));
  if (failure !== undefined) refuse(site, at, `cannot be used below the CAs above it: ${failure.reason}`);
  const holder = site.hierarchy.holderOf(spkiDer);
  if (holder !== undefined) refuse(site, at, `has the key of the CA ${holder.name}: every CA has a key of its own`);
  const keyId = keyHere(site, spkiDer);
  site.hierarchy.add({
    name: planned.name, parent: planned.parent, certificate, keyId, algorithm: planned.signatureAlgorithm ?? signatureAlgorithmFor(spkiDer),
  });
  return { ...authorityObject(planned, certificate, keyId, { name: issuer?.name, keyId: undefined, certificate: above }), given: certificate.der };
}

function authorityObject(
  planned: PlannedAuthority, certificate: ParsedCertificate, keyId: string | undefined,
  signer: { readonly name: string | undefined; readonly keyId: string | undefined; readonly certificate: ParsedCertificate },
): CeremonyObject {
  const { name, parent, succeeds, labels, signatureAlgorithm } = planned;
  const { notBefore, notAfter, tbsDer } = certificate;
  return ceremonyObject({
    kind: 'ca', file: `${name}.cer`, name, issuer: signer.name, tbs: tbsDer, algorithm: certificate.signatureAlgorithm,
    signer: { keyId: signer.keyId, spkiDer: signer.certificate.spkiDer }, keyId, serial: toHex(certificate.serial), given: undefined, intent: name,
    remarks: [
      ...(succeeds === undefined ? [] : [['succeeds', succeeds] as const]), ...(signatureAlgorithm === undefined ? [] : [['signs with', signatureAlgorithm] as const]),
      ...Object.entries(labels).map(([label, value]) => [`label ${label}`, value] as const),
    ],
    entry: (sha256): { authority: HeldRecord } => ({
      authority: {
        name, parent: parent ?? null, keyId: keyId ?? null, sha256, notBefore: notBefore.toISOString(), notAfter: notAfter.toISOString(),
        planned: plannedAuthority(planned), succeeds: succeeds ?? null, signatureAlgorithm: signatureAlgorithm ?? null, labels: { ...labels },
      },
    }),
  });
}

/** CKA_ID of a key that was made here for a request. */
function keyHere(site: CeremonySite, spkiDer: Uint8Array): string | undefined {
  return site.requests.find((request) => equalBytes(request.spkiDer, spkiDer))?.keyId;
}

function requireOwnName(site: CeremonySite, { succeeds }: PlannedAuthority, terms: PlannedTerms, path: Place): void {
  const subjectDer = encodeName(subjectOf(terms));
  const namesake = site.hierarchy.all().find(({ name, certificate }) => name !== succeeds && sameSubject(certificate.subjectDer, subjectDer));
  if (namesake !== undefined && !followedBy(site, namesake.name, succeeds)) {
    refuse(site, [...path, 'subject'], `is the name of the CA ${namesake.name} as well: names of CAs must differ, but for one that succeeds the other`);
  }
}

/** Whether `succeeds` is a later generation of the CA. */
function followedBy(site: CeremonySite, name: string, succeeds: string | undefined): boolean {
  for (let at = succeeds, steps = 0; at !== undefined && steps < 32; steps++) {
    if (at === name) return true;
    at = site.predecessors.get(at);
  }
  return false;
}

function requirePathLength(site: CeremonySite, issuer: KnownAuthority, terms: PlannedTerms, path: Place): void {
  const allowed = pathLengthUnder(site, issuer, sameSubject(encodeName(subjectOf(terms)), issuer.certificate.subjectDer), [...path, 'parent']);
  if (pathLengthOf(terms) > allowed) {
    refuse(site, [...path, 'profile' in terms ? 'profile' : 'pathLength'], `is more than the ${allowed} that ${issuer.name} and the CAs above it allow: lower it`);
  }
}

const profileIssuer = (issuer: KnownAuthority | undefined): ProfileIssuer | undefined =>
  (issuer === undefined ? undefined : { ...issuer.certificate, name: issuer.name });

/** The profile that the fields of a plan amount to. */
function profileOf(terms: PlannedTerms, selfSigned: boolean, statusUrl: string): AuthorityProfile {
  if ('profile' in terms) return terms.profile;
  return {
    name: 'of the plan', kind: 'ca', selfSigned, keys: { types: profileKeyTypes, rsaMinBits: 2048 },
    subject: terms.subject.map(({ type, value }) => ({ type, fixed: value })), validity: { years: terms.years }, pathLength: terms.pathLength,
    keyUsage: ['keyCertSign', 'cRLSign'], extendedKeyUsage: [], certificatePolicies: [],
    urls: selfSigned ? {} : statusUrls(baseUrl(statusUrl), ['caIssuers'], 1),
  };
}
