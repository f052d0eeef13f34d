import { toHex } from '@fleetroot/core';
import {
  der, DerReader, describeName, type Extension, extensionOids, type ParsedCertificate, parseCrl, publicKeyFacts, spkiSha256,
} from '@fleetroot/x509';
import { type RevocationReason, revocationReasons } from '../ports/status.ts';
import { assemble, type CeremonyObject, type CeremonyObjectKind, unsignedCertificate } from './object.ts';
import { visible } from './visible.ts';

/** A line of a dry run. */
export type Line = readonly [field: string, value: string];

const titles: Readonly<Record<CeremonyObjectKind, string>> = {
  ca: 'certificate of a CA', cross: 'cross-certificate', 'ocsp-signer': 'certificate of an OCSP signer', crl: 'CRL', request: 'certification request',
};

/** One object of a dry run, as people read it. Nothing in it can break out of its line. */
export function describeObject(object: CeremonyObject): string {
  const { kind, file, name, tbs, tbsSha256, algorithm, signer, keyId, given } = object;
  const lines: Line[] = [
    ['CA', name], ...contentOf(object), ...object.remarks,
    ['key', keyId === undefined ? 'not here' : `CKA_ID ${keyId}`],
    ['signature', given === undefined ? `${algorithm}, by the key with CKA_ID ${signer.keyId ?? ''}` : `${algorithm}, made elsewhere: nothing is signed`],
    ['to be signed', `${tbs.length} octets, SHA-256 ${tbsSha256}`],
  ];
  return `${titles[kind]}  ${file}\n${told(lines)}`;
}

/** Fields below each other, their values in one column; no value breaks out of its line. */
export const told = (lines: readonly Line[], indent = '   '): string => lines.map(([field, value]) => `${indent}${field.padEnd(24)} ${visible(value)}\n`).join('');

function contentOf({ kind, tbs, algorithm }: CeremonyObject): Line[] {
  if (kind === 'crl') return crlLines(assemble(tbs, algorithm, new Uint8Array(0)));
  if (kind === 'request') return requestLines(tbs);
  const certificate = unsignedCertificate(tbs, algorithm);
  return [
    ['issuer', describeName(certificate.issuerDer)], ['subject', describeName(certificate.subjectDer)], ['serial number', toHex(certificate.serial)],
    ['not before', instant(certificate.notBefore)], ['not after', instant(certificate.notAfter)], ...keyLines(certificate.spkiDer),
    ...certificate.extensions.map((each): Line => [`${nameOf(each)}${each.critical ? ' (critical)' : ''}`, valueOf(each, certificate)]),
  ];
}

function keyLines(spkiDer: Uint8Array): Line[] {
  const { keyType, bits } = publicKeyFacts(spkiDer, 'ceremony.invalid');
  return [['public key', `${keyType}${keyType === 'rsa' ? ` of ${bits} bits` : ''}, SHA-256 of SubjectPublicKeyInfo ${toHex(spkiSha256(spkiDer))}`]];
}

const instant = (date: Date): string => date.toISOString().replace('.000Z', 'Z');

function crlLines(whole: Uint8Array): Line[] {
  const crl = parseCrl(whole);
  const reasonOf = (code: number) => (Object.keys(revocationReasons) as RevocationReason[]).find((name) => revocationReasons[name] === code) ?? String(code);
  return [
    ['issuer', describeName(crl.issuerDer)], ['CRL number', crl.number.toString()], ['this update', instant(crl.thisUpdate)], ['next update', instant(crl.nextUpdate)],
    ['authorityKeyIdentifier', toHex(crl.authorityKeyIdentifier)], ['revoked certificates', String(crl.entries.size)],
    ...[...crl.entries].map(([serial, { revokedAt, reason, invalidityDate }]): Line => [
      `  ${instant(revokedAt)}`, `${serial} ${reasonOf(reason)}${invalidityDate === undefined ? '' : `, invalid since ${instant(invalidityDate)}`}`,
    ]),
  ];
}

