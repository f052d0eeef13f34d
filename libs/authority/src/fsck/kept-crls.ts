import { hash } from 'node:crypto';
import { equalBytes, toHex } from '@fleetroot/core';
import { type ParsedCrl, parseAnyCrl, parseCertificate } from '@fleetroot/x509';
import type { CrlKind, CrlScope } from '../ports/crl.ts';
import type { InspectedAuthority, InspectedCrl, LedgerView } from '../ports/inspection.ts';
import { compareCrlRow, inspectCrl, leftCrl } from './crl.ts';
import type { Findings } from './report.ts';
import type { SignatureAccount } from './signatures.ts';

/** What is kept of one scope and kind. */
export interface KeptCrls {
  readonly scope: CrlScope;
  readonly kind: CrlKind;
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

/** Of one, or of whichever has the place. */
export const describePlace = ({ scope, kind, number }: Pick<InspectedCrl, 'scope' | 'kind'> & { readonly number?: bigint }, caName: string): string =>
  `${kind === 'delta' ? 'delta ' : ''}CRL${number === undefined ? '' : ` ${number}`}${scope === 'all' ? '' : ` ${scope}`} of ${caName}`;

/**
 * The CRLs of a CA whose octets the ledger keeps, of each scope and kind the newest first, each against its row and the one
 * after it. Of the whole CA, full, comes first in the answer, there or not.
 */
export async function inspectKeptCrls(ca: InspectedAuthority, { view, findings, account, full }: KeptSurroundings): Promise<readonly KeptCrls[]> {
  const issuer = parseCertificate(ca.certificate);
  const kept: (KeptCrls & { looked: number; later: ParsedCrl | undefined })[] = [];
  for await (const page of view.crls(ca.id)) {
    for (const row of page) {
      const subject = describePlace(row, ca.name);
      let of = kept.at(-1);
      if (of?.scope !== row.scope || of.kind !== row.kind) kept.push((of = { scope: row.scope, kind: row.kind, newest: undefined, shownUntil: -Infinity, looked: 0, later: undefined }));
      if (of.looked >= 2 && !full) {
        if (ca.keyId !== undefined) account?.known(() => subject, parseAnyCrl(row.der).tbsDer);
        continue;
      }
      const looked = of.looked + 1;
      findings.count('crls');
      const crl = inspectCrl(subject, row.der, issuer, findings);
      if (crl !== undefined) {
        compareCrlRow(subject, row, crl, findings);
        if (row.sha256 !== null && !equalBytes(hash('sha256', row.der, 'buffer'), row.sha256)) findings.breach('crl-kept', subject, 'its octets are not those of its SHA-256');
        if (ca.keyId !== undefined) account?.known(() => subject, crl.tbsDer);
        if (of.later !== undefined) await inspectSuccession(ca, crl, of.later, view, findings);
      }
      kept[kept.length - 1] = {
        ...of, looked, later: crl, newest: looked === 1 ? crl : of.newest,
        shownUntil: looked === 2 ? row.thisUpdate : looked === 1 ? crl?.thisUpdate.getTime() ?? -Infinity : of.shownUntil,
      };
    }
  }
  const whole = kept.find(({ scope, kind }) => scope === 'all' && kind === 'full') ?? { scope: 'all', kind: 'full', newest: undefined, shownUntil: -Infinity } as const;
  return [whole, ...kept.filter((one) => one !== whole)];
}

/** See flawOfSuccession: only what had expired at the thisUpdate of the CRL before may leave, and a hold. Deltas of other bases tell of other changes. */
async function inspectSuccession(ca: InspectedAuthority, before: ParsedCrl, next: ParsedCrl, view: LedgerView, findings: Findings): Promise<void> {
  if (before.baseNumber !== next.baseNumber) return;
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
