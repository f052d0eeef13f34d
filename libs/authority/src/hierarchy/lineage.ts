import type { CaRevocation, CertificationAuthority } from '../ports/authorities.ts';
import { may } from './state.ts';

/** A hierarchy has a few levels and a CA a few generations: the bound keeps a row that points at itself from hanging us. */
const LONGEST = 32;

type Ca = CertificationAuthority;

/** The CA and those above it, the root last. */
export function ancestry(ca: Ca, all: readonly Ca[]): readonly Ca[] {
  return followed(ca, all, ({ parentId }) => parentId);
}

/** The CA and the generations after it, the newest last. */
export function generations(ca: Ca, all: readonly Ca[]): readonly Ca[] {
  return followed(ca, all, ({ successorId }) => successorId);
}

/** The generation that issues for the CA now: itself, or the first after it that is active; undefined: none does. */
export function issuingGeneration(ca: Ca, all: readonly Ca[]): Ca | undefined {
  return generations(ca, all).find(({ state, keyId }) => may(state, 'issue') && keyId !== undefined);
}

/**
 * Since when, and why, everything that the CA has signed counts as revoked: its own revocation, or that of the nearest CA
 * above it. RFC 6960 section 2.7 allows a responder that knows of a compromised CA key to answer so.
 */
export function lineRevocation(ca: Ca, all: readonly Ca[]): CaRevocation | undefined {
  return ancestry(ca, all).find(({ revocation }) => revocation !== undefined)?.revocation;
}

/** Whether relying parties are to trust the CA: it and all above it that are on record may be trusted. */
export function isTrusted(ca: Ca, all: readonly Ca[]): boolean {
  return ancestry(ca, all).every(({ state, revocation }) => may(state, 'trust') && revocation === undefined);
}

/** Each CA, with whether it is trusted. */
export const withTrust = (all: readonly Ca[]): readonly (Ca & { readonly trusted: boolean })[] =>
  all.map((ca) => ({ ...ca, trusted: isTrusted(ca, all) }));

function followed(ca: Ca, all: readonly Ca[], next: (one: Ca) => number | undefined): readonly Ca[] {
  const line: Ca[] = [];
  for (let at: Ca | undefined = ca; at !== undefined && line.length < LONGEST && !line.includes(at);) {
    line.push(at);
    const id: number | undefined = next(at);
    at = id === undefined ? undefined : all.find((other) => other.id === id);
  }
  return line;
}
