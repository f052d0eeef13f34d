// What relying parties wait for, and what publishing costs at fleet size. Each part by itself, or all in one run.
import type { RevocationPart } from './command-line.ts';
import { batchBeside, OCSP_CERTIFICATES, ocspDuringBatch, ocspRates } from './ocsp-rates.ts';
import { filters } from './filter.ts';
import { fillLedger, revokeSome } from './many-revoked.ts';
import { startSite } from './ocsp-site.ts';
import { publishing } from './publishing.ts';
import { print, type Result } from './report.ts';
import type { Scratch } from './scratch.ts';
import { visible, VISIBLE_CERTIFICATES } from './visible.ts';

export interface RevocationSizes {
  /** Of each measurement of a rate. */
  readonly seconds: number;
  /** Certificates of the batch that is issued while OCSP is asked. */
  readonly items: number;
  /** Unexpired certificates of the ledger that CRLs and filters are published of. */
  readonly known: number;
  readonly revoked: number;
}

/** `bench revocation`: `parts` of it, through the running product first, then in a large ledger without. */
export async function benchRevocation(scratch: Scratch, parts: ReadonlySet<RevocationPart>, sizes: RevocationSizes): Promise<void> {
  const results = [
    ...parts.has('ocsp') || parts.has('batch') || parts.has('visible') ? await throughTheProduct(scratch, parts, sizes) : [],
    ...parts.has('publish') || parts.has('filter') ? await inALargeLedger(scratch, parts, sizes) : [],
  ];
  print('revocation', results, { parts: [...parts], ...sizes });
}

async function throughTheProduct(scratch: Scratch, parts: ReadonlySet<RevocationPart>, { seconds, items, revoked }: RevocationSizes): Promise<Result[]> {
  const batch = parts.has('batch') ? await batchBeside(scratch, items) : undefined;
  const site = await startSite(scratch, OCSP_CERTIFICATES + VISIBLE_CERTIFICATES);
  const results = [
    ...parts.has('ocsp') ? await ocspRates(scratch, site, seconds) : [],
    ...batch === undefined ? [] : await ocspDuringBatch(scratch, site, batch, seconds),
    ...parts.has('visible') ? await visible(site, revoked) : [],
  ];
  await site.stop();
  return results;
}

async function inALargeLedger(scratch: Scratch, parts: ReadonlySet<RevocationPart>, { known, revoked }: RevocationSizes): Promise<Result[]> {
  const ledger = await fillLedger(scratch, known);
  await revokeSome(ledger, revoked);
  return [...parts.has('publish') ? await publishing(ledger) : [], ...parts.has('filter') ? await filters(ledger) : []];
}
