import type { Profile } from './profile.ts';

/** A fault of a profile: where (path of its field in the file) and what, with the remedy. */
export interface ProfileFault {
  readonly path: readonly (string | number)[];
  readonly what: string;
}

export const OCSP_SIGNING: readonly string[] = ['OCSPSigning', '1.3.6.1.5.5.7.3.9'];
/** anyExtendedKeyUsage, RFC 5280 section 4.2.1.12. */
export const ANY_EXTENDED_KEY_USAGE = '2.5.29.37.0';
/** How long a certificate may live that nobody can revoke. */
const UNREVOCABLE_MAX_SECONDS = 31 * 86_400;
export const MAX_CRL_SHARDS = 1000;
/** Attributes that say who an ECU is. */
const IDENTIFYING: readonly string[] = ['commonName', 'serialNumber', 'userId'];

/** What the fields of a profile say together and must not. Empty where all is well. */
export function profileFaults(profile: Profile): ProfileFault[] {
  return [
    ...nameFaults(profile), ...requestFaults(profile), ...usageFaults(profile), ...statusFaults(profile),
    ...(profile.kind === 'ocsp-signer' ? signerFaults(profile) : leafFaults(profile)),
  ];
}

function nameFaults({ requires, subject, subjectAltNames }: Profile): ProfileFault[] {
  const faults: ProfileFault[] = [];
  const needs = (path: ProfileFault['path'], fact: Profile['requires'][number]) => {
    if (!requires.includes(fact)) faults.push({ path, what: `takes ${fact}, which may be absent: add ${fact} to requires` });
  };
  subject.forEach((part, i) => {
    if (subject.findIndex((other) => other.type === part.type) !== i) {
      faults.push({ path: ['subject', i, 'type'], what: `${part.type} stands twice: remove one` });
    }
    if ('from' in part && part.from !== 'request') needs(['subject', i, 'from'], part.from === 'dnsName' ? 'dnsNames' : part.from);
  });
  subjectAltNames.forEach((rule, i) => {
    if (rule.kind === 'dns') needs(['subjectAltNames', i, 'from'], 'dnsNames');
    else if (rule.from !== 'request') needs(['subjectAltNames', i, 'from'], rule.from);
  });
  if (requires.includes('dnsNames') && !subjectAltNames.some((rule) => rule.kind === 'dns')) {
    faults.push({ path: ['requires'], what: 'dnsNames go nowhere: add { kind: dns, from: request } to subjectAltNames' });
  }
  if (subject.length === 0 && subjectAltNames.length === 0) {
    faults.push({ path: ['subject'], what: 'the certificate would name nobody: give it a subject or a subjectAltName' });
  }
  return faults;
}

/** What comes from the request: never who an ECU is, and never all there is of a name. */
function requestFaults({ requires, subject, subjectAltNames }: Profile): ProfileFault[] {
  const faults: ProfileFault[] = [];
  subject.forEach((part, i) => {
    if ('from' in part && part.from === 'request' && requires.includes('ecuSerial') && IDENTIFYING.includes(part.type)) {
      faults.push({ path: ['subject', i, 'from'], what: `an ECU does not say itself who it is: take ${part.type} from ecuSerial or partNumber` });
    }
  });
  if (subject.length > 0 && subject.every((part) => 'optional' in part)) {
    faults.push({ path: ['subject'], what: 'would be empty where the request lacks all of it: let one part not be optional' });
  }
  subjectAltNames.forEach((rule, i) => {
    if (subjectAltNames.findIndex((other) => other.kind === rule.kind && other.from === rule.from) !== i) {
      faults.push({ path: ['subjectAltNames', i], what: `takes ${rule.kind} from ${rule.from} twice: remove one` });
    }
    if (rule.kind === 'uri' && rule.from === 'request' && !/[:/]$/.test(rule.prefix)) {
      faults.push({ path: ['subjectAltNames', i, 'prefix'], what: 'must end in ":" or "/", or a request could go on with the same name: add one' });
    }
  });
  if (subject.length === 0 && subjectAltNames.length > 0 && subjectAltNames.every(({ kind, from }) => from === 'request' && kind !== 'dns')) {
    faults.push({ path: ['subjectAltNames'], what: 'may be absent, and there is no subject: give it a subject' });
  }
  return faults;
}

