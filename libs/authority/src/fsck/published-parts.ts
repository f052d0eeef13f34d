import { setTimeout as wait } from 'node:timers/promises';
import { equalBytes } from '@fleetroot/core';
import { parseCertificate } from '@fleetroot/x509';
import { isTrusted } from '../hierarchy/lineage.ts';
import type { InspectedAuthority } from '../ports/inspection.ts';
import { inspectCrl, isOfScope, numberOf } from './crl.ts';
import { describePlace, type KeptCrls } from './kept-crls.ts';
import { inspectAge, type PublishedSurroundings, type Served, serve } from './published-crl.ts';

/** So many are fetched at once; each may be of a megabyte, and is let go once it is judged. */
const AT_ONCE = 4;
const AGAIN_MS = 500;
/** A CRL may take so long from its thisUpdate to its place, in milliseconds. */
const ON_ITS_WAY_MS = 60_000;

/**
 * Every shard and every delta that the ledger has published, as it is served: there, of its place, and the newest on
 * record. What that one lists is judged where it is kept. What is late is fetched again, as for the CRL of the whole CA.
 */
export async function inspectPublishedParts(ca: InspectedAuthority, kept: readonly KeptCrls[], around: PublishedSurroundings): Promise<void> {
  const until = performance.now() + around.withinMs;
  let left = kept.filter(({ scope, kind, newest }) => newest !== undefined && (scope !== 'all' || kind === 'delta'));
  while (left.length > 0) {
    const late: KeptCrls[] = [];
    for (let at = 0; at < left.length; at += AT_ONCE) {
      around.signal.throwIfAborted();
      await Promise.all(left.slice(at, at + AT_ONCE).map(async (part) => {
        const served = await serve(around.published, ca.name, part.scope, part.kind);
        if (performance.now() < until && isLate(ca, part, served, around)) late.push(part);
        else judge(ca, part, served, around);
      }));
    }
    left = late;
    if (left.length > 0) await wait(AGAIN_MS);
  }
}

function isLate(ca: InspectedAuthority, { newest }: KeptCrls, served: Served, { authorities }: PublishedSurroundings): boolean {
  if ('fault' in served) return isTrusted(ca, authorities);
  const number = numberOf(served.der);
  return number !== undefined && newest !== undefined && number < newest.number;
}

function judge(ca: InspectedAuthority, { scope, kind, newest }: KeptCrls, served: Served, around: PublishedSurroundings): void {
  const { findings, view } = around;
  const trusted = isTrusted(ca, around.authorities);
  const subject = `${describePlace({ scope, kind }, ca.name)} as published`;
  if ('fault' in served) {
    if (trusted) findings.breach('crl-current', subject, served.fault);
    return;
  }
  const crl = inspectCrl(subject, served.der, parseCertificate(ca.certificate), findings);
  if (crl === undefined || newest === undefined) return;
  findings.count('publishedCrls');
  if (!isOfScope(crl, scope) || (crl.baseNumber === undefined) !== (kind === 'full')) {
    return findings.breach('crl-served', subject, `is another one: ${crl.baseNumber === undefined ? 'a full CRL' : 'a delta'} of ${crl.distributionPoint[0] ?? 'the whole CA'}`);
  }
  if (crl.number < newest.number) findings.breach('crl-served', subject, `has number ${crl.number}, the newest on record is ${newest.number}`);
  if (crl.number === newest.number && !equalBytes(served.der, newest.der)) findings.breach('crl-served', subject, `with number ${crl.number} is not the one on record`);
  if (crl.number > ca.crlNumber && crl.thisUpdate.getTime() < view.at.getTime() - ON_ITS_WAY_MS) {
    findings.breach('ledger-older', subject, `has number ${crl.number}, the ledger has given out ${ca.crlNumber} last`);
  }
  if (trusted) inspectAge(ca, crl, subject, around);
}
