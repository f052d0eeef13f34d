import { z } from 'zod';
import {
  profileKeyTypes, profileKeyUsages, profileKinds, requesters, requirements, subjectAttributes, type SubjectPart,
} from './profile.ts';

/** The fields that a profile's file and its document in the ledger write alike. */

const OID = /^[0-2](?:\.(?:0|[1-9]\d{0,8})){2,19}$/;
const DIRECTORY_TEXT = /^[\x20-\x7e\u00a0-\u{10ffff}]{1,64}$/u;
const DIRECTORY_TEXT_ERROR = 'must have 1 to 64 characters, none of them a control character';
const namedExtendedKeyUsages = ['clientAuth', 'serverAuth', 'codeSigning', 'emailProtection', 'timeStamping', 'OCSPSigning'] as const;

const oneOf = <const T extends readonly string[]>(values: T) => z.enum(values, { error: `must be one of ${values.join(', ')}` });
const distinct = <T extends z.ZodType>(element: T, least: number) =>
  z.array(element).min(least, { error: `needs at least ${least}: add one` })
    .refine((list) => new Set(list).size === list.length, { error: 'names something twice: remove one' });
const oid = z.string().regex(OID, { error: 'must be an OID in dotted decimal: "1.3.6.1.4.1.99999.1" (in quotes)' });

/** Upper bounds of RFC 5280 appendix A.1: 64 for the names used here, 2 for a country. */
const fixedText: Readonly<Record<SubjectPart['type'], { readonly form: RegExp; readonly error: string }>> = {
  commonName: { form: DIRECTORY_TEXT, error: DIRECTORY_TEXT_ERROR },
  organizationName: { form: DIRECTORY_TEXT, error: DIRECTORY_TEXT_ERROR },
  organizationalUnitName: { form: DIRECTORY_TEXT, error: DIRECTORY_TEXT_ERROR },
  serialNumber: {
    form: /^[A-Za-z0-9 '()+,\-./:=?]{1,64}$/,
    error: 'a serialNumber is a PrintableString: 1 to 64 letters, digits, spaces and \'()+,-./:=?',
  },
  countryName: { form: /^[A-Z]{2}$/, error: 'a country has two capital letters (ISO 3166): DE' },
};

const subjectPart = z.strictObject({
  type: oneOf(subjectAttributes),
  fixed: z.string({ error: 'must be a text' }).optional(),
  from: oneOf(['ecuSerial', 'partNumber', 'dnsName']).optional(),
}).transform((part, context): SubjectPart => {
  const { type, fixed, from } = part;
  if ((fixed === undefined) === (from === undefined)) {
    context.addIssue({ code: 'custom', message: 'must have either fixed or from: write { type, from: ecuSerial }' });
  }
  if (from !== undefined) return { type, from };
  if (fixed !== undefined && !fixedText[type].form.test(fixed)) {
    context.addIssue({ code: 'custom', path: ['fixed'], message: fixedText[type].error });
  }
  return { type, fixed: fixed ?? '' };
});

const dnsRule = z.strictObject({
  kind: z.literal('dns'), from: z.literal('request', { error: 'DNS names come from the request: write from: request' }),
  wildcards: z.boolean({ error: 'must be true or false' }).default(false),
});
const uriRule = z.strictObject({
  kind: z.literal('uri'), from: oneOf(['vin', 'ecuSerial', 'partNumber']),
  /** Scheme and scheme-specific part (RFC 5280 section 4.2.1.6); the fact that follows needs no escape. */
  prefix: z.string({ error: 'is missing: write what stands before the value, such as "urn:vin:"' })
    .regex(/^[a-z][a-z0-9+.-]*:[A-Za-z0-9._~:/?#@!$&'()*+,;=-]+$/, { error: 'must be the beginning of a URI, such as "urn:vin:"' }),
});

export const fields = {
  name: z.string({ error: 'is missing or not a text: write the file\'s name without .yaml' })
    .regex(/^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/, { error: 'must have 1 to 64 lower-case letters, digits or inner "-"' }),
  kind: oneOf(profileKinds),
  requestedBy: distinct(oneOf(requesters), 1),
  requires: distinct(oneOf(requirements), 0).default([]),
  keys: z.strictObject({
    types: distinct(oneOf(profileKeyTypes), 1),
    rsaMinBits: z.number({ error: 'must be a number of bits' }).int({ error: 'must be a whole number' })
      .min(2048, { error: 'must be at least 2048' }).max(8192, { error: 'must be at most 8192' }).default(2048),
  }),
  subject: z.array(subjectPart).default([]),
  subjectAltNames: z.array(z.discriminatedUnion('kind', [dnsRule, uriRule], { error: 'must have the kind dns or uri' })).default([]),
  keyUsage: distinct(oneOf(profileKeyUsages), 1),
  extendedKeyUsage: distinct(
    z.string().refine((usage) => (namedExtendedKeyUsages as readonly string[]).includes(usage) || OID.test(usage), {
      error: `must be one of ${namedExtendedKeyUsages.join(', ')}, or an OID in quotes`,
    }), 1,
  ),
  certificatePolicies: distinct(oid, 0).default([]),
  ocspNoCheck: z.boolean({ error: 'must be true or false' }).default(false),
};
