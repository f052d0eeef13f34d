import { createHash } from 'node:crypto';
import type { HeldAuthority, HeldCertificate, HeldCrl, HeldObjects, HeldRequest } from '@fleetroot/authority';
import { toHex } from '@fleetroot/core';
import { describeName, parseCertificate, parseCrl } from '@fleetroot/x509';

const sha256 = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex');

/** What a folder of ceremonies holds, for machines. */
export const shown = ({ authorities, certificates, requests, crls }: HeldObjects) => ({
  authorities: authorities.map(({ name, parent, certificate, keyId, notBefore, notAfter, succeeds, signatureAlgorithm, labels }) => ({
    name, parent: parent ?? null, subject: subjectOf(certificate), notBefore: notBefore.toISOString(), notAfter: notAfter.toISOString(),
    keyId: keyId === undefined ? null : toHex(keyId), succeeds: succeeds ?? null, signatureAlgorithm: signatureAlgorithm ?? null, labels,
    sha256: sha256(certificate),
  })),
  certificates: certificates.map(({ file, kind, subject, issuer, certificate }) => ({
    file, kind, subject: subject ?? null, issuer: issuer ?? null, notAfter: parseCertificate(certificate).notAfter.toISOString(), sha256: sha256(certificate),
  })),
  requests: requests.map(({ name, keyId, request }) => ({ name, subject: describeName(request.subjectDer), keyId: toHex(keyId), sha256: sha256(request.der) })),
  crls: crls.map(({ authority, number, thisUpdate, nextUpdate, crl }) => ({
    authority, number: String(number), thisUpdate: thisUpdate.toISOString(), nextUpdate: nextUpdate.toISOString(), revoked: parseCrl(crl).entries.size,
    sha256: sha256(crl),
  })),
});

/** And for people. */
export function describeHeld({ authorities, certificates, requests, crls }: HeldObjects): string[] {
  const lines = [...authorities.flatMap(describeAuthority), ...certificates.flatMap(describeCertificate), ...requests.flatMap(describeRequest), ...crls.flatMap(describeCrl)];
  return lines.length === 0 ? ['Nothing yet: fleetroot ceremony run hsm-config/ceremony-dev.yaml'] : lines;
}

const describeAuthority = ({ name, parent, certificate, keyId, notBefore, notAfter, succeeds, labels }: HeldAuthority): string[] => [
  `${name}${parent === undefined ? ' (root)' : `, below ${parent}`}${succeeds === undefined ? '' : `, succeeds ${succeeds}`}`,
  `  subject    ${subjectOf(certificate)}`,
  `  valid      ${notBefore.toISOString()} to ${notAfter.toISOString()}`,
  `  key        ${keyId === undefined ? 'elsewhere' : `CKA_ID ${toHex(keyId)}`}`,
  ...Object.entries(labels).map(([label, value]) => `  label      ${label}=${value}`),
  `  SHA-256    ${sha256(certificate)}`,
];

const describeCertificate = ({ file, kind, subject, issuer, certificate }: HeldCertificate): string[] => [
  `${file} (${kind === 'ca' ? 'renewed' : kind === 'cross' ? 'cross-certificate' : 'OCSP signer'})`,
  `  subject    ${subject ?? subjectOf(certificate)}`,
  `  issuer     ${issuer ?? 'elsewhere'}`,
  `  valid      until ${parseCertificate(certificate).notAfter.toISOString()}`,
  `  SHA-256    ${sha256(certificate)}`,
];

const describeRequest = ({ name, keyId, request }: HeldRequest): string[] => [
  `${name} (request, to be signed elsewhere)`,
  `  subject    ${describeName(request.subjectDer)}`,
  `  key        CKA_ID ${toHex(keyId)}`,
  `  SHA-256    ${sha256(request.der)}`,
];

const describeCrl = ({ authority, number, thisUpdate, nextUpdate, crl }: HeldCrl): string[] => [
  `CRL ${number} of ${authority}`,
  `  valid      ${thisUpdate.toISOString()} to ${nextUpdate.toISOString()}`,
  `  revoked    ${parseCrl(crl).entries.size}`,
  `  SHA-256    ${sha256(crl)}`,
];

const subjectOf = (certificate: Uint8Array): string => describeName(parseCertificate(certificate).subjectDer);
