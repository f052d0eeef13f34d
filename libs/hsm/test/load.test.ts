import { setImmediate as breathe } from 'node:timers/promises';
import { PkiError } from '@fleetroot/core';
import { array, assert as holds, asyncProperty, constantFrom, integer, subarray } from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { controlLoad, readShares } from '../src/index.ts';

const purposes = ['line', 'renewal', 'ocsp', 'crl', 'administration'] as const;
type Purpose = (typeof purposes)[number];
const shares = readShares('line=60,renewal=15,ocsp=10,crl=10,administration=5', purposes);
const keyId = Uint8Array.of(1);
const messages = (count: number, of = 0): Uint8Array[] => Array.from({ length: count }, (_, i) => Uint8Array.of(of, i >> 8, i & 0xff));

/** An HSM that signs slice after slice, each signature in so many milliseconds of a clock of its own. */
class SteadyHsm {
  now = 0;
  readonly slices: Uint8Array[][] = [];
  readonly #open: { readonly slice: readonly Uint8Array[]; readonly answer: PromiseWithResolvers<Uint8Array[]> }[] = [];
  mostOpen = 0;

  readonly msEach: number;
  constructor(msEach: number) {
    this.msEach = msEach;
  }

  sign = async (_keyId: Uint8Array, _algorithm: string, slice: readonly Uint8Array[]): Promise<Uint8Array[]> => {
    const answer = Promise.withResolvers<Uint8Array[]>();
    this.#open.push({ slice, answer });
    this.mostOpen = Math.max(this.mostOpen, this.#open.length);
    return answer.promise;
  };

  get open(): number {
    return this.#open.length;
  }

  /** Signs the oldest slice, or fails it. */
  async step(failure?: PkiError): Promise<number> {
    const next = this.#open.shift();
    if (next === undefined) return 0;
    this.now += next.slice.length * this.msEach;
    if (failure === undefined) {
      this.slices.push([...next.slice]);
      next.answer.resolve(next.slice.map((message) => Uint8Array.of(0xff, ...message)));
    } else {
      next.answer.reject(failure);
    }
    await breathe();
    return next.slice.length;
  }
}

const controlled = (hsm: SteadyHsm, given: Readonly<Record<Purpose, number>> = shares) =>
  controlLoad(hsm, { shares: given, inFlight: 2, now: () => hsm.now });

describe('a call', () => {
  it('goes to the signer in slices of 32, two at a time, and comes back in order', async () => {
    const hsm = new SteadyHsm(1);
    const signed = controlled(hsm).sign('line', keyId, 'ecdsa-sha256', messages(100));
    while (await hsm.step() > 0);
    expect(await signed).toEqual(messages(100).map((message) => Uint8Array.of(0xff, ...message)));
    expect(hsm.slices.map(({ length }) => length)).toEqual([32, 32, 32, 4]);
    expect(hsm.mostOpen).toBe(2);
  });

  it('of a single message goes before the rest of one that takes many slices, and behind other single ones', async () => {
    const hsm = new SteadyHsm(1);
    const load = controlled(hsm);
    const signed = [load.sign('line', keyId, 'ecdsa-sha256', messages(320)), ...[7, 8].map((of) => load.sign('line', keyId, 'ecdsa-sha256', messages(1, of)))];
    while (await hsm.step() > 0);
    expect(hsm.slices.slice(0, 5).map((slice) => [slice.length, slice[0]?.[0]])).toEqual([[32, 0], [32, 0], [1, 7], [1, 8], [32, 0]]);
    expect((await Promise.all(signed)).map((each) => each.length)).toEqual([320, 1, 1]);
  });

  it('of nothing asks for nothing', async () => {
    const hsm = new SteadyHsm(1);
    expect(await controlled(hsm).sign('line', keyId, 'ecdsa-sha256', [])).toEqual([]);
    expect(hsm.open).toBe(0);
  });

  const gone = (attempted?: number): PkiError => new PkiError('hsm.unavailable', 'gone', attempted === undefined ? {} : { data: { attempted } });
  test.each<[string, readonly (PkiError | undefined)[], number]>([
    ['a second slice that was not attempted', [undefined, gone(0), gone(0)], 32],
    ['five of the second slice attempted', [undefined, gone(5), gone(0)], 37],
    ['a third slice that nobody knows of', [undefined, undefined, gone(), gone(0)], 96],
    ['a first slice that failed while the second was signed', [gone(5), undefined], 64],
    ['nothing attempted at all', [gone(0), gone(0)], 0],
  ])('that fails with %s tells the prefix for which signatures may exist', async (_what, outcomes, attempted) => {
    const hsm = new SteadyHsm(1);
    const load = controlled(hsm);
    let settled = false;
    const outcome = load.sign('line', keyId, 'ecdsa-sha256', messages(200)).then(() => 'signed', (error: unknown) => error).finally(() => { settled = true; });
    for (const [i, failure] of outcomes.entries()) {
      // What is still at the HSM is waited for: it may be signed.
      expect([i, settled]).toEqual([i, false]);
      await hsm.step(failure);
    }
    expect(await outcome).toMatchObject({ code: 'hsm.unavailable', message: 'gone', data: { attempted } });
    expect(hsm.open).toBe(0);
    expect(load.figures()).toMatchObject({ 'queued.line': 0 });
  });

  it('that failed leaves the others be', async () => {
    const hsm = new SteadyHsm(1);
    const load = controlled(hsm);
    const first = load.sign('line', keyId, 'ecdsa-sha256', messages(200)).catch((error: unknown) => error);
    const second = load.sign('line', keyId, 'ecdsa-sha256', messages(40));
    await hsm.step(gone(0));
    while (await hsm.step() > 0);
    expect(await first).toBeInstanceOf(PkiError);
    expect(await second).toHaveLength(40);
  });
});

describe('shares', () => {
  /** Keeps each of `asking` asking, for ever; the signatures that each got while the HSM made `rounds` slices. */
  async function served(given: Readonly<Record<Purpose, number>>, asking: readonly Purpose[], sizes: readonly number[], rounds: number, msEach = 1): Promise<Record<string, number>> {
    const hsm = new SteadyHsm(msEach);
    const load = controlled(hsm, given);
    const stop = new AbortController();
    const loops = asking.map(async (purpose, i) => {
      // Several calls each, so that it always has something waiting.
      await Promise.all([0, 1, 2].map(async () => {
        while (!stop.signal.aborted) await load.sign(purpose, keyId, 'ecdsa-sha256', messages(sizes[i % sizes.length] ?? 32));
      }));
    });
    for (let i = 0; i < rounds; i++) await hsm.step();
    const figures = load.figures();
    stop.abort();
    while (await hsm.step() > 0);
    await Promise.all(loops);
    return Object.fromEntries(asking.map((purpose) => [purpose, figures[`signed.${purpose}`] ?? 0]));
  }

  test('each gets its share of whoever never stops asking, whatever the shares, the sizes and the speed', async () => {
    await holds(asyncProperty(
      array(integer({ min: 2, max: 20 }), { minLength: 5, maxLength: 5 }),
      subarray([...purposes], { minLength: 2 }),
      array(integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 }),
      constantFrom(0.1, 1, 20),
      async (percents, asking, sizes, msEach) => {
        const given = Object.fromEntries(purposes.map((purpose, i) => [purpose, percents[i]])) as Record<Purpose, number>;
        const got = await served(given, asking, sizes, 1500, msEach);
        const all = Object.values(got).reduce((a, b) => a + b, 0);
        const sum = asking.reduce((a, purpose) => a + given[purpose], 0);
        for (const purpose of asking) {
          // What stands in a full bucket at the start, and a slice each way, is not counted. Of the rest a quarter is left to
          // slices that are not full, and to a speed that is being measured.
          const burst = Math.min(1000 / msEach, all) + 3 * 32;
          expect(got[purpose] ?? 0).toBeGreaterThan(0.75 * (all - burst) * (given[purpose] / sum) - 4 * 32);
        }
      }), { numRuns: 25 });
  });

  test('who is alone gets all', async () => {
    const got = await served(shares, ['administration'], [250], 500);
    expect(got['administration']).toBeGreaterThan(500 * 32 * 0.8);
  });

  test.each([1, 250])('a wave of 10,000 renewals does not keep the line waiting: calls of %i', async (size) => {
    const hsm = new SteadyHsm(1);
    const load = controlled(hsm);
    const wave = Array.from({ length: 10_000 }, () => load.sign('renewal', keyId, 'ecdsa-sha256', messages(1)));
    for (let i = 0; i < 2000; i++) await hsm.step();
    const waits: number[] = [];
    for (let i = 0; i < 8; i++) {
      const began = hsm.now;
      const call = load.sign('line', keyId, 'ecdsa-sha256', messages(size));
      const signed = (load.figures()['signed.line'] ?? 0) + size;
      while ((load.figures()['signed.line'] ?? 0) < signed) await hsm.step();
      await call;
      waits.push(hsm.now - began);
    }
    // Of 75 percent that are asked for the line has 60: 250 signatures take it a third of a second at 1,000 a second.
    for (const wait of waits) expect(wait).toBeLessThan(size === 1 ? 70 : 250 / 0.8 + 100);
    expect(load.figures()['queued.renewal']).toBeGreaterThan(1000);
    while (await hsm.step() > 0);
    expect(await Promise.all(wave)).toHaveLength(10_000);
  });

  test('who was silent for an hour has not saved up more than a second', async () => {
    const hsm = new SteadyHsm(1);
    const load = controlled(hsm);
    const line = load.sign('line', keyId, 'ecdsa-sha256', messages(30_000));
    hsm.now += 3_600_000;
    for (let i = 0; i < 100; i++) await hsm.step();
    const began = load.figures()['signed.line'] ?? 0;
    const wave = load.sign('renewal', keyId, 'ecdsa-sha256', messages(30_000));
    for (let i = 0; i < 100; i++) await hsm.step();
    expect((load.figures()['signed.line'] ?? 0) - began).toBeGreaterThan(1500);
    while (await hsm.step() > 0);
    await Promise.all([line, wave]);
  });
});

