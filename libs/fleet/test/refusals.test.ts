import { describe, expect, it } from 'vitest';
import { PkiError } from '@fleetroot/core';
import { EcuPace, type RefusedConnection, Refusals } from '../src/index.ts';

const refusal = (certificate: number, second = 0): RefusedConnection => ({
  at: new Date(Date.UTC(2026, 10, 22, 12, 0, second)), code: 'registration.issuer-unknown', detail: 'x', certificateSha256: Uint8Array.of(certificate),
});

function refusals(most: number, write = async (): Promise<void> => undefined): { refusals: Refusals; written: RefusedConnection[] } {
  const written: RefusedConnection[] = [];
  return { written, refusals: new Refusals({ refuse: async (one) => { await write(); written.push(one); } }, most) };
}

describe('refused connections', () => {
  it('are kept a few times a minute each', async () => {
    const { refusals: kept, written } = refusals(99);
    await Promise.all(Array.from({ length: 20 }, (_, second) => kept.refuse(refusal(1, second))));
    expect(written).toHaveLength(5);
    await kept.refuse({ ...refusal(1), code: 'registration.path-invalid' });
    await kept.refuse(refusal(2));
    expect(written).toHaveLength(7);
    await kept.refuse(refusal(1, 60));
    expect(written).toHaveLength(8);
  });
  it('are no more in a minute than the ledger shall bear', async () => {
    const { refusals: kept, written } = refusals(2);
    for (const certificate of [1, 2]) await kept.refuse(refusal(certificate));
    await expect(kept.refuse(refusal(3))).rejects.toMatchObject({ code: 'http.too-many-requests' });
    await kept.refuse(refusal(3, 60));
    expect(written).toHaveLength(3);
  });
  it('do not count as kept where they could not be', async () => {
    let fail = true;
    const { refusals: kept, written } = refusals(9, async () => { if (fail) throw new PkiError('store.unavailable'); });
    for (let time = 0; time < 8; time++) await expect(kept.refuse(refusal(1))).rejects.toMatchObject({ code: 'store.unavailable' });
    fail = false;
    await kept.refuse(refusal(1));
    expect(written).toHaveLength(1);
  });
});

it('an ECU is served so often an hour, whatever others do', () => {
  const pace = new EcuPace(2);
  const at = (minute: number): Date => new Date(Date.UTC(2026, 10, 22, 12, minute));
  pace.count('a', at(0));
  pace.count('a', at(1));
  expect(() => pace.count('a', at(59))).toThrow(expect.objectContaining({ code: 'http.too-many-requests' }) as Error);
  pace.count('b', at(59));
  pace.count('a', at(60));
});
