import { equalBytes, isPkiError, toHex } from '@fleetroot/core';
import { algorithmFitsKey, encodeName, type KeyType, type NamePart, publicKeyFacts } from '@fleetroot/x509';
import type { YamlFault } from '../yaml/read.ts';
import { type CeremonyPlan, pathLengthOf, type PlannedAuthority, type PlannedTerms, subjectOf, yearsOf } from './plan.ts';
import type { PlanFile } from './plan-form.ts';
import { keyShape } from './token.ts';
import { isSameName } from './visible.ts';

/** What is wrong with a plan by itself: `plan` lacks the entries that could not be read. */
export function planFaults(file: PlanFile, plan: CeremonyPlan): YamlFault[] {
  return [
    ...emptiness(file), ...officerFaults(file, plan), ...nameFaults(file), ...authorityFaults(file, plan), ...requestFaults(plan),
    ...crossFaults(file), ...twiceFaults(file), ...crlFaults(file),
  ];
}

const lists = ['authorities', 'requests', 'renewals', 'crossCertificates', 'crls', 'ocspSigners'] as const;

function emptiness(file: PlanFile): YamlFault[] {
  if (lists.some((list) => file[list].length > 0)) return [];
  return [{ path: ['authorities'], what: `must name at least one CA, or one of ${lists.slice(1).join(', ')} must` }];
}

function officerFaults(file: PlanFile, { officers }: CeremonyPlan): YamlFault[] {
  const faults: YamlFault[] = [];
  file.officers.forEach(({ name }, i) => {
    if (file.officers.findIndex((other) => isSameName(other.name, name)) !== i) {
      faults.push({ path: ['officers', i, 'name'], what: 'stands twice: every officer has a name of their own' });
    }
  });
  officers.forEach(({ name, spkiDer }, i) => {
    const first = officers.findIndex((other) => equalBytes(other.spkiDer, spkiDer));
    if (first !== i) faults.push({ path: ['officers', file.officers.findIndex((each) => each.name === name)], what: `has the key of ${officers[first]?.name ?? ''}: every officer has a key of their own` });
  });
  if (file.approvals > file.officers.length) {
    faults.push({ path: ['approvals'], what: `is more than the ${file.officers.length} officers: lower it, or name more officers` });
  }
  return faults;
}

function nameFaults(file: PlanFile): YamlFault[] {
  const seen = new Set<string>();
  return (['authorities', 'requests'] as const).flatMap((list) => file[list].flatMap(({ name }, i): YamlFault[] => {
    const twice = seen.has(name);
    seen.add(name);
    return twice ? [{ path: [list, i, 'name'], what: 'stands twice in this file: every CA needs a name of its own' }] : [];
  }));
}

function authorityFaults(file: PlanFile, { authorities }: CeremonyPlan): YamlFault[] {
  const above = new Map<string, PlannedAuthority>();
  return file.authorities.flatMap((each, i) => {
    const planned = authorities.find(({ name }) => name === each.name);
    const faults: YamlFault[] = [];
    const fault = (field: string, what: string) => faults.push({ path: ['authorities', i, field], what });
    const below = file.authorities.slice(i).some(({ name }) => name === each.parent);
    if (below) fault('parent', 'is not a CA above in this file: put the parent first');
    if (file.authorities.slice(i).some(({ name }) => name === each.succeeds)) fault('succeeds', 'is not a CA above in this file: put it first');
    if (each.certificate !== undefined) {
      for (const field of ['profile', 'subject', 'years', 'pathLength'] as const) {
        if (each[field] !== undefined) fault(field, 'is what the certificate says: remove it');
      }
    }
    if (each.request !== undefined && each.parent === undefined) {
      fault('request', 'is for a CA below another: a root signs its own certificate, with a key that is here: give it a key or a parent');
    }
    if (planned === undefined) return faults;
    const misfit = algorithmMisfit(planned);
    if (misfit !== undefined) fault('signatureAlgorithm', misfit);
    if (planned.terms !== undefined) {
      termFaults(planned, planned.terms).forEach(([field, what]) => fault(field, what));
      parentFaults(planned.terms, above.get(each.parent ?? '')?.terms).forEach(([field, what]) => fault(field, what));
      const { terms } = planned;
      const namesake = [...above.values()].find((other) => other.terms !== undefined && other.name !== each.succeeds && sameSubject(other.terms, terms));
      if (namesake !== undefined) fault('subject', `is the name of another CA, ${namesake.name}, as well: names of CAs must differ, but for one that succeeds the other`);
    }
    above.set(each.name, planned);
    return faults;
  });
}

/** An algorithm that is not one of the key. */
function algorithmMisfit({ key, signatureAlgorithm }: PlannedAuthority): string | undefined {
  if (signatureAlgorithm === undefined) return undefined;
  const what = 'make' in key ? keyShape(key.make).keyType : publicKeyFacts('request' in key ? key.request.spkiDer : key.certificate.spkiDer, 'ceremony.invalid').keyType;
  const fits = 'make' in key ? familyOf(what) === signatureAlgorithm.split('-')[0]
    : algorithmFitsKey(signatureAlgorithm, 'request' in key ? key.request.spkiDer : key.certificate.spkiDer);
  return fits ? undefined : `is not one that a key of type ${what} signs with: correct it, or remove it`;
}

const familyOf = (keyType: KeyType): string => (keyType === 'rsa' || keyType === 'ed25519' ? keyType : 'ecdsa');

type FieldFault = readonly [field: string, what: string];

