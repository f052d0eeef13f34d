import { type AuditValue, canonicalJson } from '@fleetroot/audit';
import { PkiError } from '@fleetroot/core';
import { z } from 'zod';
import { fields } from './fields.ts';
import type { Profile } from './profile.ts';
import { profileFaults } from './rules.ts';

const url = z.string().regex(/^https?:\/\/[^\s{}]+(?:\{ca\}[^\s{}]*)?$/);

const document = z.strictObject({
  format: z.literal(1),
  ...fields,
  validity: z.strictObject({ seconds: z.number().int().positive(), backdateSeconds: z.number().int().nonnegative() }),
  urls: z.strictObject({ ocsp: url.optional(), caIssuers: url.optional(), crl: url.optional() }),
});

/** The profile as canonical JSON: equal profiles give equal text, and its SHA-256 names the version. */
export function profileDocument(profile: Profile): string {
  return canonicalJson(profile as unknown as AuditValue);
}

/**
 * The profile of a document that the ledger keeps, checked as strictly as its file was.
 * @throws PkiError `internal` (retry later) where this process does not know the document's form: an issuer that is
 *   older than the api must not guess, and a newer one may take the work
 */
export function profileFromDocument(json: string): Profile {
  try {
    const profile = document.parse(JSON.parse(json)) as Profile;
    const [fault] = profileFaults(profile);
    if (fault !== undefined) throw new Error(`${fault.path.join('.')}: ${fault.what}`);
    return deepFreeze(profile);
  } catch (cause) {
    throw new PkiError('internal', 'a profile in the ledger is of a form that this version does not know: run the same version everywhere', { cause });
  }
}

export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const member of Object.values(value)) deepFreeze(member);
  }
  return value;
}
