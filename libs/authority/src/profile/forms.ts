import { PkiError } from '@fleetroot/core';
import { DerReader, extensionOids } from '@fleetroot/x509';
import { z } from 'zod';

/** Forms of values that files and documents share. */

const OID = /^[0-2](?:\.(?:0|[1-9]\d{0,8})){2,19}$/;

export const oneOf = <const T extends readonly string[]>(values: T) => z.enum(values, { error: `must be one of ${values.join(', ')}` });

export const distinct = <T extends z.ZodType>(element: T, least: number) =>
  z.array(element).min(least, { error: `needs at least ${least}: add one` })
    .refine((list) => new Set(list).size === list.length, { error: 'names something twice: remove one' });

export const oid = z.string({ error: 'must be an OID in quotes' })
  .regex(OID, { error: 'must be an OID in dotted decimal: "1.3.6.1.4.1.99999.1" (in quotes)' });

export const flag = z.boolean({ error: 'must be true or false' });

export const wholeNumber = (what: string, least: number, most: number) =>
  z.number({ error: `must be ${what}` }).int({ error: 'must be a whole number' })
    .min(least, { error: `must be at least ${least}` }).max(most, { error: `must be at most ${most}` });

/** Why I7 has no exception. A path ends with its first certificate, so what lies beyond would not be valid anyway. */
const EXCEED = 'would outlive its issuer, and nobody could revoke it to its end: write clamp or refuse, and give the CA itself notAfter: none where an IDevID must not end';

export const notAfterNone = z.literal('none', { error: 'must be none, which is 99991231235959Z: for an end that is known give a duration' });
export const atIssuerEnd = z.enum(['clamp', 'refuse'], {
  error: ({ input }) => (input === 'exceed' ? EXCEED : 'must be clamp (end with the issuer) or refuse (issue nothing)'),
}).default('clamp');
export const informationAccess = z.array(z.enum(['ocsp', 'caIssuers'], { error: 'must be ocsp or caIssuers' }));
export const notAList = { error: (issue: { code?: string }) => (issue.code === 'invalid_type' ? 'must be a list of fields, "name: ..." and so on' : undefined) };

const namedPurposes = ['clientAuth', 'serverAuth', 'codeSigning', 'emailProtection', 'timeStamping', 'OCSPSigning'] as const;

export const purpose = z.string().refine((usage) => (namedPurposes as readonly string[]).includes(usage) || OID.test(usage), {
  error: `must be one of ${namedPurposes.join(', ')}, or an OID in quotes`,
});

/** freshestCRL (RFC 5280 section 4.2.1.15) points to delta CRLs, which do not exist here. */
const reserved = new Set<string>([...Object.values(extensionOids), '2.5.29.46']);

/** An extension by OID with a value that never changes. What this product writes or interprets itself cannot be given so. */
const fixedExtension = z.strictObject({
  oid: oid.refine((dotted) => !reserved.has(dotted), { error: 'is an extension with rules of its own: use its field, or remove it' }),
  der: z.string({ error: 'must be the value\'s DER in hex, in quotes: "0500"' })
    .regex(/^(?:[0-9a-f]{2}){2,512}$/, { error: 'must be 2 to 512 octets of DER in lower-case hex, in quotes: "0500"' })
    .refine(isDer, { error: 'is not DER: exactly one value, each length in its shortest form' }),
});

export const fixedExtensions = z.array(fixedExtension).min(1, { error: 'needs at least one: add it, or remove the field' })
  .refine((list) => new Set(list.map((each) => each.oid)).size === list.length, { error: 'names an extension twice: remove one' });

function isDer(hex: string): boolean {
  try {
    const reader = new DerReader(Buffer.from(hex, 'hex'), 'profile.invalid');
    walk(reader);
    reader.end('der');
    return true;
  } catch (error) {
    if (error instanceof PkiError) return false;
    throw error;
  }
}

/** One value, and whatever it is made of. */
function walk(reader: DerReader): void {
  const found = reader.peek() ?? 0;
  if ((found & 0x20) === 0) {
    reader.element('der');
    return;
  }
  for (const inner = reader.enter(found, 'der'); !inner.atEnd;) walk(inner);
}
