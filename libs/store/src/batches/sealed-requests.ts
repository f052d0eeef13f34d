import { deserialize, serialize } from 'node:v8';
import type { RequestItem } from '@fleetroot/authority';
import type { LedgerKey } from '@fleetroot/core';

/** What a chunk's requests are sealed for: they open only in this place of this batch. */
const context = (batchId: string, first: number): string => `chunk:${batchId}:${first}`;

/** The requests of a chunk as one sealed value. */
export function sealRequests(key: LedgerKey, batchId: string, first: number, requests: readonly RequestItem[]): Uint8Array {
  // A view into a larger buffer would be written with the whole of it.
  const items = requests.map((item) => ({ ...item, csr: Uint8Array.from(item.csr) }));
  return key.seal(serialize(items), context(batchId, first));
}

/** @throws PkiError `internal` where the ledger key is another one */
export function openRequests(key: LedgerKey, batchId: string, first: number, sealed: Uint8Array): RequestItem[] {
  // Authenticated: only what we sealed gets to the deserializer.
  return deserialize(key.open(sealed, context(batchId, first))) as RequestItem[];
}
