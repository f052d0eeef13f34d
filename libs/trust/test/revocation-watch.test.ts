import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LATE_COMMIT_MS, PkiError } from '@fleetroot/core';
import { type ChangedRevocation, type RevocationHearer, RevocationWatch, type RevocationWatchParts } from '@fleetroot/trust';

const START = Date.parse('2026-11-23T00:00:00Z');
const LOOK = 500;

/** A ledger whose time, changes and notifications the test sets, and a watch over it; what was told, in words. */
function watched(more: Partial<RevocationWatchParts> = {}) {
  const state = { away: false, ahead: 0, changes: [] as ChangedRevocation[], listening: 0, gate: undefined as Promise<void> | undefined };
  const asked: (number | undefined)[] = [];
  const told: string[] = [];
  const failures: unknown[] = [];
  let hear: (caId: number, serial: string | undefined) => void = () => undefined;
  let gap: () => void = () => undefined;
  const hearer: RevocationHearer = {
    certificate: (caId, serial) => told.push(`${caId}/${serial}`), authority: (caId) => told.push(`${caId}/*`), all: () => told.push('all'),
    keys: (keys) => told.push(`keys ${[...keys].join()}`),
  };
  const watch = new RevocationWatch({
    ledger: {
      async changes(since, limit) {
        asked.push(since === undefined ? undefined : since.getTime() - START);
        if (state.away) throw new PkiError('store.unavailable');
        const found = { at: new Date(Date.now() + state.ahead), changed: since === undefined ? [] : state.changes.filter(({ changedAt }) => changedAt > since).slice(-limit) };
        await state.gate;
        return found;
      },
      listen(tell, lost) {
        [hear, gap] = [tell, lost];
        state.listening++;
        return () => state.listening--;
      },
    },
    clock: { now: () => new Date() }, hearer, oneByOne: 4, onFailure: (error) => failures.push(error), ...more,
  });
  const change = (n: number, ms: number, keySha256?: Uint8Array): void =>
    void state.changes.push({ caId: 1, serial: Uint8Array.of(n), changedAt: new Date(START + ms), ...(keySha256 === undefined ? {} : { keySha256 }) });
  /** What is told until then, in milliseconds of the test. */
  const until = async (ms: number): Promise<string[]> => {
    told.length = 0;
    await vi.advanceTimersByTimeAsync(START + ms - Date.now());
    return [...told];
  };
  const begin = async (): Promise<void> => {
    watch.start();
    await until(0);
  };
  return { watch, state, asked, told, failures, change, until, begin, hear: (caId: number, serial?: string) => hear(caId, serial), gap: () => gap() };
}

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'], now: START }));
afterEach(() => void vi.useRealTimers());

type World = ReturnType<typeof watched>;

