import { describe, expect, it } from 'vitest';
import { Figures, table } from '../src/line/simulate/figures.ts';
import { bursts, carMix, carsPerStation, carTimes } from '../src/line/simulate/mix.ts';
import { factor, type LinePlan, range, time } from '../src/line/simulate/options.ts';

const plan: LinePlan = { stations: 4, takt: 60_000, ecus: { least: 60, most: 100 }, burst: 5, duration: 300_000, warmUp: 60_000, speed: 10, seed: 1 };

describe('the mix', () => {
  it('is the same for the same seed, car by car, and another for another', () => {
    const cars = (seed: number): string[] => [0, 1, 2].flatMap((station) => [0, 1].map((car) => carMix(seed, station, car, plan.ecus).map(({ name }) => name).join()));
    expect(cars(1)).toEqual(cars(1));
    expect(cars(1)).not.toEqual(cars(2));
    expect(new Set(cars(1)).size).toBe(6);
  });

  it('has every size of the range, and no other', () => {
    const sizes = new Set(Array.from({ length: 400 }, (_, car) => carMix(7, 0, car, { least: 3, most: 6 }).length));
    expect([...sizes].sort((a, b) => a - b)).toEqual([3, 4, 5, 6]);
    expect(carMix(7, 0, 0, { least: 120, most: 120 })).toHaveLength(120);
  });
});

describe('the takt', () => {
  it('gives each station its cars, one after the other, in the time of the clock', () => {
    expect(carsPerStation(plan)).toBe(6);
    expect(carTimes(plan, 0, 0)).toEqual({ start: 0, end: 6_000, measured: false });
    expect(carTimes(plan, 2, 0)).toEqual({ start: 3_000, end: 9_000, measured: false });
    expect(carTimes(plan, 0, 1)).toEqual({ start: 6_000, end: 12_000, measured: true });
    expect(carsPerStation({ ...plan, duration: 1, warmUp: 0 })).toBe(1);
  });

  it('spreads the bursts of a car over it, each ECU once', () => {
    expect(bursts({ start: 100, end: 400, measured: true }, 12, 5)).toEqual([
      { at: 100, from: 0, to: 5 }, { at: 200, from: 5, to: 10 }, { at: 300, from: 10, to: 12 },
    ]);
  });
});

describe('what is typed', () => {
  it.each([['500ms', 500], ['60s', 60_000], ['1.5m', 90_000], ['8h', 28_800_000]])('%s is %i ms', (text, ms) => {
    expect(time(text)).toBe(ms);
  });

  it.each(['5', '5 s', '-5s', 's', '1e3s'])('%s is no time', (text) => {
    expect(() => time(text)).toThrow('a time such as');
  });

  it('ranges and factors', () => {
    expect([range('60..100'), range('80'), factor('0.5')]).toEqual([{ least: 60, most: 100 }, { least: 80, most: 80 }, 0.5]);
    for (const text of ['0', '9..3', '..5', 'x']) expect(() => range(text)).toThrow('a number from 1 on');
    expect(() => factor('0')).toThrow('a number above 0');
  });
});

describe('the figures', () => {
  it('has the percentiles of what was measured, and of all stations together', () => {
    const [one, two] = [new Figures(), new Figures()];
    for (let ms = 1; ms <= 100; ms++) one.certificate(ms);
    two.certificate(5_000);
    two.error('hsm.unavailable');
    one.car(false);
    two.car(true);
    const { latency } = one.report(1);
    for (const [name, ms] of [['p50', 50], ['p90', 90], ['p99', 99], ['max', 100]] as const) expect(Math.abs((latency?.[name] ?? 0) - ms)).toBeLessThan(ms / 100);
    const all = new Figures();
    for (const each of [one, two]) all.add(each);
    expect(all.report()).toMatchObject({ cars: 2, certificates: 101, missedTakts: 1, errors: { 'hsm.unavailable': 1 } });
    expect(Math.abs((all.report().latency?.max ?? 0) - 5_000)).toBeLessThan(50);
    expect(table([two.report(2), new Figures().report()])).toEqual([
      expect.stringMatching(/^ {2}station +cars +certs +p50 ms +p90 ms +p99 ms +max ms +missed {2}errors$/) as string,
      expect.stringMatching(/^ {2}2 +1 +1 +(?:\d{4} +){4}1 {2}hsm.unavailable 1$/) as string,
      expect.stringMatching(/^ {2}all +0 +0 +- +- +- +- +0$/) as string,
    ]);
  });
});
