import { type AuditValue, canonicalJson } from '@fleetroot/audit';
import { PkiError } from '@fleetroot/core';
import { z } from 'zod';
import { fields } from './fields.ts';
import { deepFreeze } from './freeze.ts';
import type { Profile } from './profile.ts';
import { MAX_CRL_SHARDS, profileFaults } from './rules.ts';

const url = z.string().regex(/^https?:\/\/[^\s{}]+(?:\{ca\}[^\s{}]*)?$/);
const crlUrl = z.string().regex(/^https?:\/\/[^\s{}]+(?:\{ca\}[^\s{}]*(?:\{shard\}[^\s{}]*)?)?$/);

const document = z.strictObject({
  format: z.literal(1),
  ...fields,
  validity: z.strictObject({
    seconds: z.number().int().positive().optional(), notAfter: z.literal('none').optional(),
    backdateSeconds: z.number().int().nonnegative(), atIssuerEnd: z.literal('refuse').optional(),
  }),
  urls: z.strictObject({ ocsp: url.optional(), caIssuers: url.optional(), crl: crlUrl.optional() }),
  crlShards: z.number().int().min(2).max(MAX_CRL_SHARDS).optional(),
  noRevAvail: z.literal(true).optional(),
  serverKeys: z.literal('allowed').optional(),
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