function usageFaults({ keys, keyUsage }: Profile): ProfileFault[] {
  const faults: ProfileFault[] = [];
  if (keyUsage.includes('keyEncipherment') && keys.types.some((type) => type !== 'rsa')) {
    faults.push({ path: ['keyUsage'], what: 'keyEncipherment is for RSA keys only: remove it, or leave only rsa in keys.types' });
  }
  if (keyUsage.includes('keyAgreement') && keys.types.some((type) => type === 'rsa' || type === 'ed25519')) {
    faults.push({ path: ['keyUsage'], what: 'keyAgreement is for p-256, p-384 and p-521 only: remove it, or the other key types' });
  }
  return faults;
}

/** How a relying party learns of a revocation, or that there is none to learn of. */
function statusFaults({ noRevAvail, tlsFeature, urls, validity, ocspNoCheck }: Profile): ProfileFault[] {
  const faults: ProfileFault[] = [];
  if (tlsFeature !== undefined && urls.ocsp === undefined) {
    faults.push({ path: ['tlsFeature'], what: 'asks for an OCSP answer that the server cannot find: add ocsp to authorityInformationAccess' });
  }
  if (noRevAvail === undefined) return faults;
  // RFC 9608 section 3.
  if (urls.ocsp !== undefined) {
    faults.push({ path: ['authorityInformationAccess'], what: 'must not have ocsp beside noRevAvail (RFC 9608 section 3): write [caIssuers]' });
  }
  if (urls.crl !== undefined) {
    faults.push({ path: ['crlDistributionPoint'], what: 'must not stand beside noRevAvail (RFC 9608 section 3): write false' });
  }
  if (validity.seconds === undefined || validity.seconds > UNREVOCABLE_MAX_SECONDS) {
    faults.push({ path: ['validity'], what: 'is that of a certificate whose revocation nobody learns of: at most 31 days' });
  }
  if (ocspNoCheck) faults.push({ path: ['noRevAvail'], what: 'says what ocspNoCheck says: remove it' });
  return faults;
}

/** RFC 6960 sections 4.2.2.2 and 4.2.2.2.1; I19. */
function signerFaults(profile: Profile): ProfileFault[] {
  const faults: ProfileFault[] = [];
  if (profile.extendedKeyUsage.length !== 1 || !OCSP_SIGNING.includes(profile.extendedKeyUsage[0] ?? '')) {
    faults.push({ path: ['extendedKeyUsage'], what: 'an ocsp-signer has OCSPSigning and nothing else: write [OCSPSigning]' });
  }
  if (profile.keyUsage.join() !== 'digitalSignature') {
    faults.push({ path: ['keyUsage'], what: 'an ocsp-signer only signs: write [digitalSignature]' });
  }
  if (!profile.ocspNoCheck) {
    faults.push({ path: ['ocspNoCheck'], what: 'an ocsp-signer is not checked for revocation: write ocspNoCheck: true' });
  }
  if (profile.validity.seconds === undefined || profile.validity.seconds > UNREVOCABLE_MAX_SECONDS) {
    faults.push({ path: ['validity'], what: 'an ocsp-signer cannot be revoked and so must be short-lived: at most 31 days' });
  }
  if (profile.serverKeys !== undefined) {
    faults.push({ path: ['serverKeys'], what: 'an ocsp-signer makes its key in its own token: remove it' });
  }
  if (profile.requestedBy.join() !== 'system') {
    faults.push({ path: ['requestedBy'], what: 'only the product itself asks for an ocsp-signer: write [system]' });
  }
  return faults;
}

function leafFaults(profile: Profile): ProfileFault[] {
  const faults: ProfileFault[] = [];
  profile.extendedKeyUsage.forEach((usage, i) => {
    if (OCSP_SIGNING.includes(usage)) {
      faults.push({ path: ['extendedKeyUsage', i], what: 'a leaf never signs for OCSP: remove it, or make the kind ocsp-signer' });
    }
    if (usage === ANY_EXTENDED_KEY_USAGE) {
      faults.push({ path: ['extendedKeyUsage', i], what: 'anyExtendedKeyUsage allows all, also OCSPSigning: name the usages' });
    }
  });
  if (profile.ocspNoCheck) {
    faults.push({ path: ['ocspNoCheck'], what: 'only an ocsp-signer goes unchecked: remove it' });
  }
  return faults;
}
