import { Presets, SingleBar } from 'cli-progress';
import { type Console, count } from '../console.ts';

export interface Progress {
  add(done: number): void;
  end(): void;
}

const PLAIN_EVERY_MS = 5_000;

/** A bar with rate and time left on a terminal, a plain line now and then elsewhere. */
export function progress(total: number, what: string, console: Console, output: NodeJS.WriteStream = process.stdout): Progress {
  const began = performance.now();
  const rate = (done: number): number => done / Math.max((performance.now() - began) / 1000, 0.001);
  let done = 0;
  if (output.isTTY) {
    const bar = new SingleBar({
      format: `  {bar} {value}/{total} ${what}  {rate}/s  {eta_formatted} left`, stream: output, hideCursor: true, fps: 8,
      // The bar would take the keyboard's signals for itself.
      gracefulExit: false,
    }, Presets.shades_classic);
    bar.start(total, 0, { rate: '-' });
    return {
      add: (more) => {
        done += more;
        bar.update(done, { rate: count(rate(done)) });
      },
      end: () => bar.stop(),
    };
  }
  let said = began;
  return {
    add: (more) => {
      done += more;
      if (performance.now() - said < PLAIN_EVERY_MS) return;
      said = performance.now();
      console.say(`  ${count(done)} of ${count(total)} ${what}, ${count(rate(done))}/s`);
    },
    end: () => undefined,
  };
}
