import { describe, expect, it } from 'vitest';
import { PkiError, toHex } from '@fleetroot/core';
import { OcspWatch } from '../src/ocsp-watch.ts';

const START = Date.UTC(2026, 10, 23);

/** A watch over a ledger whose time and changes the test sets; it looks when it is told to. */
function watched() {
  const state = { now: START, away: false, changes: [] as { caId: number; serial: Uint8Array; changedAt: Date }[] };
  const asked: number[] = [];
  const told: string[] = [];
  const failures: unknown[] = [];
  let hear: (payload: string) => void = () => undefined;
  let connected: () => void = () => undefined;
  const watch = new OcspWatch({
    ledger: {
      authorities: async () => [{ id: 1, state: 'active', certificate: Uint8Array.of(1) } as never],
      onRevoked: (tell, gap) => {
        [hear, connected] = [tell, gap];
        return () => undefined;
      },
      ocspAnswers: {
        now: async () => {
          if (state.away) throw new PkiError('store.unavailable');
          return new Date(state.now);
        },
        changedSince: async (_ids, since, limit) => {
          asked.push((since.getTime() - START) / 1000);
          return state.changes.filter(({ changedAt }) => changedAt > since).slice(0, limit);
        },
      },
    },
    signers: { signerFor: async () => undefined }, clock: { now: () => new Date(state.now) }, everyMs: 3_600_000,
    onTold: (caId, serial) => told.push(serial === undefined ? `${caId}/*` : `${caId}/${toHex(serial)}`), onFailure: (error) => failures.push(error),
  });
  const look = async (seconds: number): Promise<string[]> => {
    state.now = START + seconds * 1000;
    told.length = 0;
    await watch.look();
    return [...told];
  };
  const change = (n: number, seconds: number) => state.changes.push({ caId: 1, serial: Uint8Array.of(n), changedAt: new Date(START + seconds * 1000) });
  return { watch, state, asked, told, failures, look, change, hear: (payload: string) => hear(payload), connect: () => connected() };
}

describe('what the OCSP responder hears of', () => {
  it('is each change once, by a look', async () => {
    const { look, change } = watched();
    expect(await look(0)).toEqual(['1/*']);
    change(7, 1);
    expect(await look(1)).toEqual(['1/07']);
    expect(await look(2)).toEqual([]);
  });

  it('is what changed while no look worked, however long that was', async () => {
    const { look, change, state, asked, failures } = watched();
    await look(0);
    state.away = true;
    expect(await look(10)).toEqual([]);
    expect(await look(20)).toEqual([]);
    expect(failures).toHaveLength(1);
    change(9, 12);
    state.away = false;
    expect(await look(300)).toEqual(['1/09']);
    expect(asked).toEqual([-15, -15]);
    await look(301);
    expect(asked.at(-1)).toBe(285);
  });

  it('is all of a CA where more changed than are told one by one', async () => {
    const { look, change } = watched();
    await look(0);
    for (let n = 0; n < 1000; n++) change(n, 1);
    expect(await look(1)).toEqual(['1/*']);
  });

  it.each([['1/0a', ['1/0a']], ['1/*', ['1/*']], ['nonsense', ['1/*']]])('is what the ledger notifies of: %s', async (payload, expected) => {
    const { watch, look, told, hear } = watched();
    watch.start();
    await look(0);
    told.length = 0;
    hear(payload);
    expect(told).toEqual(expected);
    await watch.close();
  });

  it('is everything when notifications may have been lost', async () => {
    const { watch, look, told, connect } = watched();
    watch.start();
    await look(0);
    told.length = 0;
    connect();
    expect(told).toEqual(['1/*']);
    await watch.close();
  });

  it('a clock that is not the database\'s signs nothing', async () => {
    const { watch, look, state } = watched();
    await look(0);
    expect(() => watch.checkClock()).not.toThrow();
    state.now = START + 600_000;
    expect(() => watch.checkClock()).toThrow(expect.objectContaining({ code: 'clock.skew' }));
  });
});
