import { equalBytes } from '@fleetroot/core';
import { chainHash, GENESIS } from './chain.ts';

export interface ChainedEvent {
  readonly seq: bigint;
  readonly payload: string;
  readonly prevHash: Uint8Array;
  readonly hash: Uint8Array;
}

export interface ChainVerdict {
  readonly events: number;
  readonly head: { readonly seq: bigint; readonly hash: Uint8Array };
  /** The first breach, or undefined where the chain holds. */
  readonly breach?: { readonly seq: bigint; readonly what: 'missing' | 'previous-hash' | 'hash' | 'head' };
}

/**
 * Walks the chain from event 1 and stops at the first breach. With `head` (as a checkpoint or the ledger keeps it), a
 * chain that was cut off at its end is a breach as well.
 */
export async function verifyChain(
  events: AsyncIterable<ChainedEvent>,
  head?: { readonly seq: bigint; readonly hash: Uint8Array },
): Promise<ChainVerdict> {
  let previous = GENESIS;
  let seq = 0n;
  const verdict = (what?: 'missing' | 'previous-hash' | 'hash' | 'head', at = seq + 1n): ChainVerdict => ({
    events: Number(seq),
    head: { seq, hash: previous },
    ...(what === undefined ? {} : { breach: { seq: at, what } }),
  });
  for await (const event of events) {
    if (event.seq !== seq + 1n) return verdict('missing');
    if (!equalBytes(event.prevHash, previous)) return verdict('previous-hash');
    if (!equalBytes(event.hash, chainHash(previous, event.seq, event.payload))) return verdict('hash');
    previous = event.hash;
    seq = event.seq;
  }
  if (head !== undefined && (head.seq !== seq || !equalBytes(head.hash, previous))) return verdict('head', head.seq);
  return verdict();
}
