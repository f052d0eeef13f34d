import { hash } from 'node:crypto';
import { equalBytes } from '@fleetroot/core';
import type { InspectedAuthority, InspectedFilter, LedgerView } from '../ports/inspection.ts';
import type { Findings } from './report.ts';
import type { SignatureAccount } from './signatures.ts';

/** Places in the header of a filter (docs/filter.md); behind it come the length of the signature, the signature, the tables. */
const HEADER = 200;
const place = { ca: 8, version: 40, baseVersion: 48, bodySha256: 136 } as const;

interface FilterSurroundings {
  readonly view: LedgerView;
  readonly findings: Findings;
  readonly account: SignatureAccount | undefined;
}

/**
 * The revocation filters of a CA whose version was given out.
 * @returns how many of them may be signed, which neither the record of the HSM nor kept octets tell
 */
export async function inspectFilters(ca: InspectedAuthority, { view, findings, account }: FilterSurroundings): Promise<number> {
  let lost = 0;
  for await (const page of view.filters(ca.id)) {
    for (const row of page) {
      const subject = `filter ${row.version} of ${ca.name}`;
      if (row.content === null) {
        if (account?.maybeSha256(row.sha256) !== true) lost++;
        continue;
      }
      findings.count('filters');
      if (isAsRecorded(ca, row, Buffer.from(row.content.buffer, row.content.byteOffset, row.content.length))) account?.known(() => subject, row.content.subarray(0, HEADER));
      else findings.breach('filter-kept', subject, 'is not what was put on record before it was signed');
    }
  }
  return lost;
}

function isAsRecorded(ca: InspectedAuthority, row: InspectedFilter, content: Buffer): boolean {
  if (content.length < HEADER + 2) return false;
  const body = content.subarray(HEADER + 2 + content.readUInt16BE(HEADER));
  return equalBytes(hash('sha256', content.subarray(0, HEADER), 'buffer'), row.sha256)
    && equalBytes(content.subarray(place.ca, place.ca + 32), ca.spkiSha256)
    && content.readBigUInt64BE(place.version) === row.version && content.readBigUInt64BE(place.baseVersion) === row.baseVersion
    && equalBytes(hash('sha256', body, 'buffer'), content.subarray(place.bodySha256, place.bodySha256 + 32));
}
