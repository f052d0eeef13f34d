import { PkiError } from '@fleetroot/core';
import type { CertificationRequest } from '@fleetroot/x509';
import type { RequestItem } from '../ports/batches.ts';
import type { Profile } from './profile.ts';
import { requestedAttributes, requestedNames } from './requested.ts';

/** What is known of the requester beside the request itself. */
export type RequestFacts = Pick<RequestItem, 'ecuSerial' | 'partNumber' | 'vin'>;

const COMMON_NAME_MAX = 64;
const printable = /^[A-Za-z0-9 '()+,\-./:=?]*$/;
const PRINTABLE_ONLY: readonly string[] = ['serialNumber', 'dnQualifier'];

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
  requestedAttributes(profile, request);
  const { dns } = requestedNames(profile, request);
  for (const part of profile.subject) {
    if (!('from' in part) || part.from === 'request') continue;
    const text = part.from === 'dnsName' ? dns[0] : facts[part.from];
    if (PRINTABLE_ONLY.includes(part.type) && text !== undefined && !printable.test(text)) {
      throw new PkiError('request.name-refused', `${part.from} has a character that a ${part.type} cannot hold ("_")`, { data: { field: part.from } });
    }
    if (part.from === 'dnsName' && (dns[0] ?? '').length > COMMON_NAME_MAX) {
      throw new PkiError('request.name-refused', `the first DNS name goes into the subject and must have at most ${COMMON_NAME_MAX} characters`, { data: { field: 'dnsNames' } });
    }
  }
}

function checkKey({ name, keys }: Profile, { key }: CertificationRequest): void {
  if (!keys.types.includes(key.keyType)) {
    throw new PkiError('request.key-refused', `the profile ${name} takes ${keys.types.join(', ')} keys, not ${key.keyType}`, { data: { keyType: key.keyType } });
  }
  if (key.keyType !== 'rsa') return;
  if (key.bits < keys.rsaMinBits) {
    throw new PkiError('request.key-refused', `the profile ${name} takes RSA keys of at least ${keys.rsaMinBits} bits`, { data: { keyType: key.keyType, bits: key.bits } });
  }
  if (keys.rsaMaxBits !== undefined && key.bits > keys.rsaMaxBits) {
    throw new PkiError('request.key-refused', `the profile ${name} takes RSA keys of at most ${keys.rsaMaxBits} bits`, { data: { keyType: key.keyType, bits: key.bits } });
  }
}
