import { serialize } from 'node:v8';
import { expect, it } from 'vitest';
import type { RequestItem } from '@fleetroot/authority';
import { ecuSerial, LedgerKey, partNumber } from '@fleetroot/core';
import { openRequests, sealRequests } from '../src/batches/sealed-requests.ts';
import { packColumn } from '../src/packed.ts';

const key = new LedgerKey(new Uint8Array(32).fill(7));
const items: RequestItem[] = [
  // A view into a larger buffer, as a reader of a stream hands it out.
  { ordinal: 10, ecuSerial: ecuSerial('E1'), partNumber: partNumber('P1'), csr: Buffer.alloc(64_000, 1).subarray(5, 9) },
  { ordinal: 11, csr: Uint8Array.of(4, 5) },
];

it('requests open as they were sealed, without what lay around them', () => {
  const sealed = sealRequests(key, 'batch', 10, items);
  expect(sealed.length).toBeLessThan(400);
  const opened = openRequests(key, 'batch', 10, sealed);
  expect(opened.map(({ csr, ...rest }) => ({ ...rest, csr: [...csr] }))).toEqual([
    { ordinal: 10, ecuSerial: 'E1', partNumber: 'P1', csr: [1, 1, 1, 1] }, { ordinal: 11, csr: [4, 5] },
  ]);
});

it('requests open that an earlier version sealed, each with its own octets', () => {
  const before = items.map((item) => ({ ...item, csr: Uint8Array.from(item.csr) }));
  expect(openRequests(key, 'batch', 10, key.seal(serialize(before), 'chunk:batch:10'))).toEqual(before);
});

it.each([['another batch', 'other', 10], ['another place', 'batch', 11]])('requests do not open in %s', (_, batch, first) => {
  expect(() => openRequests(key, batch, first, sealRequests(key, 'batch', 10, items))).toThrow('does not open');
});

it('a packed column gives places from 1', () => {
  expect(packColumn([Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)])).toEqual({ blob: Buffer.of(1, 2, 3), at: '{1,3,3}', length: '{2,0,1}' });
});
