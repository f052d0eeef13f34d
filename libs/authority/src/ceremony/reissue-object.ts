import { toHex } from '@fleetroot/core';
import {
  algorithmIdentifier, der, encodeExtension, type Extension, extension, extensionOids, keyIdentifier, type KeyUsage, type ParsedCertificate, sameSubject,
  verifySignature,
} from '@fleetroot/x509';
import { authorityKeyIdentifier, pointers } from '../profile/extensions.ts';
import { baseUrl, statusUrls } from '../profile/surroundings.ts';
import { octets, sha256Of } from './digest.ts';
import type { KnownAuthority } from './hierarchy.ts';
import { type CeremonyObject, ceremonyObject, requireClean, unsignedCertificate } from './object.ts';
import type { PlannedCross, PlannedRenewal } from './plan.ts';
import { plannedCross, plannedRenewal } from './planned.ts';
import type { IntentRecord } from './record.ts';
import { atPlace, authorityAt, type CeremonySite, intentOf, pathLengthUnder, type Place, refuse, requireAllowed, signatoryAt } from './site.ts';
import { lastSecond } from './validity.ts';

/** A new certificate with the key, the name and the extensions of the one before. */
export function prepareRenewal(site: CeremonySite, planned: PlannedRenewal, path: Place): CeremonyObject {
  const { authority: name, years } = planned;
  const ca = authorityAt(site, name, [...path, 'authority']);
  const before = ca.certificate;
  const issuer = signatoryAt(site, ca.parent ?? name, [...path, 'authority']);
  const issuerEnd = ca.parent === undefined ? undefined : issuer.certificate.notAfter;
  const intent = intentOf(site, [plannedRenewal(site.plan, planned), sha256Of(before.tbsDer), sha256Of(issuer.certificate.tbsDer)], { name: `${name} renewed: ${site.plan.title}` });
  const notAfter = lastSecond(new Date(intent.notBefore), { years }, issuerEnd);
  if (notAfter <= before.notAfter) refuse(site, [...path, 'years'], `would end the new certificate at ${notAfter.toISOString()}, no later than the one that ${name} has: raise it, or renew the issuer first`);
  const tbs = tbsOf({ issuer, intent, notAfter, subject: before, extensions: before.extensions });
  requireClean(`the renewed certificate of ${name}`, tbs, ca.parent === undefined ? undefined : issuer.certificate, 'ca');
  if (ca.parent !== undefined) requireAllowed(site, issuer, tbs, before.subjectDer, path);
  const certificate = unsignedCertificate(tbs, issuer.algorithm);
  const file = site.hierarchy.fileFor(name, 'cer', 2);
  site.hierarchy.add({ ...ca, certificate });
  return certificateObject('ca', { file, name, subject: name, keyId: ca.keyId, issuer, certificate, intent, planned: plannedRenewal(site.plan, planned) });
}

/** A certificate by another issuer with the key, the name and the rights of a CA that has one (RFC 5280 section 3.2). */
export function prepareCross(site: CeremonySite, planned: PlannedCross, path: Place): CeremonyObject {
  const issuer = signatoryAt(site, planned.issuer, [...path, 'issuer']);
  const { known, certificate: subject, name } = crossSubject(site, planned, path);
  if (!subject.isCa || subject.keyUsage?.includes('keyCertSign') === false) refuse(site, path, `${name} is not a CA: its certificate does not let it sign others`);
  if (sha256Of(subject.spkiDer) === sha256Of(issuer.certificate.spkiDer)) refuse(site, path, `${name} has the key of its issuer: a CA is renewed by renewals`);
  const strange = subject.extensions.find(({ oid, critical }) => critical && !understood.has(oid));
  if (strange !== undefined) refuse(site, path, `${name} has the critical extension ${strange.oid}, which is not understood here: what it forbids would be lost`);
  const pathLength = crossPathLength(site, planned, subject, issuer, path);

  const basis = [plannedCross(site.plan, planned), sha256Of(subject.tbsDer), sha256Of(issuer.certificate.tbsDer), site.statusUrl];
  const intent = intentOf(site, basis, { name: `${name} by ${planned.issuer}: ${site.plan.title}` });
  const notAfter = lastSecond(new Date(intent.notBefore), planned, issuer.certificate.notAfter);
  const tbs = atPlace(site, path, () => tbsOf({ issuer, intent, notAfter, subject, extensions: crossExtensions(site, subject, issuer, pathLength) }));
  // Whoever made the CA may derive key identifiers in another way; what the CA has issued points to that one.
  requireClean(`the cross-certificate of ${name} by ${planned.issuer}`, tbs, issuer.certificate, 'ca', ['subject-key-identifier']);
  requireAllowed(site, issuer, tbs, subject.subjectDer, path);
  return certificateObject('cross', {
    file: site.hierarchy.fileFor(`${name}-by-${planned.issuer}`, 'cer'), name, subject: known?.name, keyId: known?.keyId, issuer,
    certificate: unsignedCertificate(tbs, issuer.algorithm), intent, planned: plannedCross(site.plan, planned),
  });
}

