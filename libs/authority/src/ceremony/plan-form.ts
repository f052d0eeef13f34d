import { caName, isPkiError, serialFromHex } from '@fleetroot/core';
import { type AttributeTypeName, attributeTypes } from '@fleetroot/x509';
import { z } from 'zod';
import { type RevocationReason, revocationReasons } from '../ports/status.ts';
import { wholeNumber } from '../profile/forms.ts';
import { isLabelName, signatureAlgorithms } from './record.ts';
import { ceremonyKeyAlgorithms } from './token.ts';
import { isVisibleLine } from './visible.ts';

/** The fields of a ceremony's file; what they mean together is looked at in `planFaults`. */

const subjectTypes = Object.keys(attributeTypes) as [AttributeTypeName, ...AttributeTypeName[]];
/** removeFromCRL belongs on delta CRLs only (RFC 5280 section 5.3.1). */
const reasons = (Object.keys(revocationReasons) as RevocationReason[]).filter((name) => name !== 'removeFromCRL');

/** Text by one of our own readers, refused in its words. */
const text = <T>(error: string, read: (text: string) => T, remedy = '') => z.string({ error }).transform((value, context): T => {
  try {
    return read(value);
  } catch (fault) {
    if (!isPkiError(fault)) throw fault;
    context.addIssue({ code: 'custom', message: `${fault.message}${remedy}` });
    return z.NEVER;
  }
});

const name = text('must be a name such as ecu-issuing', caName, ': rename it');
const authorityName = text('must be the name of a CA', caName, ': correct it');
const key = z.enum(ceremonyKeyAlgorithms, { error: `must be one of ${ceremonyKeyAlgorithms.join(', ')}` });
const years = wholeNumber('a number of years', 1, 50);
const pathLength = wholeNumber('a number', 0, 8);
const subject = z.partialRecord(
  z.enum(subjectTypes, { error: `must be one of ${subjectTypes.join(', ')}` }),
  z.string({ error: 'must be text: put it in quotes' }),
  { error: 'must be a list of name parts, "commonName: ..." and so on' },
);
const instant = z.iso.datetime({ error: 'must be a time in UTC, such as 2026-11-22T09:00:00Z' }).transform((text) => new Date(text));

/** One line of visible characters, so that nothing in a dry run looks like something else. */
const line = (what: string, most: number) => z.string({ error: `must be ${what}` }).min(1, { error: 'must not be empty' })
  .max(most, { error: `must have at most ${most} characters` })
  .refine(isVisibleLine, { error: 'must be one line of visible characters, with single spaces between them' });

const label = line('a text: put it in quotes', 200);
const path = line('the name of a file, relative to this one', 1000);

const authority = z.strictObject({
  name,
  parent: text('must be the name of a CA above in this file, or of one that exists', caName, ': correct it').optional(),
  key: key.optional(), request: path.optional(), certificate: path.optional(),
  profile: z.string({ error: 'must be the name of a profile of the kind ca' }).optional(),
  subject: subject.optional(), years: years.optional(), pathLength: pathLength.optional(),
  succeeds: authorityName.optional(),
  labels: z.record(z.string().refine(isLabelName, { error: 'is no name of a label: lower-case letters, digits and "-"' }), label, {
    error: 'must be a list of labels, "brand: ..." and so on',
  }).default({}),
  signatureAlgorithm: z.enum(signatureAlgorithms, { error: `must be one of ${signatureAlgorithms.join(', ')}` }).optional(),
});

const serial = text('must be hexadecimal in quotes, such as "4f:00:1a"', serialFromHex, ': correct it');

const revoked = z.strictObject({
  serial, revokedAt: instant, invalidityDate: instant.optional(),
  reason: z.enum(reasons as [RevocationReason, ...RevocationReason[]], { error: `must be one of ${reasons.join(', ')}` }),
});

const officer = z.strictObject({
  name: line('the name of a person', 64),
  publicKey: z.string({ error: 'must be a public key, PEM' }).optional(), publicKeyFile: path.optional(),
});

const list = <T extends z.ZodType>(element: T, what: string) => z.array(element, { error: `must be a list of ${what}` }).default([]);

export const planForm = z.strictObject({
  ceremony: line('the title of the ceremony', 200),
  approvals: wholeNumber('a number of officers', 0, 16).default(0),
  officers: list(officer, 'officers'),
  authorities: list(authority, 'CAs'),
  requests: list(z.strictObject({ name, key, subject }), 'requests'),
  renewals: list(z.strictObject({ authority: authorityName, years }), 'renewals'),
  crossCertificates: list(z.strictObject({
    subject: authorityName.optional(), certificate: path.optional(), issuer: authorityName, years, pathLength: pathLength.optional(),
  }), 'cross-certificates'),
  crls: list(z.strictObject({ authority: authorityName, days: wholeNumber('a number of days', 1, 3660), revoked: list(revoked, 'revoked certificates') }), 'CRLs'),
  ocspSigners: list(z.strictObject({
    issuer: authorityName, request: path, subject: subject.optional(), days: wholeNumber('a number of days', 1, 366),
  }), 'OCSP signers'),
}, { error: 'must hold the field "ceremony", and "authorities" or another list' });

export type PlanFile = z.infer<typeof planForm>;