describe('what is told, when', () => {
  it.each<[string, (world: World) => unknown, string[]]>([
    ['nothing, where nothing changes', () => undefined, []],
    ['a notification of a certificate: at once', ({ hear }) => hear(1, '0a'), ['1/0a']],
    ['a notification of many: all of the CA', ({ hear }) => hear(1), ['1/*']],
    ['listening begins anew: everything', ({ gap }) => gap(), ['all']],
    ['a change that nobody notified of: by the next look, once', ({ change }) => change(7, 1), ['1/07']],
    ['one that was committed long after its time', ({ change }) => change(7, LOOK - LATE_COMMIT_MS), ['1/07']],
    ['the same again, changed again', ({ change, state }) => {
      change(7, 1);
      setTimeout(() => { state.changes = [{ caId: 1, serial: Uint8Array.of(7), changedAt: new Date(START + 700) }]; }, 700);
    }, ['1/07', '1/07']],
    ['as many as are told one by one: all of the CA', ({ change }) => { for (let n = 0; n < 4; n++) change(n, 1); }, ['1/*']],
    ['a blocked key, which other CAs may have certified', ({ change }) => change(7, 1, Uint8Array.of(0xab)), ['1/07', 'keys ab']],
    ['a blocked key among many', ({ change }) => { for (let n = 0; n < 4; n++) change(n, 1, Uint8Array.of(0xa0 + n)); }, ['1/*', 'keys a0,a1,a2,a3']],
    ['the ledger\'s clock goes back: everything', ({ state }) => { state.ahead = -2000; }, ['all']],
  ])('%s', async (_, happen, expected) => {
    const world = watched();
    await world.begin();
    world.told.length = 0;
    happen(world);
    const first = [...world.told];
    expect([...first, ...await world.until(4 * LOOK + 50)]).toEqual(expected);
    await world.watch.close();
  });

  it('is what changed while no look worked, however long that was', async () => {
    const { watch, begin, until, change, state, asked, failures } = watched();
    await begin();
    state.away = true;
    expect(await until(200_000)).toEqual([]);
    expect(failures).toHaveLength(1);
    expect(new Set(asked)).toEqual(new Set([undefined, -LATE_COMMIT_MS]));
    change(9, 12_000);
    state.away = false;
    expect(await until(201_000)).toEqual(['1/09']);
    state.away = true;
    await until(203_000);
    expect(failures).toHaveLength(2);
    await watch.close();
  });

  it('follows a notification soon where that is asked for, also one that came during a look', async () => {
    const { watch, begin, until, asked, hear, state } = watched({ soonMs: 20 });
    await begin();
    hear(1, '0a');
    await until(25);
    expect(asked).toHaveLength(2);
    const gate = Promise.withResolvers<void>();
    state.gate = gate.promise;
    await until(600);
    expect(asked).toHaveLength(3);
    hear(1, '0b');
    gate.resolve();
    await until(625);
    expect(asked).toHaveLength(4);
    await watch.close();
  });
});

describe('a watch', () => {
  it('does what came with a look once all of it has worked', async () => {
    const done: string[] = [];
    const { watch, begin, until, state } = watched({ beside: async () => () => done.push('done') });
    state.away = true;
    await begin();
    expect([done, watch.began]).toEqual([[], undefined]);
    state.away = false;
    await until(LOOK);
    expect(done).toEqual(['done']);
    expect(watch.began?.time).toBe(START + LOOK);
    await watch.close();
  });
  it('rests where nobody wants it, forgets all, and begins anew', async () => {
    let wanted = true;
    const { watch, begin, until, state, asked } = watched({ wanted: () => wanted });
    await begin();
    wanted = false;
    expect(await until(600)).toEqual(['all']);
    expect([state.listening, watch.began]).toEqual([0, undefined]);
    await until(60_000);
    expect(asked).toHaveLength(1);
    watch.start();
    await until(60_001);
    expect(asked).toEqual([undefined, undefined]);
    expect(state.listening).toBe(1);
    await watch.close();
  });
  it('that is closed during a look tells nothing of it', async () => {
    const done: string[] = [];
    const { watch, begin, until, state, change, told } = watched({ beside: async () => () => done.push('done') });
    await begin();
    const gate = Promise.withResolvers<void>();
    state.gate = gate.promise;
    change(1, 1);
    await until(LOOK);
    told.length = 0;
    const closed = watch.close();
    gate.resolve();
    await closed;
    expect([told, done]).toEqual([['all'], ['done']]);
    await until(10_000);
    expect(state.listening).toBe(0);
  });
  it.each<[string, number, number, boolean]>([
    ['as the database says', 0, 0, false], ['59 s apart', 59_000, 0, false], ['61 s behind', 61_000, 0, true], ['61 s ahead', -61_000, 0, true],
    ['that steps a little', 0, 30_000, false], ['that steps between two looks', 0, 61_000, true],
  ])('a clock %s', async (_, ahead, step, skewed) => {
    const { watch, begin, state } = watched();
    state.ahead = ahead;
    await begin();
    vi.setSystemTime(Date.now() + step);
    expect(watch.skewed).toBe(skewed);
    await watch.close();
  });
});