/** The CA that is certified, as far as it is known here. */
function crossSubject(site: CeremonySite, { subject }: PlannedCross, path: Place): { known: KnownAuthority | undefined; certificate: ParsedCertificate; name: string } {
  if (typeof subject === 'string') {
    const known = authorityAt(site, subject, [...path, 'subject']);
    return { known, certificate: known.certificate, name: subject };
  }
  const { certificate, stem } = subject;
  const { subjectDer, issuerDer, spkiDer, signatureAlgorithm, tbsDer, signature } = certificate;
  if (sameSubject(subjectDer, issuerDer) && !verifySignature(spkiDer, signatureAlgorithm, tbsDer, signature)) {
    refuse(site, [...path, 'certificate'], 'is not signed by its own key: it was changed');
  }
  return { known: site.hierarchy.holderOf(spkiDer), certificate, name: stem };
}

function crossPathLength(site: CeremonySite, planned: PlannedCross, subject: ParsedCertificate, issuer: KnownAuthority, path: Place): number | undefined {
  const allowed = pathLengthUnder(site, issuer, sameSubject(subject.subjectDer, issuer.certificate.subjectDer), [...path, 'issuer']);
  const own = subject.pathLength ?? Infinity;
  if ((planned.pathLength ?? 0) > own) refuse(site, [...path, 'pathLength'], `is more than the ${own} of its own certificate: lower it`);
  const wanted = planned.pathLength ?? Math.min(own, allowed);
  if (wanted > allowed) refuse(site, [...path, 'pathLength'], `is more than the ${allowed} that ${issuer.name} and the CAs above it allow: lower it`);
  return wanted === Infinity ? undefined : wanted;
}

const limits = [
  extensionOids.extendedKeyUsage, extensionOids.nameConstraints, extensionOids.certificatePolicies, extensionOids.policyConstraints,
  extensionOids.inhibitAnyPolicy,
] as const;

/** What else may be critical: it is made anew here, or gives a right that is left out. */
const understood: ReadonlySet<string> = new Set([...limits, extensionOids.basicConstraints, extensionOids.keyUsage, extensionOids.policyMappings]);

/** The rights of the subject's own certificate and no more: what limits it there limits it here. */
function crossExtensions(site: CeremonySite, subject: ParsedCertificate, issuer: KnownAuthority, pathLength: number | undefined): Extension[] {
  const own = (oid: string): Extension[] => subject.extensions.filter((each) => each.oid === oid);
  return [
    extension.basicConstraints(pathLength === undefined ? { ca: true } : { ca: true, pathLength }),
    extension.keyUsage((subject.keyUsage ?? ['keyCertSign', 'cRLSign']) as KeyUsage[]),
    extension.subjectKeyIdentifier(subject.subjectKeyIdentifier ?? keyIdentifier(subject.spkiDer)),
    ...limits.flatMap(own),
    authorityKeyIdentifier(issuer.certificate),
    ...pointers({ certificatePolicies: [], urls: statusUrls(baseUrl(site.statusUrl), ['caIssuers'], 1) }, { ...issuer.certificate, name: issuer.name }),
  ];
}

interface Reissued {
  readonly issuer: KnownAuthority;
  readonly intent: IntentRecord;
  readonly notAfter: Date;
  /** Whose name and key it certifies, octet for octet. */
  readonly subject: Pick<ParsedCertificate, 'subjectDer' | 'spkiDer'>;
  readonly extensions: readonly Extension[];
}

/** TBSCertificate (RFC 5280 section 4.1.2) around a Name that somebody else may have encoded. */
function tbsOf({ issuer, intent, notAfter, subject, extensions }: Reissued): Uint8Array {
  return der.sequence(
    der.explicit(0, der.integer(2)), der.integer(octets(intent.serial)), algorithmIdentifier(issuer.algorithm), issuer.certificate.subjectDer,
    der.sequence(der.time(new Date(intent.notBefore)), der.time(notAfter)), subject.subjectDer, subject.spkiDer,
    der.explicit(3, der.sequence(...extensions.map(encodeExtension))),
  );
}

function certificateObject(kind: 'ca' | 'cross', made: {
  readonly file: string; readonly name: string; readonly subject: string | undefined; readonly keyId: string | undefined;
  readonly issuer: KnownAuthority; readonly certificate: ParsedCertificate; readonly intent: IntentRecord; readonly planned: string;
}): CeremonyObject {
  const { file, name, subject, keyId, issuer, certificate, intent, planned } = made;
  return ceremonyObject({
    kind, file, name, issuer: issuer.name, tbs: certificate.tbsDer, algorithm: issuer.algorithm, signer: { keyId: issuer.keyId, spkiDer: issuer.certificate.spkiDer },
    keyId, serial: toHex(certificate.serial), given: undefined, intent: intent.name, remarks: [],
    entry: (sha256) => ({ certificate: { file, kind, subject: subject ?? null, issuer: issuer.name, sha256, planned } }),
  });
}
