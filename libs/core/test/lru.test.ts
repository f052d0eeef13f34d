import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Lru } from '@fleetroot/core';

type Act = readonly ['get' | 'peek' | 'delete', number] | readonly ['set' | 'grown', number, number];
const key = fc.integer({ min: 0, max: 7 });
const act: fc.Arbitrary<Act> = fc.oneof(
  fc.tuple(fc.constantFrom('get' as const, 'peek' as const, 'delete' as const), key),
  fc.tuple(fc.constantFrom('set' as const, 'grown' as const), key, fc.integer({ min: 0, max: 12 })),
);

/** The same by a list, the newest last; slow and plain. */
class Plain {
  readonly limit: number;
  all: { key: number; value: object; weight: number }[] = [];

  constructor(limit: number) {
    this.limit = limit;
  }

  get weight(): number {
    return this.all.reduce((sum, { weight }) => sum + weight, 0);
  }

  find(wanted: number) {
    return this.all.find((one) => one.key === wanted);
  }

  delete(gone: number): void {
    this.all = this.all.filter((one) => one.key !== gone);
  }

  makeRoom(keep: object): void {
    while (this.weight > this.limit && this.all.length > 1) this.all.splice(this.all.findIndex(({ value }) => value !== keep), 1);
  }
}

describe('a bounded memory', () => {
  it('is what a list would be, whatever is done to it, and never over its limit but for one entry', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 30 }), fc.array(act, { maxLength: 80, size: 'max' }), (limit, acts) => {
      const weights = new Map<object, number>();
      const lru = new Lru<number, object>(limit, (_, value) => weights.get(value) ?? 0);
      const plain = new Plain(limit);
      for (const [what, at, weight = 0] of acts) {
        const known = plain.find(at);
        if (what === 'get') {
          expect(lru.get(at)).toBe(known?.value);
          if (known !== undefined) plain.all = [...plain.all.filter((one) => one !== known), known];
        } else if (what === 'peek') expect(lru.peek(at)).toBe(known?.value);
        else if (what === 'delete') {
          lru.delete(at);
          plain.delete(at);
        } else if (what === 'set') {
          const value = {};
          weights.set(value, weight);
          lru.set(at, value);
          plain.delete(at);
          plain.all.push({ key: at, value, weight });
          plain.makeRoom(value);
        } else {
          const value = known?.value ?? {};
          lru.grown(at, value, weight);
          if (known !== undefined) {
            known.weight += weight;
            plain.makeRoom(value);
          }
        }
        expect(lru.weight).toBe(plain.weight);
        expect(lru.size).toBe(plain.all.length);
        expect(lru.weight <= limit || lru.size === 1).toBe(true);
        expect(new Map(lru.entries())).toEqual(new Map(plain.all.map(({ key: one, value }) => [one, value])));
      }
    }), { numRuns: 300 });
  });

  it.each<[string, (lru: Lru<string, number>) => unknown, string[]]>([
    ['that was not asked for longest goes first', () => undefined, ['b', 'c', 'd']],
    ['that was asked for stays', (lru) => lru.get('a'), ['a', 'c', 'd']],
    ['that was looked at without being asked for goes', (lru) => lru.peek('a'), ['b', 'c', 'd']],
    ['that was put in again stays', (lru) => lru.set('a', 9), ['a', 'c', 'd']],
    ['need not go where there is room', (lru) => lru.delete('b'), ['a', 'c', 'd']],
  ])('of as many entries as its limit: what %s', (_, act, left) => {
    const lru = new Lru<string, number>(3);
    for (const [i, name] of ['a', 'b', 'c'].entries()) lru.set(name, i);
    act(lru);
    lru.set('d', 3);
    expect([...lru.entries()].map(([name]) => name).toSorted()).toEqual(left);
    expect([lru.size, lru.weight]).toEqual([3, 3]);
  });

  it('may be emptied while its entries are gone through', () => {
    const lru = new Lru<number, number>(100);
    for (let i = 0; i < 50; i++) lru.set(i, i);
    for (const [name] of lru.entries()) lru.delete(name);
    expect([lru.size, lru.weight]).toEqual([0, 0]);
    lru.set(1, 1);
    expect(lru.get(1)).toBe(1);
  });

  it('keeps one entry that is heavier than the limit, and nothing beside it; what grows counts as long as it is the one that is kept', () => {
    const lru = new Lru<string, { held: number }>(100, (_, { held }) => held);
    const a = { held: 40 };
    lru.set('a', a);
    lru.set('b', { held: 400 });
    expect([lru.peek('a'), lru.weight, lru.hasRoomFor(1)]).toEqual([undefined, 400, false]);
    lru.set('a', a);
    lru.set('b', { held: 40 });
    lru.grown('a', { held: 40 }, 1000);
    expect(lru.weight).toBe(80);
    expect([lru.hasRoomFor(20), lru.hasRoomFor(21)]).toEqual([true, false]);
    lru.grown('a', a, 30);
    expect([lru.peek('b'), lru.weight]).toEqual([undefined, 70]);
  });
});