function termFaults({ parent, key, signatureAlgorithm }: PlannedAuthority, terms: PlannedTerms): FieldFault[] {
  const faults: FieldFault[] = [];
  const subject = subjectOf(terms);
  if (!subject.some(({ type }) => type === 'commonName')) faults.push(['subject', 'has no commonName: add one']);
  const refused = nameRefusal(subject);
  if (refused !== undefined) faults.push(['subject', `${refused}: correct it`]);
  if (!('profile' in terms)) return faults;
  const { profile } = terms;
  if (profile.selfSigned !== (parent === undefined)) {
    faults.push(['profile', profile.selfSigned ? 'is for a root: choose another, or remove the parent' : 'is for a CA below another: choose another, or add the parent']);
  }
  for (const part of profile.subject) {
    if (!('fixed' in part) && !terms.subject.some(({ type }) => type === part.type)) faults.push(['subject', `lacks ${part.type}, which the profile leaves to the ceremony: add it`]);
  }
  for (const { type } of terms.subject) {
    if (!profile.subject.some((part) => part.type === type && !('fixed' in part))) faults.push(['subject', `has ${type}, which the profile does not leave to the ceremony: remove it`]);
  }
  const shape = 'make' in key ? keyShape(key.make) : 'request' in key ? publicKeyFacts(key.request.spkiDer, 'ceremony.invalid') : undefined;
  const refusal = shape === undefined ? undefined : keyRefusal(profile.keys, shape);
  if (refusal !== undefined) faults.push(['make' in key ? 'key' : 'request', refusal]);
  // Of a root the profile's list is about its own signature.
  if (parent === undefined && signatureAlgorithm !== undefined && profile.signatureAlgorithms?.includes(signatureAlgorithm) === false) {
    faults.push(['signatureAlgorithm', `is not one that the profile takes: ${profile.signatureAlgorithms.join(', ')}`]);
  }
  return faults;
}

function keyRefusal(
  keys: { readonly types: readonly KeyType[]; readonly rsaMinBits: number; readonly rsaMaxBits?: number }, { keyType, bits }: { keyType: KeyType; bits: number },
): string | undefined {
  if (!keys.types.includes(keyType)) return `is not one that the profile takes: ${keys.types.join(', ')}`;
  if (keyType !== 'rsa' || (bits >= keys.rsaMinBits && bits <= (keys.rsaMaxBits ?? bits))) return undefined;
  return `has ${bits} bits, and the profile takes ${keys.rsaMinBits}${keys.rsaMaxBits === undefined ? ' or more' : ` to ${keys.rsaMaxBits}`}`;
}

function parentFaults(terms: PlannedTerms, parent: PlannedTerms | undefined): FieldFault[] {
  if (parent === undefined) return [];
  const faults: FieldFault[] = [];
  const own = 'profile' in terms;
  if (pathLengthOf(terms) >= pathLengthOf(parent)) {
    faults.push([own ? 'profile' : 'pathLength', `must be less than the parent's, which is ${pathLengthOf(parent)}: lower it, or raise the parent's`]);
  }
  // A profile says itself what happens where the issuer ends first.
  if (!own && yearsOf(terms) > yearsOf(parent)) faults.push(['years', `must not be more than the parent's ${yearsOf(parent)}: a CA does not outlive its issuer`]);
  return faults;
}

function sameSubject(one: PlannedTerms, other: PlannedTerms): boolean {
  const [a, b] = [one, other].map((terms) => attempt(() => toHex(encodeName(subjectOf(terms)))).value);
  return a !== undefined && a === b;
}

function requestFaults({ requests }: CeremonyPlan): YamlFault[] {
  return requests.flatMap(({ subject }, i): YamlFault[] => {
    const what = subject.length === 0 ? 'is empty: a CA has a name' : nameRefusal(subject);
    return what === undefined ? [] : [{ path: ['requests', i, 'subject'], what: `${what}: correct it` }];
  });
}

const crossFaults = (file: PlanFile): YamlFault[] => file.crossCertificates.flatMap(({ subject, issuer }, i) =>
  (subject === issuer ? [{ path: ['crossCertificates', i, 'subject'], what: 'is its own issuer: a CA is renewed by renewals' }] : []));

/** What one ceremony makes once. */
function twiceFaults({ renewals, crossCertificates, ocspSigners }: PlanFile): YamlFault[] {
  const twice = (list: string, keys: readonly string[]): YamlFault[] => keys.flatMap((key, i) =>
    (keys.indexOf(key) === i ? [] : [{ path: [list, i], what: 'stands twice in this file: remove one' }]));
  return [
    ...twice('renewals', renewals.map(({ authority }) => authority)),
    ...twice('crossCertificates', crossCertificates.map(({ subject, certificate, issuer }) => JSON.stringify([subject, certificate, issuer]))),
    ...twice('ocspSigners', ocspSigners.map(({ issuer, request }) => JSON.stringify([issuer, request]))),
  ];
}

function crlFaults(file: PlanFile): YamlFault[] {
  return file.crls.flatMap(({ authority, revoked }, i) => {
    const faults: YamlFault[] = revoked.flatMap(({ serial }, j) =>
      (revoked.findIndex((other) => other.serial === serial) === j ? [] : [{ path: ['crls', i, 'revoked', j, 'serial'], what: 'stands twice: remove one' }]));
    if (file.crls.findIndex((other) => other.authority === authority) !== i) faults.push({ path: ['crls', i, 'authority'], what: 'has a CRL in this file already: one number is one CRL' });
    return faults;
  });
}

const nameRefusal = (subject: readonly NamePart[]): string | undefined => attempt(() => encodeName(subject)).refusal;

function attempt<T>(work: () => T): { readonly value?: T; readonly refusal?: string } {
  try {
    return { value: work() };
  } catch (error) {
    if (isPkiError(error)) return { refusal: error.message };
    throw error;
  }
}

