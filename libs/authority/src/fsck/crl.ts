import { equalBytes, isPkiError, toHex } from '@fleetroot/core';
import { type CrlEntry, type ParsedCertificate, type ParsedCrl, parseAnyCrl, verifySignature } from '@fleetroot/x509';
import type { CrlScope } from '../ports/crl.ts';
import type { InspectedCrl, InspectedListing, Pages } from '../ports/inspection.ts';
import { revocationReasons } from '../ports/status.ts';
import type { Findings } from './report.ts';
import { Sorted } from './sorted.ts';

/** The CRL as it reads, or undefined where it does not; what is wrong with it by itself is told. */
export function inspectCrl(subject: string, der: Uint8Array, issuer: ParsedCertificate, findings: Findings): ParsedCrl | undefined {
  const tell = (what: string): void => findings.breach('crl-kept', subject, what);
  try {
    const crl = parseAnyCrl(der);
    if (!equalBytes(crl.issuerDer, issuer.subjectDer)) tell('is of another CA');
    if (!verifySignature(issuer.spkiDer, crl.signatureAlgorithm, crl.tbsDer, crl.signature)) tell('its signature does not verify under its CA');
    const twice = firstTwice(crl);
    if (twice !== undefined) tell(`lists the serial ${twice} twice`);
    return crl;
  } catch (error) {
    if (!isPkiError(error)) throw error;
    tell(`cannot be read: ${error.message}`);
    return undefined;
  }
}

/** undefined: it cannot be read. */
export function numberOf(der: Uint8Array): bigint | undefined {
  try {
    return parseAnyCrl(der).number;
  } catch (error) {
    if (isPkiError(error)) return undefined;
    throw error;
  }
}

/** Our own are in order, so that a serial that comes twice comes twice in a row; any other is searched. */
function firstTwice({ entries }: ParsedCrl): string | undefined {
  let before = '';
  for (const [serial] of entries) {
    if (serial < before) {
      try {
        entries.index();
        return undefined;
      } catch {
        return 'of some certificate';
      }
    }
    if (serial === before) return serial;
    before = serial;
  }
  return undefined;
}

/** The row of a CRL against its octets. */
export function compareCrlRow(subject: string, row: InspectedCrl, crl: ParsedCrl, findings: Findings): void {
  const holds: Readonly<Record<string, boolean>> = {
    number: crl.number === row.number, thisUpdate: crl.thisUpdate.getTime() === row.thisUpdate,
    nextUpdate: crl.nextUpdate.getTime() === row.nextUpdate, 'base': crl.baseNumber === (row.baseNumber ?? undefined), 'distribution point': isOfScope(crl, row.scope), 'number of entries': row.entries === null || crl.entries.size === row.entries,
  };
  for (const [what, holding] of Object.entries(holds)) if (!holding) findings.breach('crl-kept', subject, `its ${what} is not that of its row`);
}

/** The shard's own, or none. */
export const isOfScope = ({ distributionPoint }: ParsedCrl, scope: CrlScope): boolean =>
  (scope === 'all' ? distributionPoint.length === 0 : distributionPoint.length > 0 && distributionPoint.every((uri) => uri.endsWith(`/${scope}.crl`)));

/** What is on one CRL, or on record, and not on the other, in the order of serials. */
export interface Difference {
  readonly serial: Uint8Array;
  readonly onCrl: CrlEntry | undefined;
  readonly onRecord: InspectedListing | undefined;
}

/** Entries and rows side by side, both by serial. Holds no more of either than a page, but for a CRL that is out of order. */
export async function compareEntries(crl: ParsedCrl, listed: Pages<InspectedListing>, visit: (pair: Difference) => void): Promise<void> {
  const rows = new Sorted(listed);
  try {
    for (const entry of inOrder(crl)) {
      for (const row of await rows.takeWhile(({ serial }) => Buffer.compare(serial, entry.serial) < 0)) visit({ serial: row.serial, onCrl: undefined, onRecord: row });
      const [onRecord] = await rows.takeWhile(({ serial }) => equalBytes(serial, entry.serial));
      visit({ serial: entry.serial, onCrl: entry, onRecord });
    }
    for (let row = await rows.peek(); row !== undefined; row = await rows.peek()) {
      for (const rest of await rows.takeWhile(() => true)) visit({ serial: rest.serial, onCrl: undefined, onRecord: rest });
    }
  } finally {
    await rows.close();
  }
}

function inOrder({ entries }: ParsedCrl): Iterable<CrlEntry> {
  let before: Uint8Array = new Uint8Array(0);
  for (const [, { serial }] of entries) {
    if (Buffer.compare(serial, before) < 0) return Array.from(entries, ([, entry]) => entry).sort((a, b) => Buffer.compare(a.serial, b.serial));
    before = serial;
  }
  return entryOf(entries);
}

function* entryOf(entries: ParsedCrl['entries']): Generator<CrlEntry> {
  for (const [, entry] of entries) yield entry;
}

/** Serials that are on `before` and not on `next`, with whether they were on hold. */
export function leftCrl(before: ParsedCrl, next: ParsedCrl): Map<string, { readonly held: boolean }> {
  const left = new Map<string, { readonly held: boolean }>();
  for (const { serial, reason } of before.entries.goneFrom(next.entries)) {
    left.set(toHex(serial), { held: reason === revocationReasons.certificateHold || reason === revocationReasons.removeFromCRL });
  }
  return left;
}
