import type { NameSubtree } from '@fleetroot/x509';
import { z } from 'zod';
import { readYaml } from '../yaml/read.ts';
import type { AuthorityProfile, AuthoritySubjectPart } from './authority-profile.ts';
import { fields, keys, profileName } from './fields.ts';
import { atIssuerEnd, distinct, flag, informationAccess, notAfterNone, notAList, oid, oneOf, purpose, wholeNumber } from './forms.ts';
import { nameSubtree } from './name-subtree.ts';
import { textFault } from './names.ts';
import { deepFreeze } from './freeze.ts';
import { subjectAttributes } from './profile.ts';
import { ANY_EXTENDED_KEY_USAGE, OCSP_SIGNING, type ProfileFault } from './rules.ts';
import { baseUrl, nameFaults, profileFiles, type ProfileSurroundings, saysCa, statusUrls } from './surroundings.ts';

const subjectPart = z.strictObject({
  type: oneOf(subjectAttributes),
  fixed: z.string({ error: 'must be a text: put it in quotes' }).optional(),
  from: z.literal('ceremony', { error: 'what is not fixed is said at the ceremony: write from: ceremony' }).optional(),
}).transform(({ type, fixed, from }, context): AuthoritySubjectPart => {
  if ((fixed === undefined) === (from === undefined)) {
    context.addIssue({ code: 'custom', message: 'must have either fixed or from: write { type, from: ceremony }' });
  }
  if (fixed === undefined) return { type, from: 'ceremony' };
  const fault = textFault(type, fixed);
  if (fault !== undefined) context.addIssue({ code: 'custom', path: ['fixed'], message: fault });
  return { type, fixed };
});

const subtrees = z.array(nameSubtree).min(1, { error: 'needs at least one: add it, or remove the field' }).optional();

const file = z.strictObject({
  name: profileName,
  kind: z.literal('ca'),
  selfSigned: flag,
  keys,
  subject: z.array(subjectPart).min(1, { error: 'needs at least one part: a CA has a name (RFC 5280 section 4.1.2.6)' }),
  validity: z.strictObject({ years: wholeNumber('a number of years', 1, 50).optional(), notAfter: notAfterNone.optional(), atIssuerEnd })
    .refine(({ years, notAfter }) => (years === undefined) !== (notAfter === undefined), { error: 'must have either years or notAfter: none' }),
  pathLength: wholeNumber('a number', 0, 8),
  keyUsage: distinct(oneOf(['keyCertSign', 'cRLSign', 'digitalSignature']), 1).default(['keyCertSign', 'cRLSign']),
  extendedKeyUsage: distinct(purpose, 0).default([]),
  certificatePolicies: distinct(oid, 0).default([]),
  nameConstraints: z.strictObject({ permitted: subtrees, excluded: subtrees })
    .refine(({ permitted, excluded }) => permitted !== undefined || excluded !== undefined, { error: 'must not be empty: add permitted or excluded, or remove it' })
    .optional(),
  authorityInformationAccess: informationAccess.optional(),
  crlDistributionPoint: flag.optional(),
  extensions: fields.extensions,
  signatureAlgorithms: fields.signatureAlgorithms,
  sizeBudget: fields.sizeBudget,
}, notAList);

/**
 * Reads one profile file of the kind `ca`.
 * @throws PkiError `profile.invalid` that names file, line and remedy of every fault
 */
export function parseAuthorityProfile(yamlText: string, fileName: string, { statusUrl }: ProfileSurroundings): AuthorityProfile {
  const { value, refuseIf } = readYaml(yamlText, fileName, file, 'profile.invalid');
  const { authorityInformationAccess: access = ['caIssuers'], crlDistributionPoint = true, validity, nameConstraints, ...rest } = value;
  const { atIssuerEnd: atEnd, ...term } = validity;
  refuseIf([...nameFaults(value.name, fileName), ...faults(value)]);
  return deepFreeze({
    ...rest,
    validity: { ...term, ...(atEnd === 'refuse' ? { atIssuerEnd: atEnd } : {}) },
    urls: value.selfSigned ? {} : statusUrls(baseUrl(statusUrl), access, crlDistributionPoint ? 1 : 0),
    ...(nameConstraints === undefined ? {} : { nameConstraints: encoded(nameConstraints) }),
  } as AuthorityProfile);
}

/**
 * The profiles of the kind `ca` in a folder, by name.
 * @throws PkiError `profile.invalid`
 */
export function readAuthorityProfiles(dir: string, surroundings: ProfileSurroundings): Map<string, AuthorityProfile> {
  return new Map(profileFiles(dir).filter(({ text }) => saysCa(text)).map(({ path, text }) => {
    const profile = parseAuthorityProfile(text, path, surroundings);
    return [profile.name, profile];
  }));
}

function faults(
  { selfSigned, subject, keyUsage, extendedKeyUsage, nameConstraints, certificatePolicies, authorityInformationAccess: access, crlDistributionPoint }: z.infer<typeof file>,
): ProfileFault[] {
  const found: ProfileFault[] = [];
  subject.forEach(({ type }, i) => {
    if (subject.findIndex((other) => other.type === type) !== i) found.push({ path: ['subject', i, 'type'], what: `${type} stands twice: remove one` });
  });
  if (!keyUsage.includes('keyCertSign')) found.push({ path: ['keyUsage'], what: 'is that of a CA, which signs certificates: add keyCertSign' });
  if (!keyUsage.includes('cRLSign')) found.push({ path: ['keyUsage'], what: 'must have cRLSign: each CA signs its own CRL' });
  extendedKeyUsage.forEach((usage, i) => {
    if (OCSP_SIGNING.includes(usage)) found.push({ path: ['extendedKeyUsage', i], what: 'a CA has OCSP signers with certificates of their own: remove it' });
    if (usage === ANY_EXTENDED_KEY_USAGE) found.push({ path: ['extendedKeyUsage', i], what: 'allows all, as no extendedKeyUsage does: remove it, or name the usages' });
  });
  if (!selfSigned) return found;
  for (const [field, given] of Object.entries({ nameConstraints, certificatePolicies: certificatePolicies[0] })) {
    if (given !== undefined) found.push({ path: [field], what: 'is not looked at in a trust anchor (RFC 5280 section 6.1): put it into the CAs below' });
  }
  if (access !== undefined && access.length > 0) found.push({ path: ['authorityInformationAccess'], what: 'of a root would point to the root itself: remove it' });
  if (crlDistributionPoint === true) found.push({ path: ['crlDistributionPoint'], what: 'of a root would be a CRL that it signs over itself: remove it' });
  return found;
}

const encoded = (constraints: { permitted?: NameSubtree[] | undefined; excluded?: NameSubtree[] | undefined }) => ({
  ...(constraints.permitted === undefined ? {} : { permitted: constraints.permitted }),
  ...(constraints.excluded === undefined ? {} : { excluded: constraints.excluded }),
});
