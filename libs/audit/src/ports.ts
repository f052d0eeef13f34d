import type { AuditEvent } from './event.ts';
import type { ChainedEvent } from './verify.ts';

/** The ledger's audit table. Changes append their own events in their own transactions; this is for the rest. */
export interface AuditLog {
  /** Appends an event in a transaction of its own; durable on return. */
  append(event: AuditEvent): Promise<void>;
  /** All events in order, read in pages; memory does not grow with their number. */
  events(fromSeq?: bigint): AsyncIterable<ChainedEvent>;
  head(): Promise<{ readonly seq: bigint; readonly hash: Uint8Array }>;
}
