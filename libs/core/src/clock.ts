import { randomFillSync } from 'node:crypto';

/** The time, as an argument: pure layers never read a clock of their own. */
export interface Clock {
  now(): Date;
}

/** `n` octets from a cryptographically secure source. */
export type RandomBytes = (n: number) => Uint8Array;

export const systemClock: Clock = { now: () => new Date() };

export const systemRandom: RandomBytes = (n) => randomFillSync(new Uint8Array(n));
