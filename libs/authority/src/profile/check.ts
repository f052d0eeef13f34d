import { PkiError } from '@fleetroot/core';
import type { CertificationRequest } from '@fleetroot/x509';
import type { RequestItem } from '../ports/batches.ts';
import { dnsName } from './dns-name.ts';
import type { Profile } from './profile.ts';

/** What is known of the requester beside the request itself. */
export type RequestFacts = Pick<RequestItem, 'ecuSerial' | 'partNumber' | 'vin'>;

const MAX_DNS_NAMES = 100;
const COMMON_NAME_MAX = 64;
const printable = /^[A-Za-z0-9 '()+,\-./:=?]*$/;

/**
 * Whether the profile allows a certificate for these facts and this request. Cheap: it does not verify the request's
 * signature. The api calls it before it stores the request, the issuer again before it signs.
 * @throws PkiError `profile.field-missing` (`data.field`), `request.key-refused`, `request.name-refused`
 */
export function checkRequestAgainstProfile(profile: Profile, facts: RequestFacts, request: CertificationRequest): void {
  for (const field of profile.requires) {
    if (field !== 'dnsNames' && facts[field] === undefined) {
      throw new PkiError('profile.field-missing', `the profile ${profile.name} needs ${field}`, { data: { field } });
    }
  }
  checkKey(profile, request);
  const names = requestedDnsNames(profile, request);
  for (const part of profile.subject) {
    if (!('from' in part)) continue;
    const text = part.from === 'dnsName' ? names[0] : facts[part.from];
    if (part.type === 'serialNumber' && text !== undefined && !printable.test(text)) {
      throw new PkiError('request.name-refused', `${part.from} has a character that a serialNumber cannot hold ("_")`, { data: { field: part.from } });
    }
    if (part.from === 'dnsName' && (names[0] ?? '').length > COMMON_NAME_MAX) {
      throw new PkiError('request.name-refused', `the first DNS name goes into the subject and must have at most ${COMMON_NAME_MAX} characters`, { data: { field: 'dnsNames' } });
    }
  }
}

/**
 * The DNS names that a certificate of this profile takes from the request: in order, in lower case, each once; empty
 * where the profile takes none, and then whatever names the request asks for are ignored. A profile that does take DNS
 * names refuses a request that asks for other kinds beside them: its sender would miss them in the certificate.
 * @throws PkiError `request.name-refused`, `profile.field-missing`
 */
export function requestedDnsNames(profile: Profile, request: CertificationRequest): readonly string[] {
  const rule = profile.subjectAltNames.find((candidate) => candidate.kind === 'dns');
  if (rule?.kind !== 'dns') return [];
  const names = new Set<string>();
  for (const name of request.subjectAltNames) {
    if (name.kind !== 'dns') {
      throw new PkiError('request.name-refused', `the request asks for a name of the kind ${name.kind}; the profile ${profile.name} takes DNS names only`, { data: { field: 'subjectAltNames' } });
    }
    names.add(dnsName(name.value, rule));
  }
  if (names.size === 0) {
    throw new PkiError('profile.field-missing', `the profile ${profile.name} needs a DNS name in the request's subjectAltName`, { data: { field: 'dnsNames' } });
  }
  if (names.size > MAX_DNS_NAMES) {
    throw new PkiError('request.name-refused', `the request asks for more than ${MAX_DNS_NAMES} DNS names`, { data: { field: 'dnsNames' } });
  }
  return [...names];
}

function checkKey({ name, keys }: Profile, { key }: CertificationRequest): void {
  if (!keys.types.includes(key.keyType)) {
    throw new PkiError('request.key-refused', `the profile ${name} takes ${keys.types.join(', ')} keys, not ${key.keyType}`, { data: { keyType: key.keyType } });
  }
  if (key.keyType === 'rsa' && key.bits < keys.rsaMinBits) {
    throw new PkiError('request.key-refused', `the profile ${name} takes RSA keys of at least ${keys.rsaMinBits} bits`, { data: { keyType: key.keyType, bits: key.bits } });
  }
}
