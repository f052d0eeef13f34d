import type { Profile } from './profile.ts';

/** A fault of a profile: where (path of its field in the file) and what, with the remedy. */
export interface ProfileFault {
  readonly path: readonly (string | number)[];
  readonly what: string;
}

type Checked = Pick<
  Profile,
  'kind' | 'requestedBy' | 'requires' | 'keys' | 'subject' | 'subjectAltNames' | 'keyUsage' | 'extendedKeyUsage' | 'ocspNoCheck'
> & { readonly validity: { readonly seconds: number } };

const OCSP_SIGNING = ['OCSPSigning', '1.3.6.1.5.5.7.3.9'];
/** anyExtendedKeyUsage, RFC 5280 section 4.2.1.12. */
const ANY_EXTENDED_KEY_USAGE = '2.5.29.37.0';
const OCSP_SIGNER_MAX_SECONDS = 31 * 86_400;

/** What the fields of a profile say together and must not. Empty where all is well. */
export function profileFaults(profile: Checked): ProfileFault[] {
  return [...nameFaults(profile), ...usageFaults(profile), ...(profile.kind === 'ocsp-signer' ? signerFaults(profile) : leafFaults(profile))];
}

function nameFaults({ requires, subject, subjectAltNames }: Checked): ProfileFault[] {
  const faults: ProfileFault[] = [];
  const needs = (path: ProfileFault['path'], fact: Profile['requires'][number]) => {
    if (!requires.includes(fact)) faults.push({ path, what: `takes ${fact}, which may be absent: add ${fact} to requires` });
  };
  subject.forEach((part, i) => {
    if (subject.findIndex((other) => other.type === part.type) !== i) {
      faults.push({ path: ['subject', i, 'type'], what: `${part.type} stands twice: remove one` });
    }
    if ('from' in part) needs(['subject', i, 'from'], part.from === 'dnsName' ? 'dnsNames' : part.from);
  });
  subjectAltNames.forEach((rule, i) => needs(['subjectAltNames', i, 'from'], rule.kind === 'dns' ? 'dnsNames' : rule.from));
  if (requires.includes('dnsNames') && !subjectAltNames.some((rule) => rule.kind === 'dns')) {
    faults.push({ path: ['requires'], what: 'dnsNames go nowhere: add { kind: dns, from: request } to subjectAltNames' });
  }
  if (subject.length === 0 && subjectAltNames.length === 0) {
    faults.push({ path: ['subject'], what: 'the certificate would name nobody: give it a subject or a subjectAltName' });
  }
  return faults;
}

function usageFaults({ keys, keyUsage }: Checked): ProfileFault[] {
  const faults: ProfileFault[] = [];
  if (keyUsage.includes('keyEncipherment') && keys.types.some((type) => type !== 'rsa')) {
    faults.push({ path: ['keyUsage'], what: 'keyEncipherment is for RSA keys only: remove it, or leave only rsa in keys.types' });
  }
  if (keyUsage.includes('keyAgreement') && keys.types.some((type) => type === 'rsa' || type === 'ed25519')) {
    faults.push({ path: ['keyUsage'], what: 'keyAgreement is for p-256, p-384 and p-521 only: remove it, or the other key types' });
  }
  return faults;
}

/** RFC 6960 sections 4.2.2.2 and 4.2.2.2.1; I19. */
function signerFaults(profile: Checked): ProfileFault[] {
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
  if (profile.validity.seconds > OCSP_SIGNER_MAX_SECONDS) {
    faults.push({ path: ['validity'], what: 'an ocsp-signer cannot be revoked and so must be short-lived: at most 31 days' });
  }
  if (profile.requestedBy.join() !== 'system') {
    faults.push({ path: ['requestedBy'], what: 'only the product itself asks for an ocsp-signer: write [system]' });
  }
  return faults;
}

function leafFaults(profile: Checked): ProfileFault[] {
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
