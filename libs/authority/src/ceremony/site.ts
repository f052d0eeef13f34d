import { isPkiError, type PkiError } from '@fleetroot/core';
import type { CeremonyFolder } from './folder.ts';
import type { Hierarchy, KnownAuthority } from './hierarchy.ts';
import type { IntentRequest, Intents } from './intents.ts';
import type { CeremonyPlan } from './plan.ts';
import type { CeremonyRecord, IntentRecord } from './record.ts';
import type { TokenKeys } from './token-keys.ts';
import { sha256Of } from './digest.ts';

/** What the objects of a ceremony are prepared from. */
export interface CeremonySite {
  readonly plan: CeremonyPlan;
  readonly folder: CeremonyFolder;
  readonly record: CeremonyRecord;
  readonly hierarchy: Hierarchy;
  readonly intents: Intents;
  readonly keys: TokenKeys;
  /** The keys that were made here for certificates signed elsewhere; `keyId`: CKA_ID, hex. */
  readonly requests: readonly { readonly name: string; readonly keyId: string; readonly spkiDer: Uint8Array }[];
  /** The generation before a CA, by the CA's name. */
  readonly predecessors: ReadonlyMap<string, string>;
  /** Base of the URLs in certificates. */
  readonly statusUrl: string;
}

export type Place = readonly PropertyKey[];

/** @throws PkiError `ceremony.invalid` with file and line of the place */
export function refuse(site: CeremonySite, path: Place, what: string): never {
  site.plan.refuseIf([{ path, what }]);
  throw new Error('a fault is always refused');
}

/** What a builder refuses is told with the place in the plan. */
export function atPlace<T>(site: CeremonySite, path: Place, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (isPkiError(error) && isOfThePlan(error)) return refuse(site, path, error.message);
    throw error;
  }
}

const isOfThePlan = ({ code }: PkiError): boolean => code === 'ca.not-active' || code === 'crl.invalid' || code.startsWith('request.') || code.startsWith('profile.');

export function authorityAt(site: CeremonySite, name: string, path: Place): KnownAuthority {
  return site.hierarchy.get(name) ?? refuse(site, path, `${name} is neither a CA in this file nor one on record: correct the name`);
}

/** A CA that is to sign something: its key is in the token. */
export function signatoryAt(site: CeremonySite, name: string, path: Place): KnownAuthority {
  const ca = authorityAt(site, name, path);
  if (ca.keyId === undefined) return refuse(site, path, `the key of the CA ${name} is not here: hold this ceremony where its token is`);
  site.keys.requireKeyOf(ca);
  return ca;
}

/** How many CAs the issuer lets follow below the subject. @throws PkiError `ceremony.invalid` where the subject itself is one too many */
export function pathLengthUnder(site: CeremonySite, issuer: KnownAuthority, selfIssued: boolean, path: Place): number {
  const allowed = site.hierarchy.pathLengthBelow(issuer) - (selfIssued ? 0 : 1);
  if (allowed >= 0) return allowed;
  return refuse(site, path, `the CA ${issuer.name} and those above it allow no CA below it (path length, RFC 5280 section 4.2.1.9): choose another issuer`);
}

/** @throws PkiError `ceremony.invalid` where relying parties would not accept it below this issuer */
export function requireAllowed(site: CeremonySite, issuer: KnownAuthority, tbs: Uint8Array, subjectDer: Uint8Array, path: Place): void {
  const reason = site.hierarchy.refusal(issuer, tbs, subjectDer);
  if (reason === undefined) return;
  const words: Readonly<Record<string, string>> = {
    name: 'a name in it is outside the name constraints of the CAs above (RFC 5280 section 4.2.1.10)',
    policy: 'the CAs above require a certificate policy that it lacks (RFC 5280 section 4.2.1.11)',
    eku: 'it has an extended key usage that the CAs above do not have (RFC 5280 section 4.2.1.12)',
  };
  refuse(site, path, `${words[reason] ?? reason}: change it, or choose another issuer`);
}

/** The intent of an object; `said` is what fixes it beside what is drawn. */
export function intentOf(site: CeremonySite, said: readonly unknown[], request: Omit<IntentRequest, 'basis'>): IntentRecord {
  return site.intents.draw({ ...request, basis: sha256Of(JSON.stringify(said)) });
}
