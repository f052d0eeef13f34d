import { InvalidArgumentError } from 'commander';

export interface Range {
  readonly least: number;
  readonly most: number;
}

/** How the line runs. Times are the line's own, in milliseconds; `speed` makes them shorter on the clock. */
export interface LinePlan {
  readonly stations: number;
  /** Time in which a station does one car. */
  readonly takt: number;
  /** ECUs of a car. */
  readonly ecus: Range;
  /** ECUs of a car that ask at the same moment. */
  readonly burst: number;
  readonly duration: number;
  /** Runs before it, and is not measured. */
  readonly warmUp: number;
  readonly speed: number;
  readonly seed: number;
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** `60s`, `5m`, `500ms`, `1h` in milliseconds. */
export function time(text: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,7}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(text) ?? [];
  const factor = UNITS[unit];
  if (factor === undefined) throw new InvalidArgumentError('a time such as 500ms, 60s, 5m or 8h');
  return Number(digits) * factor;
}

/** `60..100`, or `80`. */
export function range(text: string): Range {
  const [, least = '', most = least] = /^(\d{1,4})(?:\.\.(\d{1,4}))?$/.exec(text) ?? [];
  if (least === '' || Number(least) < 1 || Number(most) < Number(least)) throw new InvalidArgumentError('a number from 1 on, or a range such as 60..100');
  return { least: Number(least), most: Number(most) };
}

export const whole = (least: number, most: number) => (text: string): number => {
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text) || value < least || value > most) throw new InvalidArgumentError(`a whole number from ${least} to ${most}`);
  return value;
};

export function factor(text: string): number {
  const value = Number(text);
  if (!/^\d{1,4}(?:\.\d{1,3})?$/.test(text) || value <= 0) throw new InvalidArgumentError('a number above 0');
  return value;
}
