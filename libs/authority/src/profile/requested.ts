import { isPkiError, PkiError } from '@fleetroot/core';
import { type CertificationRequest, encodeName, type GeneralName, type GeneralNameKind, parseName } from '@fleetroot/x509';
import { dnsName } from './dns-name.ts';
import { inNetwork, network } from './network.ts';
import { textFault } from './names.ts';
import type { Profile, SubjectAltNameRule, SubjectAttribute } from './profile.ts';

/** What a certificate takes from its request beside the public key. Nothing else is ever read of it. */

export const MAX_NAMES = 100;
export const MAX_URI = 255;
const URI_CHARACTERS = /^[A-Za-z0-9._~:/?#[\]@!$&'()*+,;=%-]+$/;

/** Names of the request's subjectAltName that the profile takes, by kind: in the order of the request, each once. */
export interface RequestedNames {
  readonly dns: readonly string[];
  readonly uri: readonly string[];
  readonly ip: readonly Uint8Array[];
}

/** What a profile takes that takes no name: most, on a line. */
const NO_NAMES: RequestedNames = { dns: [], uri: [], ip: [] };
const NO_ATTRIBUTES: Partial<Record<SubjectAttribute, string>> = {};

type RequestRule = Extract<SubjectAltNameRule, { from: 'request' }> | Extract<SubjectAltNameRule, { kind: 'uri' }>;

/**
 * The DNS names that a certificate of this profile takes from the request: in order, in lower case, each once; empty
 * where the profile takes none, and then whatever names the request asks for are ignored. A profile that does take names
 * refuses a request that asks for other kinds beside them: its sender would miss them in the certificate.
 * @throws PkiError `request.name-refused`, `profile.field-missing`
 */
export const requestedDnsNames = (profile: Profile, request: CertificationRequest): readonly string[] =>
  requestedNames(profile, request).dns;

/** As `requestedDnsNames`, for every kind. @throws PkiError `request.name-refused`, `profile.field-missing` */
export function requestedNames({ name, subjectAltNames }: Profile, request: CertificationRequest): RequestedNames {
  if (!subjectAltNames.some(({ from }) => from === 'request')) return NO_NAMES;
  const rules = subjectAltNames.filter((rule): rule is RequestRule => rule.from === 'request');
  const found = { dns: new Set<string>(), uri: new Set<string>(), ip: new Map<string, Uint8Array>() };
  for (const asked of request.subjectAltNames) take(name, rules, asked, found);
  if (found.dns.size === 0 && rules.some(({ kind }) => kind === 'dns')) {
    throw new PkiError('profile.field-missing', `the profile ${name} needs a DNS name in the request's subjectAltName`, { data: { field: 'dnsNames' } });
  }
  if (found.dns.size > MAX_NAMES) refuse(`the request asks for more than ${MAX_NAMES} DNS names`, 'dnsNames');
  if (found.uri.size + found.ip.size > MAX_NAMES) refuse(`the request asks for more than ${MAX_NAMES} URIs and addresses`, 'subjectAltNames');
  return { dns: [...found.dns], uri: [...found.uri], ip: [...found.ip.values()] };
}

function take(
  profile: string, rules: readonly RequestRule[], asked: GeneralName,
  found: { dns: Set<string>; uri: Set<string>; ip: Map<string, Uint8Array> },
): void {
  for (const rule of rules) {
    if (rule.kind === 'dns' && asked.kind === 'dns') return void found.dns.add(dnsName(asked.value, rule));
    if (rule.kind === 'uri' && asked.kind === 'uri') return void found.uri.add(uri(asked.value, rule.prefix));
    if (rule.kind === 'ip' && asked.kind === 'ip') {
      if (!rule.networks.some((text) => inNetwork(asked.value, network(text) ?? new Uint8Array()))) {
        refuse(`the request asks for an address outside the networks of the profile ${profile}`, 'subjectAltNames');
      }
      return void found.ip.set(asked.value.join(), asked.value);
    }
  }
  refuse(`the request asks for a name of the kind ${asked.kind satisfies GeneralNameKind}; the profile ${profile} takes ${rules.map(({ kind }) => kind).join(' and ')} names only`, 'subjectAltNames');
}

function uri(value: string, prefix: string): string {
  const fits = value.startsWith(prefix) && value.length > prefix.length && value.length <= MAX_URI && URI_CHARACTERS.test(value);
  return fits ? value : refuse(`a URI of the request does not begin with what the profile asks for, or is none of at most ${MAX_URI} characters`, 'subjectAltNames');
}

/**
 * The attributes of the request's subject that the profile takes, by type. The others are ignored.
 * @throws PkiError `profile.field-missing` for one that the profile needs; `request.name-refused` for one that stands
 *   twice, or that a certificate cannot hold
 */
export function requestedAttributes({ name, subject }: Profile, request: CertificationRequest): Partial<Record<SubjectAttribute, string>> {
  if (!subject.some((part) => 'from' in part && part.from === 'request')) return NO_ATTRIBUTES;
  const wanted = subject.flatMap((part) => ('from' in part && part.from === 'request' ? [part] : []));
  const values: Partial<Record<SubjectAttribute, string>> = {};
  const given = parseName(request.subjectDer, 'request.malformed');
  for (const { type, optional } of wanted) {
    const [attribute, another] = given.filter((each) => each.type === type);
    if (another !== undefined) refuse(`the subject of the request has ${type} twice`, type);
    if (attribute !== undefined) values[type] = attributeText(type, attribute.value);
    else if (optional !== true) {
      throw new PkiError('profile.field-missing', `the profile ${name} needs ${type} in the request's subject`, { data: { field: type } });
    }
  }
  return values;
}

function attributeText(type: SubjectAttribute, value: string | undefined): string {
  const fault = value === undefined ? 'is of a string type that is not known' : textFault(type, value);
  if (value === undefined || fault !== undefined) return refuse(`${type} in the subject of the request: ${fault ?? ''}`, type);
  try {
    encodeName([{ type, value }]);
  } catch (error) {
    if (isPkiError(error)) refuse(`${type} in the subject of the request: ${error.message}`, type);
    throw error;
  }
  return value;
}

function refuse(why: string, field: string): never {
  throw new PkiError('request.name-refused', why, { data: { field } });
}