describe('figures', () => {
  it('tell what the HSM makes, what was signed, what waits, and for how long', async () => {
    const hsm = new SteadyHsm(2);
    const load = controlled(hsm);
    expect(load.figures()).toMatchObject({ signaturesPerSecond: 0, busyShare: 0, forecastSeconds: 0, 'signed.crl': 0, 'queued.crl': 0 });
    const all = Promise.all([load.sign('line', keyId, 'ecdsa-sha256', messages(2000)), load.sign('crl', keyId, 'ecdsa-sha256', messages(1))]);
    for (let i = 0; i < 20; i++) await hsm.step();
    const figures = load.figures();
    expect(figures['signaturesPerSecond']).toBeCloseTo(500, 0);
    expect(figures['signed.crl']).toBe(1);
    expect((figures['signed.line'] ?? 0) + (figures['queued.line'] ?? 0)).toBe(2000);
    expect(figures['forecastSeconds']).toBeCloseTo((figures['queued.line'] ?? 0) / 500, 1);
    expect(figures['busyShare']).toBeGreaterThan(0.05);
    while (await hsm.step() > 0);
    await all;
    hsm.now += 60_000;
    expect(load.figures()).toMatchObject({ forecastSeconds: 0, 'queued.line': 0, 'signed.line': 2000 });
    expect(load.figures()['busyShare']).toBeLessThan(0.01);
  });

  it('do not take for speed that the HSM was asked little', async () => {
    const hsm = new SteadyHsm(1);
    const load = controlled(hsm);
    const long = load.sign('line', keyId, 'ecdsa-sha256', messages(1000));
    while (await hsm.step() > 0);
    await long;
    for (let i = 0; i < 50; i++) {
      hsm.now += 1000;
      const one = load.sign('line', keyId, 'ecdsa-sha256', messages(1));
      hsm.now += 9;
      await hsm.step();
      await one;
    }
    expect(load.figures()['signaturesPerSecond']).toBeCloseTo(1000, 0);
  });
});

describe('shares as text', () => {
  it('are read', () => {
    expect(shares).toEqual({ line: 60, renewal: 15, ocsp: 10, crl: 10, administration: 5 });
    expect(readShares(' crl=0.5, line=99.5', ['line', 'crl'])).toEqual({ line: 99.5, crl: 0.5 });
  });

  test.each<[string, string]>([
    ['', `'' is not PURPOSE=PERCENT; line and crl are missing`],
    ['line=60', 'crl is missing'],
    ['line=60,crl=41', 'the shares add up to 101 percent'],
    ['line=60,crl=0', 'crl has no share'],
    ['line=60,crl=10,line=5', 'line is named twice'],
    ['line=60,crl=10,lines=5', 'there is no purpose lines'],
    ['line=60,crl=-1', `'crl=-1' is not PURPOSE=PERCENT`],
    ['line=60;crl=10', `'line=60;crl=10' is not PURPOSE=PERCENT`],
    ['line=60,crl=1e1', `'crl=1e1' is not PURPOSE=PERCENT`],
  ])('%j are refused: %s', (text, message) => {
    expect(() => readShares(text, ['line', 'crl'])).toThrow(expect.objectContaining({ code: 'config.invalid', message: expect.stringContaining(message) }));
  });
});
