import { buildRequest, CertificateTemplate, der, DerReader, encodeName, extension, publicKeyFacts, signatureAlgorithmFor } from '@fleetroot/x509';
import { authorityKeyIdentifier } from '../profile/extensions.ts';
import { octets, sha256Of } from './digest.ts';
import { type CeremonyObject, ceremonyObject, requireClean } from './object.ts';
import type { PlannedOcspSigner, PlannedRequest } from './plan.ts';
import { plannedOcspSigner, plannedRequest } from './planned.ts';
import { atPlace, type CeremonySite, intentOf, type Place, refuse, requireAllowed, signatoryAt } from './site.ts';
import { daysMs, lastSecond } from './validity.ts';

/** A key that is made here, and the request with which a CA elsewhere certifies it. */
export async function prepareRequest(site: CeremonySite, planned: PlannedRequest, path: Place): Promise<CeremonyObject> {
  const { name, key, subject } = planned;
  const file = `${name}.csr`;
  if (site.hierarchy.get(name) !== undefined || !site.hierarchy.take(file)) refuse(site, [...path, 'name'], 'is the name of a CA that exists: choose another');
  const intent = intentOf(site, [plannedRequest(planned)], { name });
  const spkiDer = await site.keys.make(name, intent.keyId, key);
  const algorithm = signatureAlgorithmFor(spkiDer);
  const whole = await buildRequest({ subject, spkiDer, algorithm }, () => new Uint8Array(0));
  const tbs = new DerReader(whole, 'ceremony.invalid').enter(der.tag.sequence, 'request').element('certificationRequestInfo');
  return ceremonyObject({
    kind: 'request', file, name, issuer: undefined, tbs, algorithm, signer: { keyId: intent.keyId, spkiDer }, keyId: intent.keyId, serial: undefined,
    given: undefined, intent: intent.name, remarks: [],
    entry: (sha256) => ({ request: { name, keyId: intent.keyId, file, sha256, planned: plannedRequest(planned) } }),
  });
}

/** The certificate of the key with which a responder answers for a CA that is offline (RFC 6960 section 4.2.2.2). */
export function prepareOcspSigner(site: CeremonySite, planned: PlannedOcspSigner, path: Place): CeremonyObject {
  const { issuer: name, request, subject, days } = planned;
  const issuer = signatoryAt(site, name, [...path, 'issuer']);
  const holder = site.hierarchy.holderOf(request.spkiDer);
  if (holder !== undefined) refuse(site, [...path, 'request'], `has the key of the CA ${holder.name}: an OCSP signer has a key of its own`);
  const { keyType, bits } = publicKeyFacts(request.spkiDer, 'ceremony.invalid');
  if (keyType === 'rsa' && bits < 3072) refuse(site, [...path, 'request'], `has an RSA key of ${bits} bits: an OCSP signer has at least 3072, or a key on a curve`);
  const intent = intentOf(site, [plannedOcspSigner(site.plan, planned), sha256Of(issuer.certificate.tbsDer)], {
    name: `OCSP signer of ${name}: ${site.plan.title}: ${sha256Of(request.spkiDer).slice(0, 16)}`, lifetimeMs: daysMs(days),
  });
  const notBefore = new Date(intent.notBefore);
  const tbs = atPlace(site, path, () => CertificateTemplate.compile({
    signatureAlgorithm: issuer.algorithm, issuerDer: issuer.certificate.subjectDer,
    subject: subject.map(({ type, value }) => ({ type, from: { fixed: value } })),
    extensions: [
      authorityKeyIdentifier(issuer.certificate), { hole: 'subjectKeyIdentifier' }, extension.basicConstraints({ ca: false }),
      extension.keyUsage(['digitalSignature']), extension.extendedKeyUsage(['OCSPSigning']), extension.ocspNoCheck(),
    ],
  }).build({
    serial: octets(intent.serial), notBefore, notAfter: lastSecond(notBefore, { days }, issuer.certificate.notAfter), spkiDer: request.spkiDer, subject: {},
  }));
  requireClean(`the certificate of the OCSP signer of ${name}`, tbs, issuer.certificate, 'ocsp-signer');
  requireAllowed(site, issuer, tbs, encodeName(subject), path);
  const file = site.hierarchy.fileFor(`${name}.ocsp-signer`, 'cer');
  return ceremonyObject({
    kind: 'ocsp-signer', file, name, issuer: name, tbs, algorithm: issuer.algorithm, signer: { keyId: issuer.keyId, spkiDer: issuer.certificate.spkiDer },
    keyId: undefined, serial: intent.serial, given: undefined, intent: intent.name, remarks: [],
    entry: (sha256) => ({ certificate: { file, kind: 'ocsp-signer', subject: null, issuer: name, sha256, planned: plannedOcspSigner(site.plan, planned) } }),
  });
}
