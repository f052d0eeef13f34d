import { Presets, SingleBar } from 'cli-progress';
import { type Console, count } from '../console.ts';
import { duration, Pace, type PaceNow } from './pace.ts';

export interface Progress {
  add(more: number): void;
  /** All that is done now. */
  at(done: number): void;
  /** Says a line beside it. */
  say(line: string): void;
  end(): void;
}

const PLAIN_EVERY_MS = 5_000;

/** Where a progress begins, where that is not at 0, and where it is shown. */
export interface ProgressOptions {
  readonly done?: number;
  readonly output?: NodeJS.WriteStream;
}

/** A bar with rate and time left on a terminal, a plain line now and then elsewhere. */
export function progress(total: number, what: string, console: Console, { done: begun = 0, output = process.stdout }: ProgressOptions = {}): Progress {
  const pace = new Pace(total, begun, performance.now());
  const shown = output.isTTY ? bar(total, begun, what, console, output) : plainLines(what, console);
  let done = begun;
  const at = (now: number): void => {
    done = now;
    shown.show(pace.at(now, performance.now()));
  };
  return { at, add: (more) => at(done + more), say: shown.say, end: shown.end };
}

interface Shown {
  show(now: PaceNow): void;
  say(line: string): void;
  end(): void;
}

const rateOf = ({ perSecond }: PaceNow): string => (perSecond === undefined ? '-' : count(perSecond));
const leftOf = ({ secondsLeft }: PaceNow): string => (secondsLeft === undefined ? '-' : duration(secondsLeft));

function bar(total: number, begun: number, what: string, console: Console, output: NodeJS.WriteStream): Shown {
  const drawn = new SingleBar({
    format: `  {bar} {value}/{total} ${what}  {rate}/s  {left} left`, stream: output, hideCursor: true, fps: 8,
    // The bar would take the keyboard's signals for itself.
    gracefulExit: false, clearOnComplete: true,
  }, Presets.shades_classic);
  const payload = { rate: '-', left: '-' };
  let value = begun;
  drawn.start(total, value, payload);
  return {
    show: (now) => {
      value = now.done;
      Object.assign(payload, { rate: rateOf(now), left: leftOf(now) });
      drawn.update(value, payload);
    },
    say: (line) => {
      drawn.stop();
      console.say(line);
      drawn.start(total, value, payload);
    },
    end: () => drawn.stop(),
  };
}

function plainLines(what: string, console: Console): Shown {
  let said = performance.now();
  return {
    show: (now) => {
      if (performance.now() - said < PLAIN_EVERY_MS) return;
      said = performance.now();
      console.say(`  ${count(now.done)} of ${count(now.total)} ${what}, ${rateOf(now)}/s, ${leftOf(now)} left`);
    },
    say: (line) => console.say(line),
    end: () => undefined,
  };
}
