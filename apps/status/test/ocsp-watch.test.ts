import { describe, expect, it } from 'vitest';
import { PkiError, toHex } from '@fleetroot/core';
import { OcspWatch } from '../src/ocsp-watch.ts';

const START = Date.UTC(2026, 10, 23);

/** A watch over a ledger that the test sets; it looks when it is told to. */
function watched() {
  const state = { away: false, cas: [1], signer: {} as object | undefined, now: START };
  const told: string[] = [];
  let hear: (caId: number, serial: string | undefined) => void = () => undefined;
  let gap: () => void = () => undefined;
  const watch = new OcspWatch({
    ledger: {
      authorities: async () => state.cas.map((id) => ({ id, state: 'active', certificate: Uint8Array.of(id) }) as never),
      revocations: {
        async changes() {
          if (state.away) throw new PkiError('store.unavailable');
          return { at: new Date(state.now), changed: [] };
        },
        listen(tell, lost) {
          [hear, gap] = [tell, lost];
          return () => undefined;
        },
      },
    },
    signers: { signerFor: async () => state.signer as never }, clock: { now: () => new Date(state.now) },
    onTold: (caId, serial) => told.push(serial === undefined ? `${caId}/*` : `${caId}/${toHex(serial)}`), onFailure: () => undefined,
  });
  const look = async (): Promise<string[]> => {
    told.length = 0;
    await watch.look();
    return [...told];
  };
  return { watch, state, told, look, hear: (caId: number, serial?: string) => hear(caId, serial), gap: () => gap() };
}

describe('what the OCSP responder hears of', () => {
  it('is every CA at first, whose signer is new, and all of them where one comes on record', async () => {
    const { look, state, watch } = watched();
    expect(await look()).toEqual(['1/*', '1/*']);
    expect(await look()).toEqual([]);
    state.signer = {};
    expect(await look()).toEqual(['1/*']);
    expect(watch.signerFor(1)).toBe(state.signer);
    state.cas = [1, 2];
    expect(await look()).toEqual(['2/*', '1/*', '2/*']);
    expect(watch.knownUntil()).toBe(START);
  });

  it('is a certificate, all of a CA, and of every CA where something may have been missed', async () => {
    const { watch, state, told, hear, gap } = watched();
    state.cas = [1, 2];
    watch.start();
    await watch.authorities();
    told.length = 0;
    hear(1, '0a');
    hear(2);
    gap();
    expect(told).toEqual(['1/0a', '2/*', '1/*', '2/*']);
    await watch.close();
  });

  it('needs the ledger once; a clock that is not the database\'s signs nothing', async () => {
    const { watch, look, state } = watched();
    state.away = true;
    await expect(watch.authorities()).rejects.toMatchObject({ code: 'store.unavailable' });
    state.away = false;
    expect(await watch.authorities()).toHaveLength(1);
    state.away = true;
    await look();
    expect(await watch.authorities()).toHaveLength(1);
    expect(() => watch.checkClock()).not.toThrow();
    state.now = START + 600_000;
    expect(() => watch.checkClock()).toThrow(expect.objectContaining({ code: 'clock.skew' }));
  });
});
