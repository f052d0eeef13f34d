import { type ChainedEvent, verifyChain } from '@fleetroot/audit';
import { toHex } from '@fleetroot/core';
import type { LedgerView } from '../ports/inspection.ts';
import type { Findings } from './report.ts';

export interface KnownHead {
  readonly seq: bigint;
  /** Hex. */
  readonly hash: string;
}

const meaning = {
  missing: 'is missing, or out of order', 'previous-hash': 'is not chained to the event before it', hash: 'was changed',
  head: 'is not where the chain ends: the ledger says otherwise',
} as const;

/**
 * The chain from its first event to its head, and whether it still holds the heads that were seen before.
 * @param known kept elsewhere, by whoever wants to be told of an older log
 */
export async function inspectAudit(view: LedgerView, known: readonly KnownHead[], findings: Findings, progress: (events: number) => void): Promise<KnownHead> {
  const [head, seen] = [await view.auditHead(), await view.auditHeadsSeen()];
  const heads = [...seen, ...known];
  const bySeq = Map.groupBy(heads, ({ seq }) => seq);
  async function* watched(): AsyncGenerator<ChainedEvent> {
    for await (const page of view.events()) {
      for (const event of page) {
        for (const { hash } of bySeq.get(event.seq) ?? []) {
          if (toHex(event.hash) !== hash) findings.breach('audit-seen', `event ${event.seq}`, 'is another than the one that was seen as the head of the log before');
        }
        yield event;
      }
      findings.count('auditEvents', page.length);
      progress(page.length);
    }
  }
  const { breach } = await verifyChain(watched(), head);
  if (breach !== undefined) findings.breach('audit-chain', `event ${breach.seq}`, meaning[breach.what]);
  for (const { seq } of heads) if (seq > head.seq) findings.breach('audit-seen', `event ${seq}`, `was the head of the log before; the log ends at event ${head.seq} now`);
  return { seq: head.seq, hash: toHex(head.hash) };
}