function requestLines(info: Uint8Array): Line[] {
  const reader = new DerReader(info, 'ceremony.invalid').enter(der.tag.sequence, 'certificationRequestInfo');
  reader.element('version');
  return [['subject', describeName(reader.element('subject'))], ...keyLines(reader.element('subjectPublicKeyInfo'))];
}

const names = new Map<string, string>(Object.entries(extensionOids).map(([name, oid]) => [oid, name]));

const nameOf = ({ oid }: Extension): string => names.get(oid) ?? oid;

/** What has no words of its own is told by its DER. */
function valueOf({ oid, value }: Extension, certificate: ParsedCertificate): string {
  switch (oid) {
    case extensionOids.basicConstraints:
      return `CA ${certificate.isCa ? 'TRUE' : 'FALSE'}${certificate.pathLength === undefined ? '' : `, path length ${certificate.pathLength}`}`;
    case extensionOids.keyUsage:
      return certificate.keyUsage?.join(', ') ?? '';
    case extensionOids.extendedKeyUsage:
      return certificate.extendedKeyUsage?.join(', ') ?? '';
    case extensionOids.subjectKeyIdentifier:
      return toHex(certificate.subjectKeyIdentifier ?? value);
    case extensionOids.authorityKeyIdentifier:
      return toHex(certificate.authorityKeyIdentifier ?? value);
    case extensionOids.crlDistributionPoints:
      return certificate.crlUrls.join(' ');
    case extensionOids.authorityInformationAccess:
      return [...certificate.ocspUrls.map((url) => `ocsp ${url}`), ...certificate.caIssuersUrls.map((url) => `caIssuers ${url}`)].join(' ');
    case extensionOids.certificatePolicies:
      return policies(value).join(', ');
    case extensionOids.nameConstraints:
      return constraints(value);
    case extensionOids.ocspNoCheck:
      return 'present';
    default:
      return `DER ${toHex(value)}`;
  }
}

function policies(value: Uint8Array): string[] {
  const list = new DerReader(value, 'ceremony.invalid').enter(der.tag.sequence, 'certificatePolicies');
  const found: string[] = [];
  while (!list.atEnd) found.push(list.enter(der.tag.sequence, 'policyInformation').oid('policyIdentifier'));
  return found;
}

function constraints(value: Uint8Array): string {
  const reader = new DerReader(value, 'ceremony.invalid').enter(der.tag.sequence, 'nameConstraints');
  return ['permitted', 'excluded'].flatMap((what, n) => {
    const subtrees = reader.enterOptional(der.contextTag(n, true), what);
    const bases: string[] = [];
    if (subtrees !== undefined) for (; !subtrees.atEnd;) bases.push(base(subtrees.enter(der.tag.sequence, 'generalSubtree')));
    return bases.length === 0 ? [] : [`${what} ${bases.join(', ')}`];
  }).join('; ');
}

/** GeneralName as name constraints have it: an address comes with its mask (RFC 5280 section 4.2.1.10). */
function base(reader: DerReader): string {
  const found = reader.peek() ?? 0;
  if (found === der.contextTag(4, true)) {
    const name = reader.enter(found, 'directoryName').element('directoryName');
    return `directory ${describeName(name)}`;
  }
  const content = reader.value(found, 'generalName');
  const kind = new Map([[der.contextTag(1, false), 'email'], [der.contextTag(2, false), 'dns'], [der.contextTag(6, false), 'uri']]).get(found);
  const text = Buffer.from(content).toString('latin1');
  if (kind !== undefined && /^[\x21-\x7e]*$/.test(text)) return `${kind} ${text}`;
  return found === der.contextTag(7, false) ? `ip ${address(content)}` : `other ${toHex(content)}`;
}

function address(content: Uint8Array): string {
  if (content.length !== 8) return toHex(content);
  return `${content.subarray(0, 4).join('.')}/${content.subarray(4).join('.')}`;
}
