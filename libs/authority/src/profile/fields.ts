import { z } from 'zod';
import { distinct, fixedExtensions, flag, oid, oneOf, purpose, wholeNumber } from './forms.ts';
import { subjectAltNameRule, subjectPart } from './names.ts';
import {
  profileKeyTypes, profileKeyUsages, profileKinds, profileSignatureAlgorithms, requesters, requirements, tlsFeatures,
} from './profile.ts';

/** The fields that a profile's file and its document in the ledger write alike. */

const rsaBits = wholeNumber('a number of bits', 2048, 8192);

export const profileName = z.string({ error: 'is missing or not a text: write the file\'s name without .yaml' })
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/, { error: 'must have 1 to 64 lower-case letters, digits or inner "-"' });

export const keys = z.strictObject({
  types: distinct(oneOf(profileKeyTypes), 1), rsaMinBits: rsaBits.default(2048), rsaMaxBits: rsaBits.optional(),
}).refine(({ rsaMinBits, rsaMaxBits }) => rsaMaxBits === undefined || rsaMaxBits >= rsaMinBits, {
  path: ['rsaMaxBits'], error: 'is less than rsaMinBits: raise it',
});

export const fields = {
  name: profileName,
  kind: oneOf(profileKinds),
  requestedBy: distinct(oneOf(requesters), 1),
  requires: distinct(oneOf(requirements), 0).default([]),
  keys,
  subject: z.array(subjectPart).default([]),
  subjectAltNames: z.array(subjectAltNameRule).default([]),
  keyUsage: distinct(oneOf(profileKeyUsages), 1),
  extendedKeyUsage: distinct(purpose, 1),
  certificatePolicies: distinct(oid, 0).default([]),
  ocspNoCheck: flag.default(false),
  tlsFeature: distinct(oneOf(Object.keys(tlsFeatures) as (keyof typeof tlsFeatures)[]), 1).optional(),
  extensions: fixedExtensions.optional(),
  signatureAlgorithms: distinct(oneOf(profileSignatureAlgorithms), 1).optional(),
  sizeBudget: wholeNumber('a number of octets', 300, 65_535).optional(),
};
