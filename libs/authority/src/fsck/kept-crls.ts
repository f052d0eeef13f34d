import { toHex } from '@fleetroot/core';
import { type ParsedCrl, parseCertificate, parseCrl } from '@fleetroot/x509';
import type { InspectedAuthority, LedgerView } from '../ports/inspection.ts';
import { compareCrlRow, inspectCrl, leftCrl } from './crl.ts';
import type { Findings } from './report.ts';
import type { SignatureAccount } from './signatures.ts';

export interface KeptCrls {
  /** As it stands in the ledger, and as it reads; undefined: there is none, or it cannot be read. */
  readonly newest: ParsedCrl | undefined;
  /** thisUpdate of the one before it, in milliseconds: what ended earlier was on a CRL after its end (I12). */
  readonly shownUntil: number;
}

interface KeptSurroundings {
  readonly view: LedgerView;
  readonly findings: Findings;
  readonly account: SignatureAccount | undefined;
  /** All that are kept; otherwise the newest two, which show whether the last step was right. */
  readonly full: boolean;
}

/** The CRLs of a CA whose octets the ledger keeps, the newest first, each against its row and the one after it. */
export async function inspectKeptCrls(ca: InspectedAuthority, { view, findings, account, full }: KeptSurroundings): Promise<KeptCrls> {
  const issuer = parseCertificate(ca.certificate);
  let newest: ParsedCrl | undefined;
  let later: ParsedCrl | undefined;
  let shownUntil: number | undefined;
  let looked = 0;
  for await (const page of view.crls(ca.id)) {
    for (const row of page) {
      const subject = `CRL ${row.number} of ${ca.name}`;
      if (looked >= 2 && !full) {
        if (ca.keyId !== undefined) account?.known(() => subject, parseCrl(row.der).tbsDer);
        continue;
      }
      looked++;
      findings.count('crls');
      const crl = inspectCrl(subject, row.der, issuer, findings);
      if (crl !== undefined) {
        compareCrlRow(subject, row, crl, findings);
        if (ca.keyId !== undefined) account?.known(() => subject, crl.tbsDer);
        if (later !== undefined) await inspectSuccession(ca, crl, later, view, findings);
      }
      if (looked === 1) newest = crl;
      if (looked === 2) shownUntil = row.thisUpdate;
      later = crl;
    }
  }
  return { newest, shownUntil: shownUntil ?? newest?.thisUpdate.getTime() ?? -Infinity };
}

/** See flawOfSuccession: only what had expired at the thisUpdate of the CRL before may leave, and a hold. */
async function inspectSuccession(ca: InspectedAuthority, before: ParsedCrl, next: ParsedCrl, view: LedgerView, findings: Findings): Promise<void> {
  const left = leftCrl(before, next);
  if (left.size === 0) return;
  const ends = new Map<string, number>();
  for await (const page of view.listed(ca.id)) {
    for (const { serial, notAfter } of page) if (left.has(toHex(serial))) ends.set(toHex(serial), notAfter);
  }
  for (const [serial, { held }] of left) {
    const end = ends.get(serial);
    // What is not on record any more was a hold, or is in an archive: nothing that lives is ever archived.
    if (end === undefined ? held || view.archived : end < before.thisUpdate.getTime()) continue;
    findings.breach('crl-succession', `serial ${serial}`, `has left the CRL of ${ca.name} with number ${next.number}, and had not expired`);
  }
}
