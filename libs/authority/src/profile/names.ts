import { z } from 'zod';
import { oid, oneOf } from './forms.ts';
import { network } from './network.ts';
import { type SubjectAltNameRule, type SubjectAttribute, subjectAttributes, type SubjectPart } from './profile.ts';

/** How files and documents write the names of a profile. */

const DIRECTORY_TEXT = { form: /^[\x20-\x7e\u00a0-\u{10ffff}]{1,64}$/u, error: 'must have 1 to 64 characters, none of them a control character' };
const PRINTABLE = { form: /^[A-Za-z0-9 '()+,\-./:=?]{1,64}$/, error: 'is a PrintableString: 1 to 64 letters, digits, spaces and \'()+,-./:=?' };

/** Upper bounds of RFC 5280 appendix A.1 where they are lower than 64; 64 for the rest, which is enough for a vehicle. */
const fixedText: Readonly<Record<SubjectAttribute, { readonly form: RegExp; readonly error: string }>> = {
  commonName: DIRECTORY_TEXT, organizationName: DIRECTORY_TEXT, organizationalUnitName: DIRECTORY_TEXT,
  localityName: DIRECTORY_TEXT, stateOrProvinceName: DIRECTORY_TEXT, userId: DIRECTORY_TEXT,
  serialNumber: PRINTABLE, dnQualifier: PRINTABLE,
  countryName: { form: /^[A-Z]{2}$/, error: 'a country has two capital letters (ISO 3166): DE' },
  domainComponent: { form: /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/, error: 'is one label of a domain name: 1 to 63 letters, digits or inner "-"' },
};

/** Why a text cannot stand in the attribute of a subject, or undefined. */
export const textFault = (type: SubjectAttribute, text: string): string | undefined =>
  (fixedText[type].form.test(text) ? undefined : fixedText[type].error);

export const subjectPart = z.strictObject({
  type: oneOf(subjectAttributes),
  fixed: z.string({ error: 'must be a text: put it in quotes' }).optional(),
  from: oneOf(['ecuSerial', 'partNumber', 'dnsName', 'request']).optional(),
  optional: z.boolean({ error: 'must be true or false' }).optional(),
}).transform((part, context): SubjectPart => {
  const { type, fixed, from, optional = false } = part;
  if ((fixed === undefined) === (from === undefined)) {
    context.addIssue({ code: 'custom', message: 'must have either fixed or from: write { type, from: ecuSerial }' });
  }
  if (optional && from !== 'request') {
    context.addIssue({ code: 'custom', path: ['optional'], message: 'is for what comes from the request: remove it, or write from: request' });
  }
  if (from === 'request') return optional ? { type, from, optional } : { type, from };
  if (from !== undefined) return { type, from };
  const fault = fixed === undefined ? undefined : textFault(type, fixed);
  if (fault !== undefined) context.addIssue({ code: 'custom', path: ['fixed'], message: fault });
  return { type, fixed: fixed ?? '' };
});

const fromRequest = (what: string) => z.literal('request', { error: `${what} come from the request: write from: request` });

const dnsRule = z.strictObject({
  kind: z.literal('dns'), from: fromRequest('DNS names'),
  wildcards: z.boolean({ error: 'must be true or false' }).default(false),
});

const uriRule = z.strictObject({
  kind: z.literal('uri'), from: oneOf(['vin', 'ecuSerial', 'partNumber', 'request']),
  /** Scheme and scheme-specific part (RFC 5280 section 4.2.1.6); a fact that follows needs no escape. */
  prefix: z.string({ error: 'is missing: write what stands before the value, such as "urn:vin:"' })
    .regex(/^[a-z][a-z0-9+.-]*:[A-Za-z0-9._~:/?#@!$&'()*+,;=-]+$/, { error: 'must be the beginning of a URI, such as "urn:vin:"' }),
});

const ipRule = z.strictObject({
  kind: z.literal('ip'), from: fromRequest('addresses'),
  networks: z.array(z.string().refine((text) => network(text) !== undefined, {
    error: 'must be a network in CIDR notation, such as 192.0.2.0/24 or 2001:db8::/32, with no bit set beyond its prefix',
  })).min(1, { error: 'needs at least one network: write [0.0.0.0/0, "::/0"] for any address' }),
});

const hardwareRule = z.strictObject({
  kind: z.literal('hardwareModuleName'),
  from: z.literal('ecuSerial', { error: 'the serial number of a hardware module is the ECU serial: write from: ecuSerial' }),
  hwType: oid,
});

export const subjectAltNameRule: z.ZodType<SubjectAltNameRule> = z.discriminatedUnion('kind', [dnsRule, uriRule, ipRule, hardwareRule], {
  error: 'must have the kind dns, uri, ip or hardwareModuleName',
});
