import { setTimeout as wait } from 'node:timers/promises';
import { equalBytes, isPkiError, toHex } from '@fleetroot/core';
import { type ParsedCrl, parseCertificate, parseCrl } from '@fleetroot/x509';
import { isTrusted } from '../hierarchy/lineage.ts';
import type { CrlKind, CrlScope } from '../ports/crl.ts';
import { signsStatus } from '../hierarchy/state.ts';
import type { InspectedAuthority, LedgerView } from '../ports/inspection.ts';
import { revocationReasons } from '../ports/status.ts';
import { compareEntries, inspectCrl } from './crl.ts';
import type { KeptCrls } from './kept-crls.ts';
import type { Findings } from './report.ts';

/** Of the whole CA, and the newest delta of that: what came since is on it. */
export type KeptWhole = KeptCrls & { readonly delta: ParsedCrl | undefined };

/** CRLs as anybody gets them. */
export interface PublishedCrls {
  /** DER, of the whole CA and full unless something else is asked for; undefined: nothing is published. @throws Error where nobody answers */
  fetch(caName: string, scope?: CrlScope, kind?: CrlKind): Promise<Uint8Array | undefined>;
}

/** What was had from there, or why nothing was. */
export type Served = { readonly der: Uint8Array } | { readonly fault: string; /** Nobody answered. */ readonly silent?: true };

export interface PublishedSurroundings {
  readonly view: LedgerView;
  readonly authorities: readonly InspectedAuthority[];
  readonly findings: Findings;
  readonly published: PublishedCrls;
  /** What was published before the moment of `view`, by the name of the CA. */
  readonly before: ReadonlyMap<string, Served>;
  /** How long a revocation may take to be on the published CRL, in milliseconds. */
  readonly withinMs: number;
  /** Part of its life after which a CRL is replaced, in percent. */
  readonly refreshPercent: number;
  readonly signal: AbortSignal;
}

const AGAIN_MS = 500;

export async function serve(published: PublishedCrls, caName: string, scope?: CrlScope, kind?: CrlKind): Promise<Served> {
  try {
    const der = await published.fetch(caName, scope, kind);
    return der === undefined ? { fault: 'is not published' } : { der };
  } catch (error) {
    return { fault: `cannot be had: ${error instanceof Error ? error.message : String(error)}`, silent: true };
  }
}

/**
 * The CRL that is served for a CA. What is late may still come: it is fetched again for as long as a revocation may take to
 * be seen, and judged as it is then.
 * @returns whether anybody answered
 */
export async function inspectPublishedCrl(ca: InspectedAuthority, kept: KeptWhole, around: PublishedSurroundings): Promise<boolean> {
  const until = performance.now() + around.withinMs;
  let served = around.before.get(ca.name) ?? await serve(around.published, ca.name);
  // It is older than the moment that is looked at: it can list nothing that was not on record then.
  if ('der' in served) await inspectKnown(ca, served.der, around);
  while (performance.now() < until && !around.signal.aborted && await isLate(ca, served, kept, around)) {
    await wait(AGAIN_MS);
    served = await serve(around.published, ca.name);
  }
  if ('der' in served) await judge(ca, served.der, kept, around);
  else if (isTrusted(ca, around.authorities)) around.findings.breach('crl-current', `CRL of ${ca.name}`, served.fault);
  return !('fault' in served && served.silent === true);
}

/** Whether something is wrong that the next CRL may set right. */
async function isLate(ca: InspectedAuthority, served: Served, kept: KeptWhole, around: PublishedSurroundings): Promise<boolean> {
  if ('fault' in served) return isTrusted(ca, around.authorities);
  const crl = readable(served.der);
  if (crl === undefined) return false;
  return (kept.newest !== undefined && crl.number < kept.newest.number) || await missing(ca, crl, kept, around.view) > 0;
}

