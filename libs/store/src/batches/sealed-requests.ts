import { deserialize, serialize } from 'node:v8';
import type { RequestItem } from '@fleetroot/authority';
import type { LedgerKey } from '@fleetroot/core';

/** What a chunk's requests are sealed for: they open only in this place of this batch. */
const context = (batchId: string, first: number): string => `chunk:${batchId}:${first}`;

/** A chunk's items; the requests of all, one after the other, are told apart by their lengths: one value costs less than hundreds. */
interface Packed {
  readonly items: readonly Omit<RequestItem, 'csr'>[];
  readonly lengths: readonly number[];
  readonly requests: Uint8Array;
}

/** The requests of a chunk as one sealed value. */
export function sealRequests(key: LedgerKey, batchId: string, first: number, requests: readonly RequestItem[]): Uint8Array {
  const packed: Packed = {
    items: requests.map((item) => ({ ...item, csr: undefined })),
    lengths: requests.map(({ csr }) => csr.length),
    requests: Buffer.concat(requests.map(({ csr }) => csr)),
  };
  return key.seal(serialize(packed), context(batchId, first));
}

/** @throws PkiError `internal` where the ledger key is another one */
export function openRequests(key: LedgerKey, batchId: string, first: number, sealed: Uint8Array): RequestItem[] {
  // Authenticated: only what we sealed gets to the deserializer.
  const opened = deserialize(key.open(sealed, context(batchId, first))) as Packed | RequestItem[];
  // As they were sealed until November 2026.
  if (Array.isArray(opened)) return opened;
  const requests = new Uint8Array(opened.requests.buffer, opened.requests.byteOffset, opened.requests.length);
  let end = 0;
  return opened.items.map((item, i) => ({ ...item, csr: requests.subarray(end, (end += opened.lengths[i] ?? 0)) }));
}
