import { cpus, totalmem } from 'node:os';

export interface Result {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What the same work costs at least, or what it is compared with, measured in the same run; absent where there is no such thing. */
  readonly floor?: number;
  /** value over floor; higher is better. */
  readonly ratio?: number;
  /** The ratio reaches it; where there is no ratio, the value does not exceed it. */
  readonly goal?: number;
}

/** A figure beside its floor: the ratio holds on a noisy machine, the figure alone does not. */
export function beside(name: string, value: number, unit: string, floor: number, goal?: number): Result {
  return { name, value, unit, floor, ratio: value / floor, ...(goal === undefined ? {} : { goal }) };
}

/** Undefined: no goal was set. */
export function isMet({ value, ratio, goal }: Result): boolean | undefined {
  if (goal === undefined) return undefined;
  return ratio === undefined ? value <= goal : ratio >= goal;
}

const short = (value: number | undefined): string =>
  value === undefined ? '' : value >= 100 ? value.toFixed(0) : value.toFixed(3).replace(/\.?0+$/, '');

const verdict = (result: Result): string => ({ true: 'met', false: 'missed', undefined: '' })[`${isMet(result)}`];

/** A table for people and, as the last line, one JSON object for machines. `about`: what the run was asked for. */
export function print(bench: string, results: readonly Result[], about: Readonly<Record<string, unknown>> = {}): void {
  const rows = [
    ['', 'value', 'unit', 'floor', 'ratio', 'goal', ''],
    ...results.map((r) => [r.name, short(r.value), r.unit, short(r.floor), short(r.ratio), short(r.goal), verdict(r)]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  console.log(`\n${bench}`);
  for (const row of rows) {
    console.log(row.map((cell, i) => (i === 0 || i === 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ').trimEnd());
  }
  const machine = { cores: cpus().length, model: cpus()[0]?.model ?? 'unknown', memoryGiB: Math.round(totalmem() / 2 ** 30), node: process.version };
  console.log(JSON.stringify({ bench, machine, ...about, results: results.map((result) => ({ ...result, met: isMet(result) })) }));
}

/** Nearest rank: the least value that at least `p` percent of all do not exceed. NaN where there is none. */
export function percentile(sorted: ArrayLike<number>, p: number): number {
  return sorted[Math.max(0, Math.min(sorted.length - 1, Math.ceil((p / 100) * sorted.length) - 1))] ?? Number.NaN;
}
