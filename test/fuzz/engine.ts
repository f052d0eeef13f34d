import { createHash } from 'node:crypto';
import { Random } from './random.ts';
import { slowestCall, type Target } from './targets.ts';

export interface Finding {
  readonly target: string;
  readonly what: string;
  readonly input: Buffer;
}

interface Tally {
  runs: number;
  accepted: number;
  /** CPU milliseconds of the slowest call, the best of four runs where one was slow. */
  slowestMs: number;
}

export interface Progress {
  readonly tallies: ReadonlyMap<string, Tally>;
  readonly runs: number;
}

export interface FuzzOptions {
  readonly targets: readonly Target[];
  readonly seed: number;
  /** Stops after so many rounds over all targets, or when `until` says so. */
  readonly rounds: number;
  readonly until?: () => boolean;
  /** CPU milliseconds that one call of a parser may take: 50 is what the product promises; more on a machine that is not still. */
  readonly limitMs: number;
  /** Told before each input, so that a watcher knows what hangs. */
  readonly before?: (target: string, input: Buffer) => void;
  readonly onFinding: (finding: Finding) => void;
  /** Hears of some of the inputs that were accepted, for another judge. */
  readonly onAccepted?: (target: string, input: Buffer) => void;
  readonly onProgress?: (progress: Progress) => void;
}

/** Rounds over all targets: an unchanged seed now and then, else a mutation. Same seed and corpus, same inputs. */
export function fuzz(options: FuzzOptions): Progress {
  const random = new Random(options.seed);
  const tallies = new Map(options.targets.map(({ name }): [string, Tally] => [name, { runs: 0, accepted: 0, slowestMs: 0 }]));
  const seen = new Set<string>();
  const report = (finding: Finding): void => {
    // One defect is met thousands of times: it is told once, by its message without the numbers.
    const kind = `${finding.target} ${finding.what.replaceAll(/\d+/g, '#').slice(0, 200)}`;
    if (!seen.has(kind)) options.onFinding(finding);
    seen.add(kind);
  };
  const progress: Progress & { runs: number } = { tallies, runs: 0 };
  for (const target of options.targets) for (const seed of target.seeds) one(target, seed, tallies.get(target.name)!, options, report);
  for (let round = 0; round < options.rounds && options.until?.() !== true; round++) {
    for (const target of options.targets) {
      const input = target.mutate(random.pick(target.seeds), random).subarray(0, target.maxOctets);
      one(target, input, tallies.get(target.name)!, options, report);
      progress.runs++;
    }
    if (round % 500 === 499) options.onProgress?.(progress);
  }
  return progress;
}

function one(target: Target, input: Buffer, tally: Tally, options: FuzzOptions, report: (finding: Finding) => void): void {
  options.before?.(target.name, input);
  const limitMs = options.limitMs * (target.patience ?? 1);
  const run = (): number => {
    slowestCall();
    accepted = target.run(input);
    return slowestCall();
  };
  let accepted = false;
  tally.runs++;
  try {
    let ms = run();
    if (accepted) {
      tally.accepted++;
      options.onAccepted?.(target.name, input);
    }
    // A compiler at work or a collection of garbage is not the parser's: the best of four counts.
    for (let again = 0; again < 3 && ms > limitMs / 2; again++) ms = Math.min(ms, run());
    tally.slowestMs = Math.max(tally.slowestMs, ms);
    if (ms > limitMs) report({ target: target.name, what: `takes ${ms.toFixed(0)} ms of CPU for ${input.length} octets`, input });
  } catch (error) {
    report({ target: target.name, what: error instanceof Error ? (error.stack ?? error.message) : `throws ${String(error)}`, input });
  }
}

/** A file name for an input: its target, then what it is. */
export const fileNameOf = ({ target, input }: Pick<Finding, 'target' | 'input'>): string =>
  `${target}.${createHash('sha256').update(input).digest('hex').slice(0, 12)}`;
