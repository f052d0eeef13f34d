import { equalBytes, toHex } from '@fleetroot/core';
import type { ParsedCertificate } from '../certificate/certificate.ts';
import { comparableName, sameName } from './name-match.ts';

/** The longest path, leaf and anchor counted. */
export const MAX_PATH = 10;
/** How many certificates the search may put on a path, right or wrong, before it gives up. */
const MAX_STEPS = 1000;

export interface Node {
  readonly certificate: ParsedCertificate;
  readonly subject: readonly string[];
  readonly issuer: readonly string[];
  /** Place among the anchors, or undefined for what is not trusted. */
  readonly anchor: number | undefined;
}

/** @throws PkiError `certificate.malformed` where a name is not well-formed */
export const node = (certificate: ParsedCertificate, anchor?: number): Node => ({
  certificate,
  subject: comparableName(certificate.subjectDer),
  issuer: comparableName(certificate.issuerDer),
  anchor,
});

/**
 * The paths from a leaf to an anchor by names and key identifiers alone, leaf first; nothing else is checked. No
 * certificate, and no other with its name and key, comes twice in one path; so loops end. The search is bounded.
 */
export function* candidatePaths(leaf: Node, intermediates: readonly Node[], anchors: readonly Node[]): Generator<Node[]> {
  let steps = 0;
  const issuers = [...anchors, ...intermediates];
  const path = [leaf];
  function* extend(): Generator<Node[]> {
    const last = path[path.length - 1] ?? leaf;
    if (last.anchor !== undefined) {
      yield [...path];
      return;
    }
    if (path.length === MAX_PATH) return;
    for (const issuer of issuers) {
      if (!mayHaveIssued(issuer, last) || path.some((known) => sameEntity(known, issuer))) continue;
      if (++steps > MAX_STEPS) return;
      path.push(issuer);
      yield* extend();
      path.pop();
    }
  }
  yield* extend();
}

function mayHaveIssued(issuer: Node, subject: Node): boolean {
  if (!sameName(issuer.subject, subject.issuer)) return false;
  const wanted = subject.certificate.authorityKeyIdentifier;
  const offered = issuer.certificate.subjectKeyIdentifier;
  return wanted === undefined || offered === undefined || equalBytes(wanted, offered);
}

const sameEntity = (a: Node, b: Node): boolean =>
  sameName(a.subject, b.subject) && toHex(a.certificate.spkiDer) === toHex(b.certificate.spkiDer);
