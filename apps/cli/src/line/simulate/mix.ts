import { createHash } from 'node:crypto';
import { type Part, parts } from '../parts.ts';
import type { LinePlan, Range } from './options.ts';

/** A number from 0 to 1, without 1, that depends on these words alone. */
function chance(...words: readonly (string | number)[]): number {
  return createHash('sha256').update(words.join('/')).digest().readUInt32BE(0) / 2 ** 32;
}

/**
 * What a car is fitted with. The same seed gives every car of every station the same parts, whatever happens in between;
 * where a car has more ECUs than there are parts, parts come again.
 */
export function carMix(seed: number, station: number, car: number, { least, most }: Range): Part[] {
  const size = least + Math.floor(chance(seed, 'size', station, car) * (most - least + 1));
  const first = Math.floor(chance(seed, 'first', station, car) * parts.length);
  return Array.from({ length: size }, (_, i) => parts[(first + i) % parts.length]).filter((part) => part !== undefined);
}

/** Cars that each station does: those that begin within the warm-up and the duration. */
export function carsPerStation({ takt, duration, warmUp }: LinePlan): number {
  return Math.max(1, Math.ceil((warmUp + duration) / takt));
}

export interface CarTimes {
  /** On the clock, in milliseconds from the line's start. */
  readonly start: number;
  /** When the next car comes. */
  readonly end: number;
  /** Whether it began after the warm-up. */
  readonly measured: boolean;
}

/** Stations begin one after the other within the first takt, as cars pass them. */
export function carTimes(plan: LinePlan, station: number, car: number): CarTimes {
  const start = (station / plan.stations + car) * plan.takt;
  return { start: start / plan.speed, end: (start + plan.takt) / plan.speed, measured: start >= plan.warmUp };
}

export interface Burst {
  readonly at: number;
  /** The first of its ECUs, and the one after its last. */
  readonly from: number;
  readonly to: number;
}

/** The ECUs of a car ask in bursts, spread over the takt; `at` as in CarTimes. */
export function bursts({ start, end }: CarTimes, ecus: number, burst: number): Burst[] {
  const number = Math.ceil(ecus / burst);
  return Array.from({ length: number }, (_, i) => ({
    at: start + (i / number) * (end - start), from: i * burst, to: Math.min(ecus, (i + 1) * burst),
  }));
}