async function judge(ca: InspectedAuthority, der: Uint8Array, kept: KeptWhole, around: PublishedSurroundings): Promise<void> {
  const { findings, view } = around;
  const subject = `CRL of ${ca.name} as published`;
  const crl = inspectCrl(subject, der, parseCertificate(ca.certificate), findings);
  if (crl === undefined) return;
  findings.count('publishedCrls');
  if (kept.newest !== undefined && crl.number < kept.newest.number) findings.breach('crl-served', subject, `has number ${crl.number}, the newest on record is ${kept.newest.number}`);
  if (crl.number === kept.newest?.number && !equalBytes(der, kept.newest.der)) findings.breach('crl-served', subject, `with number ${crl.number} is not the one on record`);
  if (isTrusted(ca, around.authorities)) inspectAge(ca, crl, subject, around);
  await inspectMissing(ca, crl, kept, view, findings);
}

export function inspectAge(ca: InspectedAuthority, { thisUpdate, nextUpdate }: ParsedCrl, subject: string, { findings, refreshPercent }: PublishedSurroundings): void {
  const now = Date.now();
  if (nextUpdate.getTime() <= now) return findings.breach('crl-current', subject, `has expired at ${nextUpdate.toISOString()}`);
  // Half of what was left when the next one was due.
  const late = thisUpdate.getTime() + (100 + refreshPercent) / 200 * (nextUpdate.getTime() - thisUpdate.getTime());
  if (signsStatus(ca) && late <= now) findings.breach('crl-current', subject, `should have been replaced by ${new Date(late).toISOString()}`);
}

/** What the CRL lacks is told. */
export async function inspectMissing(ca: InspectedAuthority, crl: ParsedCrl, kept: KeptWhole, view: LedgerView, findings: Findings): Promise<void> {
  await missing(ca, crl, kept, view, (serial, what) => findings.breach('crl-lists', `serial ${serial}`, `${what} the CRL ${crl.number} of ${ca.name}`));
}

/** How much must be on the CRL and is not, or not with its reason. That of a CA that signs none here waits for a ceremony. */
async function missing(
  ca: InspectedAuthority, crl: ParsedCrl, kept: KeptWhole, view: LedgerView, tell?: (serial: string, what: string) => void,
): Promise<number> {
  if (!signsStatus(ca)) return 0;
  let count = 0;
  // Of one that is younger than what was looked at, the one before is not known.
  const since = crl.number === kept.newest?.number ? kept.shownUntil : crl.thisUpdate.getTime();
  // RFC 5280 section 5.2.4: a delta completes its base, and those after it that are older than itself.
  const delta = kept.delta !== undefined && kept.delta.number > crl.number && (kept.delta.baseNumber ?? 0n) <= crl.number ? kept.delta : undefined;
  await compareEntries(crl, view.listed(ca.id), ({ serial, onCrl, onRecord }) => {
    if (onRecord === undefined || onRecord.notAfter < since || onCrl?.reason === onRecord.reason) return;
    if (delta?.entries.get(toHex(serial))?.reason === onRecord.reason) return;
    count++;
    tell?.(toHex(serial), onCrl === undefined ? 'is not on' : `is listed for reason ${onCrl.reason}, and revoked for ${onRecord.reason}, on`);
  });
  return count;
}

/** Nothing is on it that the ledger does not know (I12), nor has it a number that the ledger has not given out (I28). */
async function inspectKnown(ca: InspectedAuthority, der: Uint8Array, { view, findings }: PublishedSurroundings): Promise<void> {
  const crl = readable(der);
  if (crl === undefined) return;
  if (crl.number > ca.crlNumber) findings.breach('ledger-older', `CRL of ${ca.name} as published`, `has number ${crl.number}, the ledger has given out ${ca.crlNumber} last`);
  if (!signsStatus(ca)) return;
  await compareEntries(crl, view.listed(ca.id), ({ serial, onCrl, onRecord }) => {
    if (onCrl === undefined || onRecord !== undefined || onCrl.reason === revocationReasons.certificateHold || view.archived) return;
    findings.breach('crl-known', `serial ${toHex(serial)}`, `is on the CRL ${crl.number} of ${ca.name}, and is not revoked on record`);
  });
}

/** What is wrong with one that is not is told where it is judged. */
function readable(der: Uint8Array): ParsedCrl | undefined {
  try {
    return parseCrl(der);
  } catch (error) {
    if (isPkiError(error)) return undefined;
    throw error;
  }
}
